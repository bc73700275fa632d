"""The closed-form mixture as a loaded model: exact predictions, exact solutions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ...plugins.prediction import Prediction, coefficients
from ...samplers.level import Level
from ...samplers.moved import moved
from ...samplers.perturbation import Change, IndependentCondition, NoisyCondition, WeakModel
from ...samplers.problems import Mixture
from ..embedded.codec import to_uint8
from ..protocols import Condition, Model
from .otherwise import otherwise
from .weak import weak_model

if TYPE_CHECKING:
    from .mixture import GaussianMixture


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
        terms = moved(torch.tensor([own[level] for level in levels], dtype=torch.float64), x.device)
        alpha, p, q = terms.T.view(3, -1, 1, 1, 1)
        x, pattern = x.double(), pattern.double()
        x0 = pattern + self.residual(x - alpha * pattern, levels)
        output = torch.where(q == 0, 0.0, (x0 - p * x) / q)
        return output if self.dtype == torch.float32 else output.to(self.dtype)


class MixtureModel:
    """The loaded mixture: its identity is that of its settings."""

    def __init__(self, settings: GaussianMixture, device: str, dtype: torch.dtype) -> None:
        self.id = f"gaussian_mixture/{hashlib.sha256(repr(settings).encode()).hexdigest()[:8]}"
        self.settings, self.device, self.dtype = settings, device, dtype
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
        """[-1, 1] to uint8 (B, 3, H, W)."""
        return to_uint8(x)

    def perturbed(self, change: Change) -> Model:
        """The weaker model that the change names, or this one with another condition.

        Raises:
            ValueError: for any other change: a formula has no layers.
        """
        if isinstance(change, WeakModel):
            return weak_model(self, change)
        if isinstance(change, (NoisyCondition, IndependentCondition)):
            return otherwise(self, change)
        raise ValueError(f"{self.id} is a formula without layers, which {change} changes")

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
