"""Samplers, noise schedules, step spacings and guidance: mathematics on torch and the standard library alone.

Importing this package does not import torch; ``run`` and ``noise`` do.
"""

from .ancestral import DDIM as DDIM
from .ancestral import DDPM as DDPM
from .ancestral import EulerAncestral as EulerAncestral
from .bridge import ancestral_std as ancestral_std
from .bridge import bridge as bridge
from .euler import Euler as Euler
from .heun import Heun as Heun
from .level import Level as Level
from .level import between as between
from .multistep import DPMpp2M as DPMpp2M
from .path import Path as Path
from .sde import DPMpp2MSDE as DPMpp2MSDE
from .settings import setting as setting
from .settings import settings as settings
