"""Problems whose answers are known in closed form: what a sampler should return, to machine precision.

Every element of an image is an independent draw from one mixture of Gaussians in one dimension,

    p(x0) = sum_k w_k N(x0; m_k, v_k),    p(x at level) = sum_k w_k N(x; alpha m_k, alpha^2 v_k + sigma^2).

The denoiser, the marginal moments and the probability-flow solution follow without approximation.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from .level import Level
from .settings import settings


@settings
class Mixture:
    """A mixture of Gaussians in one dimension; one component makes it a Gaussian. Calling it is the exact denoiser.

        E[x0 | x] = sum_k r_k (m_k + alpha v_k / (alpha^2 v_k + sigma^2) (x - alpha m_k)),    r_k = p(k | x)

    Tweedie's formula for a mixture; Karras et al. 2022, arXiv:2206.00364, appendix B.3 has it for v_k = 0. Evaluated in
    float64 whatever the dtype of x, at alpha = 0 and sigma = 0 too.

    Args:
        weights: of the components, positive; they are normalised.
        means: m_k.
        stds: sqrt(v_k), positive.
    """

    weights: tuple[float, ...] = (1.0,)
    means: tuple[float, ...] = (0.0,)
    stds: tuple[float, ...] = (1.0,)

    def __call__(self, x: Tensor, level: Level | Sequence[Level]) -> Tensor:
        centres, estimate, gain, bias, steepness = _posterior(self, level, x.device, x.ndim)
        away = x.double().unsqueeze(-1) - centres
        estimates = torch.addcmul(estimate, gain, away)
        if len(self.means) == 1:
            return estimates.squeeze(-1).to(x.dtype)
        responsibility = torch.softmax(torch.addcmul(bias, steepness, away * away), -1)
        return torch.linalg.vecdot(responsibility, estimates).to(x.dtype)

    @property
    def mean(self) -> float:
        """E[x0]."""
        return sum(w * m for w, m in zip(self.weights, self.means, strict=True)) / sum(self.weights)

    @property
    def variance(self) -> float:
        """Var[x0]."""
        parts = zip(self.weights, self.means, self.stds, strict=True)
        return sum(w * (s * s + (m - self.mean) ** 2) for w, m, s in parts) / sum(self.weights)

    def moments(self, level: Level) -> tuple[float, float]:
        """Mean and variance of x at a level: alpha E[x0] and alpha^2 Var[x0] + sigma^2."""
        return level.alpha * self.mean, level.alpha**2 * self.variance + level.sigma**2

    def flow(self, x: Tensor, s: Level, t: Level) -> Tensor:
        """The probability-flow solution that starts from x at s, at t; in either direction, in float64.

        In one dimension the flow keeps order and marginals, so it is the map between quantiles: F_t(x_t) = F_s(x_s).
        One component: x_t = alpha_t m + sqrt(variance_t / variance_s) (x_s - alpha_s m). Several: bisection on the
        logarithm of the smaller tail; the error is about 1e-16 / density, so overlapping components are a good choice.
        Song et al. 2020, arXiv:2011.13456, section 4.3 (the flow has the marginals of the diffusion).
        """
        x = x.double()
        _, m, v = self._components(x)
        std_s, std_t = ((level.alpha**2 * v + level.sigma**2).sqrt() for level in (s, t))
        z = (x.unsqueeze(-1) - s.alpha * m) / std_s
        low = (t.alpha * m + std_t * z.amin(-1, keepdim=True)).amin(-1)
        high = (t.alpha * m + std_t * z.amax(-1, keepdim=True)).amax(-1)
        side = torch.where(self._log_tail(z, 1.0) < self._log_tail(z, -1.0), 1.0, -1.0)
        target = self._log_tail(z, side)
        for _ in range(80 if len(self.means) > 1 else 0):
            middle = (low + high) / 2
            tail = self._log_tail((middle.unsqueeze(-1) - t.alpha * m) / std_t, side)
            below = (tail - target) * side < 0
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2

    def _log_tail(self, z: Tensor, side: Tensor | float) -> Tensor:
        """log P(X <= x) for side 1, log P(X >= x) for side -1, from x standardised for each component."""
        side = torch.as_tensor(side, dtype=z.dtype).unsqueeze(-1)
        w, _, _ = self._components(z)
        return torch.logsumexp(w.log() + torch.special.log_ndtr(z * side), -1)

    def _components(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Weights, means and variances, (K,) each."""
        return _on_device(self, x.device)


@functools.cache
def _on_device(mixture: Mixture, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    w, m, s = torch.tensor((mixture.weights, mixture.means, mixture.stds), dtype=torch.float64, device=device)
    return w / w.sum(), m, s * s


def _posterior(mixture: Mixture, level: Level | Sequence[Level], device: torch.device, ndim: int) -> tuple[Tensor, ...]:
    """alpha m, m, alpha v / variance, log w - log(variance) / 2 and -1 / (2 variance), to broadcast against (*x, K)."""
    if isinstance(level, Level):
        return _posterior_at(mixture, level, device)
    alpha, sigma = torch.tensor(level, dtype=torch.float64, device=device).T.reshape(2, -1, *[1] * ndim)
    return _posterior_of(mixture, alpha, sigma, device)


@functools.lru_cache(maxsize=4096)
def _posterior_at(mixture: Mixture, level: Level, device: torch.device) -> tuple[Tensor, ...]:
    return _posterior_of(mixture, *level, device)


def _posterior_of(
    mixture: Mixture, alpha: Tensor | float, sigma: Tensor | float, device: torch.device
) -> tuple[Tensor, ...]:
    w, m, v = _on_device(mixture, device)
    variance = alpha**2 * v + sigma**2
    return alpha * m, m, alpha * v / variance, w.log() - variance.log() / 2, -1 / (2 * variance)


GAUSSIAN = Mixture(means=(0.6,), stds=(0.5,))
"""The problem on which every linear sampler is linear, so that its mean and variance can be computed exactly."""

BIMODAL = Mixture(weights=(0.4, 0.6), means=(-0.8, 0.7), stds=(0.35, 0.5))
"""Two overlapping modes, neither alike: a denoiser that is far from linear, with no symmetry to hide an error."""
