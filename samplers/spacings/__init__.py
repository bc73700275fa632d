"""Step spacings: steps + 1 levels of a schedule, noisy to clean."""

from .sigma import Exponential as Exponential
from .sigma import Karras as Karras
from .time import Leading as Leading
from .time import Linspace as Linspace
from .time import Trailing as Trailing
