"""Forward processes: time in [0, 1] to noise levels, and back."""

from .alpha_bar import VPSDE as VPSDE
from .alpha_bar import Exp as Exp
from .alpha_bar import Laplace as Laplace
from .alpha_bar import TrigFlow as TrigFlow
from .beta import Cosine as Cosine
from .beta import Linear as Linear
from .beta import ScaledLinear as ScaledLinear
from .flow import Decay as Decay
from .flow import Flow as Flow
from .flow import FluxFlow as FluxFlow
from .scale import CosmosRFlow as CosmosRFlow
from .scale import EDMDiscrete as EDMDiscrete
from .shift import SNRShift as SNRShift
from .shifted_cosine import InterpolatedShiftedCosine as InterpolatedShiftedCosine
from .sigmoid import Sigmoid as Sigmoid
from .sigmoid import SigmoidBetas as SigmoidBetas
from .trained import TrainedBetas as TrainedBetas
from .trained import TrainedSigmas as TrainedSigmas
from .ve import EDM as EDM
from .ve import VE as VE
from .zero_terminal_snr import ZeroTerminalSNR as ZeroTerminalSNR
