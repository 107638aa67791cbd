"""The loop: it learns, it repeats itself bit for bit, and every random number follows from (seed, step)."""

import itertools
import re
import sys

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from ddpm_lite import (
    ConditionalUNet,
    LabelEncoder,
    TrainConfig,
    UNet,
    UNetConfig,
    bound_weight,
    linear_schedule,
    min_snr_weight,
    train,
)
from ddpm_lite.trainer import Diverged, batch_indices, ema_decay, fork_randomness, update_ema

PAPER = linear_schedule()
CPU = torch.device("cpu")


def small_model(dropout=0.0):
    torch.manual_seed(0)
    return UNet(UNetConfig(8, 1, (8, 16), blocks=1, dropout=dropout))


def images(n=20):
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1


def run(config, dropout=0.0, **kwargs):
    losses = []
    for state in train(small_model(dropout), PAPER, images(), config, **kwargs):
        losses.append(state.loss)
    return losses, state


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.usefixtures("plain")
def test_one_batch_is_learnt_by_heart():
    """8 images, always the same: the loss must fall far below that of saying nothing, which is 1."""
    config = TrainConfig(steps=150, batch_size=8, lr=6e-3, ema_decay=0.99)
    losses = [state.loss for state in train(small_model(), PAPER, images(8), config)]
    assert losses[0] == pytest.approx(1, abs=0.15)
    assert sum(losses[-50:]) / 50 < 0.35


def test_same_seed_same_losses_and_weights_bit_for_bit():
    config = TrainConfig(steps=8, batch_size=6, lr=1e-3, seed=5)
    first, state = run(config, dropout=0.2)
    torch.randn(11)  # what else is drawn in the process does not matter
    again, other = run(config, dropout=0.2)
    assert first == again
    assert torch.equal(weights(state.model), weights(other.model))
    assert torch.equal(weights(state.ema_model), weights(other.ema_model))
    assert run(TrainConfig(steps=8, batch_size=6, lr=1e-3, seed=6))[0] != first


def test_training_leaves_the_readers_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.randn(4)
    torch.manual_seed(3)
    for _ in train(model := UNet(UNetConfig(8, 1, (8,))), PAPER, images(), TrainConfig(steps=2, batch_size=4)):
        pass
    assert model.training
    torch.manual_seed(3)
    next(train(model, PAPER, images(), TrainConfig(steps=1, batch_size=4)))
    assert torch.equal(torch.randn(4), expected)


def test_a_step_draws_the_same_whatever_came_before():
    with fork_randomness(1, 700, 0, CPU):
        first = torch.randn(3)
    torch.randn(100)
    with fork_randomness(1, 700, 0, CPU):
        assert torch.equal(torch.randn(3), first)
    for other in ((2, 700, 0), (1, 701, 0), (1, 700, 1)):
        with fork_randomness(*other, CPU):
            assert not torch.equal(torch.randn(3), first)


@pytest.mark.parametrize(("N", "batch_size"), [(20, 6), (7, 10), (5, 5), (3, 20)])
def test_every_epoch_shows_every_image_once(N, batch_size):
    config = TrainConfig(steps=1, batch_size=batch_size, seed=2)
    stream = itertools.chain.from_iterable(batch_indices(N, config, k).tolist() for k in range(1, 40))
    row = list(itertools.islice(stream, 3 * N))
    epochs = [row[i : i + N] for i in range(0, 3 * N, N)]
    assert all(sorted(epoch) == list(range(N)) for epoch in epochs)
    assert N < 5 or epochs[0] != epochs[1]


def test_times_are_uniform_over_1_to_T():
    """All of 1..T can be drawn, T and 1 included, and nothing else: the off-by-one of many trainers."""
    schedule, seen = linear_schedule(4, 0.1, 0.5), []

    class Spy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x_t, t, context=None):
            seen.append(t)
            return self.weight * x_t

    for _ in train(Spy(), schedule, images(), TrainConfig(steps=200, batch_size=20)):
        pass
    counts = torch.bincount(torch.cat(seen))
    assert counts[0] == 0
    assert len(counts) == 5
    # 4000 draws: each count is 1000 with a standard deviation of 27
    assert (counts[1:] - 1000).abs().max() < 5 * 28


def test_ema_is_the_average_that_the_equation_says():
    model, other = small_model(), UNet(UNetConfig(8, 1, (8, 16), blocks=1))
    ema = AveragedModel(model)
    update_ema(ema, other, 0.75)
    torch.testing.assert_close(weights(ema.module), 0.75 * weights(model) + 0.25 * weights(other))


def test_ema_forgets_the_start_soon():
    assert ema_decay(1, 0.9999) == 2 / 11
    assert ema_decay(10**6, 0.9999) == 0.9999
    kept, kept_without_warmup = 1.0, 1.0
    for step in range(1, 10_001):
        kept *= ema_decay(step, 0.9999)
        kept_without_warmup *= 0.9999
    assert kept < 1e-12
    assert kept_without_warmup == pytest.approx(0.37, abs=0.01)  # facts: 37 % of the random start stays


def test_ema_model_is_the_average_of_the_steps():
    config = TrainConfig(steps=3, batch_size=4, lr=1e-2, ema_decay=0.5)
    model = small_model()
    average = weights(model)
    for state in train(model, PAPER, images(), config):
        decay = ema_decay(state.step, 0.5)
        average = decay * average + (1 - decay) * weights(model)
        torch.testing.assert_close(weights(state.ema_model), average, rtol=1e-5, atol=1e-6)
    assert not state.ema_model.training


def test_learning_rate_warms_up():
    """Adam's first steps move each weight by about the learning rate: a tenth of it with warmup=10."""
    moves = []
    for warmup in (0, 10):
        model = small_model()
        before = weights(model)
        next(train(model, PAPER, images(), TrainConfig(steps=1, batch_size=8, lr=1e-2, warmup=warmup)))
        moves.append((weights(model) - before).abs().max().item())
    assert moves[0] == pytest.approx(1e-2, rel=1e-2)
    assert moves[1] == pytest.approx(1e-3, rel=1e-2)


class Steep(torch.nn.Module):
    """Its gradient is long in the first step, as after one bad batch, and short afterwards."""

    def __init__(self):
        super().__init__()
        self.weight, self.calls = torch.nn.Parameter(torch.tensor([0.1, -0.2])), 0

    def forward(self, x_t, t, context=None):
        self.calls += 1
        slope = 1e6 if self.calls == 1 else 1.0
        return x_t * (1 + (self.weight * torch.tensor([3.0, 4.0])).sum() * slope)


@pytest.mark.parametrize("grad_clip", [1.0, 0.25])
def test_a_long_gradient_is_cut_to_its_length_and_keeps_its_direction(grad_clip):
    model = Steep()
    state = next(train(model, PAPER, images(), TrainConfig(steps=1, batch_size=8, grad_clip=grad_clip)))
    assert model.weight.grad.norm().item() == pytest.approx(grad_clip, rel=1e-5)
    torch.testing.assert_close(model.weight.grad.abs(), grad_clip * torch.tensor([0.6, 0.8]), rtol=1e-5, atol=0)
    # Adam has seen the gradient that was cut
    torch.testing.assert_close(state.optimizer.state[model.weight]["exp_avg"], 0.1 * model.weight.grad)


def test_a_short_gradient_stays_as_it_is():
    gradients = []
    for grad_clip in (1e4, 1e9):
        model = small_model()
        next(train(model, PAPER, images(), TrainConfig(steps=1, batch_size=8, grad_clip=grad_clip)))
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert gradients[0].norm() > 0
    assert torch.equal(*gradients)


def test_every_weight_gets_a_finite_gradient_and_moves():
    model = small_model()
    before = [p.detach().clone() for p in model.parameters()]
    *_, state = train(model, PAPER, images(), TrainConfig(steps=4, batch_size=8, lr=1e-2))
    for (name, parameter), old in zip(model.named_parameters(), before, strict=True):
        assert torch.isfinite(parameter.grad).all(), name
        assert name.endswith("to_k.bias") or (parameter != old).any(), name  # softmax cancels K's bias
    assert repr(state).startswith("TrainState(step=4, loss=")


def test_going_on_from_a_state_is_never_having_stopped():
    config = TrainConfig(steps=8, batch_size=6, lr=1e-3, seed=5)
    losses, whole = run(config, dropout=0.2)
    model = small_model(0.2)
    first = list(itertools.islice(train(model, PAPER, images(), config), 5))
    torch.randn(3)
    rest = list(train(model, PAPER, images(), config, start=first[-1]))
    assert [state.loss for state in first + rest] == losses
    assert [state.step for state in rest] == [6, 7, 8]
    assert torch.equal(weights(rest[-1].model), weights(whole.model))
    assert torch.equal(weights(rest[-1].ema_model), weights(whole.ema_model))
    assert list(train(model, PAPER, images(), config, start=rest[-1])) == []


def test_a_state_of_another_model_is_refused():
    state = run(TrainConfig(steps=1, batch_size=2))[1]
    with pytest.raises(ValueError, match="^start: .* another model"):
        next(train(small_model(), PAPER, images(), TrainConfig(steps=2), start=state))


class Spy(torch.nn.Module):
    """Keeps what it is given; its answer is a weight times it."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.3))
        self.seen = []

    def forward(self, x_t, t, context=None):
        self.seen.append((x_t.clone(), t))
        return self.weight * x_t


def seen(pictures, schedule=PAPER, steps=3, **options):
    spy = Spy()
    for _ in train(spy, schedule, pictures, TrainConfig(steps=steps, batch_size=8, **options)):
        pass
    return torch.cat([x_t for x_t, _ in spy.seen]), torch.cat([t for _, t in spy.seen])


@pytest.mark.parametrize(("parts", "labelled"), [(2, False), (4, False), (3, True)])
def test_a_batch_in_parts_is_the_same_batch(parts, labelled):
    """Also when it cannot be cut evenly: 10 images in 3 or 4 parts."""

    def losses(accumulation):
        model, more = small_model(), {}
        if labelled:
            torch.manual_seed(0)
            unet = UNet(UNetConfig(8, 1, (8, 16), blocks=1, context_dim=4))
            model, more = ConditionalUNet(unet, LabelEncoder(10, 4)), {"labels": torch.arange(20) % 10, "none": 10}
        config = TrainConfig(steps=6, batch_size=10, lr=2e-3, flip=True, accumulation=accumulation)
        return torch.tensor([state.loss for state in train(model, PAPER, images(), config, **more)])

    torch.testing.assert_close(losses(parts), losses(1), rtol=1e-5, atol=1e-5)


def test_parts_see_the_batchs_own_images_times_and_noises():
    whole, t = seen(images())
    cut, t_cut = seen(images(), accumulation=4)
    assert torch.equal(t, t_cut)
    assert torch.equal(whole, cut)


def test_parts_have_a_dropout_of_their_own():
    """Two parts with the same image, t and z: were the masks the same, the gradients would be too."""
    masks = []

    class Dropping(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def forward(self, x_t, t, context=None):
            masks.append(torch.nn.functional.dropout(torch.ones(64), 0.5, self.training))
            return self.weight * x_t

    for _ in train(Dropping(), PAPER, images(), TrainConfig(steps=2, batch_size=4, accumulation=2)):
        pass
    assert len({tuple(mask.tolist()) for mask in masks}) == 4


def test_uint8_images_are_scaled_batch_by_batch(tmp_path):
    grey = torch.randint(0, 256, (20, 1, 8, 8), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    expected = seen(grey.float() / 127.5 - 1)
    assert all(map(torch.equal, seen(grey), expected))
    np.save(tmp_path / "images.npy", grey.numpy())
    on_disk = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert isinstance(on_disk, np.memmap)
    assert all(map(torch.equal, seen(on_disk), expected))
    assert all(map(torch.equal, seen(on_disk, accumulation=3), expected))


def test_flips_mirror_about_half_of_the_images_and_change_nothing_else():
    """Hardly any noise: x_t is the image. Each has a bright column on its left, or on its right when flipped."""
    schedule, pictures = linear_schedule(4, 1e-9, 1e-9), -torch.ones(20, 1, 8, 8)
    pictures[:, :, :, 0] = 1
    plain, t = seen(pictures, schedule, steps=100)
    flipped, t_flipped = seen(pictures, schedule, steps=100, flip=True)
    assert torch.equal(t, t_flipped)
    mirrored = flipped[:, 0, 0, 7] > 0
    assert mirrored.double().mean() == pytest.approx(0.5, abs=0.09)  # 800 coins: five standard deviations
    undone = torch.where(mirrored[:, None, None, None], flipped.flip(3), flipped)
    torch.testing.assert_close(undone, plain, rtol=0, atol=1e-3)  # the noise was not mirrored with it


def test_bf16_computes_in_bfloat16_and_stays_close():
    config = {"steps": 12, "batch_size": 8, "lr": 2e-3}
    plain, state = run(TrainConfig(**config))
    rough, other = run(TrainConfig(**config, mixed_precision="bf16"))
    assert rough != plain
    torch.testing.assert_close(torch.tensor(rough), torch.tensor(plain), rtol=0.05, atol=0.02)
    assert weights(other.model).dtype == torch.float32
    kinds = []

    class Kind(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(8, 8)

        def forward(self, x_t, t, context=None):
            kinds.append((x_t.dtype, self.linear(x_t).dtype))
            return self.linear(x_t)

    state = next(train(Kind(), PAPER, images(), TrainConfig(steps=1, batch_size=4, mixed_precision="bf16")))
    assert kinds == [(torch.float32, torch.bfloat16)]
    assert state._loss.dtype == torch.float32


def test_compile_is_asked_for_the_network_and_changes_no_weight_of_another(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "compile", lambda network: asked.append(network) or network)
    config = {"steps": 2, "batch_size": 4}
    assert run(TrainConfig(**config, compile=True))[0] == run(TrainConfig(**config))[0]
    assert len(asked) == 1


def as_cuda_does():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ...")


def on_the_processor():
    torch.empty(2**50)  # four million gigabytes: a RuntimeError of the real allocator


def by_numpy():
    np.empty(2**50)


class Small(torch.nn.Module):
    """A device with memory for so many images: more are refused in mid-forward."""

    def __init__(self, room, refuse=as_cuda_does):
        super().__init__()
        self.inner, self.room, self.refuse, self.sizes = small_model(), room, refuse, []

    def forward(self, x_t, t, context=None):
        z_hat = self.inner(x_t, t, context)
        if len(x_t) > self.room:
            self.refuse()
        self.sizes.append(len(x_t))
        return z_hat


@pytest.mark.parametrize("refuse", [as_cuda_does, on_the_processor, by_numpy])
def test_out_of_memory_says_which_setting_to_halve(refuse):
    config = TrainConfig(steps=2, batch_size=12, accumulation=2)
    with pytest.raises(
        torch.OutOfMemoryError, match="^accumulation: .* 6 images .*accumulation=4 .*halve batch_size"
    ) as e:
        next(train(Small(4, refuse), PAPER, images(), config))
    assert "\n" not in str(e.value)
    advised = Small(4, refuse)  # the advice, followed literally
    next(train(advised, PAPER, images(), TrainConfig(steps=2, batch_size=12, accumulation=4)))
    assert advised.sizes == [3, 3, 3, 3]
    with pytest.raises(torch.OutOfMemoryError, match="with 1 images at a time; use a smaller network"):
        next(train(Small(0), PAPER, images(), TrainConfig(steps=1, batch_size=4, accumulation=4)))


def test_no_memory_for_adam_is_told_to_use_a_smaller_network(monkeypatch):
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: on_the_processor())
    with pytest.raises(
        torch.OutOfMemoryError, match="no memory left with .*use a smaller network, with half the width"
    ):
        next(train(small_model(), PAPER, images(), TrainConfig(steps=1, batch_size=2)))


def test_an_error_in_the_network_leaves_the_readers_random_numbers_alone():
    model = Small(0)
    torch.manual_seed(3)
    expected = torch.randn(4)
    torch.manual_seed(3)
    with pytest.raises(torch.OutOfMemoryError):
        next(train(model, PAPER, images(), TrainConfig(steps=1, batch_size=4)))
    assert torch.equal(torch.randn(4), expected)


@pytest.mark.parametrize("where", ["network", "optimiser"])
def test_other_errors_are_not_taken_for_a_lack_of_memory(where, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("shapes do not fit")

    if where == "optimiser":
        monkeypatch.setattr(torch.optim.Adam, "step", broken)
    model = Small(0, broken) if where == "network" else small_model()
    with pytest.raises(RuntimeError, match="^shapes do not fit$"):
        next(train(model, PAPER, images(), TrainConfig(steps=1, batch_size=4)))


class Breaking(torch.nn.Module):
    """Right until a step, then a value of its output, or of the gradient alone, is not finite."""

    def __init__(self, at, value, where):
        super().__init__()
        self.inner, self.at, self.value, self.where, self.calls = small_model(), at, value, where, 0

    def forward(self, x_t, t, context=None):
        self.calls += 1
        z_hat = self.inner(x_t, t, context)
        if self.calls == self.at and self.where == "loss":
            z_hat = z_hat.clone()
            z_hat[1, 0, 0, 0] = self.value
        if self.calls == self.at and self.where == "gradient":
            z_hat.register_hook(lambda gradient: gradient * self.value)
        return z_hat


@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_stops_the_run_before_anything_is_touched(value, where):
    config = TrainConfig(steps=9, batch_size=16, lr=1e-3)
    expected = run(TrainConfig(steps=3, batch_size=16, lr=1e-3))[1]
    model = Breaking(4, value, where)
    states = train(model, PAPER, images(), config)
    *_, last = itertools.islice(states, 3)
    with pytest.raises(Diverged) as caught:
        next(states)
    assert torch.equal(weights(model), weights(expected.model))
    assert torch.equal(weights(last.ema_model), weights(expected.ema_model))
    theirs = expected.optimizer.state_dict()["state"]
    for number, moments in last.optimizer.state_dict()["state"].items():
        assert all(torch.equal(moments[name], theirs[number][name]) for name in moments)
    with fork_randomness(0, 4, 0, CPU):
        t = torch.randint(1, 1001, (16,))
    assert caught.value.step == 4
    assert torch.equal(caught.value.t, t)
    message = str(caught.value)
    assert message.startswith("step 4: expected a finite loss and gradient, got loss ")
    assert f"(t was {', '.join(map(str, sorted(t.tolist())[:12]))} and 4 more); the weights are still those" in message
    assert "\n" not in message


def test_an_accelerator_of_one_process_changes_nothing():
    accelerate = pytest.importorskip("accelerate")
    config = TrainConfig(steps=4, batch_size=6, lr=1e-3, flip=True, accumulation=2)
    losses, state = run(config, dropout=0.2)
    again, other = run(config, dropout=0.2, accelerator=accelerate.Accelerator(cpu=True))
    assert again == losses
    assert torch.equal(weights(other.ema_model), weights(state.ema_model))
    bf16 = TrainConfig(steps=4, batch_size=6, lr=1e-3, mixed_precision="bf16")
    message = "accelerator: expected mixed_precision 'bf16', got 'no'; use Accelerator(mixed_precision='bf16')"
    with pytest.raises(ValueError, match=re.escape(message)):
        run(bf16, accelerator=accelerate.Accelerator(cpu=True))
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    state = run(bf16, accelerator=accelerate.Accelerator(cpu=True, mixed_precision="bf16"))[1]
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    assert "forward" not in vars(state.model)  # accelerate wraps the shell, not the reader's model
    torch.testing.assert_close(state.loss, run(bf16)[0][-1], rtol=1e-3, atol=1e-3)


def test_the_plain_path_needs_no_accelerate(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert run(TrainConfig(steps=1, batch_size=2))[1].step == 1


# Networks that are not ours


class Net(torch.nn.Module):
    """A convolution after something that keeps a state of its own."""

    def __init__(self, layer):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.conv = layer, torch.nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x_t, t, context=None):
        return self.conv(self.layer(x_t))


class Counting(torch.nn.Module):
    """Buffers of every kind, changed in each forward."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("seen", torch.tensor(False))
        self.register_buffer("longest", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        self.seen |= True
        self.longest.copy_(torch.maximum(self.longest, x.norm().detach()[None]))
        return x


def normed():
    torch.manual_seed(0)
    return torch.nn.utils.parametrizations.spectral_norm(torch.nn.Conv2d(1, 1, 3, padding=1), n_power_iterations=1)


class Tied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
        self.second.weight = self.first.weight
        self.frozen = torch.nn.Parameter(torch.full((8,), 0.3), requires_grad=False)
        self.table = torch.nn.Parameter(torch.arange(3), requires_grad=False)  # whole numbers are not averaged
        self.embedding = torch.nn.Embedding(1001, 8)

    def forward(self, x_t, t, context=None):
        return self.second(self.first(x_t) + self.frozen) + self.embedding(t)[:, None, None]


OTHERS = {
    "BatchNorm": lambda: Net(torch.nn.BatchNorm2d(1)),
    "spectral norm": lambda: Net(normed()),
    "buffers of every kind": lambda: Net(Counting()),
    "tied and frozen weights, an embedding of t": Tied,
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_average_has_the_buffers_of_the_model(name):
    model = OTHERS[name]()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    moved = set()
    for state in train(model, PAPER, images(), TrainConfig(steps=4, batch_size=8, lr=1e-2)):
        buffers, averages = dict(model.named_buffers()), dict(state.ema_model.named_buffers())
        assert all(torch.equal(averages[key], value) for key, value in buffers.items())
        moved |= {key for key, value in buffers.items() if not torch.equal(value, before[key])}
    assert moved or name.startswith("tied")
    for key, value in model.named_parameters():
        if not value.requires_grad:
            assert torch.equal(value, before[key])
            assert torch.equal(state.ema_model.get_parameter(key), before[key])
    if name.startswith("tied"):
        assert state.ema_model.first.weight is state.ema_model.second.weight
        assert not torch.equal(state.ema_model.first.weight, model.first.weight)


def test_the_average_of_a_network_with_batch_norm_denoises_as_the_model_does():
    """The report that this mends: a loss of 0.143 by the model, of 0.404 by its average, which had step 0's buffers."""
    model = OTHERS["BatchNorm"]()
    *_, state = train(model, PAPER, images() / 3 - 0.6, TrainConfig(steps=60, batch_size=16, lr=2e-2, ema_decay=0.9))
    torch.testing.assert_close(state.ema_model.layer.running_mean, model.layer.running_mean, rtol=0, atol=0)
    assert (model.layer.running_mean - 0).abs() > 0.05


def compiled(model):
    return torch.compile(model, backend="eager")


WRAPPED = {
    "torch.compile": compiled,
    "DataParallel": torch.nn.DataParallel,
    "both": lambda m: compiled(torch.nn.DataParallel(m)),
}


@pytest.mark.parametrize("name", WRAPPED)
@pytest.mark.usefixtures("plain")
def test_a_wrapped_network_is_trained_and_the_states_hold_the_one_inside(name):
    config = TrainConfig(steps=2, batch_size=4, lr=1e-2)
    expected = run(config)[1]
    model = small_model()
    wrapped = WRAPPED[name](model)
    *_, state = train(wrapped, PAPER, images(), config)
    assert state.model is model
    torch.testing.assert_close(weights(state.ema_model), weights(expected.ema_model))
    more = TrainConfig(steps=3, batch_size=4)
    assert next(train(wrapped, PAPER, images(), more, start=state)).step == 3


@pytest.mark.usefixtures("plain")
def test_ddp_is_refused_with_the_way_to_several_processes():
    kind = torch.nn.parallel.DistributedDataParallel
    wrapped = kind.__new__(kind)  # without the group of processes that it asks for
    torch.nn.Module.__init__(wrapped)
    wrapped.module = small_model()
    with pytest.raises(TypeError, match="^model: .*DistributedDataParallel; pass model.module and accelerator="):
        next(train(wrapped, PAPER, images(), TrainConfig(steps=1)))


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    ("argument", "change"),
    [
        ("model", lambda given: given | {"model": small_model().half()}),
        ("model", lambda given: given | {"model": small_model().bfloat16()}),
        ("model", lambda given: given | {"model": small_model().requires_grad_(False)}),
        ("model", lambda given: given | {"model": lambda x_t, t, context=None: x_t}),
        ("config", lambda given: given | {"config": {"steps": 1}}),
        ("schedule", lambda given: given | {"schedule": 1000}),
        ("start", lambda given: given | {"start": "runs/a"}),
        ("flip", lambda given: given | {"images": torch.zeros(9, 2), "config": TrainConfig(steps=1, flip=True)}),
        ("weight", lambda given: given | {"weight": lambda schedule: torch.ones(10)}),
        ("weight", lambda given: given | {"weight": lambda schedule: 1 - schedule.snr}),
        ("weight", lambda given: given | {"weight": "snr"}),
        ("labels", lambda given: given | {"labels": ["a"] * 20, "none": 3}),
        ("labels", lambda given: given | {"labels": [0.5] * 20, "none": 3}),
        ("labels", lambda given: given | {"labels": [0, 1], "none": 3}),
        ("labels", lambda given: given | {"labels": 3, "none": 3}),
        ("none", lambda given: given | {"labels": [0] * 20, "none": 1.5}),
    ],
)
def test_what_is_not_meant_gets_one_line_that_names_the_argument(argument, change):
    given = {
        "model": small_model(),
        "schedule": PAPER,
        "images": images(),
        "config": TrainConfig(steps=1, batch_size=4),
    }
    with pytest.raises((ValueError, TypeError), match=f"^{argument}: expected ") as caught:
        next(train(**change(given)))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("plain")
def test_numbers_of_numpy_are_kept_as_pythons():
    config = TrainConfig(
        steps=np.int64(5), batch_size=np.int32(4), lr=np.float32(1e-3), flip=np.bool_(True), seed=np.uint8(2), warmup=0
    )
    assert {type(value) for value in vars(config).values()} == {int, float, bool, str}
    assert config.lr == pytest.approx(1e-3)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("kind", [list, np.array, tuple, lambda labels: torch.tensor(labels, dtype=torch.int32), range])
def test_labels_in_any_container(kind):
    labels = kind(20) if kind is range else kind(list(range(20)))
    torch.manual_seed(0)
    unet = UNet(UNetConfig(8, 1, (8,), blocks=1, context_dim=4, attention_levels=()))
    model = ConditionalUNet(unet, LabelEncoder(20, 4))
    state = next(train(model, PAPER, images(), TrainConfig(steps=1, batch_size=4), labels=labels, none=np.int64(20)))
    assert state.loss > 0


# The loss and the learning rate


def losses_with(weight, steps=3, **options):
    config = TrainConfig(steps=steps, batch_size=8, lr=1e-3, **options)
    return [state.loss for state in train(small_model(), PAPER, images(), config, weight=weight)]


def test_weights_multiply_the_error_at_each_t():
    assert losses_with(lambda schedule: torch.ones(schedule.T + 1)) == losses_with(None)
    torch.testing.assert_close(
        torch.tensor(losses_with(lambda schedule: torch.full((schedule.T + 1,), 2.0), 1)[0]),
        2 * torch.tensor(losses_with(None, 1)[0]),
    )
    errors = []

    class Zero(Spy):
        def forward(self, x_t, t, context=None):
            errors.append(t)
            return 0 * self.weight * x_t

    table = torch.arange(1001.0)
    state = next(train(Zero(), PAPER, images(), TrainConfig(steps=1, batch_size=8), weight=lambda schedule: table))
    with fork_randomness(0, 1, 0, CPU):
        t, z = torch.randint(1, 1001, (8,)), torch.randn(8, 1, 8, 8)
    assert torch.equal(errors[0], t)
    assert state.loss == pytest.approx((table[t] * z.square().mean((1, 2, 3))).mean().item(), rel=1e-6)


@pytest.mark.parametrize("parts", [1, 3])
def test_the_weights_of_min_snr_and_of_the_bound_train(parts):
    for weight in (min_snr_weight, bound_weight):
        assert losses_with(weight, accumulation=parts) == pytest.approx(losses_with(weight), rel=1e-5)


def test_min_snr_is_what_its_paper_says():
    """For the error of x_0 the weight is min(snr, gamma); the error of z is snr times that of x_0."""
    snr = PAPER.alpha_bar[1:] / (1 - PAPER.alpha_bar[1:])
    for gamma in (1, 5):
        torch.testing.assert_close(min_snr_weight(PAPER, gamma)[1:] * snr, snr.clamp(max=gamma))
    assert torch.isfinite(min_snr_weight(PAPER)).all()
    with pytest.raises(ValueError, match="^gamma: expected"):
        min_snr_weight(PAPER, 0)


def rates(config, **options):
    return [s.optimizer.param_groups[0]["lr"] for s in train(small_model(), PAPER, images(), config, **options)]


def test_the_cosine_falls_from_the_rate_to_nearly_nothing_after_the_warm_up():
    config = TrainConfig(steps=8, batch_size=2, lr=1e-2, warmup=2, lr_decay="cosine")
    expected = [1e-2 * min(1, k / 2) * (1 + np.cos(np.pi * (k - 1) / 8)) / 2 for k in range(1, 9)]
    assert rates(config) == pytest.approx(expected)
    assert expected[1] > 0.9e-2 > 0.05e-2 > expected[-1] > 0


def test_a_function_gives_the_rate_of_each_step():
    assert rates(TrainConfig(steps=3, batch_size=2, warmup=5), lr=lambda step: 1e-3 / step) == [
        1e-3,
        1e-3 / 2,
        1e-3 / 3,
    ]


def test_a_rate_set_by_somebody_else_is_refused_with_the_way_to_set_it():
    states = train(small_model(), PAPER, images(), TrainConfig(steps=3, batch_size=2))
    next(states).optimizer.param_groups[0]["lr"] = 1e-5
    with pytest.raises(ValueError, match=r"^lr: expected 0.0002, .*1e-05 .*train\(\.\.\., lr="):
        next(states)


# Data of any kind


class Stored(torch.utils.data.Dataset):
    """Items of a tensor, read one by one."""

    def __init__(self, values, pairs=False, arrays=False):
        self.values, self.pairs, self.arrays, self.read = values, pairs, arrays, []

    def __len__(self):
        return len(self.values)

    def __getitem__(self, i):
        self.read.append(i)
        item = self.values[i].numpy() if self.arrays else self.values[i]
        return (item, 3) if self.pairs else item


GREY = torch.randint(0, 256, (20, 1, 8, 8), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
KINDS = {
    "float64": lambda x: x.double(),
    "an array": lambda x: x.numpy(),
    "an array of float64": lambda x: x.double().numpy(),
    "a list of tensors": list,
    "a list of arrays": lambda x: [image.numpy() for image in x],
    "lists of numbers": lambda x: x.tolist(),
    "a TensorDataset": lambda x: torch.utils.data.TensorDataset(x, torch.arange(len(x))),
    "a Dataset": Stored,
    "a Dataset of pairs": lambda x: Stored(x, pairs=True),
    "a Dataset of arrays": lambda x: Stored(x, arrays=True),
    "a Subset": lambda x: torch.utils.data.Subset(Stored(x), range(len(x))),
    "an array of the other order of bytes": lambda x: x.numpy().astype(">f4"),
    "every second row of an array": lambda x: x.repeat_interleave(2, 0).numpy()[::2],
    "an array that cannot be written to": lambda x: np.frombuffer(x.numpy().tobytes(), np.float32).reshape(x.shape),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("plain")
def test_images_in_any_container_are_the_same_training(kind):
    assert all(map(torch.equal, seen(KINDS[kind](images())), seen(images())))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "Dataset" in kind or "list" in kind or "row" in kind])
@pytest.mark.usefixtures("plain")
def test_bytes_in_any_container_are_the_same_training(kind):
    if kind == "lists of numbers":  # whole numbers say nothing about their scale
        with pytest.raises(TypeError, match="^images: .*use x.float"):
            seen(GREY.tolist())
    else:
        assert all(map(torch.equal, seen(KINDS[kind](GREY)), seen(GREY)))


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f2", "<f8"])
def test_a_memory_map_of_floats_is_read_batch_by_batch(dtype, tmp_path):
    np.save(tmp_path / "images.npy", images().numpy().astype(dtype))
    on_disk = np.load(tmp_path / "images.npy", mmap_mode="r")
    torch.testing.assert_close(seen(on_disk), seen(images()), rtol=0, atol=1e-3 if dtype == "<f2" else 0)
    bad = images().numpy().astype(dtype)
    bad[17] = 3
    np.save(tmp_path / "bad.npy", bad)
    with pytest.raises(ValueError, match=r"^images: expected values in \[-1, 1\]"):
        seen(np.load(tmp_path / "bad.npy", mmap_mode="r"))


def test_a_dataset_is_read_item_by_item():
    data = Stored(images())
    for _ in train(Spy(), PAPER, data, TrainConfig(steps=3, batch_size=4)):
        pass
    assert data.read[-12:] == [i for k in (1, 2, 3) for i in sorted(batch_indices(20, TrainConfig(3, 4), k).tolist())]
    assert len(data.read) <= 12 + 17


class Endless(torch.utils.data.IterableDataset):
    def __iter__(self):
        yield from images()


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    ("given", "line"),
    [
        (lambda: torch.utils.data.DataLoader(Stored(images())), "a DataLoader; pass images=loader.dataset"),
        (Endless, "a tensor, an array, a list or a Dataset with a length"),
        (lambda: iter(images()), "a tensor, an array, a list or a Dataset"),
        (lambda: "images.npy", "a tensor, an array"),
        (lambda: {"image": images()}, "a tensor, an array"),
        (lambda: None, "a tensor, an array"),
        (lambda: [], "a list of images of one shape"),
        (lambda: [torch.zeros(1, 8, 8), torch.zeros(1, 9, 8)], "a list of images of one shape"),
        (lambda: Stored(torch.zeros(0, 1, 8, 8)), "non-empty"),
        (lambda: [{"image": 1}] * 3, "floating-point numbers"),
        (lambda: Stored(["a", "b"]), "a Dataset of tensors or arrays, got str in item 0; convert them"),
        (lambda: Stored([torch.zeros(1, 8, 8), torch.zeros(1, 8, 9)]), "items all like"),
        (lambda: Stored(3 * images()), r"values in [-1, 1]"),
        (lambda: np.zeros((3, 1, 8, 8), np.int64), "floating"),
        (lambda: np.zeros((3, 1, 8, 8), complex), "floating"),
        (lambda: np.float32(3), "a tensor, an array"),
        (lambda: np.array(3.0), "non-empty"),
        (lambda: torch.zeros(5), "images (N, C, H, W) or points (N, d)"),
        (lambda: torch.full((5, 2), float("nan")), "finite values"),
    ],
)
def test_what_cannot_be_trained_on_gets_one_line(given, line):
    with pytest.raises((ValueError, TypeError), match="^images: .*" + re.escape(line)) as caught:
        seen(given())
    assert "\n" not in str(caught.value)


class Points(torch.nn.Module):
    """An MLP on points, with the usual embedding of a float t."""

    def __init__(self, d):
        super().__init__()
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(torch.nn.Linear(d + 1, 32), torch.nn.SiLU(), torch.nn.Linear(32, d))

    def forward(self, x_t, t, context=None):
        return self.net(torch.cat([x_t, t[:, None].float() / 1000], 1))


@pytest.mark.parametrize("d", [1, 2, 7])
def test_points_in_d_dimensions_of_any_range_are_learnt(d):
    points = 5 + 3 * torch.randn(400, d, generator=torch.Generator().manual_seed(1))
    losses = [s.loss for s in train(Points(d), PAPER, points, TrainConfig(steps=200, batch_size=64, lr=1e-2))]
    assert sum(losses[-50:]) / 50 < 0.65 < 0.8 < sum(losses[:10]) / 10
    stored = Stored(points)
    assert [s.loss for s in train(Points(d), PAPER, stored, TrainConfig(steps=3, batch_size=64, lr=1e-2))] == losses[:3]


def test_pictures_that_are_not_square():
    wide = torch.rand(6, 1, 4, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    state = next(train(small_model(), PAPER, wide, TrainConfig(steps=1, batch_size=2, flip=True)))
    assert np.isfinite(state.loss)


def test_a_double_model_learns_from_floats():
    state = next(train(small_model().double(), PAPER, images(), TrainConfig(steps=1, batch_size=4)))
    assert weights(state.ema_model).dtype == torch.float64
    assert state.loss == pytest.approx(1, abs=0.2)
