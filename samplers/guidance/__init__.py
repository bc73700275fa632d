"""Guidance: pure combinations of named predictions of x0."""

from .after import DynamicThreshold as DynamicThreshold
from .after import EpsScaling as EpsScaling
from .apg import APG as APG
from .branches import DualCFG as DualCFG
from .branches import PerpNeg as PerpNeg
from .cfg import CFG as CFG
from .cfg_zero_star import CFGZeroStar as CFGZeroStar
from .dynamic_cfg import DynamicCFG as DynamicCFG
from .frequency import FDG as FDG
from .frequency import FreSca as FreSca
from .interval import Interval as Interval
from .magnitude import CFGNorm as CFGNorm
from .magnitude import MagnitudeAware as MagnitudeAware
from .mahiro import Mahiro as Mahiro
from .rescaled_cfg import RescaledCFG as RescaledCFG
from .tcfg import TCFG as TCFG
