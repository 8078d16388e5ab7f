"""Training runs: settings, engines, checkpoints, results."""

from bp_lab.runs.config import Config
from bp_lab.runs.run import train

__all__ = ["Config", "train"]
