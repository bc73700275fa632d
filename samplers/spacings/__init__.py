"""Step spacings: steps + 1 levels of a schedule, noisy to clean."""

from .ays import AYS as AYS
from .beta import Beta as Beta
from .crash import Crash as Crash
from .flow import LTXV as LTXV
from .flow import Flux2 as Flux2
from .flow import LinearQuadratic as LinearQuadratic
from .iddpm import IDDPM as IDDPM
from .kl_optimal import KLOptimal as KLOptimal
from .laplace import Laplace as Laplace
from .sigma import VP as VP
from .sigma import Exponential as Exponential
from .sigma import Karras as Karras
from .sigma import KarrasExponential as KarrasExponential
from .sigma import PolyExponential as PolyExponential
from .tabulated import Tabulated as Tabulated
from .tangent import BongTangent as BongTangent
from .time import DDIMUniform as DDIMUniform
from .time import Leading as Leading
from .time import Linspace as Linspace
from .time import SDTurbo as SDTurbo
from .time import SGMUniform as SGMUniform
from .time import Simple as Simple
from .time import Trailing as Trailing
