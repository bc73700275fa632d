"""The predictions that a cell needs: of which condition, and by which network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from ..samplers.level import Level, variance_preserving
from ..samplers.path import Path
from ..samplers.perturbation import Branch, Perturbed, SeededChange, Windows
from ..samplers.protocols import Guidance
from .protocols import AGAINST, SEEDS, Condition, Model

PROBES = 200
STEEPEST = 3.0
"""How far above a path's finite levels a sampler may ask: churn and restarts go up, the first step comes down."""

UNCONDITIONAL = ""
NAMED = "="
"""Between the name of a further condition and its text."""

Texts = Mapping[str, Sequence[str]]
"""One text per image, by the name of a condition."""


def texts_of(prompts: Sequence[str], negative: str, further: Iterable[str]) -> Texts:
    """One text of every condition for each image: cond, uncond, negative if there is one, and those with a name."""
    named = [text.partition(NAMED) for text in further]
    same = {"uncond": UNCONDITIONAL, **({"negative": negative} if negative else {}), **{n: t for n, _, t in named}}
    return {"cond": prompts, **{name: [text] * len(prompts) for name, text in same.items()}}


def named(texts: Mapping[str, str]) -> list[str]:
    """Texts of further conditions as cells keep them: name=text."""
    return [f"{name}{NAMED}{text}" for name, text in texts.items()]


def needed(guidance: Guidance, path: Path) -> list[Branch]:
    """All branches of the guidance along the path, each once: at its levels and, for methods with stages, between."""
    levels = [*(s for s, _ in path), *_between(path)]
    return list(dict.fromkeys(branch for level in levels for branch in guidance.branches(level)))


def _between(path: Path) -> list[Level]:
    sigmas = [s.ve_sigma for s, _ in path if s.alpha]
    if not sigmas:
        return []
    low, high = min(sigmas), STEEPEST * max(sigmas)
    return [variance_preserving(low * (high / low) ** (k / PROBES)) for k in range(PROBES + 1)]


def answering(model: Model, branch: Branch) -> Model:
    """Who predicts this branch: the model, or the model with its network changed.

    Raises:
        ValueError: if the model cannot be changed so.
    """
    if not isinstance(branch, Perturbed):
        return model
    if not hasattr(model, "perturbed"):
        raise ValueError(f"{model.id} has no layers that can be changed, and {branch} needs some")
    return model.perturbed(branch.change)


def condition(model: Model, branch: Branch, texts: Texts, seeds: Sequence[int]) -> Condition:
    """What the network that answers this branch is conditioned on."""
    who = answering(model, branch)
    if not isinstance(branch, Perturbed):
        return who.encode(texts[branch])
    own = who.encode(texts[branch.base])
    if isinstance(branch.change, SeededChange):
        own = {**own, SEEDS: torch.tensor(seeds)}
    if not branch.against:
        return own
    return {**own, **{AGAINST + name: rows for name, rows in who.encode(texts[branch.against]).items()}}


def cost(branches: Iterable[Branch]) -> int:
    """Evaluations of the network for each image."""
    changes = [branch.change if isinstance(branch, Perturbed) else None for branch in branches]
    return sum(change.evaluations if isinstance(change, Windows) else 1 for change in changes)


def networks(model: Model, branches: Iterable[Branch]) -> list[nn.Module]:
    """Every network whose calls these branches cost, each once."""
    found = [model.network, *(answering(model, branch).network for branch in branches)]
    return list({id(network): network for network in found}.values())
