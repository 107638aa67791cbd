"""Widgets for the chapters: in Jupyter they are live, in the built book they are as live with no kernel."""

from ddpm_lite.viz.widgets.forward import ForwardExplorer
from ddpm_lite.viz.widgets.mean import MeanExplorer
from ddpm_lite.viz.widgets.merge import MergeExplorer
from ddpm_lite.viz.widgets.posterior import PosteriorExplorer

__all__ = ["ForwardExplorer", "MeanExplorer", "MergeExplorer", "PosteriorExplorer"]
