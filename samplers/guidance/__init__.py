"""Guidance: pure combinations of predictions of x0, by condition and, where they say so, by a changed network."""

from .after import DynamicThreshold as DynamicThreshold
from .after import EpsScaling as EpsScaling
from .apg import APG as APG
from .apg import APGMix as APGMix
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
from .perturbed import PAG as PAG
from .perturbed import SEG as SEG
from .perturbed import SLG as SLG
from .perturbed import TPG as TPG
from .perturbed import Autoguidance as Autoguidance
from .rescaled_cfg import RescaledCFG as RescaledCFG
from .sag import SAG as SAG
from .substituted import NAG as NAG
from .substituted import PLADIS as PLADIS
from .substituted import NegativePrompt as NegativePrompt
from .tcfg import TCFG as TCFG
