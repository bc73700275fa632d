"""Samplers, noise schedules, step spacings and guidance: mathematics on torch and the standard library alone.

Importing this package does not import torch; ``run`` and ``noise`` do.
"""

from .adams import DEIS as DEIS
from .adams import IPNDM as IPNDM
from .adams import LMS as LMS
from .ancestral import DDIM as DDIM
from .ancestral import DDPM as DDPM
from .ancestral import EulerAncestral as EulerAncestral
from .ancestral_second_order import DPM2Ancestral as DPM2Ancestral
from .ancestral_second_order import DPMpp2SAncestral as DPMpp2SAncestral
from .ancestral_second_order import RESMultistepAncestral as RESMultistepAncestral
from .bridge import ancestral_std as ancestral_std
from .bridge import bridge as bridge
from .cfg_pp import CFGpp as CFGpp
from .churn import Churn as Churn
from .dpm_solver import DPM2 as DPM2
from .dpm_solver import DPMpp2S as DPMpp2S
from .dpm_solver import DPMpp3S as DPMpp3S
from .dpm_solver import DPMSolver3 as DPMSolver3
from .er_sde import ERSDE as ERSDE
from .euler import Euler as Euler
from .euler_maruyama import EulerMaruyama as EulerMaruyama
from .exponential_adams import RES2M as RES2M
from .exponential_adams import RES3M as RES3M
from .exponential_adams import ABNorsett4M as ABNorsett4M
from .exponential_adams import DPMpp3M as DPMpp3M
from .exponential_runge_kutta import RES2S as RES2S
from .exponential_runge_kutta import ExponentialRungeKutta as ExponentialRungeKutta
from .few_step import LCM as LCM
from .few_step import TCD as TCD
from .few_step import Consistency as Consistency
from .gradient_estimation import GradientEstimation as GradientEstimation
from .heun import Heun as Heun
from .langevin import PredictorCorrector as PredictorCorrector
from .level import Level as Level
from .level import between as between
from .multistep import DPMpp2M as DPMpp2M
from .path import Path as Path
from .restart import Restart as Restart
from .runge_kutta import RungeKutta as RungeKutta
from .sa_solver import SASolver as SASolver
from .sde import DPMpp2MSDE as DPMpp2MSDE
from .sde_multistep import DPMpp3MSDE as DPMpp3MSDE
from .sde_single_step import DPMppSDE as DPMppSDE
from .sde_single_step import Seeds2 as Seeds2
from .sde_single_step import Seeds3 as Seeds3
from .settings import setting as setting
from .settings import settings as settings
from .unipc import UniPC as UniPC
