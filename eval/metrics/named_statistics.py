"""Statistics that clean-fid publishes, by name: what its ``dataset_name``, ``dataset_split`` and ``dataset_res`` name.

    cleanfid:cifar10/train/32       cifar10_clean_train_32.npz has mu and sigma, ..._kid.npz rows for kernel distances
    cleanfid:mine/custom            mine_clean_custom_na.npz, as cleanfid.fid.make_custom_stats writes it

They are of clean-fid's Inception in its mode "clean", so they go with ``fid`` and features of ``inception``. Looked for
in <cache>/cleanfid and in the folder in which clean-fid keeps its own; fetched only with SIGMABENCH_DOWNLOAD=1, from
the address that clean-fid has. Parmar, Zhang, Zhu 2022, arXiv:2104.11222.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from ..cache import cache_folder, published

PREFIX = "cleanfid:"
ADDRESS = "https://www.cs.cmu.edu/~clean-fid/stats/"
NAME = re.compile(r"(?P<name>[\w.-]+)/(?:(?P<custom>custom)|(?P<split>\w+)/(?P<side>\d+))")


def named_statistics(source: str, observation: str, *, rows: bool = False) -> Path:
    """The file of a name: of moments, or of feature rows.

    Raises:
        ValueError: for a malformed name, or for features of another network.
        FileNotFoundError, OSError: if it is nowhere, naming the places and the address.
    """
    match = NAME.fullmatch(source.removeprefix(PREFIX))
    if match is None:
        raise ValueError(
            f"reference {source!r}: must be {PREFIX}<name>/<split>/<resolution> such as 'cleanfid:cifar10/train/32' or "
            "'cleanfid:ffhq/trainval70k/256', or cleanfid:<name>/custom"
        )
    if not observation.startswith("features/inception-"):
        raise ValueError(
            f"reference {source!r} is of clean-fid's Inception, the images are observed as {observation!r}"
        )
    end = "custom_na" if match["custom"] else f"{match['split']}_{match['side']}"
    file = f"{match['name']}_clean_{end}{'_kid' if rows else ''}.npz".lower()
    places = [cache_folder() / "cleanfid" / file, *(folder / file for folder in _of_cleanfid())]
    return published(ADDRESS + file, f"clean-fid's {file}", places, "name a folder of images or an .npz file")


def _of_cleanfid() -> list[Path]:
    """Where clean-fid keeps what it has fetched or made, if it is installed; it is not imported."""
    spec = importlib.util.find_spec("cleanfid")
    return [Path(folder, "stats") for folder in (spec.submodule_search_locations or [])] if spec else []
