"""What pipelines may ask of a scheduler and this package's cannot serve, said by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...samplers.protocols import Sampler
    from .guider import StepGuider

VARIANCE = "variance"
"""What samplers may need of the network that is no prediction of x0."""
KEEP = "it belongs to a scheduler of the pipeline's own: keep that one there"


def check_needs(sampler: Sampler, text: str, guider: StepGuider | None) -> None:
    """
    Raises:
        ValueError: if the sampler needs a prediction that the pipeline does not give.
    """
    branches = tuple(name for name in sampler.needs if name != VARIANCE)
    if branches and not (guider and guider.needs == branches):
        raise ValueError(
            f"{text} needs the {' and '.join(sampler.needs)} prediction beside the guided"
            " one, and pipelines give the guided one alone: use the sampler inside it, or a modular pipeline with"
            " guider=sigmabench.guider(...) given to both"
        )


def check_keywords(method: str, given: Mapping[str, Any]) -> None:
    """
    Raises:
        ValueError: for keywords of other schedulers that ask for something; ``eta=0.0`` does not.
    """
    asked = {name: value for name, value in given.items() if _asks(value)}
    if "eta" in asked:
        raise ValueError(f"{method}(eta={asked['eta']}): eta is a setting of samplers here, such as ddim(eta=0.5)")
    if asked:
        raise ValueError(f"{method}({', '.join(asked)}=...) is not served; {KEEP}")


def _asks(value: Any) -> bool:
    return bool(value) if isinstance(value, (bool, int, float)) else value is not None
