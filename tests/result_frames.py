"""Synthetic results: single cells with chosen numbers, and plausible sweeps of any size."""

from __future__ import annotations

import hashlib
import json
import math

import numpy as np
import pandas as pd

from sigmabench.reports.results import conform

FD, CLIP, LIGHT = "fd/cifarnet-3f2a91bc/bicubic-aa", "clip_score/tiny-77ab", "luminance"
DIRECTIONS = {FD: False, "kd/cifarnet-3f2a91bc": False, CLIP: True, "class_agreement": True, LIGHT: None}
SAMPLERS = {"ddim": 60.0, "dpmpp_2m": 18.0, "euler_ancestral": 75.0, "heun": 26.0, "unipc": 15.0}


def row(metric, value, half=0.5, *, sampler="euler", steps=10, scale=3.0, **fields):
    """One measured cell and metric; ``half`` is the half-width of its interval."""
    cell = {"model": "embedded", "schedule": "cosine", "spacing": "karras", "status": "ok", "reason": "", **fields}
    key = json.dumps([sampler, steps, scale, [cell[k] for k in ("model", "schedule", "spacing")], fields.get("images")])
    guidance = "none" if math.isnan(scale) else f"cfg(scale={scale:g})"
    return {
        "cell": hashlib.sha256(key.encode()).hexdigest()[:16], "sampler": sampler, "steps": steps, "guidance": guidance,
        "method": guidance.split("(")[0], "scale": scale, "nfe": float(steps * 2), "images": 1000, "seed": 0,
        "prompts": "9c1d3e", "metric": metric, "value": value, "se": half / 1.96, "low": value - half,
        "high": value + half, "higher_is_better": DIRECTIONS.get(metric), "seconds": 0.01 * steps, "device": "cpu",
        "dtype": "float32", "sigmabench": "0.1.0", "torch": "2.7", "diffusers": "0.35", "git": "b52b982",
        "card": json.dumps({"metric": metric, "n": 1000}), **cell,
    }  # fmt: skip


def broken(status, reason, **fields):
    nothing = dict.fromkeys(("value", "se", "low", "high", "nfe", "seconds"), math.nan)
    return {**row(None, 0.0, status=status, reason=reason, **fields), **nothing, "card": ""}


def frame(*rows):
    return conform(pd.DataFrame(list(rows)))


def sweep(samplers=SAMPLERS, steps=(5, 8, 12, 20), scales=(1.0, 3.0, 6.0), models=("embedded/v-3f2a91bc",), seed=0):
    """A plausible sweep: errors fall with steps, guidance trades distance for adherence."""
    rng, rows = np.random.default_rng(seed), []
    for m, model in enumerate(models):
        for sampler in samplers:
            for count in steps:
                for scale in scales:
                    cost = float((2 * count - 1 if sampler == "heun" else count) * (1 if scale == 1 else 2))
                    error = SAMPLERS.get(sampler, 30.0) * (5 / cost) ** 1.6 * (1 if scale == 1 else 2.2)
                    level = 9.0 + 2 * m + error + 0.35 * (scale - 2.5) ** 2
                    values = {
                        FD: (level + rng.normal(0, 0.15), 0.35 + 0.02 * level),
                        "kd/cifarnet-3f2a91bc": (level / 4000, 0.0004),
                        CLIP: (58 + 9 * (1 - math.exp(-scale / 2)) - error / 9 + rng.normal(0, 0.1), 0.4),
                        "class_agreement": (min(0.97, 0.62 + 0.12 * math.log1p(scale) - error / 250), 0.02),
                        LIGHT: (0.47 + 0.008 * scale, 0.003),
                        "diversity": (0.9 - 0.04 * scale, 0.01),
                    }
                    rows += [
                        row(k, v, h, sampler=sampler, steps=count, scale=scale, model=model, nfe=cost)
                        for k, (v, h) in values.items()
                    ]
    return conform(pd.DataFrame(rows))


def images(results, k=3, side=8):
    rng = np.random.default_rng(0)
    found = results.loc[results["status"] == "ok", "cell"].unique()
    return {cell: rng.integers(0, 256, (k, 3, side, side), dtype=np.uint8) for cell in found}
