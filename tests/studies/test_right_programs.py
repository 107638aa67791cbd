"""Right programs of others through both tools of chapter 15: what its appendix's table says of each."""

import mistakes
import pytest
import study_mutations
import torch
from libraries.row import import_peer

from ddpm_lite import UNet, UNetConfig, ddpm_loss, drop_labels, examine, last, linear_schedule, q_sample
from ddpm_lite import sample as draw
from ddpm_lite.trainer import ema_decay, update_ema
from ddpm_lite.unet import time_embedding

CHECKLIST = study_mutations.checklist


def load_diffusers(kind="DDPMScheduler", **settings):
    """A scheduler of diffusers in the loops of its documentation. Its times begin at 0."""
    diffusers = import_peer("diffusers")
    scheduler = getattr(diffusers, kind)(num_train_timesteps=1000, **settings)
    downs, ups = ("DownBlock2D", "AttnDownBlock2D"), ("AttnUpBlock2D", "UpBlock2D")

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unet = diffusers.UNet2DModel(
                8, 1, 1, block_out_channels=(32, 64), down_block_types=downs, up_block_types=ups
            )

        def forward(self, x_t, t, *_):
            return self.unet(x_t, t - 1).sample

    def make_batch(x_0):
        noise = torch.randn_like(x_0)
        t = torch.randint(0, scheduler.config.num_train_timesteps, (len(x_0),))
        return scheduler.add_noise(x_0, noise, t), t + 1, noise

    def train_step(model, average, optimiser, x_0, labels, step):
        x_t, t, noise = make_batch(x_0)
        of_v = scheduler.config.prediction_type == "v_prediction"
        target = scheduler.get_velocity(x_0, noise, t - 1) if of_v else noise
        loss = torch.nn.functional.mse_loss(model(x_t, t), target)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        return loss

    @torch.no_grad()
    def sample(model, shape):
        x = torch.randn(shape)
        scheduler.set_timesteps(1000)
        for t in scheduler.timesteps:
            x = scheduler.step(model(x, t + 1), t, x).prev_sample
        return x

    return {
        "BETA": torch.cat([torch.zeros(1), scheduler.betas]),
        "ALPHA_BAR": torch.cat([torch.ones(1), scheduler.alphas_cumprod]),
        "scale_images": lambda x: 2 * (x / 255) - 1,
        "Network": Network,
        "make_batch": make_batch,
        "train_step": train_step,
        "sample": sample,
    }


def load_package():
    """The package's functions for each part. Its sampler draws from a generator of its own."""
    schedule = linear_schedule(1000)

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unet = UNet(UNetConfig(8))

        def forward(self, x_t, t, *_):
            return self.unet(x_t, t)

    def make_batch(x_0):
        t, z = torch.randint(1, 1001, (len(x_0),)), torch.randn_like(x_0)
        return q_sample(schedule, x_0, t, z), t, z

    def update_average(average, model, step):
        ema = torch.optim.swa_utils.AveragedModel(average)
        ema.module = average
        with torch.no_grad():
            update_ema(ema, model, ema_decay(step, 0.9999))

    def train_step(model, average, optimiser, x_0, labels, step):
        t, z = torch.randint(1, 1001, (len(x_0),)), torch.randn_like(x_0)
        context = drop_labels(labels, 10, 0.1)
        optimiser.zero_grad()
        loss = ddpm_loss(model, schedule, x_0, t, z, context)
        loss.backward()
        optimiser.step()
        update_average(average, model, step)
        return loss

    return {
        "BETA": schedule.beta.float(),
        "ALPHA_BAR": schedule.alpha_bar.float(),
        "scale_images": lambda x: x / 127.5 - 1,
        "embed": lambda t: time_embedding(t, 32),
        "Network": Network,
        "make_batch": make_batch,
        "drop_labels": lambda labels: drop_labels(labels, 10, 0.1),
        "P": 0.1,
        "update_average": update_average,
        "train_step": train_step,
        "sample": lambda model, shape: last(draw(model, schedule, shape, seed=torch.initial_seed()))[1],
    }


def load_own(*changes):
    """The program of the chapter with another choice."""
    return vars(mistakes.load_program(*changes))


MEAN = "mean = ((1 - beta[t]).sqrt() * (1 - before) * x + before.sqrt() * beta[t] * x_0) / (1 - now)"
SIGMA = "sigma = (beta[t] * (1 - before) / (1 - now)).sqrt()"
LEAP = "mean = before.sqrt() * x_0 + (1 - before).sqrt() * z_hat"
DDIM = [(MEAN, LEAP), (SIGMA, "sigma = 0")]
ESTIMATE = "x_0 = (x - (1 - now).sqrt() * z_hat) / now.sqrt()"
OF_V = [
    (ESTIMATE, "x_0 = now.sqrt() * x - (1 - now).sqrt() * z_hat"),
    (
        "loss = (z_hat - z).square().mean()",
        "now = ALPHA_BAR[t].reshape(-1, 1, 1, 1); "
        "loss = (z_hat - now.sqrt() * z + (1 - now).sqrt() * x_0).square().mean()",
    ),
]
PARTS = ("drop_labels", "guide", "update_average")


def load_plain():
    """The same without labels and without an average."""
    changes = [
        ("label = torch.full((len(x_t),), NONE) if label is None else label", "pass"),
        ("told = self.label(label)", "told = 0"),
        ("self.label = nn.Embedding(LABELS + 1, WIDTH)", "pass"),
        ("    update_average(average, model, step)\n", ""),
        ("model(x_t, t, drop_labels(labels))", "model(x_t, t)"),
    ]
    return {name: value for name, value in load_own(*changes).items() if name not in PARTS}


FEWER = [("range(len(beta) - 1, 0, -1)", "range(T, 0, -4)"), ("alpha_bar[t - 1]", "alpha_bar[t - 4]")]
HALF = [
    (SIGMA, "pass"),
    (
        MEAN,
        "sigma = 0.5 * (beta[t] * (1 - before) / (1 - now)).sqrt(); "
        "mean = before.sqrt() * x_0 + (1 - before - sigma**2).clamp(min=0).sqrt() * z_hat",
    ),
]
NO_CLIP = [("x_0 = x_0.clamp(-1, 1)", "pass")]
PROGRAMS = {  # the first cell of its row in the table: the program
    "diffusers, `DDPMScheduler`": load_diffusers,
    "diffusers, `DDIMScheduler`": lambda: load_diffusers("DDIMScheduler"),
    "diffusers, a network of $v$": lambda: load_diffusers(prediction_type="v_prediction"),
    "this package": load_package,
    "1,000 times": lambda: load_own(("LABELS = 200,", "LABELS = 1000,")),
    "no labels, no average": load_plain,
    "a network of $v$": lambda: load_own(*OF_V),
    "steps of DDIM": lambda: load_own(*DDIM),
    "no clip": lambda: load_own(*NO_CLIP),
    "50 steps of DDIM": lambda: load_own(*DDIM, *FEWER),
    r"DDIM with $\eta = 0.5$": lambda: load_own(*HALF),
}
OPTIONS = {"no clip": {"CLIP": False}, "50 steps of DDIM": {"SAMPLE_TIMES": range(200, 0, -4)}}


def ask_checklist(program, **options):
    """The last line, or the message of the first assertion."""
    try:
        return CHECKLIST.check_all(program, **options)
    except AssertionError as found:
        return str(found)


def ask_examine(program, of_v):
    """The lines that are WRONG, and the notes."""
    torch.manual_seed(0)
    names = {"embed": "embed", "batch": "make_batch", "drop": "drop_labels", "p": "P", "guide": "guide"}
    parts = {part: program[name] for part, name in names.items() if name in program}
    if "drop" not in parts:
        parts.pop("p", None)
    if "update_average" in program:
        parts["update"] = program["update_average"]
    table = program["ALPHA_BAR"]

    def wrap(model):  # as the appendix says: examine's model predicts z
        def answer(x, t, *_):
            now = table[torch.as_tensor(t)].reshape(-1, *[1] * (x.ndim - 1))
            z = model(x, t)
            return now.sqrt() * z - (1 - now).sqrt() * (x - (1 - now).sqrt() * z) / now.sqrt()

        return answer

    def sample(model, shape):
        return program["sample"](wrap(model) if of_v else model, shape)

    images = program["scale_images"](torch.randint(0, 256, (64, 1, 8, 8)).float())
    tables = {"beta": program["BETA"], "alpha_bar": table}
    found = list(examine(tables, images=images, model=program["Network"](), sampler=sample, **parts))
    return [each for each in found if not each.fine], [each for each in found if each.note]


def read_rows():
    text = study_mutations.find_cell("detective-right-fails")["source"]
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {cells[0]: cells[1:] for cells in lines}


@pytest.mark.parametrize("name", PROGRAMS)
def test_both_tools_say_what_the_table_says(name):
    program, of_v = PROGRAMS[name](), "$v$" in name
    options = {"PREDICTS": "v"} if of_v else OPTIONS.get(name, {})
    said = ask_checklist(program, **options)
    wrong, notes = ask_examine(program, of_v)
    checklist, examined = read_rows()[name]
    option = "".join(f"with `{key} = {value!r}`: ".replace("'", '"') for key, value in options.items())
    assert checklist == option + ("passes" if said.startswith("no mistake found") else said)
    assert wrong == []
    assert examined == ("passes" if not notes else f"a note: *{notes[0].check}*")


def test_what_is_not_given_is_said():
    said = ask_checklist(load_plain())
    where = "schedule, images, batch, network, training, sampler, mode"
    left = "labels, average, guidance (not given: drop_labels, update_average, guide)"
    assert said == f"no mistake found in: {where}; NOT ASKED: {left}"
    assert ask_checklist(load_own()) == "no mistake found"
    with pytest.raises(AssertionError, match="not the mean square of x_0_hat - x_0"):
        CHECKLIST.check_all(load_own(), PREDICTS="x_0")
