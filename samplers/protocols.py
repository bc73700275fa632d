"""The contracts between samplers, schedules, spacings, guidance and whoever drives them. No code lives here.

A sampler never calls the model: it is a generator that yields ``(x, level)`` and receives ``(x, x0)``. Its host
evaluates the network, and hands x back because a host may have edited it (inpainting, callbacks).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from .level import Level
from .path import Path
from .perturbation import Branch

if TYPE_CHECKING:
    from torch import Tensor

Run = Generator["tuple[Tensor, Level]", "tuple[Any, ...]", "Tensor"]
"""A sampler at work: yields ``(x, level)``, receives ``(x, x0)`` (and what it ``needs``), returns the last x."""

Predictions = Mapping[Any, "Tensor"]
"""x0 by branch, a name or a ``Perturbed``."""

Further = Generator["tuple[Tensor, Level, tuple[Branch, ...]]", "tuple[Tensor, Predictions]", "Tensor"]
"""A combination with further questions: yields ``(x, level, branches)``, receives ``(x, predictions)``, returns x0."""

Combine = Callable[["Tensor", Level, Predictions], Any]
"""A guidance run: ``(x, level, predictions) -> x0``, or the ``Further`` questions that lead there."""


class Denoiser(Protocol):
    """The model's answer: E[x0 | x at level], same shape and dtype as x; a sequence gives one level per row of x."""

    def __call__(self, x: Tensor, level: Level | Sequence[Level]) -> Tensor: ...


class Noise(Protocol):
    """Unit normal noise (B, *) that belongs to the interval from s to t.

    Requests that overlap have independent noise, so a method with stages asks for the parts of its step in turn.
    """

    def __call__(self, s: Level, t: Level) -> Tensor: ...


class Foreseeing(Noise, Protocol):
    """Noise that makes that of several steps at once, if it is told of them; the same noise."""

    def foresee(self, levels: Sequence[Level]) -> None:
        """Take in the levels of the run that is about to start."""
        ...


class Sampler(Protocol):
    """A numerical method. Frozen settings; each call starts a fresh run.

    One that declares ``upwards = True`` walks a path from its last level to its first: x is an image, and noise is
    returned.
    """

    @property
    def order(self) -> int:
        """Order of convergence: of the trajectory, or for a stochastic method of the distribution (weak order).

        A class attribute, or a property where it depends on the settings; so is ``evaluations``.
        """
        ...

    @property
    def evaluations(self) -> int | None:
        """Model evaluations a step; a first step from alpha = 0 and a last step to sigma = 0 take one.

        None says that error control decides, by settings ``rtol`` and ``atol``: then the steps are not the path's, a
        run is of one image (x of one row), and a batch is as many runs.

        A method whose first step from alpha = 0 takes more declares it as ``evaluations_from_noise``, and one whose
        first steps between finite levels take more or fewer the difference, all together, as ``start_evaluations``.
        """
        ...

    @property
    def stochastic(self) -> bool:
        """Whether a run may ask for noise."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """Predictions wanted beside x0, of branches such as ``("uncond",)``; the host sends them after x0.

        ``"variance"`` is none of x0: for each pixel, where between beta-tilde and beta its variance lies, from 0 to 1.
        """
        ...

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run: ...


class NoiseSchedule(Protocol):
    """The forward process a model was trained on: time t in [0, 1], 0 clean, to levels; noise grows with t."""

    @property
    def timesteps(self) -> int:
        """Size of the training grid: t = i / timesteps, i = 1 ... timesteps, are the levels the network has seen."""
        ...

    def level(self, t: float) -> Level: ...

    def time(self, level: Level) -> float:
        """The t whose level has the same sigma/alpha, the inverse of ``level`` up to scale."""
        ...

    def project(self, level: Level) -> Level:
        """The level of this process, in its own scale, with the same sigma/alpha."""
        ...


class Spacing(Protocol):
    """How steps are spread over a schedule: steps + 1 levels, noisy to clean."""

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]: ...


class Guidance(Protocol):
    """A combination of predictions of x0, such as those of the branches ``cond`` and ``uncond``.

    A branch is a condition's name, or a ``Perturbed``: a prediction of the network with something inside it changed.
    """

    def branches(self, level: Level) -> tuple[Any, ...]:
        """The predictions needed at this level; each costs one network evaluation."""
        ...

    def start(self) -> Combine:
        """A fresh combiner for one run, so that history never leaks from one run into the next."""
        ...
