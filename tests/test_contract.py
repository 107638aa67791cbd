"""Inputs from outside the package: other networks, adapters, NumPy's numbers and containers, other precisions."""

import weakref
from functools import partial

import numpy as np
import pytest
import torch
from diffusers import UNet2DModel
from test_unet import randomise
from torch import nn

from ddpm_lite import (
    ConditionalUNet,
    GaussianChain,
    GaussianMixture,
    LabelEncoder,
    Schedule,
    UNet,
    UNetConfig,
    cosine_schedule,
    ddim_step,
    ddpm_loss,
    ddpm_step,
    from_diffusers,
    guided,
    heun_step,
    in_parts,
    last,
    linear_schedule,
    posterior,
    q_sample,
    respace,
    sample,
    z_model,
)
from ddpm_lite import process as equations

PAPER = linear_schedule()
SHORT = respace(PAPER, 5)


class Points(nn.Module):
    """An MLP on points, told t by an embedding and as a float, as many write it."""

    def __init__(self, out=2):
        super().__init__()
        self.table = nn.Embedding(1001, 8)
        self.net = nn.Sequential(nn.Linear(2 + 8 + 1, 64), nn.SiLU(), nn.Linear(64, out))

    def forward(self, x_t, t, context=None):
        assert t.dtype == torch.int64
        assert t.shape == (len(x_t),)
        return self.net(torch.cat([x_t, self.table(t), t[:, None].float() / 1000], dim=1))


def labelled(seed=0):
    torch.manual_seed(seed)
    unet = UNet(UNetConfig(8, 1, (8, 16), blocks=1, context_dim=6))
    return randomise(ConditionalUNet(unet, LabelEncoder(10, 6))).eval()


def unlabelled():
    return randomise(UNet(UNetConfig(8, 1, (8, 16), blocks=1))).eval()


def test_a_network_that_embeds_t_trains_and_samples():
    """Points around (3, -2): far outside [-1, 1], where a clip would be seen."""
    torch.manual_seed(0)
    net, data = Points(), torch.tensor([3.0, -2.0]) + 0.1 * torch.randn(512, 2)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(300):
        optimizer.zero_grad()
        t = torch.randint(1, 1001, (512,))
        ddpm_loss(net, PAPER, data, t, torch.randn_like(data)).backward()
        optimizer.step()
    _, x_0 = last(sample(net, respace(PAPER, 50), (200, 2), step=partial(ddim_step, clip=False)))
    assert (x_0.mean(0) - torch.tensor([3.0, -2.0])).abs().max() < 0.5
    ddpm_loss(net, PAPER, data, 7, torch.randn_like(data))  # one t for all is a tensor too


def spied_on(model):
    """The model, and a list of every t that it gets."""
    seen = []

    def spy(x_t, t, context=None):
        seen.append((t, len(x_t)))
        return model(x_t, t, context)

    return spy, seen


def test_t_is_one_int64_per_image_wherever_we_call_a_model():
    model, seen = spied_on(labelled())
    x, labels = torch.randn(4, 1, 8, 8), [1, 2, 3, 4]
    ddpm_loss(model, PAPER, x, 3, x, context=torch.tensor(labels))
    ddpm_loss(model, PAPER, x, np.int64(3), x)
    last(sample(model, SHORT, x.shape, context=labels))
    guided(model, 2.0, 10)(x, 7, torch.tensor(labels))
    last(sample(guided(in_parts(model, 3), 2.0, 10), SHORT, x.shape, context=labels))
    z_model(model, PAPER, "v")(x, 5)
    for t, batch in seen:
        assert (t.dtype, t.shape) == (torch.int64, (batch,))


@pytest.mark.parametrize(
    "oracle", [GaussianChain(PAPER, 0.2, 0.5), GaussianMixture(PAPER, torch.zeros(1, 2), torch.tensor([0.5]))]
)
def test_the_oracles_take_every_form_of_t(oracle):
    x = torch.randn(3, 2)
    expected = oracle(x, torch.tensor([5, 5, 5]))
    for t in (5, np.int64(5), [5, 5, 5], np.array([5, 5, 5])):
        torch.testing.assert_close(oracle(x, t), expected)


# Adapters


@pytest.mark.parametrize("predicts", ["z", "v", "flow", "x_0", "score"])
def test_a_network_that_predicts_something_else_is_a_model_of_z(predicts, generator):
    """The truth in each form, from the oracle: the model's z is the oracle's, on a re-spaced walk too."""
    oracle = GaussianChain(PAPER, 0.3, 0.2)

    def network(x_t, t, context=None):
        z = oracle(x_t, t)
        x_0 = equations.predict_x_0(PAPER, x_t, t, z)
        forms = {"v": equations.velocity(PAPER, x_0, t, z), "score": equations.score_from_z(PAPER, z, t)}
        forms["flow"] = z - x_0
        return ({"z": z, "x_0": x_0} | forms)[predicts]

    x = torch.randn(6, 1, 2, 2, generator=generator, dtype=torch.float64)
    model, t = z_model(network, PAPER, predicts), torch.tensor([1, 2, 10, 500, 999, 1000])
    torch.testing.assert_close(model(x, t), oracle(x, t), rtol=1e-9, atol=1e-9)
    walks = [last(sample(m, SHORT, x.shape, step=ddim_step, dtype=torch.float64))[1] for m in (model, oracle)]
    torch.testing.assert_close(*walks, rtol=1e-8, atol=1e-8)


def test_an_adapter_keeps_parameters_and_eval_mode():
    net = Points()
    model = z_model(net, PAPER, "v")
    assert model.model is net
    assert {id(p) for p in model.parameters()} == {id(p) for p in net.parameters()}
    assert z_model(net, PAPER, "z") is net
    ddpm_loss(model, PAPER, torch.randn(4, 2), torch.tensor([1, 2, 3, 1000]), torch.randn(4, 2)).backward()
    assert net.table.weight.grad.abs().amax(1).nonzero().flatten().tolist() == [1, 2, 3, 1000]


def test_the_loss_of_v_is_weighted_by_alpha_bar(generator):
    x_0, z, error = torch.randn(3, 5, 1, 2, 2, generator=generator, dtype=torch.float64)
    for t in (1, 400, 1000):

        def network(x_t, at, context, t=t):
            return equations.velocity(PAPER, x_0, t, z) + error

        loss = ddpm_loss(z_model(network, PAPER, "v"), PAPER, x_0, t, z)
        torch.testing.assert_close(loss, PAPER.alpha_bar[t] * error.square().mean())


def theirs(**options):
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    return UNet2DModel(8, 1, 1, block_out_channels=(8, 16), norm_num_groups=4, **blocks, **options).eval()


@pytest.mark.usefixtures("plain")
def test_a_network_of_diffusers_is_a_model_in_one_line():
    net, x, t = theirs(), torch.randn(3, 1, 8, 8), torch.tensor([1, 500, 1000])
    model = from_diffusers(net)
    torch.testing.assert_close(model(x, t), net(x, t - 1).sample)
    torch.testing.assert_close(model(x, 500)[1], net(x, torch.tensor(499)).sample[1])
    _, x_0 = last(sample(model, SHORT, (2, 1, 8, 8)))
    assert x_0.isfinite().all()
    by_class = theirs(num_class_embeds=3)
    labels = torch.tensor([0, 1, 2])
    torch.testing.assert_close(from_diffusers(by_class)(x, t, labels), by_class(x, t - 1, labels).sample)
    with pytest.raises(TypeError, match=r"^model: expected a diffusers network, got str; use from_pretrained"):
        from_diffusers("google/ddpm-cifar10-32")


@pytest.mark.usefixtures("plain")
def test_a_raw_network_of_diffusers_is_told_the_adapter():
    line = r"^the model's output: expected a tensor of x_t's shape, got UNet2DOutput; .*from_diffusers\(model\)$"
    x = torch.zeros(2, 1, 8, 8)
    with pytest.raises(TypeError, match=line):
        last(sample(theirs(), SHORT, x.shape))
    with pytest.raises(TypeError, match=line):
        ddpm_loss(theirs(), PAPER, x, 5, x)


@pytest.mark.parametrize("at_once", [1, 3, 8, 200])
def test_parts_draw_the_same_images(at_once):
    model, labels = labelled(), torch.arange(8)
    for whole in (model, guided(model, 1.5, model.none)):
        one, parts = (
            last(sample(m, SHORT, (8, 1, 8, 8), context=labels, seed=3))[1] for m in (whole, in_parts(whole, at_once))
        )
        torch.testing.assert_close(parts, one, rtol=1e-4, atol=1e-4)
    line = 'labels: expected every label in 0..9, or 10 for "no label", got values in 1..11'
    with pytest.raises(ValueError, match=line):
        next(sample(in_parts(model, 2), PAPER, (2, 1, 8, 8), context=[1, 11]))


# Numbers and containers


@pytest.mark.usefixtures("plain")
def test_numbers_of_numpy_are_numbers():
    x = torch.randn(2, 1, 2, 2)
    expected = q_sample(PAPER, x, 5, x)
    for t in (np.int64(5), np.int32(5), np.uint8(5), [5, 5], (5, 5), np.array([5, 5]), np.array([5, 5], np.int16)):
        assert torch.equal(q_sample(PAPER, x, t, x), expected), t
    assert torch.equal(posterior(PAPER, x, np.int64(1), x)[0], posterior(PAPER, x, 1, x)[0])
    assert torch.equal(respace(PAPER, np.int64(10)).beta, respace(PAPER, 10).beta)
    assert torch.equal(linear_schedule(np.int64(9), np.float64(0.1), 0.2).beta, linear_schedule(9, 0.1, 0.2).beta)
    assert cosine_schedule(np.int32(10), np.float32(0.008)).T == 10
    for beta in ([0, 0.1, 0.2], (0.0, 0.1, 0.2), np.array([0, 0.1, 0.2])):
        assert Schedule(beta).beta.tolist() == [0, 0.1, 0.2]
    config = UNetConfig(np.int64(8), np.int64(1), [np.int64(8), 16], attention_levels=[np.int64(1)])
    assert config == UNetConfig(8, 1, (8, 16), attention_levels=(1,))
    assert {type(value) for value in (config.sample_size, *config.channels, *config.attention_levels)} == {int}
    shape = (np.int64(2), 1, 8, 8)
    one, other = (
        last(sample(unlabelled(), SHORT, s, seed=seed))[1] for s, seed in ((shape, np.int64(3)), ([2, 1, 8, 8], 3))
    )
    assert torch.equal(one, other)
    ddim_step(PAPER, x, np.int64(5), np.int64(3), x, x, eta=np.float32(0.5))
    ddpm_step(PAPER, x, np.int64(5), np.int64(4), x, x)


@pytest.mark.usefixtures("plain")
def test_labels_in_any_container_are_labels():
    model = labelled()
    walk = partial(sample, model, SHORT, (2, 1, 8, 8))
    _, expected = last(walk(context=torch.tensor([1, 2])))
    for context in (
        [1, 2],
        (1, 2),
        np.array([1, 2]),
        np.array([1, 2], np.uint8),
        torch.tensor([1, 2], dtype=torch.int64),
    ):
        assert torch.equal(last(walk(context=context))[1], expected)
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(model(x, 5, [1, 2]), model(x, 5, torch.tensor([1, 2])))
    for wrong, line in (
        (["one", "two"], "context: expected whole numbers"),
        ([0.5, 1.5], "context: expected whole numbers"),
        ([1, 2, 3], "context: expected 2 labels, one for each image"),
        ([1, 12], "labels: expected every label in 0..9"),
    ):
        with pytest.raises((TypeError, ValueError), match="^" + line) as caught:
            last(walk(context=wrong))
        assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda x: q_sample(PAPER, x.numpy(), 5, x), "x_0: expected a floating-point tensor, got float32 array"),
        (lambda x: q_sample(1000, x, 5, x), "schedule: expected a Schedule, such as linear_schedule(1000), got 1000"),
        (lambda x: q_sample(PAPER, x, [5, 5, 5], x), "t: expected a whole number in 1..1000 or an int64 tensor"),
        (lambda x: q_sample(PAPER, x, [0, 5], x), "t: expected every t in 1..1000, got values in 0..5"),
        (lambda x: q_sample(PAPER, x, [0.5, 5], x), "t: expected whole numbers, as an int64 tensor or a sequence"),
        (lambda x: q_sample(PAPER, x, "5", x), "t: expected a whole number in 1..1000, got '5' (str)"),
        (lambda x: q_sample(PAPER, x, None, x), "t: expected a whole number in 1..1000, got None (NoneType)"),
        (lambda x: next(sample(unlabelled(), 1000, x.shape)), "schedule: expected a Schedule"),
        (lambda x: respace(1000, 10), "schedule: expected a Schedule"),
        (lambda x: next(sample(unlabelled(), PAPER, (2.0, 1, 8, 8))), "shape: expected a whole number >= 1, got 2.0"),
        (lambda x: next(sample(unlabelled(), PAPER, x.shape, seed=-1)), "seed: expected a whole number in 0.."),
        (lambda x: next(sample(unlabelled(), PAPER, x.shape, seed=[1, 2, 3])), "seed: expected one whole number, or 2"),
        (lambda x: next(sample(unlabelled(), PAPER, x.shape, seed="x")), "seed: expected a whole number in 0.."),
        (lambda x: Schedule("linear"), "beta: expected a tensor, an array or a sequence of numbers, got 'linear'"),
        (lambda x: z_model(unlabelled(), PAPER, "w"), 'predicts: expected "z", "v", "flow", "x_0" or "score", got'),
        (lambda x: z_model(unlabelled(), SHORT, "v"), "schedule: expected the schedule that the network was trained w"),
        (lambda x: in_parts(unlabelled(), 0), "at_once: expected a whole number >= 1, got 0"),
        (lambda x: last([]), "states: expected at least one state, as sample yields them, got [] (list)"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_gets_one_line(call, line):
    with pytest.raises((TypeError, ValueError)) as caught:
        call(torch.zeros(2, 1, 8, 8))
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


# Precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_network_of_another_precision_draws_the_same_images(dtype):
    """x_t stays float32 on the walk; the network gets it in its own precision."""
    model, labels = labelled(), [1, 2]
    _, expected = last(sample(model, SHORT, (2, 1, 8, 8), context=labels))
    for other in (model.to(dtype), guided(model.to(dtype), 0.5, 10)):
        states = list(sample(other, SHORT, (2, 1, 8, 8), context=labels))
        assert {x.dtype for _, x in states} == {torch.float32}
    _, found = last(sample(model.to(dtype), SHORT, (2, 1, 8, 8), context=labels))
    bound = {torch.float16: 0.02, torch.bfloat16: 0.2, torch.float64: 1e-4}[dtype]
    assert (found - expected).abs().max() < bound
    assert last(sample(model, SHORT, (2, 1, 8, 8), context=labels, dtype=torch.float64))[1].dtype == torch.float64


# The walk


def test_changing_a_state_does_not_change_the_walk():
    model, start = unlabelled(), torch.randn(2, 1, 8, 8)
    for given in (None, start):
        calm = [x.clone() for _, x in sample(model, SHORT, (2, 1, 8, 8), x_T=given)]
        wild = [x.clone() for _, x in _spoilt(sample(model, SHORT, (2, 1, 8, 8), x_T=given))]
        assert all(torch.equal(a, b) for a, b in zip(calm, wild, strict=True))
    assert torch.equal(calm[0], start)


def _spoilt(states):
    for t, x in states:
        yield t, x
        x.fill_(7.0)


@pytest.mark.usefixtures("plain")
def test_the_end_of_a_walk_keeps_no_path():
    """At most two states live at any time: the one that is kept and the one that is made."""
    alive, most = weakref.WeakSet(), 0

    class State(torch.Tensor):
        pass

    def watched():
        nonlocal most
        for t, x in sample(lambda x, t, c: x, respace(PAPER, 40), (2, 2)):
            kept = x.as_subclass(State)
            alive.add(kept)
            most = max(most, len(alive))
            yield t, kept
            del kept, x

    assert last(watched())[0] == 0
    assert most <= 3
    assert last(iter([3, 1, 2])) == 2


@pytest.mark.parametrize("step", [ddpm_step, ddim_step, heun_step])
def test_an_image_with_a_seed_of_its_own_is_the_same_in_any_batch(step):
    model = unlabelled()
    _, four = last(sample(model, SHORT, (4, 1, 8, 8), step=step, seed=[5, 6, 7, 8]))
    _, two = last(sample(model, SHORT, (2, 1, 8, 8), step=step, seed=np.array([7, 5])))
    torch.testing.assert_close(two, four[[2, 0]], rtol=1e-4, atol=1e-4)
    _, one = last(sample(model, SHORT, (1, 1, 8, 8), step=step, seed=7))
    torch.testing.assert_close(one, two[:1], rtol=1e-4, atol=1e-4)
    assert (four[0] - four[1]).abs().max() > 0.1


def test_a_step_may_ask_again_and_is_then_of_second_order():
    """On Gaussian data the flow ends at mean + std (x_T - sqrt(a_T) mean) / sqrt(a_T std^2 + 1 - a_T): no statistics.

    Twice the steps leave half of an Euler step's error, and a quarter of Heun's.
    """
    oracle, errors = GaussianChain(PAPER, 0.3, 0.6), {}
    x_T, a = torch.randn(50, 1, generator=torch.Generator().manual_seed(0)).double(), PAPER.alpha_bar[-1]
    exact = 0.3 + 0.6 * (x_T - a.sqrt() * 0.3) / (a * 0.36 + 1 - a).sqrt()
    for name, step in (("euler", partial(ddim_step, clip=False)), ("heun", partial(heun_step, clip=False))):
        for steps in (100, 200):
            walk = sample(oracle, respace(PAPER, steps), x_T.shape, step=step, x_T=x_T, dtype=torch.float64)
            errors[name, steps] = (last(walk)[1] - exact).abs().max().item()
    assert 0.3 < errors["euler", 200] / errors["euler", 100] < 0.7, errors
    assert errors["heun", 200] < 0.45 * errors["heun", 100], errors  # its last step is Euler's: there is no z at 0
    assert errors["heun", 200] < 0.1 * errors["euler", 200], errors


def test_asking_again_is_asking_the_same_model():
    """Guidance, context and the trained times are those of the walk, and dropout is off."""
    model, labels, seen = labelled().train(), torch.tensor([1, 2]), []
    strong = guided(model, 1.5, model.none)

    def step(schedule, x_t, t, s, z_hat, noise, *, ask):
        assert not model.training
        torch.testing.assert_close(ask(x_t, t), z_hat)
        with torch.no_grad():
            torch.testing.assert_close(ask(x_t, t), strong(x_t, torch.full((2,), int(schedule.times[t])), labels))
        seen.append(t)
        return ddim_step(schedule, x_t, t, s, z_hat, noise)

    asked = list(sample(strong, SHORT, (2, 1, 8, 8), step=step, context=labels))
    plain = list(sample(strong, SHORT, (2, 1, 8, 8), step=ddim_step, context=labels))
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(asked, plain, strict=True))
    assert seen == [5, 4, 3, 2, 1]
    last(sample(strong, SHORT, (2, 1, 8, 8), step=partial(step), context=labels))  # options bound: still found
