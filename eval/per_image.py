"""images.parquet: a row for each image of each finished cell: its seed, its prompt, its part in every number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .comparable import Measurement

ABOUT = ("cell", "index", "seed", "prompt")


def per_image(measurements: Sequence[Measurement], prompts: Sequence[str]) -> pd.DataFrame:
    """One column for each metric: its value plus the image's influence on it.

    For a mean, such as a CLIP score, that is the image's own score; for a distance it says which images make it large.
    The mean of a column over a cell is the cell's number. Cells and prompts are categories: each text is kept once.
    """
    cells = {measurement.cell.key: measurement.cell for measurement in measurements}
    texts = {prompt: code for code, prompt in enumerate(dict.fromkeys(prompts))}
    asked = np.array([texts[prompt] for prompt in prompts])
    frames = []
    for number, (key, cell) in enumerate(cells.items()):
        own = [measurement for measurement in measurements if measurement.cell.key == key]
        index = np.arange(max(measurement.value.n for measurement in own))
        columns = {one.metric: pd.Series(one.value.value + one.value.influence.astype(np.float64)) for one in own}
        cell_column = _category(np.full(len(index), number), list(cells))
        prompt_column = _category(asked[index % len(asked)], list(texts))
        about = {"cell": cell_column, "index": index, "seed": cell.seed + index, "prompt": prompt_column}
        frames.append(pd.DataFrame({**about, **columns}))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(ABOUT))


def _category(codes: np.ndarray, texts: list[str]) -> pd.Categorical:
    return pd.Categorical.from_codes(codes, pd.Index(texts))
