"""What each metric is, in a sentence a reader can trust: its name, its direction, and never more than it measures."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from .numbers import short
from .results import direction, measured, metrics

WORDS: dict[str, tuple[str, str]] = {
    "fd": (
        "Fréchet distance",
        "Distance between Gaussian fits to the image features of the generated and of the reference images. It depends "
        "on the feature network, the resizing and the number of images: compare only with values made the same way. "
        "It is not FID, which is defined by one particular Inception network.",
    ),
    "fid": (
        "Fréchet Inception distance",
        "Distance between Gaussian fits to the Inception features of the generated and of the reference images, with "
        "clean-fid's resizing. It falls with the number of images: compare only equal numbers.",
    ),
    "kd": (
        "Kernel distance",
        "Squared maximum mean discrepancy between the features of generated and of reference images, with no bias from "
        "the number of images; slightly below zero means that no difference was found. It compares only with values "
        "from the same feature network.",
    ),
    "clip_score": (
        "Prompt adherence",
        "How well an image matches its own prompt: the cosine between their embeddings in an image-text model. It says "
        "nothing about realism, and guidance can push it up while pictures get worse.",
    ),
    "class_agreement": (
        "Class agreement",
        "Share of images in which a classifier recognises the class that was asked for.",
    ),
    "luminance": ("Luminance", "Mean brightness of the images; it shows drift and burning that guidance can cause."),
    "diversity": ("Diversity", "How different the images of a cell are from each other, in a feature space."),
}

ALIASES = {"clip": "clip_score", "clip_cos": "clip_score", "clip_score_100": "clip_score"}


def family(metric: str) -> str:
    """The metric's kind: what stands before its settings or the first slash."""
    head = re.split(r"[/(]", metric, maxsplit=1)[0]
    return ALIASES.get(head, head)


def short_name(metric: str, all_metrics: list[str]) -> str:
    """The kind alone when that is unambiguous in this frame, the whole name otherwise."""
    head = metric.split("/", 1)[0]
    return head if sum(other.split("/", 1)[0] == head for other in all_metrics) == 1 else metric


def title(metric: str) -> str:
    """A heading: the words for a known metric, else its name."""
    if family(metric) in WORDS:
        return WORDS[family(metric)][0]
    return metric.split("/", 1)[0].replace("_", " ").capitalize()


def better(results: pd.DataFrame, metric: str) -> str:
    """The direction in words."""
    words = {True: "higher is better", False: "lower is better", None: "not ranked"}
    return words[direction(results, metric)]


def sentence(results: pd.DataFrame, metric: str) -> str:
    """What the metric is, which way is better and over how many images it was taken."""
    sizes = sorted(set(measured(results, metric)["images"].dropna().astype(int)))
    what = WORDS.get(family(metric), ("", "A metric from a plugin; its card says how it is made."))[1]
    over = f"N = {', '.join(short(size) for size in sizes)} images per cell" if sizes else "no cell has a value"
    if len(sizes) > 1:
        over += "; cells with different N are not compared with each other"
    ranked = {True: "Higher is better", False: "Lower is better", None: "A description, neither way is better"}
    return f"{what} {ranked[direction(results, metric)]}; {over}."


def quality(results: pd.DataFrame) -> str | None:
    """The metric the answer is about."""
    return decisive({metric: direction(results, metric) for metric in metrics(results)})


def decisive(directions: Mapping[str, bool | None]) -> str | None:
    """A Fréchet distance, else a kernel distance, else the first metric that has a direction."""
    ranked = [metric for metric, higher in directions.items() if higher is not None]
    first = (metric for name in ("fid", "fd", "kd") for metric in ranked if family(metric) == name)
    return next(first, ranked[0] if ranked else None)


def adherence(results: pd.DataFrame) -> str | None:
    """The metric that says whether a picture shows what was asked for."""
    known = [metric for metric in metrics(results) if direction(results, metric) is not None]
    named = (metric for name in ("clip_score", "class_agreement") for metric in known if family(metric) == name)
    return next(named, None)
