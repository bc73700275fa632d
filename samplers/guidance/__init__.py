"""Guidance: pure combinations of named predictions of x0."""

from .cfg import CFG as CFG
from .rescaled_cfg import RescaledCFG as RescaledCFG
