"""Do the embedded metrics measure what they say? Known damage in, numbers out, beside a network that took no part.

    python -m sigmabench.eval.validity --data train.parquet --test test.parquet --out reports/validity

The embedded Frechet distance should rise with noise, blur, JPEG and class imbalance; the held-out judge, a classifier
that shares nothing with the feature network, gives a second opinion by the same distance between its logits. The
embedded CLIP score should tell right captions from wrong ones. Writes validity.json and validity.svg.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata

from .embedded.captions import CLASSES, caption
from .embedded.data import Images, read_images
from .embedded.features import load_feature_net
from .embedded.imagetext import load_imagetext
from .embedded.judge import load_judge
from .metrics.fd_infinity import infinity
from .metrics.frechet import frechet
from .metrics.gaussian import Moments
from .metrics.precision import full_precision
from .metrics.reference import Reference, load_reference
from .protocols import Value

BATCH, BINS = 200, 10
SIZES = (100, 250, 500, 1000, 2500, 5000, 10_000)
Pixels = torch.Tensor
Damage = Callable[[Pixels, float], Pixels]


def noisy(pixels: Pixels, level: float) -> Pixels:
    """Gaussian noise of this standard deviation, of 255."""
    noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
    return (pixels + level * noise).round().clamp(0, 255).to(torch.uint8)


def blurred(pixels: Pixels, level: float) -> Pixels:
    """A Gaussian filter of this standard deviation, in pixels."""
    smooth = gaussian_filter(pixels.numpy().astype(np.float32), (0, 0, level, level))
    return torch.from_numpy(smooth).round().clamp(0, 255).to(torch.uint8)


def compressed(pixels: Pixels, level: float) -> Pixels:
    """JPEG, 4:2:0, of quality 100 - level."""

    def again(image: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=round(100 - level), subsampling=2)
        return np.array(Image.open(file))

    return torch.from_numpy(np.stack([again(image) for image in pixels.permute(0, 2, 3, 1).numpy()])).permute(
        0, 3, 1, 2
    )


DAMAGES: dict[str, tuple[Damage, tuple[float, ...]]] = {
    "noise, sd of 255": (noisy, (1, 2, 4, 8, 16, 32)),
    "blur, sd in pixels": (blurred, (0.3, 0.4, 0.5, 0.75, 1, 1.5)),
    "JPEG, 100 - quality": (compressed, (5, 10, 25, 50, 75, 90)),
}
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


@torch.no_grad()
def observed(network: torch.nn.Module, pixels: Pixels) -> np.ndarray:
    """Outputs of a network for images in their order."""
    with full_precision("cpu"):
        return torch.cat([network(part).float() for part in pixels.split(BATCH)]).numpy()


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


@torch.no_grad()
def captions(images: Images) -> dict[str, Any]:
    """How well the CLIP score and the judge tell the right caption from wrong ones."""
    model, judge, labels = load_imagetext(), load_judge(), images.labels.numpy()
    texts = model.embed_texts([caption(name) for name in CLASSES])
    cosines = torch.cat([model.embed_images(part) @ texts.T for part in images.pixels.split(BATCH)])
    sure = {
        "clip": torch.softmax(cosines * model.clip.logit_scale.exp(), dim=1).numpy(),
        "judge": torch.softmax(torch.from_numpy(observed(judge, images.pixels)), dim=1).numpy(),
    }
    right = np.eye(len(CLASSES), dtype=bool)[labels]
    scores = 100 * cosines.numpy()
    found: dict[str, Any] = {
        "right": scores[right].tolist(),
        "wrong_mean": scores[~right].reshape(len(labels), -1).mean(axis=1).tolist(),
    }
    for name, values in {"clip": scores, "judge": sure["judge"]}.items():
        found[name] = {
            "auc": auc(values[right], values[~right]),
            "accuracy": float((values.argmax(axis=1) == labels).mean()),
            "right_above_wrong": float((values[right][:, None] > values[~right].reshape(len(labels), -1)).mean()),
            "calibration": calibration(sure[name], labels),
        }
    ranks = np.corrcoef(rankdata(scores[right]), rankdata(sure["judge"][right]))
    return {**found, "spearman_with_judge": float(ranks[0, 1]), "n": len(labels)}


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Probability that a positive is above a negative, ties counting half."""
    ranks = rankdata(np.concatenate([positive, negative]))[: len(positive)]
    return float((ranks.sum() - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative)))


def calibration(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Said and found accuracy in bins of the largest probability, and their mean gap (ECE). arXiv:1706.04599."""
    said, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.minimum((said * BINS).astype(int), BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(place, weights=values, minlength=BINS) / counts for values in (said, hit)]
    gap = float(np.nansum(np.abs(means[0] - means[1]) * counts) / len(said))
    return {"said": _listed(means[0]), "found": _listed(means[1]), "counts": counts.tolist(), "ece": gap}


def _listed(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


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
