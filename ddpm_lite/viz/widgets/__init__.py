"""Widgets for the chapters, which work in Jupyter and, without a kernel, on the built pages.

Every class in this folder that has a `name` is a widget. `tools/bundle.py` writes the imports of all of them below.
"""

from ddpm_lite.viz.widgets.answer_reader import AnswerReader
from ddpm_lite.viz.widgets.attention import AttentionViewer
from ddpm_lite.viz.widgets.balls import PrecisionBalls
from ddpm_lite.viz.widgets.cloud import Cloud
from ddpm_lite.viz.widgets.cost import CostCalculator
from ddpm_lite.viz.widgets.detective import BugDetective
from ddpm_lite.viz.widgets.draw_clothes import DrawClothes
from ddpm_lite.viz.widgets.draw_digit import DrawDigit
from ddpm_lite.viz.widgets.fewer_steps import FewerSteps
from ddpm_lite.viz.widgets.flow_paths import FlowPaths
from ddpm_lite.viz.widgets.forward import ForwardExplorer
from ddpm_lite.viz.widgets.guess import DrawGuess
from ddpm_lite.viz.widgets.guidance import GuidanceDial
from ddpm_lite.viz.widgets.guidance_cloud import GuidanceCloud
from ddpm_lite.viz.widgets.guidance_rows import GuidanceRows
from ddpm_lite.viz.widgets.label_attention import LabelAttention
from ddpm_lite.viz.widgets.learner import Learner
from ddpm_lite.viz.widgets.mean import MeanExplorer
from ddpm_lite.viz.widgets.mean_slope import MeanSlope
from ddpm_lite.viz.widgets.merge import MergeExplorer
from ddpm_lite.viz.widgets.noise_sum import NoiseSum
from ddpm_lite.viz.widgets.path import PathStepper
from ddpm_lite.viz.widgets.posterior import PosteriorExplorer
from ddpm_lite.viz.widgets.receptive_field import ReceptiveField
from ddpm_lite.viz.widgets.reverse import ReversePath
from ddpm_lite.viz.widgets.teach_your_own import TeachYourOwn
from ddpm_lite.viz.widgets.time_weights import TimeWeights
from ddpm_lite.viz.widgets.two_humps import TwoHumps
from ddpm_lite.viz.widgets.watch_learn import WatchLearn

__all__ = [
    "AnswerReader",
    "AttentionViewer",
    "BugDetective",
    "Cloud",
    "CostCalculator",
    "DrawClothes",
    "DrawDigit",
    "DrawGuess",
    "FewerSteps",
    "FlowPaths",
    "ForwardExplorer",
    "GuidanceCloud",
    "GuidanceDial",
    "GuidanceRows",
    "LabelAttention",
    "Learner",
    "MeanExplorer",
    "MeanSlope",
    "MergeExplorer",
    "NoiseSum",
    "PathStepper",
    "PosteriorExplorer",
    "PrecisionBalls",
    "ReceptiveField",
    "ReversePath",
    "TeachYourOwn",
    "TimeWeights",
    "TwoHumps",
    "WatchLearn",
]
