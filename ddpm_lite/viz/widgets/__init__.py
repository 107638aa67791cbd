"""Widgets for the chapters: in Jupyter they are live, in the built book they are as live with no kernel.

Every class in a file of this folder that has a `name` is a widget, and can be imported from here.
"""

from importlib import import_module
from pkgutil import iter_modules

from ddpm_lite.viz.widgets.base import Widget


def _find_widgets() -> dict[str, type[Widget]]:
    """The widgets in the files of this folder, by the name of their class."""
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    classes = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return {kind.__name__: kind for kind in classes if issubclass(kind, Widget) and "name" in vars(kind) and kind.name}


globals().update(_find_widgets())
__all__ = sorted(_find_widgets())
