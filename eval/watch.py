"""How far others have come with a run, at the price of a glance: names of new files, of folders that have changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .cells import Planned
from .making import Progress
from .store import Shard, Store


class Watch:
    """Tells a progress function about shards that appear or change after it was made.

    Shards are published whole, so their names are enough; whether all are intact is for the end to say.
    """

    def __init__(self, store: Store, cells: Sequence[Planned], images: int) -> None:
        self.store, self.cells, self.images = store, cells, images
        self.changed: dict[str, int] = {}
        self.known: dict[Path, int] = {}
        self._new()

    def look(self, progress: Progress, *, closely: bool = False) -> None:
        """Report what is new since the last look; closely, also in folders whose last change is as it was.

        Two files of one tick of the file system's clock leave a folder with one time of change.
        """
        for planned, shard in self._new(closely):
            if shard.start < self.images:
                progress(min(shard.stop, self.images) - shard.start, planned.cell)

    def _new(self, closely: bool = False) -> list[tuple[Planned, Shard]]:
        found = []
        for planned in self.cells:
            folder = self.store.folder(planned.cell)
            changed = folder.stat().st_mtime_ns if folder.exists() else 0
            if closely or self.changed.get(planned.cell.key) != changed:
                self.changed[planned.cell.key] = changed
                found += [(planned, shard) for shard in self.store.shards(planned.cell) if self._is_new(shard)]
        return found

    def _is_new(self, shard: Shard) -> bool:
        try:
            changed = shard.path.stat().st_mtime_ns
        except FileNotFoundError:  # replaced meanwhile by shards of other bounds
            return False
        earlier, self.known[shard.path] = self.known.get(shard.path), changed
        return earlier != changed
