"""Do the embedded metrics measure what they say? Known damage in, numbers out, beside a network that took no part.

    python -m sigmabench.eval.validity --data train.parquet --test test.parquet --out reports/validity

The embedded Frechet distance should rise with noise, blur, JPEG and class imbalance; the held-out judge, a classifier
that shares nothing with the feature network, gives a second opinion by the same distance between its logits. The
embedded CLIP score should tell right captions from wrong ones. Writes validity.json and validity.svg.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from .embedded.data import Images, read_images
from .embedded.features import load_feature_net
from .embedded.imagetext import load_imagetext
from .embedded.judge import load_judge
from .metrics.fd_infinity import infinity
from .metrics.frechet import frechet
from .metrics.gaussian import Moments
from .metrics.reference import Reference, load_reference
from .protocols import Value
from .validity_captions import captions, observed
from .validity_damage import DAMAGES, Pixels

SIZES = (100, 250, 500, 1000, 2500, 5000, 10_000)
SHARES = (0.19, 0.28, 0.46, 0.64, 0.82, 1.0)
"""Of the images that are of one class instead of a tenth."""


class Spaces:
    """Distances of images to the training images, in the embedded features and in the judge's logits."""

    def __init__(self, train: Images) -> None:
        net, judge = load_feature_net(), load_judge()
        self.networks = {"embedded": net, "judge": judge}
        names = {"embedded": f"features/{net.name}/bicubic-aa", "judge": f"features/judge-{judge.hash}/none"}
        moments = Moments([observed(judge, train.pixels)])
        held_out = Reference("judge", moments.mean, moments.cov, moments.n, path=Path())
        self.references = {"embedded": load_reference("embedded", names["embedded"], "embedded"), "judge": held_out}
        self.names = names

    def rows(self, pixels: Pixels) -> dict[str, np.ndarray]:
        return {space: observed(network, pixels) for space, network in self.networks.items()}

    def distance(self, space: str, rows: np.ndarray) -> Value:
        return frechet([{self.names[space]: rows}], self.names[space], self.references[space])


def damaged(spaces: Spaces, pixels: Pixels) -> dict[str, Any]:
    """Distances along each damage, level 0 first."""
    clean, study = spaces.rows(pixels), {}
    for name, (damage, levels) in DAMAGES.items():
        seen = [clean, *(spaces.rows(damage(pixels, level)) for level in levels)]
        study[name] = curve(spaces, [0.0, *levels], seen)
    return study


def imbalanced(spaces: Spaces, rows: dict[str, np.ndarray], labels: np.ndarray, n: int) -> dict[str, Any]:
    """Distances of n images of which more and more are of the first class."""
    seen, levels = [], [0.1, *SHARES]
    own, others = np.flatnonzero(labels == 0), np.flatnonzero(labels != 0)
    for share in levels:
        kept = np.concatenate([own[: round(share * n)], others[: n - round(share * n)]])
        seen.append({space: values[kept] for space, values in rows.items()})
    return curve(spaces, levels, seen)


def curve(spaces: Spaces, levels: list[float], seen: list[dict[str, np.ndarray]]) -> dict[str, Any]:
    """Distances and standard errors in each space, and whether they rise all along."""
    found: dict[str, Any] = {"levels": levels}
    for space in spaces.networks:
        values = [spaces.distance(space, rows[space]) for rows in seen]
        numbers = [value.value for value in values]
        found[space] = {
            "value": numbers,
            "se": [value.se for value in values],
            "rises": bool((np.diff(numbers) > 0).all()),
        }
    return found


def by_size(spaces: Spaces, rows: np.ndarray) -> dict[str, Any]:
    """The distance of real test images to the training images, and its extrapolation, against their number."""
    found: dict[str, Any] = {
        "n": [n for n in SIZES if n <= len(rows)],
        "fd": [],
        "fd_se": [],
        "fd_inf": [],
        "fd_inf_se": [],
    }
    for n in found["n"]:
        name = spaces.names["embedded"]
        plain = spaces.distance("embedded", rows[:n])
        beyond = infinity(rows[:n], name, spaces.references["embedded"])
        for key, number in zip(("fd", "fd_se", "fd_inf", "fd_inf_se"), (*plain[:2], *beyond[:2]), strict=True):
            found[key].append(number)
    return found


def main() -> None:
    """Run the study and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="parquet of training images")
    parser.add_argument("--test", required=True, help="parquet of test images")
    parser.add_argument("--out", type=Path, required=True, help="folder for validity.json and validity.svg")
    parser.add_argument("--images", type=int, default=2000, help="test images that are damaged")
    options = parser.parse_args()
    test = read_images(options.test)
    spaces = Spaces(read_images(options.data, limit=10_000))
    rows = spaces.rows(test.pixels)
    found = {
        "images": options.images,
        "networks": {**spaces.names, "clip": load_imagetext().name},
        "damage": damaged(spaces, test.pixels[: options.images]),
        "imbalance": imbalanced(spaces, rows, test.labels.numpy(), 1000),
        "size": by_size(spaces, rows["embedded"]),
        "captions": captions(Images(test.pixels[: options.images], test.labels[: options.images])),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    from .validity_figure import draw

    draw(found, options.out / "validity.svg")
    for key in ("right", "wrong_mean"):
        del found["captions"][key]
    (options.out / "validity.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
