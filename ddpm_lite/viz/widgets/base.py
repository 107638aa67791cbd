"""The base of all widgets: a live widget if there is a kernel, and an HTML twin if there is none.

In Jupyter a widget is an anywidget, whose traits are shared by Python and the page. The built book shows its HTML twin,
which is a still figure together with the state, from which host.js starts the same module. nbval compares the twin, so
all values are rounded before they enter the state: images to bytes, noise to int16, tables to float32.
"""

import json
from base64 import b64encode
from functools import lru_cache
from html import escape
from pathlib import Path

import anywidget
import numpy as np
import torch
import traitlets
from torch import Tensor

from ddpm_lite._check import check_images, describe, fail
from ddpm_lite.files.pixels import to_bytes
from ddpm_lite.process import q_sample
from ddpm_lite.schedule import Schedule
from ddpm_lite.viz.palette import write_css

BUNDLES = Path(__file__).parent.parent / "bundles"  # made by tools/bundle.py from the modules in js/
STYLE = Path(__file__).parent.parent / "js" / "widgets.css"
NOISE_UNIT = 1 / 4096  # the unit of noise as int16, which reaches up to 8 standard deviations


def state(trait: traitlets.TraitType) -> traitlets.TraitType:
    """Mark a trait as shared by Python and the page, and stored in the twin."""
    return trait.tag(sync=True, twin=True)


class Widget(anywidget.AnyWidget):
    """A widget of the book. A subclass defines `name`, `still` and `sentence`, and js/NAME.js is its module.

    A heavy widget has its module in js/live/ and sets `press`, the label of a button. The book's page then shows the
    still figure and that button. When the reader presses it, the page loads the module, waits for its result, and shows
    the widget instead of the figure; it may run at once, because the reader has asked for it. `files` names the scripts
    that are loaded with the module. In Jupyter the widget is shown at once. If `own_button` is set, the page writes the
    button (book/_ext/ddpm_book/guess.py), and one press starts all widgets of this kind.
    """

    name = ""
    press = ""
    own_button = False
    _css = write_css() + STYLE.read_text(encoding="utf8")

    def __init_subclass__(cls, **options):
        """Set the bundle of the class.

        Raises:
            FileNotFoundError: there is no such bundle; the message says how to make it.
        """
        if "name" in vars(cls) and "_esm" not in vars(cls):
            cls._esm = BUNDLES / "jupyter" / f"{cls.name}.js"
            if not cls._esm.is_file():
                source = f"ddpm_lite/viz/js/{'live/' if cls.press else ''}{cls.name}.js"
                advice = f"write {source} and run `python tools/bundle.py`"
                fail(FileNotFoundError, f"{cls.__name__}.name", "the name of a module", repr(cls.name), advice)
        super().__init_subclass__(**options)

    def still(self) -> str:
        """Return the HTML of a figure that makes the widget's point on its own."""
        raise NotImplementedError(f"{type(self).__name__} needs a still figure")

    def sentence(self) -> str:
        """Describe the still figure in words, for readers without JavaScript."""
        raise NotImplementedError(f"{type(self).__name__} needs a sentence")

    def files(self) -> tuple[str, ...]:
        """Name the scripts that a page loads with the module of a heavy widget, without .js."""
        return ()

    def twin(self) -> str:
        """Return the HTML of the widget for a page without a kernel."""
        values = {name: _simplify(getattr(self, name)) for name in sorted(self.traits(twin=True))}
        text = escape(json.dumps(values, separators=(",", ":"), allow_nan=False))
        still = f'<div class="ddpm-widget ddpm-widget-still">{self.still()}<p>{escape(self.sentence())}</p></div>'
        later = " ".join((f"live/{self.name}", *self.files()))
        heavy = f' data-live="{later}"' if self.press else ""
        if heavy and not self.own_button:
            heavy += f' data-press="{escape(self.press)}"'
        return f'<div data-widget="{self.name}"{heavy} data-state="{text}">{still}</div>'

    def __repr__(self) -> str:
        names = sorted(self.traits(twin=True))
        values = {name: getattr(self, name) for name in names}
        short = [f"{k}={v!r}" for k, v in values.items() if isinstance(v, bool | int | float | str)]
        return f"{type(self).__name__}({', '.join(short)})"

    def _repr_mimebundle_(self, **options):
        bundle = super()._repr_mimebundle_(**options)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**(data or {}), "text/plain": repr(self), "text/html": self.twin()}, metadata


def _simplify(value):
    if isinstance(value, bytes):
        return {"bytes": b64encode(value).decode()}
    return list(value) if isinstance(value, tuple) else value


def grey(x: np.ndarray | Tensor) -> np.ndarray:
    """Convert values in [-1, 1] to grey levels 0..255; values outside are clipped."""
    x = torch.from_numpy(np.array(x)) if isinstance(x, np.ndarray) else x
    return to_bytes(x.double()).numpy()


def image_bytes(argument: str, x: Tensor) -> bytes:
    """Encode images (N, C, H, W) in [-1, 1] for the page, with one byte for each value."""
    if not isinstance(x, Tensor):
        fail(TypeError, argument, "a tensor of images (N, C, H, W)", type(x).__name__)
    check_images(argument, x)
    if x.shape[1] not in (1, 3):
        fail(ValueError, argument, "one channel or three", describe(x))
    return grey(x.detach().cpu()).tobytes()


def noise_bytes(z: np.ndarray | Tensor) -> bytes:
    """Encode noise for the page, as int16 in units of 1/4096."""
    return np.rint(np.asarray(z, dtype=np.float64) / NOISE_UNIT).astype("<i2").tobytes()


def read_noise(data: bytes) -> np.ndarray:
    """Decode the noise that the page gets, in float64."""
    return np.frombuffer(data, "<i2") * NOISE_UNIT


def histogram(x: np.ndarray, mean: float, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Compute the edges (40,) and heights (39,) of bars beside the curve of N(mean, spread^2), whose peak is 1.

    They are 0.26 deviations wide, so that no noise that a page gets is on an edge.
    """
    units = 0.26 * (np.arange(40) - 19.5)
    counts = np.histogram((x - mean) / spread, units)[0]
    return mean + units * spread, counts * (2 * np.pi) ** 0.5 / (0.26 * len(x))


def float_bytes(values: np.ndarray | Tensor) -> bytes:
    """Encode a table for the page as float32, which drops the last digits, in which processors differ."""
    return np.asarray(values, dtype=np.float64).astype("<f4").tobytes()


def beta_bytes(argument: str, schedule: Schedule) -> bytes:
    """Encode beta_0..beta_T for the page."""
    if not isinstance(schedule, Schedule):
        fail(TypeError, argument, "a Schedule", type(schedule).__name__, "use linear_schedule()")
    return float_bytes(schedule.beta.cpu())


@lru_cache(maxsize=16)
def read_schedule(data: bytes) -> Schedule:
    """Decode the schedule that the page gets."""
    return Schedule(torch.from_numpy(np.frombuffer(data, "<f4").astype(np.float64)))


def jump(schedule: Schedule, x_0: np.ndarray | float, t: int, z: np.ndarray | float) -> np.ndarray:
    """Compute x_t by `q_sample` (eq-forward-closed) in float64, in the shape of x_0 and z; at t = 0 it is x_0.

    With z = 0 the result is the mean of x_t, and with x_0 = 0 and z = 1 its standard deviation.
    """
    x_0, z = np.broadcast_arrays(np.asarray(x_0, dtype=np.float64), z)
    if t == 0:
        return x_0.copy()
    flat = [torch.from_numpy(np.array(values, dtype=np.float64).ravel()) for values in (x_0, z)]
    return q_sample(schedule, flat[0], t, flat[1]).numpy().reshape(x_0.shape)
