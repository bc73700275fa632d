"""A model whose answers are known: for tests, and to see the error of a sampler alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from ...samplers.level import Level
from ...samplers.problems import Mixture
from ...samplers.protocols import NoiseSchedule
from ...samplers.schedules import ScaledLinear
from ...samplers.settings import setting, settings
from ..embedded.captions import CLASSES, caption
from ..embedded.codec import to_uint8
from ..protocols import Condition
from .precision import torch_dtype
from .prediction import KINDS, Prediction, coefficients


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
    prediction: str = setting("v", choices=KINDS, help="what its network predicts")

    prompts: ClassVar[tuple[str, ...]] = tuple(caption(name) for name in CLASSES)
    """What a sweep without prompts asks for; any other prompt is as good."""

    def load(self, device: str = "cpu", dtype: str = "float32") -> MixtureModel:
        """
        Raises:
            ValueError: for an unknown dtype.
        """
        return MixtureModel(self, device, torch_dtype(dtype, device))


class MixtureNetwork(nn.Module):
    """The closed form behind a network's interface: it answers with the prediction that x0 implies.

    x0 = p * x + q * output, hence output = (x0 - p * x) / q; at sigma = 0, where q = 0, the output has no weight.
    """

    def __init__(self, residual: Mixture, kind: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.residual, self.kind, self.dtype = residual, kind, dtype

    def forward(self, x: Tensor, levels: Sequence[Level], pattern: Tensor) -> Tensor:
        """The prediction for x (B, 3, H, W) at ``levels``, in their scale; in float64, then rounded to the dtype."""
        own = {level: (level.alpha, *coefficients(self.kind, level)) for level in dict.fromkeys(levels)}
        terms = torch.tensor([own[level] for level in levels], dtype=torch.float64, device=x.device)
        alpha, p, q = terms.T.view(3, -1, 1, 1, 1)
        x, pattern = x.double(), pattern.double()
        x0 = pattern + self.residual(x - alpha * pattern, levels)
        output = torch.where(q == 0, 0.0, (x0 - p * x) / q)
        return output if self.dtype == torch.float32 else output.to(self.dtype)


class MixtureModel:
    """The loaded mixture: its identity is that of its settings."""

    def __init__(self, settings: GaussianMixture, device: str, dtype: torch.dtype) -> None:
        self.id = f"gaussian_mixture/{hashlib.sha256(repr(settings).encode()).hexdigest()[:8]}"
        self.settings, self.device = settings, device
        self.schedule, self.prediction = settings.schedule, settings.prediction
        self.shape = (3, settings.size, settings.size)
        self.residual = residual_of(settings)
        self.network = MixtureNetwork(self.residual, self.prediction, dtype)
        self._predict = Prediction(self.prediction, self.schedule)

    def encode(self, prompts: Sequence[str]) -> Condition:
        """{"pattern": float32 (B, 3, H, W)}."""
        rows = [self._pattern(prompt) for prompt in prompts]
        return {"pattern": torch.stack(rows).to(self.device) if rows else torch.zeros(0, *self.shape)}

    def denoise(self, x: Tensor, levels: Sequence[Level], condition: Condition) -> Tensor:
        """E[x0 | x], one level per row."""
        own = [self.schedule.project(level) for level in levels]
        return self._predict.denoise(lambda scaled, _: self.network(scaled, own, condition["pattern"]), x, levels)

    def decode(self, x: Tensor) -> Tensor:
        """[-1, 1] to uint8 (B, 3, H, W) on the CPU."""
        return to_uint8(x).cpu()

    def solution(self, x: Tensor, s: Level, t: Level, condition: Condition) -> Tensor:
        """The exact probability-flow solution at t that starts from x at s, in float64."""
        pattern = condition["pattern"].double()
        return t.alpha * pattern + self.residual.flow(x.double() - s.alpha * pattern, s, t)

    def _pattern(self, prompt: str) -> Tensor:
        """A plane wave with a phase for each colour; zero for ""."""
        if not prompt:
            return torch.zeros(self.shape)
        seed = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "little")
        u = torch.rand(5, generator=torch.Generator().manual_seed(seed)) * 2 * torch.pi
        grid = torch.linspace(0, 2 * torch.pi, self.settings.size)
        wave = grid[:, None] * u[0].sin() + grid[None, :] * u[1].sin()
        return self.settings.contrast * torch.sin(wave + u[2:, None, None])


def residual_of(settings: GaussianMixture) -> Mixture:
    """The mixture of each element's residual: equal weights, means spread evenly over [-spread, spread]."""
    k = settings.components
    means = tuple(settings.spread * (2 * i / (k - 1) - 1) if k > 1 else 0.0 for i in range(k))
    return Mixture((1.0,) * k, means, (settings.std,) * k)
