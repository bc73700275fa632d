"""Images that others made, as sets to compare with: a folder of files, or a parquet table with a column of files."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
COLUMNS = ("image", "img", "images", "picture", "jpg", "png", "bytes")
"""Names of a table's column of files, in any case; the first of them that is there counts."""
BATCH = 256  # rows of a table read at a time


class Pictures(Protocol):
    """Images in an order of their own."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[np.ndarray]:
        """uint8 (H, W, 3) of each.

        Raises:
            ValueError: for one that cannot be read, naming it.
        """
        ...

    def digests(self) -> Iterator[bytes]:
        """What tells these images from others, without reading them as images."""
        ...

    def encodings(self) -> Counter[str]:
        """How many of each kind of file there are."""
        ...


class Folder:
    """All image files below a folder, in the order of their paths."""

    def __init__(self, path: Path) -> None:
        self.files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        if len(self.files) < 2:
            suffixes = ", ".join(SUFFIXES)
            raise ValueError(
                f"reference folder {path} has {len(self.files)} images ({suffixes}); at least 2 are needed"
            )

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (pixels(file, str(file)) for file in self.files)

    def digests(self) -> Iterator[bytes]:
        return (hashlib.sha256(file.read_bytes()).digest() for file in self.files)

    def encodings(self) -> Counter[str]:
        return Counter(file.suffix.lower().lstrip(".") for file in self.files)


class Table:
    """A parquet table's column of image files, in the order of its rows; bytes, or a structure that has ``bytes``."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path = path
        try:
            schema, self.count = pq.read_schema(path), pq.read_metadata(path).num_rows
        except (OSError, pa.ArrowInvalid) as error:
            raise ValueError(f"reference {path} is no readable parquet table: {error}") from error
        names = {name.lower(): name for name in reversed(schema.names)}
        self.column = next((names[name] for name in COLUMNS if name in names), "")
        if not self.column or self.count < 2:
            raise ValueError(
                f"reference {path} has {self.count} rows with the columns {', '.join(schema.names)}; it must have two "
                f"or more, and a column {', '.join(COLUMNS)} with the bytes of image files"
            )

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[np.ndarray]:
        return (pixels(io.BytesIO(data), f"{self.path} row {i}") for i, data in enumerate(self._data(), 1))

    def digests(self) -> Iterator[bytes]:
        return (hashlib.sha256(data).digest() for data in self._data())

    def encodings(self) -> Counter[str]:
        from PIL import Image

        return Counter((Image.open(io.BytesIO(data)).format or "unknown").lower() for data in self._data())

    def _data(self) -> Iterator[bytes]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path) as file:
            batches = file.iter_batches(BATCH, columns=[self.column])
            cells = (cell for batch in batches for cell in batch.column(0).to_pylist())
            for i, cell in enumerate(cells, 1):
                data = cell.get("bytes") if isinstance(cell, dict) else cell
                if not isinstance(data, bytes):
                    raise ValueError(f"reference {self.path} row {i}: {self.column!r} has not the bytes of a file")
                yield data


def pixels(file: Any, name: str) -> np.ndarray:
    """uint8 (H, W, 3) of an image file, by path or open."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(file) as image:
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"reference image {name} cannot be read ({error}); repair or remove it") from error
