"""What metrics of two sets of images share: the space in which these are compared, and what with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from .features import load_extractor, stem
from .observations import find
from .reference import Reference, load_reference

if TYPE_CHECKING:
    from ..protocols import Observations, Observer

FEATURES = "embedded, inception, open_clip:<name or folder>, dinov2:<name or folder>"
REFERENCE = "embedded, embedded-test, a folder or .parquet of images, an .npz of mu and sigma, cleanfid:<name>"
ROWS = "embedded, a folder or .parquet of images, an .npz with features, cleanfid:<name>"


class SetMetric:
    """A metric with ``features`` and a ``reference``; of kernels and neighbours, whose reference has feature rows."""

    features: str
    reference: str
    rows: ClassVar[bool] = False
    """Whether the reference's feature rows are needed, not its moments alone."""

    def observers(self, device: str) -> Sequence[Observer]:
        observer = load_extractor(self.features, device)
        reference = load_reference(self.reference, observer.name, self.features, device)
        if self.rows:
            reference.features()
        return [observer]

    def compared(self, shards: Iterable[Observations]) -> tuple[str, Reference]:
        """The name of the observed features, and what they are compared with."""
        name = find(shards, stem(self.features))
        return name, load_reference(self.reference, name, self.features)
