"""Does the embedded CLIP score tell right captions from wrong ones, and is it as sure as it should be?"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata

from .embedded.captions import CLASSES, caption
from .embedded.data import Images
from .embedded.imagetext import load_imagetext
from .embedded.judge import load_judge
from .metrics.precision import full_precision

BATCH, BINS = 200, 10


@torch.no_grad()
def observed(network: torch.nn.Module, pixels: torch.Tensor) -> np.ndarray:
    """Outputs of a network for images in their order."""
    with full_precision("cpu"):
        return torch.cat([network(part).float() for part in pixels.split(BATCH)]).numpy()


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
