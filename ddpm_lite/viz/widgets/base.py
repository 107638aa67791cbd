"""What all widgets share: a live widget where there is a kernel, and a twin in HTML where there is none.

In Jupyter a widget is an anywidget: its traits are in Python and in the page at once. In the built book its HTML
twin is shown: a still figure, and the state from which host.js starts the same module. nbval compares the twin, so what
goes into the state is rounded first: images to bytes, noise to int16, tables to float32.
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

BUNDLES = Path(__file__).parent.parent / "bundles"  # what tools/bundle.py makes of the modules in js/
STYLE = Path(__file__).parent.parent / "js" / "widgets.css"
NOISE_UNIT = 1 / 4096  # noise travels as int16 in this unit: up to 8 standard deviations


def state(trait: traitlets.TraitType) -> traitlets.TraitType:
    """A trait that Python and the page share, and that the twin carries."""
    return trait.tag(sync=True, twin=True)


class Widget(anywidget.AnyWidget):
    """A widget of the book. A class of its own says `name`, `still` and `sentence`; js/NAME.js is its module.

    A heavy one has its module in js/live/ and says `press`, the words on a button. The book's page then holds the still
    figure and that button, and loads the module when it is pressed: it waits for what the module returns, hides the
    figure, and puts the widget there, which may move at once, as the reader has asked for it. `files` names what is
    loaded beside it. In Jupyter the widget stands at once.
    """

    name = ""
    press = ""
    _css = STYLE

    def __init_subclass__(cls, **options):
        """Give the class the bundle of its module.

        Raises:
            FileNotFoundError: there is no such bundle; one line says how to make it.
        """
        if "name" in vars(cls) and "_esm" not in vars(cls):
            cls._esm = BUNDLES / "jupyter" / f"{cls.name}.js"
            if not cls._esm.is_file():
                source = f"ddpm_lite/viz/js/{'live/' if cls.press else ''}{cls.name}.js"
                advice = f"write {source} and run `python tools/bundle.py`"
                fail(FileNotFoundError, f"{cls.__name__}.name", "the name of a module", repr(cls.name), advice)
        super().__init_subclass__(**options)

    def still(self) -> str:
        """HTML of a figure that makes the widget's point without moving."""
        raise NotImplementedError(f"{type(self).__name__} needs a still figure")

    def sentence(self) -> str:
        """What the still figure shows, in words; readers without JavaScript read it."""
        raise NotImplementedError(f"{type(self).__name__} needs a sentence")

    def files(self) -> tuple[str, ...]:
        """Scripts that a page loads beside the module of a heavy widget, without .js."""
        return ()

    def twin(self) -> str:
        """The widget for a page without a kernel."""
        values = {name: _plain(getattr(self, name)) for name in sorted(self.traits(twin=True))}
        text = escape(json.dumps(values, separators=(",", ":"), allow_nan=False))
        still = f'<div class="ddpm-widget ddpm-widget-still">{self.still()}<p>{escape(self.sentence())}</p></div>'
        later = " ".join((f"live/{self.name}", *self.files()))
        heavy = f' data-live="{later}" data-press="{escape(self.press)}"' if self.press else ""
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


def _plain(value):
    if isinstance(value, bytes):
        return {"bytes": b64encode(value).decode()}
    return list(value) if isinstance(value, tuple) else value


def grey(x: np.ndarray | Tensor) -> np.ndarray:
    """Values in [-1, 1] as grey levels 0..255; what lies outside is cut off, as a screen does it."""
    x = torch.from_numpy(np.array(x)) if isinstance(x, np.ndarray) else x
    return to_bytes(x.double()).numpy()


def image_bytes(argument: str, x: Tensor) -> bytes:
    """Images (N, C, H, W) in [-1, 1] as they travel: one byte a value."""
    if not isinstance(x, Tensor):
        fail(TypeError, argument, "a tensor of images (N, C, H, W)", type(x).__name__)
    check_images(argument, x)
    if x.shape[1] not in (1, 3):
        fail(ValueError, argument, "one channel or three", describe(x))
    return grey(x.detach().cpu()).tobytes()


def noise_bytes(z: np.ndarray | Tensor) -> bytes:
    """Noise as it travels: int16 in units of 1/4096."""
    return np.rint(np.asarray(z, dtype=np.float64) / NOISE_UNIT).astype("<i2").tobytes()


def read_noise(data: bytes) -> np.ndarray:
    """The noise that the page sees, float64."""
    return np.frombuffer(data, "<i2") * NOISE_UNIT


def float_bytes(values: np.ndarray | Tensor) -> bytes:
    """A table as it travels: float32, in which the last digits that processors differ in are gone."""
    return np.asarray(values, dtype=np.float64).astype("<f4").tobytes()


def beta_bytes(argument: str, schedule: Schedule) -> bytes:
    """beta_0..beta_T as they travel."""
    if not isinstance(schedule, Schedule):
        fail(TypeError, argument, "a Schedule", type(schedule).__name__, "linear_schedule() makes one")
    return float_bytes(schedule.beta.cpu())


@lru_cache(maxsize=16)
def read_schedule(data: bytes) -> Schedule:
    """The schedule that the page sees, from the table of beta that travels to it."""
    return Schedule(torch.from_numpy(np.frombuffer(data, "<f4").astype(np.float64)))


def jump(schedule: Schedule, x_0: np.ndarray | float, t: int, z: np.ndarray | float) -> np.ndarray:
    """x_t by `q_sample` (eq-forward-closed), float64, of the shape of x_0 and z; also at t = 0, where it is x_0.

    With z = 0 it is the mean of x_t, and with x_0 = 0 and z = 1 its standard deviation.
    """
    x_0, z = np.broadcast_arrays(np.asarray(x_0, dtype=np.float64), z)
    if t == 0:
        return x_0.copy()
    flat = [torch.from_numpy(np.array(values, dtype=np.float64).ravel()) for values in (x_0, z)]
    return q_sample(schedule, flat[0], t, flat[1]).numpy().reshape(x_0.shape)
