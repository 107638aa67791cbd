"""Widgets for the chapters: in Jupyter they are live, in the built book they are as live with no kernel.

Every class in a file of this folder that has a `name` is a widget; each is imported here.
"""

from ddpm_lite.viz.widgets.attention import AttentionViewer
from ddpm_lite.viz.widgets.cloud import Cloud
from ddpm_lite.viz.widgets.draw_digit import DrawDigit
from ddpm_lite.viz.widgets.fewer_steps import FewerSteps
from ddpm_lite.viz.widgets.forward import ForwardExplorer
from ddpm_lite.viz.widgets.guidance import GuidanceDial
from ddpm_lite.viz.widgets.guidance_rows import GuidanceRows
from ddpm_lite.viz.widgets.learner import Learner
from ddpm_lite.viz.widgets.mean import MeanExplorer
from ddpm_lite.viz.widgets.merge import MergeExplorer
from ddpm_lite.viz.widgets.posterior import PosteriorExplorer
from ddpm_lite.viz.widgets.reverse import ReversePath

__all__ = [
    "AttentionViewer",
    "Cloud",
    "DrawDigit",
    "FewerSteps",
    "ForwardExplorer",
    "GuidanceDial",
    "GuidanceRows",
    "Learner",
    "MeanExplorer",
    "MergeExplorer",
    "PosteriorExplorer",
    "ReversePath",
]
