"""The picture of the validity study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

EMBEDDED, HELD_OUT, BAD = "#1f6fb4", "#c2571a", "#777777"
Z95 = 1.959964


def draw(found: dict[str, Any], path: Path) -> None:
    """Eight panels: four damages, the number of images, captions, calibration."""
    with mpl.rc_context({"font.size": 8, "svg.fonttype": "none", "svg.hashsalt": "validity"}):
        figure = Figure(figsize=(11, 5.4), layout="constrained")
        panels = figure.subplots(2, 4).ravel()
        curves = {**found["damage"], "images of one class": found["imbalance"]}
        for ax, (name, curve) in zip(panels, curves.items(), strict=False):
            _damage(ax, name, curve)
        panels[0].legend(fontsize=7)
        _size(panels[4], found["size"])
        _scores(panels[5], found["captions"])
        _calibration(panels[6], found["captions"])
        _words(panels[7], found)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _damage(ax: Axes, name: str, curve: dict[str, Any]) -> None:
    """Each space's distance, over its distance at the strongest level, with 95 % intervals."""
    places = range(len(curve["levels"]))
    for space, colour, label in (("embedded", EMBEDDED, "embedded"), ("judge", HELD_OUT, "held-out judge")):
        value, error = (np.array(curve[space][key]) for key in ("value", "se"))
        scale = value[-1]
        ax.errorbar(places, value / scale, Z95 * error / scale, color=colour, marker="o", markersize=3, label=label)
    ax.set_yscale("log")
    ax.set_ylim(1e-4, 2)
    ax.set_xticks(places, [f"{level:g}" for level in curve["levels"]])
    ax.set_xlabel(name)
    ax.set_ylabel("Frechet distance, of the largest")


def _size(ax: Axes, size: dict[str, Any]) -> None:
    for key, colour, label in (("fd", EMBEDDED, "FD of N"), ("fd_inf", HELD_OUT, "FD-infinity of N")):
        error = Z95 * np.array(size[f"{key}_se"])
        ax.errorbar(size["n"], size[key], error, color=colour, marker="o", markersize=3, label=label)
    ax.axhline(0, color=BAD, linewidth=0.6)
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=0.1)
    ax.set_xlabel("real test images")
    ax.set_ylabel("distance to real training images")
    ax.legend(fontsize=7)


def _scores(ax: Axes, captions: dict[str, Any]) -> None:
    for key, colour, label in (("right", EMBEDDED, "right caption"), ("wrong_mean", BAD, "wrong, mean of nine")):
        ax.hist(captions[key], bins=40, color=colour, alpha=0.7, label=label)
    ax.set_xlabel("CLIP score, 100 cos")
    ax.set_ylabel("images")
    ax.legend(fontsize=7)


def _calibration(ax: Axes, captions: dict[str, Any]) -> None:
    ax.plot([0, 1], [0, 1], color=BAD, linewidth=0.6)
    for name, colour in (("clip", EMBEDDED), ("judge", HELD_OUT)):
        bins = captions[name]["calibration"]
        points = [(s, f) for s, f, n in zip(bins["said"], bins["found"], bins["counts"], strict=True) if n >= 10]
        ax.plot(
            *zip(*points, strict=True), color=colour, marker="o", markersize=3, label=f"{name}, ECE {bins['ece']:.3f}"
        )
    ax.set_xlabel("probability said")
    ax.set_ylabel("share right")
    ax.legend(fontsize=7)


def _words(ax: Axes, found: dict[str, Any]) -> None:
    captions, rises = found["captions"], {**found["damage"], "one class": found["imbalance"]}
    lines = ["rises at every level: embedded, judge"]
    lines += [f"  {name}: {_yes(c['embedded'])}, {_yes(c['judge'])}" for name, c in rises.items()]
    lines += ["", "right against wrong caption: clip, judge"]
    lines += [f"  {key}: {captions['clip'][key]:.3f}, {captions['judge'][key]:.3f}" for key in ("auc", "accuracy")]
    lines += [f"  rank correlation {captions['spearman_with_judge']:.2f}", f"  {captions['n']} test images"]
    ax.axis("off")
    ax.text(0, 1, "\n".join(lines), va="top", fontsize=8)


def _yes(curve: dict[str, Any]) -> str:
    return "yes" if curve["rises"] else "no"
