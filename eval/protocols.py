"""The contracts of the harness: models, what is observed of their images, and the metrics made of observations.

    Backend --load--> Model --engine--> images --Observer--> observations (on disk, per image) --Metric--> Value

Observations are arrays with one row per image, kept in the run's store. Metrics read only them, so that numbers can be
recomputed, extended and compared image by image without generating anything again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from ..samplers.level import Level
from ..samplers.path import Path
from ..samplers.perturbation import Change
from ..samplers.protocols import NoiseSchedule

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from .cells import Cell

Condition = Mapping[str, "Tensor"]
"""What a network is conditioned on: named tensors with one row per image; empty for an unconditional model."""

AGAINST = "against."
"""What names begin with in the condition of a second text, that a change of the network leads away from."""

SEEDS = "seeds"
"""The name, in a condition, of the images' seeds: int64 (B,), for a change of the network that draws noise."""

Observations = Mapping[str, "np.ndarray"]
"""Arrays of one shard by observation name, (n, ...) each, rows in order of image index."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """Image i of a sweep: its prompt and noise depend on (sweep, i) alone and are shared by all cells."""

    index: int
    seed: int
    prompt: str
    turn: int = 0
    """How many images of this prompt come before it."""


class Model(Protocol):
    """A loaded model, ready to denoise."""

    id: str
    """Identity with a content hash, such as "embedded/v-3f2a91bc": the same id means the same weights."""
    schedule: NoiseSchedule
    """The forward process it was trained on."""
    prediction: str
    """"eps", "v", "x0" or "flow"; an eps prediction cannot start at alpha = 0."""
    shape: tuple[int, ...]
    """Of one x, without the batch dimension."""
    network: nn.Module
    """One call with B rows is B evaluations; they are counted by a forward hook."""

    def encode(self, prompts: Sequence[str]) -> Condition:
        """Conditions of these prompts, rows in their order; "" is the unconditional one."""
        ...

    def denoise(self, x: Tensor, levels: Sequence[Level], condition: Condition) -> Tensor:
        """E[x0 | x], one level per row, in any scale: x is rescaled to the network's own."""
        ...

    def decode(self, x: Tensor) -> Tensor:
        """Clean x (B, *shape) to images, uint8 (B, 3, H, W) on the device of x, without waiting for it."""
        ...


class Perturbable(Model, Protocol):
    """A model that can also answer with its network changed; without this, such guidance is refused."""

    def perturbed(self, change: Change) -> Model:
        """This model with the change in its network, or the weaker model that the change names.

        Raises:
            ValueError: if it cannot be changed so, with the reason; before any work.
        """
        ...


@runtime_checkable
class Drawing(Protocol):
    """A model that draws whole images from a cell's settings, such as a server; it is asked for no predictions."""

    def check(self, cell: Any) -> None:
        """
        Raises:
            ValueError: for a cell that it cannot draw, with the reason.
        """
        ...

    def draw(self, cell: Any, samples: Sequence[Sample]) -> Tensor:
        """Their images as ``decode`` takes them, on any device."""
        ...


@runtime_checkable
class Counting(Drawing, Protocol):
    """One that knows what a cell takes; of others it is what the sampler and the guidance declare."""

    def evaluations(self, cell: Cell) -> int:
        """Of networks, for one image."""
        ...


@runtime_checkable
class Given(Drawing, Protocol):
    """Images that are there already. Nothing is known of how they were made, so there is one cell of them."""

    def check_images(self, samples: Sequence[Sample]) -> None:
        """
        Raises:
            ValueError: if one of these has no image, naming it.
        """
        ...


@runtime_checkable
class Distilled(Protocol):
    """A model that may be made for some settings only, and says so of others."""

    def beyond(self, cell: Cell) -> str:
        """What the cell asks that the model was not made for, and the remedy; "" if nothing."""
        ...


@runtime_checkable
class Partial(Protocol):
    """A model that walks a part of every path, such as a stage of several."""

    def part(self, path: Path) -> Path:
        """The levels that it walks."""
        ...


@runtime_checkable
class Starting(Protocol):
    """A model whose walks may start from more than noise, such as a noised image; of others, from noise alone."""

    strength: float
    """Part of the steps that is walked, int(steps * strength) of them: the last ones."""

    def begin(self, noise: Tensor, level: Level) -> Tensor:
        """The first x (B, *shape) of a walk from this level, of unit noise."""
        ...


class Backend(Protocol):
    """Settings that name a model (a frozen dataclass); loading is the only expensive thing."""

    def load(self, device: str, dtype: str) -> Model:
        """
        Raises:
            FileNotFoundError, ValueError: the model is missing or of an unknown kind, naming it and the remedy.
        """
        ...


class Observer(Protocol):
    """A network or formula that looks at images once, for all metrics that need it."""

    name: str
    """The observation it makes, with a content hash where weights matter: "features/cifarnet-3f2a91bc"."""

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor | np.ndarray:
        """uint8 (B, 3, H, W) on the device and their prompts to (B, ...), the same whatever the batch size.

        A tensor stays on the device: sampling goes on meanwhile, and a shard's answers come to the host at once. Who
        computes on the host, with ``images.cpu()``, answers an array, and waits for the device at every batch.
        """
        ...


class StateObserver(Protocol):
    """An observer of the clean x itself, beside the solution of another cell from the same noise."""

    name: str

    def reference(self, cell: Cell) -> Cell | None:
        """The cell whose clean x is the solution; None if this one has none."""
        ...

    def __call__(self, x: Tensor, solution: np.ndarray | None) -> Tensor | np.ndarray:
        """Clean x (B, *shape) on the device and solutions of that shape on the host to (B, ...)."""
        ...


class Value(NamedTuple):
    """A number with its uncertainty."""

    value: float
    se: float
    """Standard error over images (for the same prompts and model); nan where there is no honest one."""
    n: int
    influence: np.ndarray
    """float32 (n,): what each image adds, mean 0; se = sd / sqrt(n), and paired differences come from it."""
    card: dict[str, Any]
    """Everything the number depends on: ids, hashes, settings."""


class Metric(Protocol):
    """Settings of a metric (a frozen dataclass)."""

    higher_is_better: ClassVar[bool | None]
    """None for a description, such as brightness."""
    minimum: ClassVar[int]
    """Fewest images that give a number."""

    def observers(self, device: str) -> Sequence[Observer | StateObserver]:
        """What must be observed, loaded; called once a sweep, before work starts."""
        ...

    def evaluate(self, shards: Iterable[Observations]) -> Value:
        """The number over all shards, in order. ``shards`` may be iterated again and is read from disk anew."""
        ...
