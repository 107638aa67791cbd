"""The hunt of chapter 15 and its appendix's larger programs: the record is about these lines, assertions find them."""

import mistakes
import more_mistakes
import pytest
import study_mistakes
import study_mutations
import torch

from ddpm_lite import UNet, UNetConfig, examine, linear_schedule, load_digits
from ddpm_lite.data import load_photo
from ddpm_lite.files.records import read_pictures, read_record
from ddpm_lite.viz import plots

NAMES = (
    "hunt-say",
    "hunt-second",
    *(f"larger-{name}" for name in ("time", "tables", "clip", "clip-check", "clip-print", "latents", "seed", "seeds")),
    "larger-colour",
)
LONG = ("LABELS = 200,", "LABELS = 1000,")
HALF_TIME = ("angle = t[:, None]", "angle = t.bfloat16()[:, None]")
HALF_CALL = ("self.time(embed(t))", "self.time(embed(t.bfloat16()))")
ROUNDED = ("ALPHA_BAR[t].reshape", "ALPHA_BAR.bfloat16()[t].reshape")


@pytest.fixture(scope="module")
def page():
    """The names of the checklist and of the cells on the hunt and on larger programs."""
    record = read_record("results/mistakes.json")
    names = study_mutations.run_chapter() | {"record": record, "rows": record["rows"], "plots": plots}
    names["examine"] = examine
    names["hunt"] = read_record("results/mistakes-hunt.json")["rows"]
    for name in ("load", "look", *NAMES):
        exec(study_mutations.find_cell(f"detective-{name}")["source"], names)
    return names


def test_the_record_of_the_hunt_is_about_the_program():
    record, rows = read_record("results/mistakes-hunt.json"), read_record("results/mistakes.json")["rows"]
    hunt = record["rows"]
    lines = {name: [list(more_mistakes.HUNTED[key]) for key in keys] for name, keys in more_mistakes.HUNT.items()}
    assert {name: row["changes"] for name, row in hunt.items()} == lines
    settings = {name: getattr(study_mistakes, name.upper()) for name in ("steps", "batch", "rate", "count")}
    assert {name: record[name] for name in settings} == settings
    right, mended = rows["right, seed 0"], hunt["both mended"]
    for row in hunt.values():  # both mistakes are in the sampler, which leaves the training alone
        assert row["losses"] == pytest.approx(right["losses"], abs=0.002)  # other processors round otherwise
    assert mended["distance"] == pytest.approx(right["distance"], abs=0.3)
    assert mended["as_asked"] == pytest.approx(right["as_asked"], abs=0.03)
    assert max(hunt[name]["as_asked"] for name in ("as found", "one mended")) < 0.15  # about one of ten labels
    pictures = read_pictures("results/mistakes-hunt.safetensors")
    assert {name: tuple(x.shape) for name, x in pictures.items()} == dict.fromkeys(hunt, (8, 1, 8, 8))


def test_the_first_losses_of_the_hunt_are_those_of_its_program():
    data, labels = load_digits("train")
    program = mistakes.load_program(*more_mistakes.HUNTED.values())
    network, losses = study_mistakes.train(program, ((data + 1) * 127.5).round(), labels, steps=study_mistakes.EVERY)
    recorded = read_record("results/mistakes-hunt.json")["rows"]["as found"]["losses"]
    assert study_mistakes.take_means(losses) == pytest.approx(recorded[:1], abs=0.002)
    assert network is not None


def test_both_tools_end_before_the_hunt_does(page):
    """They report the weight, and not the label, which only the question of the chapter sees."""
    alpha, label = more_mistakes.HUNTED.values()
    programs = [page["load"](*changes) for changes in ([alpha, label], [label], [])]
    said = [page["say"](page["check_all"], program) for program in programs]
    assert said == ["coefficient of x_0_hat, t = 200", "no mistake found", "no mistake found"]
    assert [sum(not each.fine for each in page["look"](program)) for program in programs] == [2, 0, 0]
    passed = [page["list_labels"](program["sample"], torch.arange(4)) for program in programs]
    assert all(told is None for told in passed[0] + passed[1])
    assert all(told.tolist() == [0, 1, 2, 3] for told in passed[2])
    assert [len(told) for told in passed] == [200] * 3


@pytest.mark.parametrize("T", [50, 200, 1000])
@pytest.mark.parametrize("cast", ["", ".double().float()", ".half()"])
def test_distinct_times_pass(page, T, cast):
    for change in (("angle = t[:, None]", f"angle = t{cast}[:, None]"), ("(embed(t))", f"(embed(t{cast}))")):
        page["check_times"](mistakes.load_program(change).Network(), T)


def test_distinct_times_of_a_u_net_pass(page):
    network = UNet(UNetConfig(8, dropout=0.1))
    for p in network.parameters():
        if not p.any():
            torch.nn.init.normal_(p, std=0.05)
    page["check_times"](network, 1000)


def test_distinct_times_pass_behind_a_tiny_layer_that_was_filled(page):
    last = "self.last = nn.Conv2d(WIDTH, 1, 3, padding=1)"
    program = mistakes.load_program((last, f"{last}; self.last.weight.data.mul_(1e-10)"))
    model = program.Network()
    page["check_network"](model, program.ALPHA_BAR, (1, 8, 8), program.embed)
    page["check_times"](model, 200)


@pytest.mark.parametrize(
    ("change", "said"),
    [(HALF_TIME, "two times look alike"), (HALF_CALL, "neighbouring times get one answer")],
    ids=["inside embed", "by its caller"],
)
def test_times_in_bfloat16_are_found(page, plain, change, said):
    program = mistakes.load_program(LONG, change)
    with pytest.raises(AssertionError, match="only 506 of 1000 times"):
        page["check_times"](program.Network(), 1000)
    page["check_times"](program.Network(), 256)  # a test with few times sees nothing
    assert page["say"](page["check_all"], vars(program)) == said
    found = examine(**mistakes.list_parts(program, torch.randint(0, 256, (80, 1, 8, 8)).float()))
    assert all(each.fine for each in found)
    with pytest.raises(ValueError, match="t: expected"):
        UNet(UNetConfig(8))(torch.zeros(2, 1, 8, 8), torch.tensor([1, 2]).bfloat16())


SHORT = ("LABELS = 200,", "LABELS = 50,")  # with fewer than 100 times only t = 1 is small


@pytest.mark.parametrize(
    "changes", [[], [SHORT], [LONG], [LONG, mistakes.COSINE]], ids=["linear", "short", "long", "cosine"]
)
def test_exact_noise_passes(page, changes):
    program = mistakes.load_program(*changes)
    page["check_noise"](program.make_batch, program.ALPHA_BAR)


RETURN = "return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * z, t, z"
CAST = (RETURN, f"return ({RETURN.removeprefix('return ').removesuffix(', t, z')}).bfloat16().float(), t, z")


@pytest.mark.parametrize(("change", "off"), [(ROUNDED, "1.0"), (CAST, "0.0")], ids=["tables", "x_t"])
def test_rounded_noise_is_found(page, change, off):
    program = mistakes.load_program(LONG, change)
    with pytest.raises(AssertionError, match=f"at small t off by {off}"):
        page["check_noise"](program.make_batch, program.ALPHA_BAR)


def test_tables_in_bfloat16_are_known_to_both_checks(page):
    program = mistakes.load_program(LONG, ROUNDED)
    assert page["say"](page["check_all"], vars(program)) == "weights of image and noise in x_t"
    found = examine(**mistakes.list_parts(program, torch.randint(0, 256, (80, 1, 8, 8)).float()))
    assert "forward jump" in {each.check for each in found if not each.fine}
    assert int((1 - program.ALPHA_BAR[1:].bfloat16() == 0).sum()) == 10


def test_a_clip_before_the_gradients_are_unscaled_is_found(page):
    page["check_clip"](page["step_scaled"])
    with pytest.raises(AssertionError, match="becomes 1.5e-05"):
        page["check_clip"](page["step_clipped"])


def test_a_step_that_only_forgets_to_unscale_is_found(page):
    def step(weights, loss):
        (65_536 * loss).backward()
        return weights.grad

    with pytest.raises(AssertionError, match="becomes 3.3e"):
        page["check_clip"](step)


@pytest.mark.parametrize(("s", "fine"), [(1, True), (0.9, True), (1 / 0.18215, False), (0.18215, False)])
def test_the_scale_of_latents_is_asked(page, s, fine):
    x_0 = s * torch.randn(4, 4, 32, 32, generator=torch.Generator().manual_seed(1))
    assert (page["say"](page["check_scale"], x_0) == "fine") == fine


@pytest.mark.parametrize("s", [1, 1 / 0.18215])
def test_examine_takes_latents_for_pixels(s):
    """So it has no question about their scale: it calls the right ones wrong as well."""
    x_0 = s * torch.randn(80, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    parts = mistakes.list_parts(mistakes.load_program(), torch.zeros(80, 1, 8, 8)) | {"images": x_0}
    assert [each.check for each in examine(**parts) if not each.fine] == ["range of the images"]


@pytest.mark.parametrize("n", [2, 4, 8])
def test_processes_with_one_seed_are_found(page, n):
    def draw(rank, seed):
        seed(0, rank)
        return torch.randn(8)

    page["check_processes"](lambda rank: draw(rank, page["set_apart"]), n)
    with pytest.raises(AssertionError, match=f"{n} processes, but 1 noise"):
        page["check_processes"](lambda rank: draw(rank, page["set_same"]), n)


def test_a_wrong_order_of_colours_is_found(page):
    page["check_colour"](lambda x: x.permute(2, 0, 1))
    photo = load_photo()[0]
    assert torch.equal(page["permute"](photo.permute(1, 2, 0)), photo)
    swapped, *flipped = ((lambda x, axis=axis: x.flip(axis).permute(2, 0, 1)) for axis in (2, 1, 0))
    for wrong in (page["reshape"], lambda x: x.permute(2, 1, 0), swapped, *flipped):
        with pytest.raises(AssertionError, match="the red pixel is elsewhere"):
            page["check_colour"](wrong)


def test_a_solver_shows_its_order(capsys):
    """Half and a quarter of the error with twice as many steps; wrong solvers miss that."""
    names = {"torch": torch, "alpha_bar": linear_schedule(200, 5e-4, 0.1).alpha_bar}
    for key in ("solver", "solver-print"):
        exec(study_mutations.find_cell(f"detective-{key}")["source"], names)
    capsys.readouterr()
    shares = {}
    for name, sampler in names["samplers"].items():
        few, many = (float(names["measure_error"](sampler, steps)) for steps in (400, 800))
        shares[name] = many / few
    assert shares["DDIM"] == pytest.approx(0.5, abs=0.01)
    assert shares["Heun"] == pytest.approx(0.25, abs=0.01)
    assert shares["Heun, second slope at the old time"] == pytest.approx(0.5, abs=0.03)
    assert shares["DDIM, a root forgotten"] == pytest.approx(1, abs=0.01)


def test_the_chapter_says_what_the_assertions_print(page):
    """The table of the chapter has what the cells of the appendix printed."""
    said = study_mutations.find_cell("detective-larger-table")["source"]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in said.splitlines() if line[:2] == "| "][1:]
    assert len(rows) == 6
    printed = "".join(
        "".join(output.get("text", ""))
        for name in ("time", "tables", "clip", "latents", "seed", "colour")
        for output in study_mutations.find_cell(f"detective-larger-{name}-print")["outputs"]
    )
    for _, function, message in rows:
        assert message in printed
        assert f"def {function.strip('`')}(" in "".join(
            study_mutations.find_cell(f"detective-larger-{name}")["source"]
            for name in ("time", "tables", "clip-check", "latents", "seed", "colour")
        )


def test_the_checklist_does_not_see(page):
    """As the chapter says in its list of what no check sees."""
    program = page["load"](("x_0 = x_0.clamp(-1, 1)", "x_0 = x_0.clamp(-1, 1) if t < 100 else x_0"))
    assert page["check_all"](program) == "no mistake found"
    assert all(found.fine for found in page["look"](program))


SHARED = {
    "row": "torch.randn_like(x_0[..., :1]).expand_as(x_0)",
    "column": "torch.randn_like(x_0[..., :1, :]).expand_as(x_0)",
    "two images": "torch.randn_like(x_0[::2]).repeat_interleave(2, 0)[:len(x_0)]",
    "half of it": "(torch.randn_like(x_0) + torch.randn_like(x_0[..., :1])) / 2**0.5",
}


@pytest.mark.parametrize("noise", SHARED.values(), ids=SHARED)
def test_shared_noise_is_seen_by_both_tools(noise, page):
    program = page["load"](("z = torch.randn_like(x_0)", f"z = {noise}"))
    assert page["say"](page["check_all"], program) == "pixels or images share noise"
    wrong = [found for found in page["look"](program) if not found.fine]
    assert [found.check for found in wrong] == ["noise of training"]


def test_the_target_of_the_loss_is_seen_by_the_checklist_alone(page):
    program = page["load"](("(z_hat - z).square()", "(z_hat - x_0).square()"))
    assert page["say"](page["check_all"], program) == "the loss is not the mean square of z_hat - z"
    assert all(found.fine for found in page["look"](program))


def test_one_time_for_a_batch_and_a_seed_are_seen_by_the_checklist_alone(page):
    changes = {
        "times drawn": ("(len(x_0),))", "(1,)).expand(len(x_0))"),
        "x_T is not the first noise that is drawn": (
            "x = torch.randn(shape)\n    for",
            "torch.manual_seed(5); x = torch.randn(shape)\n    for",
        ),
    }
    for said, change in changes.items():
        program = page["load"](change)
        assert page["say"](page["check_all"], program) == said
        assert all(found.fine for found in page["look"](program))
