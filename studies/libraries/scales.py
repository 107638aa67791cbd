"""The scale of guidance that each library uses if none is given, and our w for it; what a scale of 1 does in one."""

import ast
from importlib.util import find_spec
from pathlib import Path

import torch

from libraries.row import SEED, import_peer

# Library, package, file, function, the name of its scale, and what has to be subtracted from it to get our w.
SCALES = (
    ("diffusers", "diffusers", "guiders/classifier_free_guidance.py", "ClassifierFreeGuidance.__init__", 1),
    (
        "diffusers",
        "diffusers",
        "pipelines/stable_diffusion/pipeline_stable_diffusion.py",
        "StableDiffusionPipeline.__call__",
        1,
    ),
    (
        "diffusers",
        "diffusers",
        "pipelines/stable_diffusion_xl/pipeline_stable_diffusion_xl.py",
        "StableDiffusionXLPipeline.__call__",
        1,
    ),
    ("diffusers", "diffusers", "pipelines/dit/pipeline_dit.py", "DiTPipeline.__call__", 1),
    (
        "denoising-diffusion-pytorch",
        "denoising_diffusion_pytorch",
        "classifier_free_guidance.py",
        "GaussianDiffusion.sample",
        1,
    ),
    (
        "denoising-diffusion-pytorch",
        "denoising_diffusion_pytorch",
        "classifier_free_guidance.py",
        "Unet.forward_with_cond_scale",
        1,
    ),
    ("smalldiffusion", "smalldiffusion", "diffusion.py", "samples", 0),
    ("azula", "azula", "guidance/cfg.py", "CFGDenoiser.forward", 0),
)
NAMES = {"guidance_scale", "cond_scale", "cfg_scale", "guidance"}


def find_default(package: str, file: str, function: str, names=frozenset(NAMES)):
    """The one of these arguments that a function has, and its default; the file is read and not run."""
    body = ast.parse((Path(find_spec(package).origin).parent / file).read_text(encoding="utf8")).body
    for part in function.split("."):
        (node,) = (n for n in body if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == part)
        body = node.body
    arguments = node.args.args[len(node.args.args) - len(node.args.defaults) :]
    pairs = [
        *zip(arguments, node.args.defaults, strict=True),
        *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True),
    ]
    (found,) = ((argument.arg, ast.literal_eval(value)) for argument, value in pairs if argument.arg in names)
    return found


def list_scales(libraries) -> list[dict]:
    """For each function of these libraries: the name of its scale, the default, and our w."""
    made = []
    for library, package, file, function, offset in SCALES:
        if library in libraries:
            option, default = find_default(package, file, function)
            made.append(
                {"library": library, "place": f"{file}: {function}", "option": option, "default": float(default)}
            )
            made[-1]["w"] = default - offset
    return made


def try_scale_of_one() -> list[dict]:
    """What the guided class of denoising-diffusion-pytorch does with a scale of exactly 1, for one to three images."""
    module, made = import_peer("denoising_diffusion_pytorch.classifier_free_guidance"), []
    torch.manual_seed(SEED)
    net = module.Unet(dim=8, dim_mults=(1, 2), channels=1, num_classes=3).eval()
    diffusion = module.GaussianDiffusion(net, image_size=8, timesteps=4)
    for count in (1, 2, 3):
        x, t, labels = torch.randn(count, 1, 8, 8), torch.ones(count, dtype=torch.int64), torch.arange(count)
        with torch.no_grad():
            right = net(x, t, labels, cond_drop_prob=0.0)
            try:
                used = diffusion.model_predictions(x, t, labels, cond_scale=1.0).pred_noise.expand_as(right)
            except ValueError:
                made.append({"images": count, "outcome": "ValueError"})
                continue
        of_first = [torch.allclose(estimate, right[0], atol=1e-5) for estimate in used]
        made.append(
            {"images": count, "outcome": "runs, each with the estimate of image 1" if all(of_first) else "runs"}
        )
    return made
