"""Widgets for the chapters: in Jupyter they are live, in the built book they are as live with no kernel."""

from ddpm_lite.viz.widgets.merge import MergeExplorer

__all__ = ["MergeExplorer"]
