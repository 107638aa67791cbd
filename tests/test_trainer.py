"""The loop: it learns, it repeats itself bit for bit, and every random number follows from (seed, step, rank)."""

import itertools

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from ddpm_lite import TrainConfig, UNet, UNetConfig, linear_schedule, train
from ddpm_lite.trainer import batch_indices, ema_decay, randomness_of, update_ema

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
    with randomness_of(1, 700, 0, CPU):
        first = torch.randn(3)
    torch.randn(100)
    with randomness_of(1, 700, 0, CPU):
        assert torch.equal(torch.randn(3), first)
    for other in ((2, 700, 0), (1, 701, 0), (1, 700, 1)):
        with randomness_of(*other, CPU):
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


def test_every_weight_gets_a_finite_gradient_and_moves():
    model = small_model()
    before = [p.detach().clone() for p in model.parameters()]
    *_, state = train(model, PAPER, images(), TrainConfig(steps=4, batch_size=8, lr=1e-2))
    for (name, parameter), old in zip(model.named_parameters(), before, strict=True):
        assert torch.isfinite(parameter.grad).all(), name
        assert name.endswith("to_k.bias") or (parameter != old).any(), name  # softmax cancels K's bias
    assert repr(state).startswith("TrainState(step=4, loss=")
