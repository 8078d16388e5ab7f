"""Pictures of a run."""

from bp_lab.plots.run import draw_run

__all__ = ["draw_run"]
