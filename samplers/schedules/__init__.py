"""Forward processes: time in [0, 1] to noise levels, and back."""

from .beta import Cosine as Cosine
from .beta import Linear as Linear
from .beta import ScaledLinear as ScaledLinear
from .flow import Flow as Flow
from .zero_terminal_snr import ZeroTerminalSNR as ZeroTerminalSNR
