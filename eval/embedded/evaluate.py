"""Held-out scores of the embedded models: a JSON that the model card quotes, and grids of samples to look at.

python -m sigmabench.eval.embedded.evaluate --data train.parquet --test test.parquet --out scores

Shares come with the standard error sqrt(p (1 - p) / n) and their n.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..metrics.gaussian import Moments, distance, factor, trace_alone
from .captions import CLASSES, TEMPLATES, TONES, caption
from .codec import decode
from .data import Images, mean_luminance, read_images
from .draw import draw, initial_noise
from .features import load_feature_net
from .generator import NAMES, Generator, load_generator
from .imagetext import ImageText, load_imagetext
from .judge import load_judge
from .reference import features_of
from .train_features import accuracy
from .train_imagetext import tones_of, zero_shot
from .weights_files import WEIGHTS

STEPS, FEW, GUIDANCE = 25, 4, 3.0


class Gaussian(NamedTuple):
    """What a Frechet distance compares with."""

    mean: np.ndarray
    cov: np.ndarray


def held_out() -> Gaussian:
    """The statistics of the test images that are shipped, for machines without the images."""
    from safetensors.numpy import load_file

    arrays = load_file(WEIGHTS / "reference" / "test.safetensors")
    return Gaussian(arrays["mean"], arrays["cov"])


def share(p: float, n: int) -> dict[str, float]:
    """A proportion with its standard error."""
    return {"value": round(p, 4), "se": round((p * (1 - p) / n) ** 0.5, 4), "n": n}


def average(values: torch.Tensor) -> dict[str, float]:
    """A mean with its standard error."""
    return {"value": round(values.mean().item(), 4), "se": round((values.std() / len(values) ** 0.5).item(), 4)}


def area_under_curve(right: torch.Tensor, wrong: torch.Tensor) -> float:
    """P(a right pair's cosine exceeds a wrong pair's) over all pairs, by ranks (Mann-Whitney)."""
    ranks = torch.cat([right, wrong]).double().argsort().argsort().double() + 1
    n, m = len(right), len(wrong)
    return ((ranks[:n].sum() - n * (n + 1) / 2) / (n * m)).item()


def image_text_scores(model: ImageText, test: Images) -> dict:
    """Zero-shot accuracy by template, AUC and mean cosine of right against random wrong captions, tone accuracy."""
    images = torch.cat([model.embed_images(p) for p in test.pixels.split(500)])
    texts = model.embed_texts([caption(name) for name in CLASSES])
    other = (test.labels + torch.randint(1, 10, test.labels.shape, generator=torch.Generator().manual_seed(0))) % 10
    right, wrong = (images * texts[test.labels]).sum(1), (images * texts[other]).sum(1)
    toned = model.embed_texts([caption(name, tone) for name in CLASSES for tone in TONES]).view(10, len(TONES), -1)
    guess = torch.einsum("nd,ntd->nt", images, toned[test.labels]).argmax(1)
    n = len(test.labels)
    return {
        "zero_shot": {t: share(zero_shot(model, test, i), n) for i, t in enumerate(TEMPLATES)},
        "auc_right_vs_wrong": round(area_under_curve(right, wrong), 4),
        "cosine_right": average(right),
        "cosine_wrong": average(wrong),
        "tone_of_five": hits(guess == tones_of(test.pixels)),
    }


def frechet(pixels: torch.Tensor, reference: Moments | Gaussian) -> float:
    """Frechet distance to the reference, biased by the number of images: compare equal numbers only."""
    moments = Moments([features_of(load_feature_net(), pixels)])
    trace = trace_alone(moments.cov, factor(reference.cov))
    return round(distance(moments.mean, moments.cov, reference.mean, reference.cov, trace), 3)


def judged(pixels: torch.Tensor) -> torch.Tensor:
    """The class the judge sees in each image: int64 (N,)."""
    return torch.cat([load_judge()(batch).argmax(1) for batch in pixels.split(100)])


def hits(found: torch.Tensor) -> dict[str, float]:
    """The share of true entries."""
    return share(found.float().mean().item(), len(found))


def tone_response(generator: Generator, text: ImageText, labels: torch.Tensor, seeds: list[int]) -> dict:
    """Mean luminance of images drawn from the same noise with each tone word."""
    response = {}
    for tone in TONES:
        prompts = [caption(CLASSES[i], tone) for i in labels]
        response[tone or "(none)"] = average(mean_luminance(draw(generator, text, prompts, seeds, steps=STEPS)))
    return response


def generator_scores(
    generator: Generator, text: ImageText, reference: Moments | Gaussian, n: int, grid: Path, batch: int = 50
) -> dict:
    """Class recovery, distances and the response to tone words; writes the grid of the first 10 images per class."""
    labels, seeds = torch.arange(10).repeat(n // 10), list(range(1000, 1000 + n))
    prompts = [caption(CLASSES[i]) for i in labels]
    sets = {
        f"{steps} steps, CFG {scale:g}": draw(generator, text, prompts, seeds, steps=steps, guidance=scale, batch=batch)
        for steps, scale in ((STEPS, GUIDANCE), (FEW, GUIDANCE), (STEPS, 1.0))
    }
    best = next(iter(sets.values()))
    save_grid(best, labels, grid)
    distances = {name: frechet(pixels, reference) for name, pixels in sets.items()}
    return {
        "weights": generator.name,
        "class_recovered": {name: hits(judged(pixels) == labels) for name, pixels in sets.items()},
        "class_recovered_by_class": {c: hits(judged(best[labels == i]) == i) for i, c in enumerate(CLASSES)},
        "frechet": {**distances, "pure noise": frechet(decode(initial_noise(seeds)), reference), "n": n},
        "mean_luminance": tone_response(generator, text, labels[:100], seeds[:100]),
    }


def worse(new: dict, old: dict) -> list[str]:
    """Why weights are not better than others with the same n and seeds, in words; nothing if they are.

    Better is: every Frechet distance is smaller, no class is recovered less often by more than two standard errors of
    the difference, and brighter words still make brighter images.
    """
    reasons = []
    for name in old["class_recovered"]:
        mine, other = new["frechet"][name], old["frechet"][name]
        if not mine < other:
            reasons.append(f"Frechet distance, {name}: {mine:g}, was {other:g}")
        own, before = new["class_recovered"][name], old["class_recovered"][name]
        if not own["value"] >= before["value"] - 2 * (own["se"] ** 2 + before["se"] ** 2) ** 0.5:
            reasons.append(f"class recovered, {name}: {own['value']:g}, was {before['value']:g}")
    light = [mean["value"] for mean in new["mean_luminance"].values()]
    if light != sorted(light):
        reasons.append(f"mean luminance does not rise with the tone: {light}")
    return reasons


def save_grid(images: torch.Tensor, labels: torch.Tensor, path: Path, rows: int = 10, zoom: int = 3) -> None:
    """A PNG with one line per class, `rows` images each, enlarged without smoothing."""
    from PIL import Image

    lines = [torch.cat(list(images[labels == i][:rows]), dim=2) for i in range(len(CLASSES))]
    array = torch.cat(lines, dim=1).permute(1, 2, 0).numpy().repeat(zoom, 0).repeat(zoom, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(array)).save(path)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="training table (parquet)")
    parser.add_argument("--test", required=True, help="held-out table (parquet)")
    parser.add_argument("--out", type=Path, required=True, help="folder for scores.json and the grids")
    parser.add_argument("--n", type=int, default=500, help="images per generator, a multiple of 10")
    parser.add_argument("--only", nargs="*", default=["networks", *NAMES], choices=["networks", *NAMES])
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    test, text, file = read_images(args.test), load_imagetext(), args.out / "scores.json"
    scores = json.loads(file.read_text()) if file.exists() else {}
    reference = Moments([features_of(load_feature_net(), test.pixels)])
    if "networks" in args.only:
        for name, net in (("features", load_feature_net()), ("judge", load_judge())):
            scores[name] = {"hash": net.hash, "accuracy": share(accuracy(net, test), len(test.labels))}
        scores["imagetext"] = {"hash": text.hash, **image_text_scores(text, test)}
        floor = read_images(args.data, limit=args.n).pixels
        scores["frechet_of_real_images"] = {"value": frechet(floor, reference), "n": args.n}
    for name in NAMES:
        if name in args.only:
            grid = args.out / f"grid-{name}.png"
            scores[name] = generator_scores(load_generator(name), text, reference, args.n, grid)
        file.write_text(json.dumps(scores, indent=2) + "\n")
    print(json.dumps(scores, indent=2))


if __name__ == "__main__":
    main()
