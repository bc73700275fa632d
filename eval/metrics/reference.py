"""What images are compared with: statistics that come with the package, sets of images, or files of statistics.

    "embedded"                     the 50,000 training images of the embedded models, in the embedded network's features
    "embedded-test"                the 10,000 images they were not trained on; moments only
    "/path/to/folder"              images, looked at once and cached by their content
    "/path/images.parquet"         likewise, from a table with a column of image files
    "/path/stats.npz"              ``mu`` (d,) and ``sigma`` (d, d) as clean-fid and others write them, ``features`` or
                                   ``feats`` (n, d), or both
    "/path/stats.safetensors"      ``mean``, ``cov`` and perhaps ``features``, as this package writes them
    "cleanfid:cifar10/train/32"    statistics that clean-fid publishes

Files of this package are safetensors with float64 moments, perhaps ``features`` of some evenly spaced images, and
metadata with the extractor's name and the number of images.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ..cache import cache_folder
from .image_statistics import image_statistics
from .named_statistics import PREFIX
from .pictures import Folder, Table
from .reference_files import SHIPPED, Reference, embedded, named, npz, own, statistics

__all__ = ["Reference", "load_reference"]


@lru_cache(maxsize=4)
def load_reference(
    source: str, observation: str, features: str, device: str = "cpu", cache: Path | None = None
) -> Reference:
    """The reference that goes with an observation such as "features/cifarnet-3f2a91bc/bicubic-aa".

    A folder is read once per process, and passed through the extractor once per machine.

    Raises:
        FileNotFoundError: for a missing file or folder.
        ValueError: for statistics of other features, unreadable or too few images; names them and the remedy.
    """
    if source in SHIPPED:
        return embedded(source, observation)
    if source.startswith(PREFIX):
        return named(source, observation)
    path = Path(source).expanduser()
    if path.is_dir() or (path.suffix == ".parquet" and path.is_file()):
        pictures = Folder(path) if path.is_dir() else Table(path)
        made = image_statistics(pictures, observation, features, device, cache or cache_folder())
        return statistics(made, "folder" if path.is_dir() else "parquet")
    if path.is_file() and path.suffix == ".npz":
        return npz(path, observation)
    if path.is_file() and path.suffix == ".safetensors":
        return own(path, observation, path.stem)
    problem = "is no such file" if path.exists() else "does not exist"
    legal = ", ".join(map(repr, SHIPPED))
    raise FileNotFoundError(
        f"reference {source!r} {problem}: must be {legal}, a folder of images, a .parquet of images, an .npz or "
        ".safetensors file of statistics, or a name of clean-fid's such as 'cleanfid:cifar10/train/32'"
    )
