"""A model whose answers are known: for tests, and to see the error of a sampler alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ...samplers.protocols import NoiseSchedule
from ...samplers.schedules import ScaledLinear
from ...samplers.settings import setting, settings
from ..embedded.captions import CLASSES, caption

if TYPE_CHECKING:
    from .mixture_model import MixtureModel


@settings
class GaussianMixture:
    """Images x0 = pattern(prompt) + r; each element of r is a draw from one mixture of Gaussians in one dimension.

    Every prompt has a smooth pattern of its own, drawn from a hash of its text; "" has none, so guidance has an effect.
    The denoiser and the probability-flow solution are exact: Karras et al. 2022, arXiv:2206.00364, appendix B.3.
    """

    components: int = setting(2, low=1, high=64, help="of the mixture, with means spread evenly; 1 is a Gaussian")
    spread: float = setting(0.35, low=0.0, high=1.0, help="the outermost means are at -spread and +spread")
    std: float = setting(0.15, low=1e-3, high=10.0, help="standard deviation of each component")
    contrast: float = setting(0.5, low=0.0, high=10.0, help="amplitude of a prompt's pattern")
    size: int = setting(32, low=1, high=4096, help="height and width of the images")
    schedule: NoiseSchedule = setting(ScaledLinear(), kind="schedule", help="the forward process it answers for")
    prediction: str = setting("v", choices=("eps", "v", "x0", "flow"), help="what its network predicts")

    prompts: ClassVar[tuple[str, ...]] = tuple(caption(name) for name in CLASSES)
    """What a sweep without prompts asks for; any other prompt is as good."""

    def load(self, device: str = "cpu", dtype: str = "float32") -> MixtureModel:
        """
        Raises:
            ValueError: for an unknown dtype.
        """
        from .mixture_model import MixtureModel
        from .precision import torch_dtype

        return MixtureModel(self, device, torch_dtype(dtype, device))
