"""The solvers: times, mixes and steps are those that the page of solvers derives."""

import inspect
import re
from contextlib import redirect_stdout
from io import StringIO

import diffusers
import numpy as np
import pytest
import torch
from compare_pages import LINEAR, SCHEDULE, answer_flow, lines, read_cell

from ddpm_lite import (
    ddim_step,
    heun_step,
    schedule_from_levels,
)
from ddpm_lite.process import predict_x_0, q_sample


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
def test_default_times_of_the_solvers_are_those_of_the_text():
    """Fractions of *linspace*, *linspace* rounded, *leading*, or times of their own."""
    kinds = {}
    for name in re.findall(r"`(\w+Scheduler)`", read_cell("solvers-table")):
        solver = getattr(diffusers, name)()
        solver.set_timesteps(20)
        whole = torch.equal(solver.timesteps, solver.timesteps.round())
        kinds.setdefault((solver.config.get("timestep_spacing"), whole), set()).add(name)
    assert kinds.pop(("linspace", False)) == {
        f"{name}DiscreteScheduler" for name in ("Euler", "EulerAncestral", "Heun")
    }
    assert kinds.pop(("linspace", True)) == {"DPMSolverMultistepScheduler", "UniPCMultistepScheduler"}
    own = {"FlowMatchEulerDiscreteScheduler"}
    assert kinds.pop((None, False)) == own
    assert kinds == {("leading", True): {"DDIMScheduler", "DDPMScheduler", "PNDMScheduler", "LCMScheduler"}}
    for name in ("Euler", "EulerAncestral", "Heun"):
        for n in (10, 20, 28, 38, 50):
            solver = getattr(diffusers, f"{name}DiscreteScheduler")()
            solver.set_timesteps(n)
            assert torch.equal(solver.timesteps, solver.timesteps.round()) == (999 % (n - 1) == 0)
    column = re.findall(r"^\| .*?`(\w+Scheduler)`.* \| (.*?) \|$", read_cell("solvers-table"), re.M)
    said = {(spacing, name) for name, spacing in column}
    assert {("*linspace*", f"{name}DiscreteScheduler") for name in ("EulerAncestral", "Heun")} <= said
    assert ("*linspace*; of a flow, its own", "EulerDiscreteScheduler") in said
    for name in ("DPMSolverMultistepScheduler", "UniPCMultistepScheduler"):
        assert ("*linspace*, rounded", name) in said
    for name in ("DDIM", "DDPM", "PNDM"):
        assert ("*leading*", f"{name}Scheduler") in said
    solver = diffusers.LCMScheduler()  # it ignores its option `timestep_spacing`
    solver.set_timesteps(20)
    assert solver.timesteps[[0, 1, -1]].tolist() == [999, 959, 59]


def test_step_that_keeps_the_old_noise_is_that_of_diffusers(hooked):
    scheduler = diffusers.DDIMScheduler()
    scheduler.set_timesteps(50)
    x_t, z_hat = torch.randn(2, 1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for t in (981, 501, 1):
        theirs = scheduler.step(z_hat, t - 1, x_t).prev_sample
        ours = hooked[0]["keep"](SCHEDULE, x_t, t, max(t - 20, 0), z_hat, None)
        assert torch.allclose(theirs, ours.float(), atol=1e-5)


def read_solver(names, solver, x):
    """All states of a scheduler, for the network of the digits."""
    for t in solver.timesteps:
        x = solver.step(names["ask"](x, t + 1), t, x).prev_sample
        yield x


def test_order_of_2m_as_derived():
    """The weighted mean of the fold, and the error of the extrapolated value for a parabola."""
    for h in (0.5, 0.1):
        r = np.linspace(-h / 2, h / 2, 20001)
        mean = np.trapezoid(r * np.exp(r), r) / np.trapezoid(np.exp(r), r)
        assert mean == pytest.approx(h / 2 / np.tanh(h / 2) - 1, rel=1e-5)
        assert abs(mean - h**2 / 12) < h**4 / 700
        before = 0.7 * h
        value, earlier = h**2 / 8, (h / 2 + before) ** 2 / 2  # of f = r^2 / 2, whose second derivative is 1
        middle = value + h / (2 * before) * (value - earlier)
        assert -middle == pytest.approx(h / 2 * (h / 2 + before) / 2)


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
@pytest.mark.parametrize("which", [0, 1])
def test_cases_of_the_solvers_print_what_the_chapter_shows(solvers, which):
    """DPM-Solver++ 2M and PNDM."""
    text = read_cell("solvers-case")
    code, said = (re.findall(rf"^```{kind}\n(.*?)^```", text, re.M | re.S)[which] for kind in ("python", "text"))
    assert max(map(len, code.splitlines())) <= 72
    with redirect_stdout(StringIO()) as out:
        exec(code, solvers)
    assert out.getvalue() == said


def test_each_mix_of_pndm_integrates_its_polynomial(solvers):
    """Over the next of evenly spaced steps, as the weights of Adams and Bashforth do."""
    for n, mix in enumerate(solvers["MIXES"]):
        for power in range(n + 1):
            mean = sum(w * (-i) ** power for i, w in enumerate(mix)) / sum(mix)
            assert mean == pytest.approx(1 / (power + 1))


@pytest.mark.parametrize("n", [50, 100])
def test_mean_over_the_steps_for_the_mean_over_the_levels(n):
    """What even weights cost at uneven levels: of second order, as derived."""
    i = np.linspace(0, 1, 2001) / n + 0.4  # a step of 1 / n, with the answer and the level as smooth functions
    answer, level, middle = np.sin(i), np.exp(2 * i), 0.4 + 0.5 / n
    gap = np.trapezoid(answer, level) / (level[-1] - level[0]) - np.trapezoid(answer, i) * n
    assert gap == pytest.approx(np.cos(middle) * 2 / 12 / n**2, rel=0.01)  # f' nu'' / (12 nu'), in steps of 1 / n


def test_move_makes_every_step_of_a_flow(solvers):
    """Also the first, from the noise alone, which our schedule cannot hold."""
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    theirs.set_timesteps(28)
    tau = theirs.sigmas.double()
    m = x = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for i, time in enumerate(theirs.timesteps):
        u = answer_flow(x, tau[i])
        image = x - tau[i] * u  # q = 1 and p = -1, so a q - b p = 1
        x = solvers["move"](x, image, 1 - tau, tau, i, i + 1)
        m = theirs.step(answer_flow(m, tau[i]), time, m).prev_sample.double()
        assert torch.allclose(x, m, atol=1e-5)
    with pytest.raises(ValueError, match="finite"):
        schedule_from_levels(torch.tensor([0, 1, torch.inf]))


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
def test_levels_of_the_long_last_step(solvers):
    """Those of sigma_min are the default ones and that of t = 1; the fold of the chapter measures 2M at them."""
    with redirect_stdout(StringIO()):
        exec(read_cell("solvers-default"), names := dict(solvers))
    solver = diffusers.DPMSolverMultistepScheduler(final_sigmas_type="sigma_min")
    solver.set_timesteps(20)
    assert torch.allclose(solver.sigmas.double(), names["list_long"](20)[:-1].double(), rtol=1e-4)


@pytest.mark.parametrize(("n", "first"), [(14, True), (15, False), (20, False)])
@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
def test_last_step_of_dpm_solver_to_its_smallest_level(solvers, n, first):
    """Of order 2 from 15 steps on; a 0 for the last level makes it of order 1."""
    solver = diffusers.DPMSolverMultistepScheduler(final_sigmas_type="sigma_min")
    solver.set_timesteps(n)
    told, x = (solver.timesteps + 1).tolist(), solvers["z"]
    *_, before, theirs = read_solver(solvers, solver, x)
    a, b = (SCHEDULE.alpha_bar.sqrt()[[*told, 1]], SCHEDULE.one_minus_alpha_bar.sqrt()[[*told, 1]])

    def estimate(x, i):
        return (x - b[i] * solvers["ask"](x.float(), told[i])) / a[i]

    *_, ours = solvers["solve_2m"](estimate, a, b, x)
    single = solvers["move"](before, estimate(before, n - 1), a, b, n - 1, n)
    assert torch.allclose(single, theirs, atol=1e-5) == first
    assert torch.allclose(ours, theirs, atol=1e-5) == (not first)


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("DDIMScheduler", {"clip_sample": False}, "move"),
        ("DDPMScheduler", {"clip_sample": False}, "noisy"),
        ("EulerDiscreteScheduler", {"timestep_spacing": "leading"}, "move"),
        ("EulerAncestralDiscreteScheduler", {"timestep_spacing": "leading"}, "noisy"),
        ("HeunDiscreteScheduler", {"timestep_spacing": "leading"}, "heun"),
        ("DPMSolverMultistepScheduler", {"timestep_spacing": "leading", "solver_order": 1}, "move"),
    ],
)
@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
def test_rows_of_the_solvers_are_our_steps(solvers, name, options, kind):
    """A walk of 10 calls or steps, state by state, each of our steps from their state and with their noise."""
    solver = getattr(diffusers, name)(**options | LINEAR)
    solver.set_timesteps(10)
    nu = getattr(solver, "sigmas", None)
    told = [t for i, t in enumerate((solver.timesteps + 1).long().tolist()) if kind != "heun" or i == 0 or i % 2]
    ends = [*told[1:], 0]
    in_levels = solver.init_noise_sigma != 1
    a, b = SCHEDULE.alpha_bar.sqrt().float(), SCHEDULE.one_minus_alpha_bar.sqrt().float()
    x, ask, calls = solvers["z"] * solver.init_noise_sigma, solvers["ask"], 0
    times = iter(solver.timesteps)
    for t, s in zip(told, ends, strict=True):
        ours = x * a[t] if in_levels else x
        z_hat = ask(ours, t)
        fresh = torch.randn(x.shape, generator=torch.Generator().manual_seed(t))
        if kind == "move":
            due = solvers["move"](ours, (ours - b[t] * z_hat) / a[t], a, b, t, s)
        elif kind == "noisy":
            due = ddim_step(SCHEDULE, ours, t, s, z_hat, fresh, eta=1, clip=False)
        else:
            due = heun_step(SCHEDULE, ours, t, s, z_hat, fresh, ask=ask, clip=False)
        for _ in range(2 if kind == "heun" and s else 1):
            k = next(times)
            given = solver.scale_model_input(x, k)
            extra = {"generator": torch.Generator().manual_seed(t)} if kind == "noisy" else {}
            x = solver.step(ask(given, int(k) + 1), k, x, **extra).prev_sample
            calls += 1
        state = x * a[s] if in_levels else x
        assert (state - due).abs().max() < 1e-4 * due.abs().max(), (t, s)
    assert calls == (19 if kind == "heun" else 10)
    assert (nu is None) == (name in ("DDIMScheduler", "DDPMScheduler"))


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
@pytest.mark.parametrize("karras", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_solver_with_fresh_noise_is_ddim_with_the_middle_estimate(solvers, second, karras):
    """All states of DPM++ 2M SDE, and those of first order, each of our steps from their state and with their noise."""
    options = {"algorithm_type": "sde-dpmsolver++", "solver_order": 1 + second, "use_karras_sigmas": karras}
    solver = diffusers.DPMSolverMultistepScheduler(**options, **LINEAR)
    solver.set_timesteps(20)
    told, x, memory = (solver.timesteps + 1).tolist(), solvers["z"], None
    own = schedule_from_levels(solver.sigmas.double().flip(0))
    a, b = own.alpha_bar.sqrt(), own.one_minus_alpha_bar.sqrt()
    for i, told_time in enumerate(told):
        t, s = 20 - i, 19 - i
        answer = solvers["ask"](x, told_time)
        image = middle = (x - b[t] * answer) / a[t]
        h = (a[s] / b[s]).log() - (a[t] / b[t]).log()
        if second and memory and s:
            middle = image + h / (2 * memory[1]) * (image - memory[0])
        memory = image, h
        fresh = torch.randn(x.shape, generator=torch.Generator().manual_seed(i))
        due = ddim_step(own, x, t, s, (x - a[t] * middle) / b[t], fresh, eta=1, clip=False)
        x = solver.step(answer, told_time - 1, x, variance_noise=fresh).prev_sample
        assert (x - due).abs().max() < 1e-4 * due.abs().max(), (t, s)


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
def test_unipc_is_2m_after_a_correction(solvers):
    """Its states are those of 2M without the corrector, which is on by default, asks no further and changes them."""
    gaps = {}
    for off in (20, 0):
        solver = diffusers.UniPCMultistepScheduler(disable_corrector=list(range(off)), **LINEAR)
        solver.set_timesteps(20)
        times = [*(solver.timesteps + 1).tolist(), 0]
        a, b = SCHEDULE.alpha_bar.sqrt()[times], SCHEDULE.one_minus_alpha_bar.sqrt()[times]

        def estimate(x, i, a=a, b=b, times=times):
            return (x - b[i] * solvers["ask"](x.float(), times[i])) / a[i]

        theirs, ours = (
            list(read_solver(solvers, solver, solvers["z"])),
            solvers["solve_2m"](estimate, a, b, solvers["z"]),
        )
        gaps[off] = [float((p - q).abs().max() / q.abs().max()) for p, q in zip(theirs, ours, strict=True)]
    assert inspect.signature(diffusers.UniPCMultistepScheduler).parameters["disable_corrector"].default == []
    assert max(gaps[20]) < 1e-4
    assert gaps[0][0] < 1e-4
    assert gaps[0][1] > 1e-3


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
@pytest.mark.parametrize("n", [1, 4, 8, 50])
def test_lcm_noises_its_estimate_again(solvers, n):
    """The estimate's factor is 1, and the state's 0, to within 0.00001 at the times of use, and not at time 0."""
    solver = diffusers.LCMScheduler(**LINEAR)
    solver.set_timesteps(n)
    for k in solver.timesteps:
        state, image = solver.get_scalings_for_boundary_condition_discrete(k)
        assert 0 < state < 1e-5
        assert 0 <= 1 - image < 4e-6
    assert solver.get_scalings_for_boundary_condition_discrete(0) == (1, 0)
    assert "to within 0.00001; at time 0" in read_cell("solvers-notes")
    times, x = [*(solver.timesteps + 1).tolist(), 0], solvers["z"]
    for i, (t, s) in enumerate(zip(times[:-1], times[1:], strict=True)):
        answer = solvers["ask"](x, t)
        fresh = torch.randn(x.shape, generator=torch.Generator().manual_seed(i))
        image = predict_x_0(SCHEDULE, x, t, answer)
        due = q_sample(SCHEDULE, image, s, fresh) if s else image
        x = solver.step(answer, t - 1, x, generator=torch.Generator().manual_seed(i)).prev_sample
        assert (x - due).abs().max() < 1e-4 * due.abs().max(), (t, s)


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
def test_step_with_a_memory_is_said_to_need_its_walk(solvers):
    solver = diffusers.DPMSolverMultistepScheduler(**LINEAR)

    def begin(x, k, to, answer):
        solver.set_timesteps(20)
        return solver.step(answer, k, x).prev_sample

    times = (solver.set_timesteps(20), solver.timesteps + 1)[1].tolist()
    pairs = [(times[i], times[i + 1]) for i in (4, 10, 16)]
    first = lines(table=solver.alphas_cumprod, step=begin, pairs=pairs)
    assert first[1].endswith("answer z, not clipped, step to s, eta = 0 (DDIM)")

    def remember(x, k, to, answer):
        solver.set_timesteps(20)
        i = times.index(k + 1)
        solver.step(torch.ones_like(x), times[i - 1] - 1, x)
        return solver.step(answer, k, x).prev_sample

    (*_, said) = lines(table=solver.alphas_cumprod, step=remember, pairs=pairs)
    assert said.startswith("7. step: different: ")
    assert "a step that uses earlier answers too cannot be compared by one step" in said

    def go_on(x, k, to, answer):
        return solver.step(answer, k, x).prev_sample

    solver.set_timesteps(20)
    with pytest.raises(ValueError, match="a step with memory is compared by its walk"):
        lines(table=solver.alphas_cumprod, step=go_on, pairs=pairs)
