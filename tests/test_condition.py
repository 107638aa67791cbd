"""Labels as context: they have an effect, they are dropped with the given probability, and guidance is its equation."""

import copy

import pytest
import torch
from test_unet import randomise

from ddpm_lite import (
    ConditionalUNet,
    LabelEncoder,
    TrainConfig,
    UNet,
    UNetConfig,
    attention_weights,
    drop_labels,
    guided,
    linear_schedule,
    sample,
    train,
)

PAPER = linear_schedule()
SHARE = 4 * (0.1 * 0.9 / 20_000) ** 0.5  # four standard deviations of a share of 0.1 in 20,000


def labelled_model(tokens=4, dropout=0.0):
    torch.manual_seed(0)
    unet = UNet(UNetConfig(8, 1, (8, 16), blocks=1, context_dim=6, dropout=dropout))
    model = randomise(ConditionalUNet(unet, LabelEncoder(10, 6, tokens))).eval()
    model.encoder.table.reset_parameters()
    for name, parameter in model.named_parameters():
        if "cross_attentions" in name and name.endswith("weight"):
            parameter.data *= 10  # labels that one sees
    return model


def inputs(n=3):
    return torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([1, 500, 1000])[:n]


def test_each_label_has_tokens_of_its_own():
    encoder = LabelEncoder(10, 6, tokens=4)
    tokens = encoder(torch.arange(11))
    assert tokens.shape == (11, 4, 6)
    assert torch.pdist(tokens.flatten(1)).min() > 0.1
    assert torch.equal(encoder(torch.tensor([7, 7]))[0], tokens[7])
    tokens.square().sum().backward()
    assert (encoder.table.weight.grad.abs().amax(dim=1) > 0).all()  # "no label" is learnt too


def test_labels_change_the_noise_and_are_learnt():
    model, (x_t, t) = labelled_model(), inputs()
    z_hat = model(x_t, t, torch.tensor([1, 2, 3]))
    other = model(x_t, t, torch.tensor([1, 2, 4]))
    torch.testing.assert_close(other[:2], z_hat[:2], rtol=1e-4, atol=1e-5)
    assert (other[2] - z_hat[2]).abs().max() > 0.1
    z_hat.square().mean().backward()
    for name, parameter in model.named_parameters():
        if "cross_attentions" in name and name.endswith(("to_k.weight", "to_v.weight")):
            assert parameter.grad.abs().max() > 0, name
    used = model.encoder.table.weight.grad.abs().amax(dim=1) > 0
    assert used.nonzero().flatten().tolist() == [1, 2, 3]


def test_the_order_of_tokens_does_not_matter_but_each_token_does():
    model, (x_t, t) = labelled_model(), inputs()
    tokens = model.encoder(torch.tensor([1, 2, 3])).detach()
    z_hat = model.unet(x_t, t, tokens)
    torch.testing.assert_close(model.unet(x_t, t, tokens[:, [3, 1, 0, 2]]), z_hat, rtol=1e-4, atol=1e-5)
    for k in range(4):
        changed = tokens.clone()
        changed[:, k] += 1
        assert (model.unet(x_t, t, changed) - z_hat).abs().amax(dim=(1, 2, 3)).min() > 0.01


def test_no_label_in_a_batch_equals_the_unconditional_branch():
    model, (x_t, t) = labelled_model(), inputs()
    mixed = model(x_t, t, torch.tensor([4, model.none, 5]))
    alone = model(x_t[1:2], t[1:2])
    torch.testing.assert_close(mixed[1:2], alone, rtol=1e-4, atol=1e-5)
    assert (mixed[:1] - model(x_t[:1], t[:1])).abs().max() > 0.1


def test_with_one_token_the_query_has_no_say():
    """softmax over one key is 1: every pixel gets the same, whatever it asks. With several tokens it chooses."""
    for tokens, choice in ((1, False), (4, True)):
        model, (x_t, _) = labelled_model(tokens), inputs()
        layer = model.unet.mid_block.cross_attentions[0]
        h = torch.randn(3, 16, 4, 4, generator=torch.Generator().manual_seed(2))
        q, k, v = layer.project(h, model.encoder(torch.tensor([1, 2, 3])))
        weights = attention_weights(q, k)
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
        gathered = weights @ v
        assert (gathered.std(dim=2).max() > 0.1) == choice
        assert len(x_t) == 3


def test_dropped_share_is_p():
    labels = torch.randint(0, 10, (20_000,), generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    dropped = drop_labels(labels, 10, 0.1)
    gone = dropped == 10
    assert gone.double().mean() == pytest.approx(0.1, abs=SHARE)  # and not 0.9
    assert torch.equal(dropped[~gone], labels[~gone])
    for label in range(10):
        assert gone[labels == label].double().mean() == pytest.approx(0.1, abs=0.03)  # whatever the label
    assert torch.equal(drop_labels(labels, 10, 0.0), labels)
    assert (drop_labels(labels, 10, 1.0) == 10).all()


class Spy(torch.nn.Module):
    """Keeps what the trainer hands to a model."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def forward(self, x_t, t, context=None):
        self.seen.append((x_t, t, context))
        return self.weight * x_t


def spied(steps=100, N=200, batch_size=200, **kwargs):
    spy = Spy()
    images = torch.linspace(-1, 1, N).reshape(-1, 1, 1, 1).expand(N, 1, 2, 2).contiguous()
    options = {key: kwargs.pop(key) for key in ("label_dropout", "seed") if key in kwargs}
    config = TrainConfig(steps=steps, batch_size=batch_size, **options)
    for _ in train(spy, linear_schedule(4, 1e-6, 1e-6), images, config, **kwargs):
        pass
    x_t, t, context = zip(*spy.seen, strict=True)
    return torch.cat(x_t), torch.cat(t), context


def test_training_hands_each_image_its_own_label_and_drops_the_share():
    labels = torch.arange(200)
    x_t, _, context = spied(labels=labels, none=200)
    context = torch.cat(context)
    kept = context != 200
    assert 1 - kept.double().mean() == pytest.approx(0.1, abs=SHARE)
    image = ((x_t.mean(dim=(1, 2, 3)) + 1) / 2 * 199).round()  # hardly any noise: x_t tells its image
    assert (image[kept] - context[kept]).abs().max() <= 1
    assert (torch.cat(spied(labels=labels, label_dropout=0.0)[2]) == 200).sum() == 0
    assert (torch.cat(spied(steps=3, labels=labels, none=200, label_dropout=1.0)[2]) == 200).all()


def test_labels_change_neither_the_images_nor_t_nor_z():
    """t and z are drawn first: a run with labels sees the x_t of the run without, bit for bit."""
    x_t, t, context = spied(steps=5)
    assert context == (None,) * 5
    again = spied(steps=5, labels=torch.arange(200), none=200)
    assert torch.equal(again[0], x_t)
    assert torch.equal(again[1], t)


def test_dropping_is_stateless():
    labels = torch.arange(200)
    first = spied(steps=4, labels=labels, none=200)[2]
    torch.randn(7)
    again = spied(steps=4, labels=labels, none=200)[2]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0] == 200, first[1] == 200)
    other = spied(steps=1, labels=labels, none=200, seed=1)[2]
    assert not torch.equal(other[0] == 200, first[0] == 200)


class Shift(torch.nn.Module):
    """z_hat = sqrt(2) x_t - what the label says: exact at beta = 1/2 if it says the label's image."""

    def __init__(self):
        super().__init__()
        self.says = torch.nn.Embedding(4, 1)

    def forward(self, x_t, t, context):
        return 2**0.5 * x_t - self.says(context).reshape(-1, 1, 1, 1)


def test_training_learns_each_label_and_for_no_label_their_mean():
    """Three flat images: the best answer is known, -0.8, 0.2 and 0.9, and with no label their mean, 0.1."""
    images = torch.tensor([-0.8, 0.2, 0.9]).reshape(3, 1, 1, 1).expand(3, 1, 2, 2).contiguous()
    config = TrainConfig(steps=200, batch_size=60, lr=0.05, label_dropout=0.25)
    *_, last = train(Shift(), linear_schedule(1, 0.5), images, config, labels=torch.arange(3), none=3)
    learnt = last.ema_model.says.weight.detach().flatten()
    torch.testing.assert_close(learnt, torch.tensor([-0.8, 0.2, 0.9, 0.1]), rtol=0, atol=0.05)


@pytest.mark.parametrize("t", [300, torch.tensor([1, 500, 1000])], ids=["one t", "t per image"])
def test_guidance_is_the_equation(t):
    model, (x_t, _) = labelled_model(), inputs()
    labels = torch.tensor([1, 2, 3])
    with torch.no_grad():
        z_c, z_none = model(x_t, t, labels), model(x_t, t)
        assert guided(model, 0.0, model.none) is model
        close = {"rtol": 1e-4, "atol": 1e-5}
        torch.testing.assert_close(guided(model, -1.0, model.none)(x_t, t, labels), z_none, **close)
        torch.testing.assert_close(guided(model, 1.0, model.none)(x_t, t, labels), z_none + 2 * (z_c - z_none), **close)
        # tokens instead of labels, one "no label" for all or one for each image
        tokens, none = model.encoder(labels), model.encoder(torch.tensor([model.none]))
        for given in (none, none[0], none.expand(3, -1, -1)):
            z_hat = guided(model.unet, 3.0, given)(x_t, t, tokens)
            torch.testing.assert_close(z_hat, z_c + 3 * (z_c - z_none), **close)


def test_guidance_takes_any_callable():
    def model(x_t, t, context):
        return context.reshape(-1, 1) * x_t

    z_hat = guided(model, 0.5, 0)(torch.ones(2, 3), 1, torch.tensor([2.0, 4.0]))
    torch.testing.assert_close(z_hat, torch.tensor([[3.0], [6.0]]).expand(2, 3))


def test_sampling_with_guidance_turns_dropout_off_and_leaves_the_model_as_it_was():
    schedule, labels = linear_schedule(3, 0.1, 0.5), torch.tensor([1, 2])
    for training in (True, False):
        model = labelled_model(dropout=0.5).train(training)
        model.unet.mid_block.eval()  # a part that the reader froze stays frozen
        modes = [part.training for part in model.modules()]
        strong = guided(model, 2.0, model.none)
        first, again = (list(sample(strong, schedule, (2, 1, 8, 8), context=labels)) for _ in range(2))
        assert all(torch.equal(a, b) for (_, a), (_, b) in zip(first, again, strict=True))
        assert [part.training for part in model.modules()] == modes


def test_labels_wait_for_no_value_and_follow_the_models_dtype():
    model, (x_t, t) = labelled_model(), inputs()
    labels = torch.tensor([1, 2, 10])
    z_hat = model(x_t, t, labels).detach()
    with torch.autocast("cpu", torch.bfloat16):
        bound = 0.25 * z_hat.abs().max().item()
        torch.testing.assert_close(model(x_t, t, labels).float(), z_hat, rtol=0, atol=bound)
    double = copy.deepcopy(model).double()
    torch.testing.assert_close(double(x_t.double(), t, labels).float(), z_hat, rtol=1e-4, atol=1e-5)
    on_meta = model.to("meta")
    arguments = x_t.to("meta"), t.to("meta"), labels.to("meta")
    for network in (on_meta, guided(on_meta, 1.0, on_meta.none)):
        assert network(*arguments).shape == x_t.shape
    assert on_meta(*arguments[:2]).shape == x_t.shape


def test_sampling_looks_at_every_label_before_its_first_step():
    """The network itself looks on the CPU only: a device would have to be waited for in every step."""
    model = labelled_model()
    model.forward = lambda x_t, t, context=None: pytest.fail("not to be asked")
    line = '^labels: expected every label in 0..9, or 10 for "no label", got values in 3..11$'
    for network in (model, guided(model, 1.0, model.none)):
        with pytest.raises(ValueError, match=line):
            next(sample(network, PAPER, (2, 1, 8, 8), context=torch.tensor([3, 11])))
