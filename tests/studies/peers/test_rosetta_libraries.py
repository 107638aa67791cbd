"""What the appendix says of denoising-diffusion-pytorch, smalldiffusion and azula, in the libraries themselves."""

import dataclasses
import inspect
import re
import sys
from pathlib import Path
from unittest.mock import Mock, patch

import pytest
import rosetta
import torch
from libraries.row import (
    STEP_TIME,
    STEPS,
    Network,
    T,
    compute_step,
    draw,
    import_peer,
)
from rosetta_pages import RECORD, ROOT

from ddpm_lite import (
    linear_schedule,
)
from ddpm_lite.process import predict_x_0


@pytest.mark.parametrize("library", rosetta.WRAPPED)
def test_code_around_our_network_is_printed_as_it_is_run(library):
    """The chapter prints the file that the rows import, from its first import to its end."""
    code = RECORD["wrappers"][library]
    package = rosetta.LIBRARIES[library]
    path = ROOT / "studies" / "libraries" / f"wrap_{package}.py"
    _, body = path.read_text(encoding="utf8").split('"""\n\n', 1)
    assert code == body, "python studies/rosetta.py --record"
    assert max(map(len, code.splitlines())) <= 72
    assert library == "denoising-diffusion-pytorch" or re.search(rf"^from {package}\b", code, re.M)


def test_lucid_takes_our_network_in_the_printed_class_only():
    """A walk and a loss, with what the set-up of the step prints; a function has not what the class asks for."""
    step = STEPS["denoising-diffusion-pytorch"]
    code = RECORD["wrappers"]["denoising-diffusion-pytorch"]
    names = {}
    exec(code, names)
    x_t, z_hat, _ = draw()
    asked = []

    def net(x, t):
        asked.extend(t.tolist())
        return x

    given = {"x_t": x_t, "z_hat": z_hat, "t": STEP_TIME, "torch": torch}
    given["shifted_net"] = names["ShiftedNet"](net, 1)
    import_peer("denoising_diffusion_pytorch")
    exec(step.setup, given)
    diffusion = given["diffusion"]
    diffusion.p_sample(x_t, STEP_TIME - 1)
    assert set(asked) == {STEP_TIME}
    assert diffusion(torch.rand(2, 1, 4, 4)).ndim == 0
    with pytest.raises(AttributeError, match="channels"):
        exec(step.setup, given | {"shifted_net": lambda x, k: net(x, k + 1)})


def test_guidance_of_smalldiffusion_wants_a_network_with_an_embedding_of_labels():
    model = import_peer("smalldiffusion.model")
    from libraries.wrap_smalldiffusion import TimeOfLevel

    x, sigma, c = torch.randn(3, 2), torch.tensor(1.0), torch.zeros(3, dtype=torch.int64)
    with pytest.raises(AttributeError, match="cond_embed"):
        TimeOfLevel(Network(), (2,)).predict_eps_cfg(x, sigma, c, 2.0)
    assert model.ConditionalMLP().predict_eps_cfg(x, sigma, c, 2.0).shape == x.shape
    for name in ("unet.Unet", "dit.DiT"):
        module, made = name.split(".")
        parameters = inspect.signature(getattr(import_peer(f"smalldiffusion.model_{module}"), made)).parameters
        assert "cond_embed" in parameters


def test_guided_class_adds_its_offset_noise_in_q_sample():
    module = import_peer("denoising_diffusion_pytorch.classifier_free_guidance")
    given, zeros = torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    net = module.Unet(dim=8, num_classes=2, dim_mults=(1,), channels=1)
    module.GaussianDiffusion(net, image_size=4, offset_noise_strength=0.1).q_sample(zeros, torch.tensor([5, 5]), given)
    assert given.abs().max() > 0


def test_offset_noise_is_added_to_the_noise_that_was_given():
    step = STEPS["denoising-diffusion-pytorch"]
    setup = step.setup.replace("image_size=4", "image_size=4, offset_noise_strength=0.1")
    setup += "before = z.clone()\ndiffusion(x_0, times=k, noise=z)\n"
    ((z, before),) = compute_step(dataclasses.replace(step, setup=setup, lines=(("z", "before", ""),)))
    assert rosetta.off(z, before) > 0.01


def test_classes_of_flows_of_smalldiffusion_are_those_of_the_text():
    """The state of their loss at the weight `sigma` of the noise, its level, and the answer without an error."""
    model = import_peer("smalldiffusion.model")
    flows = import_peer("smalldiffusion.diffusion")
    x_0, z, _ = draw()

    class Answer(torch.nn.Module, model.ModelMixin):
        def __init__(self):
            super().__init__()
            self.asked = []

        def forward(self, x, sigma, cond=None):
            self.asked.append(x)
            return z - x_0

    net, sigma = model.PredFlow(Answer)(), torch.tensor(0.3)
    assert net.get_loss(x_0, sigma, z) == 0
    (state,) = net.asked
    assert torch.allclose(state, (1 - sigma) * x_0 + sigma * z)
    assert torch.allclose(state / (1 - sigma), x_0 + sigma / (1 - sigma) * z, atol=1e-6)
    for schedule in (flows.ScheduleFlow(), flows.ScheduleLogNormalFlow()):
        assert 0 < schedule.sigmas.min() < schedule.sigmas.max() == 1
        assert schedule.sample_batch(x_0).max() <= 1


def import_plugin(name):
    """A plugin of azula, without what it downloads with."""
    with patch.dict(sys.modules, {"gdown": Mock()}):
        return import_peer(f"azula.plugins.{name}")


def test_plugin_of_azula_clips_the_mean_if_asked():
    from libraries.wrap_azula import Weights

    class Answer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x, k, y=None):
            return x

    adm, schedule, t = import_plugin("adm"), linear_schedule(), torch.arange(1, T + 1)
    denoiser = adm.AblatedDenoiser(Answer(), Weights()).eval()
    x_t = 2 * torch.ones(T, 1, 1, 1)
    mean = denoiser(x_t, t / T).mean
    assert rosetta.off(mean, predict_x_0(schedule, x_t, t, x_t)) < 1e-5
    clipped = adm.AblatedDenoiser(Answer(), Weights(), clip_mean=True)
    assert clipped.eval()(x_t, t / T).mean.abs().max() == 1
    assert clipped.train()(x_t, t / T).mean.abs().max() > 1
    assert inspect.signature(adm.make_model).parameters["clip_mean"].default is True
    assert inspect.signature(adm.AblatedDenoiser).parameters["clip_mean"].default is False


def test_other_plugin_of_azula_takes_a_network_of_z():
    """Read in the source, because the module wants packages that are not installed everywhere."""
    folder = Path(rosetta.find_spec("azula").origin).parent / "plugins"
    text = (folder / "sd" / "__init__.py").read_text(encoding="utf8")
    assert 'prediction: str = "epsilon"' in text
    assert "torch.searchsorted(self.sigmas" in text
    users = [path.parent.name for path in folder.glob("*/__init__.py") if "clip_mean" in path.read_text("utf8")]
    assert users == ["adm"]


def test_schedules_of_azula_end_with_a_little_noise():
    noise = import_peer("azula.noise")
    for name in ("VPSchedule", "VESchedule", "CosineSchedule", "RectifiedSchedule", "DecaySchedule"):
        _, sigma = getattr(noise, name)()(torch.zeros(1))
        assert sigma.item() == pytest.approx(0.001, rel=1e-3), name


def test_guided_network_of_lucid_drops_labels_in_eval_mode():
    module = import_peer("denoising_diffusion_pytorch.classifier_free_guidance")
    torch.manual_seed(0)
    net = module.Unet(dim=8, num_classes=2, dim_mults=(1,), channels=1).eval()
    x, k, c = torch.randn(8, 1, 8, 8), torch.full((8,), 10), torch.ones(8, dtype=torch.int64)
    with torch.no_grad():
        one, two = net(x, k, c), net(x, k, c)
        same = [net(x, k, c, cond_drop_prob=0.0) for _ in range(2)]
    assert not torch.equal(one, two)
    assert torch.equal(*same)
