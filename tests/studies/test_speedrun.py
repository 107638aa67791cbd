"""The meter of small models: its recipes are what they say, and a tiny run goes from the command to the record."""

import json
import math

import pytest
import ship_fashion
import speedrun
import speedrun_ideas
import speedrun_page
import speedrun_train
import torch

from ddpm_lite import linear_schedule, load_pretrained, q_sample, velocity
from ddpm_lite.cli.report import hash_weights
from ddpm_lite.evaluate import features_of, load_features
from ddpm_lite.files.pixels import from_bytes

SCHEDULE = linear_schedule()


@pytest.fixture
def noisy(generator):
    """Images, times, their noise and x_t, in float64."""
    x_0, z = torch.randn(2, 6, 1, 8, 8, generator=generator, dtype=torch.float64)
    t = torch.tensor([1, 20, 200, 500, 900, 1000])
    return x_0, t, z, q_sample(SCHEDULE, x_0, t, z)


class Told(torch.nn.Module):
    """A network that gives an answer that it was told, and keeps its input."""

    none = 10

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x, t, context=None):
        self.seen = x
        return self.answer


def right_answer(target, x_0, x_t, t, z):
    """What a network of this target should answer, written out anew."""
    alpha_bar = SCHEDULE.alpha_bar[t][:, None, None, None]
    if target == "edm":  # table 1 of Karras et al. (2022)
        sigma, spread = ((1 - alpha_bar) / alpha_bar).sqrt(), 0.7
        y = x_0 + sigma * z
        skip, out = spread**2 / (sigma**2 + spread**2), sigma * spread / (sigma**2 + spread**2).sqrt()
        return (x_0 - skip * y) / out
    return {"z": z, "x_0": x_0, "v": velocity(SCHEDULE, x_0, t, z)}[target]


@pytest.mark.parametrize("target", ["z", "v", "x_0", "edm"])
def test_a_target_gives_back_the_noise_and_its_own_weight_its_own_error(target, noisy):
    x_0, t, z, x_t = noisy
    right = right_answer(target, x_0, x_t, t, z)
    z_hat = speedrun_train.wrap(Told(right), SCHEDULE, target)(x_t, t)
    torch.testing.assert_close(z_hat, z)
    z_hat = speedrun_train.wrap(Told(right + 0.1), SCHEDULE, target)(x_t, t)
    weights = speedrun_train.make_weights(speedrun_ideas.Recipe(target=target, weight="own"), SCHEDULE)
    error = weights[t] * (z_hat - z).square().mean((1, 2, 3))
    torch.testing.assert_close(error, torch.full_like(error, 0.01))


def test_edm_scales_the_input_to_unit_variance(generator):
    x_0 = 0.7 * torch.randn(4, 1, 100, 100, generator=generator, dtype=torch.float64)
    t, z = torch.tensor([1, 100, 400, 1000]), torch.randn(x_0.shape, generator=generator, dtype=torch.float64)
    told = Told(x_0)
    speedrun_train.wrap(told, SCHEDULE, "edm")(q_sample(SCHEDULE, x_0, t, z), t)
    torch.testing.assert_close(told.seen.std((1, 2, 3)), torch.ones(4, dtype=torch.float64), atol=0.03, rtol=0)


def test_muon_steps_along_nearly_orthogonal_matrices(generator):
    for rows, columns in (16, 40), (40, 16):
        start = torch.randn(3, rows, columns, generator=generator)
        found = torch.linalg.svdvals(speedrun_train.orthogonalize(start))
        assert 0.5 < float(found.min()) < float(found.max()) < 1.3
    kernel = torch.nn.Parameter(torch.zeros(8, 2, 3, 3))
    kernel.grad = torch.randn(8, 2, 3, 3, generator=generator)
    speedrun_train.Muon([kernel], lr=0.1).step()
    left, _, right = torch.linalg.svd(kernel.grad.flatten(1), full_matrices=False)
    step = -kernel.detach().flatten(1) / 0.1
    assert float((step * (left @ right)).sum() / step.norm() / math.sqrt(8)) > 0.95  # the nearest orthogonal matrix


def test_batches_are_drawn_as_the_recipe_says():
    images = torch.zeros(64, 1, 28, 28, dtype=torch.uint8)
    labels = torch.zeros(64, dtype=torch.int64)

    def draw(**changes):
        recipe = speedrun_ideas.Recipe(**changes)
        return speedrun_train.Draws(recipe, recipe.config(5, 0), SCHEDULE, images, labels)(1)

    _, t, _, _ = draw(times="stratified")
    assert ((t - 1) * 32 // 1000).tolist() == list(range(32))
    sigma = SCHEDULE.snr[draw(times="log-normal", batch_size=4000)[1]].rsqrt().log()
    assert float(sigma.median()) == pytest.approx(-1.2, abs=0.1)  # of Karras et al. (2022), as is 1.2
    assert float(sigma.quantile(0.84) - sigma.median()) == pytest.approx(1.2, abs=0.1)
    lengths = [draw(noises=n)[2].add(1).square().mean() for n in (1, 8)]  # the distance to a black image
    assert lengths[1] < lengths[0]
    dropped = (draw(batch_size=4000)[3] == speedrun_train.LABELS).double().mean()
    assert float(dropped) == pytest.approx(0.1, abs=0.02)


def test_what_a_graph_records_is_the_step(generator):
    images = torch.randint(0, 256, (64, 1, 28, 28), generator=generator, dtype=torch.uint8)
    small = {"channels": (8, 8), "attention_levels": (), "batch_size": 4, "ema": (0.0, 0.9), "optimizer": "muon"}

    def make():
        recipe = speedrun_ideas.Recipe(**small, target="edm", weight="own")
        return speedrun_train.Run(recipe, 3, 0, images, torch.zeros(64, dtype=torch.int64))

    one, other = make(), make()
    for k in (1, 2, 3):
        loss = one.step(k)
        other.graph = "step"  # so that the averages' shares are set
        other.set_rates(k)
        other.net.zero_grad()
        assert torch.equal(other.change(*other.draw(k)), loss)
    for pair in (
        (one.net, other.net),
        (one.averages[0.9], other.averages[0.9]),
        (one.averages[0.0], other.averages[0.0]),
    ):
        for a, b in zip(*(net.parameters() for net in pair), strict=True):
            torch.testing.assert_close(a, b)


def test_every_idea_changes_the_base_and_has_a_time():
    base = speedrun_ideas.Recipe()
    for name in speedrun.IDEAS:
        assert (speedrun_ideas.make_recipe(name) == base) == (name == "base")
        assert speedrun.look_up_seconds(speedrun_ideas.make_recipe(name)) > 0
    both = speedrun_ideas.make_recipe("decay+v")
    assert (both.lr_decay, both.target) == ("cosine", "v")
    with pytest.raises(ValueError, match="idea"):
        speedrun_ideas.make_recipe("decay+w")


def test_a_budget_is_divided_by_the_time_of_all_parts(monkeypatch):
    recipe = speedrun_ideas.Recipe(ema=(0.9, 0.99))
    seconds = zip(recipe.parts().items(), (0.1, 0.2, 0.3, 0.2), strict=True)
    table = {part: {key: each} for (part, key), each in seconds}
    monkeypatch.setattr(speedrun, "read_speed", lambda: {"seconds": table})
    assert speedrun.count_steps(recipe, 1.5) == 90
    with pytest.raises(ValueError, match="speed"):
        speedrun.count_steps(speedrun_ideas.Recipe(batch_size=7), 1.5)


def test_a_tiny_run_from_the_command_to_the_record(tmp_path, monkeypatch, generator):
    images = torch.randint(0, 256, (24, 1, 28, 28), generator=generator, dtype=torch.uint8)
    net, labels = load_features("fashion"), torch.arange(24) % 10
    real = net, features_of(net, from_bytes(images)), images, labels
    monkeypatch.setattr(speedrun, "judge", lambda folder: real)
    monkeypatch.setattr(speedrun, "WALK", 2)
    monkeypatch.setattr(speedrun, "RECORD", tmp_path / "speedrun.json")
    tiny = {"channels": (8, 8), "attention_levels": (), "batch_size": 4, "ema": (0.0, 0.9)}
    monkeypatch.setitem(speedrun.IDEAS, "tiny", speedrun_ideas.Idea("small", tiny))
    names = ["tiny+decay+edm-full+muon+immiscible", "tiny+bf16+v+guidance+stratified"]
    words = ["--only", *names, "--steps", "2", "--count", "12", "--out", str(tmp_path / "runs"), "--keep"]
    words += ["--sampling-seeds", "0", "1"]
    speedrun.main(words)
    monkeypatch.setattr(speedrun, "train", None)  # not called again
    speedrun.main(words)
    speedrun.main([*words, "--record"])
    (tmp_path / "mine").mkdir()
    speedrun.main(["--out", str(tmp_path / "mine"), "--record"])  # who has no files of the others loses none
    record = json.loads((tmp_path / "speedrun.json").read_text())
    assert [run["idea"] for run in record["runs"]] == sorted(names, key=speedrun.list_parts)
    for run in record["runs"]:
        assert (run["steps"], run["images_seen"], run["steps_from"]) == (2, 8, "given")
        assert run["mean"]["frechet"] == pytest.approx(min(run["frechet_by_ema"].values()))
        assert {"precision", "recall", "nearest", "agreement"} <= run["mean"].keys() == run["spread"].keys()
    path, run = ship_fashion.find_nearest(tmp_path / "runs")
    assert run["idea"] == names[1]  # EDM's weights are not kept
    about = ship_fashion.record(path, run)
    assert (about["idea"], about["config"]["steps"], about["parameters"]) == (names[1], 2, run["parameters"])
    with pytest.raises(SystemExit, match="FOLDER: expected weights"):
        ship_fashion.find_nearest(tmp_path / "mine")


def test_the_shipped_weights_are_the_records():
    record = json.loads((speedrun.RESULTS / "fashion.json").read_text("utf8"))
    judged = json.loads((speedrun.RESULTS / "evaluate-fashion.json").read_text("utf8"))
    model, schedule = load_pretrained("fashion")
    assert judged["weights"] == hash_weights(model)
    assert (record["unet"], record["schedule"]) == (json.loads(json.dumps(vars(model.unet.config))), repr(schedule))
    (run,) = (
        run
        for run in json.loads(speedrun.RECORD.read_text("utf8"))["runs"]
        if (run["idea"], run["steps"]) == (record["idea"], record["config"]["steps"])
    )
    assert (run["cpu_seconds"], run["parameters"]) == (record["cpu_seconds"], record["parameters"])
    assert judged["mean"]["frechet"] <= 1.0 <= 0.5 * evaluate_first()["mean"]["frechet"]
    assert judged["mean"]["recall"] >= 0.75


def evaluate_first():
    return json.loads((speedrun.RESULTS / "evaluate-fashion-first.json").read_text("utf8"))


def test_a_climb_keeps_what_helps(tmp_path, monkeypatch):
    gains = {"decay": 3, "v": 2, "bf16": 1, "flip": -1}
    asked = []

    class Workers:
        options, end = speedrun.parse(["--steps", "2"]), math.inf

        def run(self, names, seeds):
            asked.append(names)
            return {name: 10.0 - sum(gains.get(part, 0) for part in name.split("+")) for name in names}

    speedrun.climb(Workers(), "base", ["base", *gains], (0,))
    assert asked == [
        ["base"],
        [*gains],
        ["decay+v", "decay+bf16", "decay+flip"],
        ["decay+v+bf16", "decay+v+flip"],
        ["decay+v+bf16+flip"],
    ]


def test_the_page_shows_the_record():
    text, record = speedrun_page.PAGE.read_text(encoding="utf8"), json.loads(speedrun_page.RECORD.read_text("utf8"))
    assert speedrun_page.fill(text, record) == text
    record["runs"][-1]["mean"]["frechet"] += 1
    assert speedrun_page.fill(text, record) != text


def test_what_the_chapter_says_of_the_ideas():
    runs = json.loads(speedrun_page.RECORD.read_text("utf8"))["runs"]
    assert len({run["idea"] for run in runs if run["minutes"] == 15}) >= 20
    found = {(run["idea"], run["seed"]): run["mean"] for run in runs if run["minutes"] == 15}
    base = [found["base", seed]["frechet"] for seed in (0, 1)]
    chance = abs(base[0] - base[1])
    assert 1.9 < chance < 2.1
    for idea in ("v", "immiscible", "wide-bottom"):
        assert found[f"decay+{idea}", 0]["frechet"] - found["decay", 0]["frechet"] > chance
    assert found["bound", 0]["frechet"] - base[0] > chance
    assert found["decay+bf16+muon+coarse-attention", 0]["frechet"] == min(each["frechet"] for each in found.values())
    (long,) = (run for run in runs if run["idea"] == "decay+bf16+muon+coarse-attention+min-snr+stratified")
    clothes = evaluate_first()
    shipped, floor = clothes["mean"]["frechet"], clothes["floors"]["real"]["frechet"]
    assert (long["mean"]["frechet"] - floor) / (shipped - floor) == pytest.approx(3 / 4, abs=0.03)
    assert found["decay+min-snr", 0]["frechet"] < found["decay", 0]["frechet"] > found["decay+stratified", 0]["frechet"]
    losses = {}
    for run in runs:
        if run["steps"] == 200:
            losses.setdefault(run["idea"], []).append(run["loss_last_200"])
    for processor, card in losses.values():
        assert processor == pytest.approx(card, rel=1e-3)
