"""`compare_program` finds in the libraries what the tables of chapter 14 say, through their real calls."""

from importlib import import_module

import diffusers
import pytest
import torch
from compare_pages import DDIM, IMAGE, INDEX, LINEAR, SCHEDULE, lines, read_cell, run_boxes, shorten
from libraries.row import Network, import_peer

from ddpm_lite import (
    compare_program,
)

ONE = [(500, 499), (800, 799), (40, 39)]


def diffusers_parts(name, jump, **options):
    """The calls of a scheduler that makes steps of this length; k is their time."""
    scheduler = getattr(diffusers, name)(**options)
    scheduler.set_timesteps(1000 // jump)
    return {
        "scheduler": scheduler,
        "table": scheduler.alphas_cumprod,
        "times": scheduler.timesteps,
        "noisy": lambda x_0, z, k: scheduler.add_noise(x_0, z, torch.tensor([k])),
        "estimate": lambda x, k, answer: scheduler.step(answer, k, x).pred_original_sample,
        "step": lambda x, k, to, answer: scheduler.step(answer, k, x).prev_sample,
    }


def test_ddim_of_diffusers():
    assert lines(**diffusers_parts("DDIMScheduler", 20)) == DDIM


@pytest.mark.parametrize(
    ("option", "number", "said"),
    [
        ({"prediction_type": "v_prediction"}, 3, "answer v, clipped to [-1, 1]"),
        ({"prediction_type": "sample", "clip_sample": False}, 3, "answer x_0, not clipped"),
        ({"clip_sample_range": 2.0}, 3, "answer z, clipped to [-2, 2]"),
        ({"timestep_spacing": "linspace"}, 1, "times linspace"),
        ({"steps_offset": 1}, 1, "times leading, one later"),
        ({"thresholding": True, "sample_max_value": 1.5}, 3, "4 and 6. estimate: different"),
        ({"beta_schedule": "scaled_linear"}, 0, "with scaled-linear betas from 0.0001 to 0.02 it is translated"),
        ({"beta_schedule": "squaredcos_cap_v2"}, 0, "with cosine_schedule(1000) it is translated"),
        ({"rescale_betas_zero_snr": True}, 0, "with ours, rescaled to a last SNR of 0, it is translated"),
    ],
)
def test_options_of_ddim_of_diffusers(option, number, said):
    assert said in lines(**diffusers_parts("DDIMScheduler", 20, **option))[number]


KARRAS = {"use_karras_sigmas": True}


def find_times(name, options, n):
    """What check 2 says of the times of this scheduler."""
    scheduler = getattr(diffusers, name)(**options | LINEAR)
    scheduler.set_timesteps(n)
    return lines(table=scheduler.alphas_cumprod, times=scheduler.timesteps)[1]


@pytest.mark.parametrize(
    ("name", "options", "n"),
    [
        ("DPMSolverMultistepScheduler", KARRAS, 18),
        ("DDIMScheduler", {"timestep_spacing": "trailing"}, 48),
        ("DPMSolverMultistepScheduler", {"use_exponential_sigmas": True}, 20),
        ("DPMSolverMultistepScheduler", {"use_beta_sigmas": True}, 20),
        ("DPMSolverMultistepScheduler", {"use_lu_lambdas": True}, 20),
    ],
)
@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
def test_times_that_are_not_known(name, options, n):
    said = find_times(name, options, n)
    assert said.startswith("2. times: different: ")
    assert ("much nearer is times at Karras's levels from 1000 to 1;" in said) == (options == KARRAS)


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        ("DPMSolverMultistep UniPCMultistep", {}, "linspace of {} without its end"),
        ("DPMSolverMultistep UniPCMultistep", {"timestep_spacing": "leading"}, "leading of {} without its end"),
        ("DPMSolverMultistep UniPCMultistep", KARRAS, "at Karras's levels from 1000 to 1, rounded"),
        ("EulerDiscrete", KARRAS, "at Karras's levels from 1000 to 1"),
        (
            "EulerDiscrete",
            KARRAS | {"timestep_spacing": "leading", "steps_offset": 1},
            "at Karras's levels from {} to 2",
        ),
    ],
)
@pytest.mark.parametrize("n", [10, 20, 25, 50])
@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
def test_times_of_the_solvers_of_pipelines(names, options, said, n):
    number = 1000 - 1000 // n + 2 if "steps_offset" in options else n + 1
    for name in names.split():
        assert find_times(f"{name}Scheduler", options, n) == f"2. times: translated: times {said.format(number)}"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("Heun", {"timestep_spacing": "leading"}, "each time but the first twice, times leading"),
        ("Heun", {}, "each time but the first twice, times linspace, not rounded"),
        ("Heun", KARRAS, "each time but the first twice, times at Karras's levels from 1000 to 1"),
        ("PNDM", {"skip_prk_steps": True}, "the second time twice, times leading"),
        ("PNDM", {"skip_prk_steps": True, "steps_offset": 1}, "the second time twice, times leading, one later"),
    ],
)
@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
def test_times_that_come_twice(name, options, said):
    full = f"{name}{'Discrete' * (name == 'Heun')}Scheduler"
    assert find_times(full, options, 20) == f"2. times: translated: {said}"


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
@pytest.mark.parametrize(("n", "jump"), [(50, 20), (100, 10), (10, 100)])
def test_rounding_of_euler_is_no_eta(n, jump):
    scheduler = diffusers.EulerDiscreteScheduler(
        timestep_spacing="leading", beta_schedule="linear", beta_start=1e-4, beta_end=0.02
    )
    scheduler.set_timesteps(n)

    def noisy(x_0, z, k):
        return scheduler.add_noise(x_0, z, torch.tensor([k]))

    def step(x, k, to, answer):
        scheduler.set_timesteps(n)
        return scheduler.step(answer, scheduler.timesteps[scheduler.timesteps == k][0], x).prev_sample

    parts = {"table": scheduler.alphas_cumprod, "noisy": noisy, "step": step}
    for t in (501, 601, 901):
        found = lines(**parts, pairs=[(t, t - jump), (801, 801 - jump), (2 * jump + 1, jump + 1)])
        assert found[2:] == [
            "7. step: translated: answer z, not clipped, step to s, eta = 0 (DDIM)",
            "8. fresh noise: equal: none",
        ]


@pytest.mark.parametrize(
    ("variance", "said"),
    [
        ("fixed_small", "equal: deviation of eta = 1"),
        ("fixed_large", "translated: deviation sqrt(1 - alpha_bar_t / alpha_bar_s)"),
    ],
)
def test_ddpm_of_diffusers(variance, said):
    found = lines(**diffusers_parts("DDPMScheduler", 1, variance_type=variance), pairs=ONE, eta=1)
    assert found[0] == INDEX
    assert found[2:] == [
        IMAGE,
        "4 and 6. estimate: translated: answer z, clipped to [-1, 1]",
        "7. step: equal: z_hat computed again, step to s, eta = 1 (DDPM)",
        f"8. fresh noise: {said}",
    ]


def test_eta_and_the_given_noise_of_diffusers():
    parts = diffusers_parts("DDIMScheduler", 20)
    options = {"eta": 0.5, "use_clipped_model_output": True}
    scheduler = parts.pop("scheduler")
    parts["step"] = lambda x, k, to, answer, noise: (
        scheduler.step(answer, k, x, variance_noise=noise, **options).prev_sample
    )
    found = [*compare_program(SCHEDULE, eta=0.5, **parts, pairs=[(500, 480), (800, 780), (40, 20)])]
    assert [each.outcome for each in found[-2:]] == ["equal", "equal"]


@pytest.mark.parametrize(("objective", "target"), [("pred_noise", "z"), ("pred_v", "v"), ("pred_x0", "x_0")])
def test_denoising_diffusion_pytorch(objective, target):
    class Given(Network):
        def forward(self, x, t, *others, **named):
            return self.answer

    net, lucid = Given(), import_peer("denoising_diffusion_pytorch")
    diffusion = lucid.GaussianDiffusion(net, image_size=8, objective=objective, beta_schedule="linear")

    def ask(x, k, answer):
        net.answer = answer
        return diffusion.p_sample(x, k)

    parts = {
        "table": diffusion.alphas_cumprod,
        "noisy": lambda x_0, z, k: diffusion.q_sample(x_0, torch.full((len(x_0),), k), z),
        "estimate": lambda x, k, answer: ask(x, k, answer)[1],
        "step": lambda x, k, to, answer: ask(x, k, answer)[0],
    }
    assert lines(**parts, pairs=ONE, eta=1) == [
        INDEX,
        IMAGE,
        f"4 and 6. estimate: translated: answer {target}, clipped to [-1, 1]",
        "7. step: equal: z_hat computed again, step to s, eta = 1 (DDPM)",
        "8. fresh noise: equal: deviation of eta = 1",
    ]


def test_box_for_smalldiffusion():
    import_peer("smalldiffusion")
    (found,) = run_boxes(read_cell("small-program", "rosetta"))
    assert [shorten(each) for each in found] == [
        "1. tables: translated: the noise level nu_t, index t - 1",
        "3. images: translated: index t - 1, image x_0 + nu_t z",
        "4 and 6. estimate: equal: answer z, not clipped",
        "7. step: equal: step to s, eta = 0 (DDIM)",
        "8. fresh noise: equal: none",
    ]


def test_noise_levels_as_times():
    sigmas = import_peer("smalldiffusion").ScheduleDDPM().sample_sigmas(50)[:-1]
    assert lines(times=sigmas)[0].startswith("2. times: translated: time nu_t, times trailing ")


@pytest.mark.parametrize(("eta", "said"), [(0.25, "eta = 0.5 (its root)"), (0.0, "eta = 0 (DDIM)")])
def test_azula(eta, said):
    sample, denoise = import_peer("azula.sample"), import_peer("azula.denoise")
    weights = import_module("libraries.wrap_azula").Weights()

    class Given(torch.nn.Module):
        def __init__(self, answer):
            super().__init__()
            self.answer, self.like = answer, torch.nn.Parameter(torch.zeros(1))

        def forward(self, *others, **named):
            return self.answer

    def wrap(answer):
        return denoise.KarrasDenoiser(Given(answer), weights)

    def noisy(x_0, z, k):
        image, noise = weights(k)
        return image * x_0 + noise * z

    def step(x, k, to, answer):
        return sample.DDIMSampler(wrap(answer), eta=eta).step(x, torch.tensor(k), torch.tensor(to))

    parts = {
        "times": sample.DDIMSampler(wrap(None), steps=50).timesteps[:-1],
        "noisy": noisy,
        "estimate": lambda x, k, answer: wrap(answer)(x, torch.tensor(k)).mean,
        "step": step,
    }
    found = lines(**parts, eta=eta)
    assert found[0].startswith("2. times: translated: time t / T, times trailing ")
    assert found[1:3] == [IMAGE, "4 and 6. estimate: translated: answer -v, not clipped"]
    assert found[3].endswith(f"step to s, {said}")
    assert found[4].startswith("8. fresh noise: equal: ")
    (table,) = lines(table=weights(torch.arange(1, 1001) / 1000)[0])
    assert table == "1. tables: translated: the root of alpha_bar_t, index t - 1"
