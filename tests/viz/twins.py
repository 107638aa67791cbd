"""A program: makes the widgets of the chapters and prints what their twins are, and how it was run."""

import json
from hashlib import sha256
from pathlib import Path

import ipywidgets
import numpy as np
import torch

from ddpm_lite import linear_schedule
from ddpm_lite.files.records import read_pictures
from ddpm_lite.viz import widgets

RECORDS = Path(__file__).resolve().parents[2] / "book" / "results" / "widgets"


def recorded(kind, name, **options):
    return kind.from_record(RECORDS / f"{name}.safetensors", **options)


def made():
    """Every kind of widget: some in several states, the rest as their defaults make them."""
    kinds = set()
    for widget in chosen():
        kinds.add(type(widget).__name__)
        yield widget
    for kind in sorted(set(widgets.__all__) - kinds):
        try:
            yield getattr(widgets, kind)()
        except TypeError as error:
            raise TypeError(f"tests/viz/twins.py: make a {kind} in `chosen`: it has no defaults ({error})") from error


def chosen():
    """As the chapters make them; a curve, a walk, a picture of every kind."""
    clothes = read_pictures(RECORDS / "clothes.safetensors")["images"]
    yield widgets.ForwardExplorer({"pullover": clothes[2:3], "sneaker": clothes[7:8]}, image_number=1)
    yield widgets.MergeExplorer()
    yield widgets.PosteriorExplorer(t=2, wrong_index=True)
    yield widgets.Cloud()
    yield widgets.Cloud(t=1000, direction="back", arrows=True)
    for name in ("self-attention", "cross-attention"):
        yield recorded(widgets.AttentionViewer, name, frame=2, row=4, column=5)
    for name in ("reverse-path", "clothes-path"):
        yield recorded(widgets.ReversePath, name, frame=8)
    for name in ("guidance-dial", "clothes-guidance"):
        yield recorded(widgets.GuidanceDial, name)
    yield recorded(widgets.Learner, "learner")
    yield recorded(widgets.DrawDigit, "draw-a-digit")
    yield recorded(widgets.DrawClothes, "draw-clothes")
    yield recorded(widgets.DrawClothes, "draw-clothes-between", view="between", label=9)
    yield recorded(widgets.GuidanceRows, "guidance-rows")
    yield recorded(widgets.FewerSteps, "fewer-steps")
    yield recorded(widgets.WatchLearn, "watch-it-learn")
    yield recorded(widgets.TeachYourOwn, "teach-your-own")
    snr = linear_schedule().snr[1:]
    words = {"xlabel": "t", "ylabel": "SNR", "limits": (1e-5, 1e5), "log": True, "across": "log"}
    yield widgets.DrawGuess("snr", "How fast does it fall?", range(1, 1001), snr, at=(1, 10, 100, 1000), **words)


def observed():
    """What an observer sees of a trait, and a linked widget of Jupyter's."""
    widget, slider, seen = widgets.MergeExplorer(t=300), ipywidgets.IntSlider(max=1000), []
    widget.observe(lambda change: seen.append(change["new"]), "t")
    ipywidgets.link((widget, "t"), (slider, "value"))
    widget.t = 400
    seen.append(slider.value)
    slider.value = 500
    return [*seen, widget.t]


def main():
    found = []
    for widget in made():
        data, _ = widget._repr_mimebundle_()
        text = data["text/html"]
        found.append([repr(widget), sorted(data), sha256(text.encode()).hexdigest()])
    about = {
        "ipywidgets": ipywidgets.__version__,
        "torch": torch.backends.cpu.get_cpu_capability(),
        "numpy": np.show_config(mode="dicts")["SIMD Extensions"].get("found", []),
        "threads": torch.get_num_threads(),
        "observed": observed(),
    }
    print(json.dumps({"about": about, "twins": found}))


if __name__ == "__main__":
    main()
