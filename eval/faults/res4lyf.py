"""Orders of RES4LYF's tableaux, measured: python -m sigmabench.eval.faults.res4lyf CHECKOUT [--write FOLDER]

Its file of coefficients is evaluated by itself, with nothing of ComfyUI, and nothing of it is kept. A tableau is run as
the method it is, explicit or implicit (solved by iteration), on the closed-form problem of two modes; up to order 4,
where double precision and the number of steps end what can be told. What it should reach is the order of its family, at
most 4.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import math
import re
import sys
import types
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...samplers import Level
from ...samplers.conformance.convergence import jagged_path
from ...samplers.problems import BIMODAL
from .exact import error, order

STEPS = (30, 60, 120)
ITERATIONS = 40
LEFT_OUT = ("irk_exp_diag_2s",)
"""An implicit exponential method, whose equations are not those of the others."""
HIGHEST, SHORT = 4, 0.4
"""The highest order that is asked for, and how far below it a measured one may be."""
FAMILIES = (
    (r"gauss-legendre_(\d+)s", lambda s: 2 * s),
    (r"radau_ii?a_(\d+)s", lambda s: 2 * s - 1),
    (r"lobatto_\w+?_(\d+)s", lambda s: 2 * s - 2),
    (r"(?:kraaijevanger_spijker|qin_zhang|pareschi_russo\w*)_(\d+)s", lambda s: 2),
    (r"crouzeix_(\d+)s", lambda s: s + 1),
    (r"ssprk4_(\d+)s", lambda s: 3),
    (r"bogacki-shampine_4s()", lambda s: 3),
    (r"ddim()|euler()", lambda s: 1),
    (r".*?_(\d+)s", lambda s: s),
)
COLUMNS = ("tableau", "order", "measured", "reached", "commit")


def coefficients(checkout: Path) -> Any:
    """The module beta/rk_coefficients_beta.py, its host's helpers replaced by ones without options."""
    stub = lambda **names: types.SimpleNamespace(**names)  # noqa: E731
    options = type("ExtraOptions", (), {"__init__": lambda self, text: None, "__call__": _no_option})
    package, beta = types.ModuleType("res4lyf_tables"), types.ModuleType("res4lyf_tables.beta")
    package.__path__, beta.__path__ = [str(checkout)], [str(checkout / "beta")]
    sys.modules |= {
        "res4lyf_tables": package,
        "res4lyf_tables.beta": beta,
        "res4lyf_tables.helper": stub(
            ExtraOptions=options,
            get_extra_options_kv=lambda name, default, text: default,
            extra_options_flag=lambda name, text: False,
        ),  # type: ignore[dict-item]
        "res4lyf_tables.res4lyf": stub(  # type: ignore[dict-item]
            get_display_sampler_category=lambda: False, RESplain=lambda *words, **more: None
        ),
    }
    return importlib.import_module("res4lyf_tables.beta.rk_coefficients_beta")


def _no_option(self: Any, name: str, default: Any = False, **_: Any) -> Any:
    return default


def names(module: Any) -> list[str]:
    """Of single-step methods: multistep and hybrid ones use a history."""
    listed = (name.split("/") for name in module.RK_SAMPLER_NAMES_BETA_FOLDERS if "/" in name)
    return [name for folder, name in listed if folder not in ("multistep", "hybrid") and name not in LEFT_OUT]


def label(name: str) -> int:
    """The order of the family, at most the highest."""
    for pattern, rule in FAMILIES:
        if found := re.match(pattern, name):
            return min(HIGHEST, rule(int(found[1] or 0) if found.re.groups and found[1] else 0))
    raise ValueError(f"{name} is of no known family")


def measured(module: Any, name: str) -> float:
    exponential = module.is_exponential(name)
    walk = _exponential if exponential else _linear

    def run(x: Tensor, levels: Sequence[Level]) -> Tensor:
        sigmas = torch.tensor([level.sigma for level in levels], dtype=torch.float64)
        for i, (s, t) in enumerate(pairwise(sigmas)):
            h = (s / t).log() if exponential else t - s
            a, b, *_, c, _, _, _ = _taken(module, name, h, i, sigmas)
            x = walk(x, s, h, a, b, c)
        return x

    return order(lambda steps: error(run, jagged_path("VE", steps).levels), STEPS)


def _taken(module: Any, name: str, h: Tensor, i: int, sigmas: Tensor) -> Any:
    a, b, u, v, c, *rest = module.get_rk_methods_beta(
        name, h, step=i, sigmas=sigmas, sigma=sigmas[i], sigma_next=sigmas[i + 1], sigma_down=sigmas[i + 1]
    )
    return _table(a), _table(b)[0], u, v, [float(value) for value in c], *rest


def _table(rows: Any) -> list[list[float]]:
    return [[float(value) for value in row] for row in rows]


def _stages(a: list[list[float]], first: Tensor, value: Callable[[int, Tensor], Tensor], h: Tensor) -> list[Tensor]:
    """What the stages evaluate, x + h sum_j a_ij value_j; implicit ones by iteration."""
    implicit = any(row[j] for i, row in enumerate(a) for j in range(i, len(row)))
    found: list[Tensor] = [value(0, first)] * len(a) if implicit else []
    for _ in range(ITERATIONS if implicit else 1):
        now: list[Tensor] = []
        for i, row in enumerate(a):
            known = found if implicit else now
            total = sum((h * w * known[j] for j, w in enumerate(row) if w), torch.zeros_like(first))
            now.append(value(i, first + total))
        done = implicit and all(torch.allclose(x, y, rtol=0, atol=1e-14) for x, y in zip(now, found, strict=True))
        found = now
        if done:
            break
    return found


def _linear(x: Tensor, s: Tensor, h: Tensor, a: list[list[float]], b: list[float], c: list[float]) -> Tensor:
    def slope(i: int, x: Tensor) -> Tensor:
        sigma = (s + c[i] * h).item()
        return (x - BIMODAL(x, Level(1.0, sigma))) / sigma

    values = _stages(a, x, slope, h)
    return x + sum((h * w * value for w, value in zip(b, values, strict=True)), torch.zeros_like(x))


def _exponential(x: Tensor, s: Tensor, h: Tensor, a: list[list[float]], b: list[float], c: list[float]) -> Tensor:
    """In its residual form: D - x, from the x at the start of the step."""

    def residual(i: int, at: Tensor) -> Tensor:
        return BIMODAL(at, Level(1.0, (s * (-c[i] * h).exp()).item())) - x

    values = _stages(a, x, residual, h)
    return x + sum((h * w * value for w, value in zip(b, values, strict=True)), torch.zeros_like(x))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sigmabench.eval.faults.res4lyf", description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--commit", default="", help="of the checkout, to be recorded")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="for res4lyf.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    module, rows = coefficients(options.checkout), []
    for name in names(module):
        try:
            number = measured(module, name)
            good, found = number > label(name) - SHORT, f"{number:.2f}" if math.isfinite(number) else f"> {HIGHEST}"
        except Exception as failure:
            good, found = False, type(failure).__name__
        rows.append((name, label(name), found, "yes" if good else "no", options.commit))
        print(*rows[-1], flush=True)
    missed = [row for row in rows if row[3] == "no"]
    print(f"{len(missed)} of {len(rows)} tableaux miss the order of their family, at most {HIGHEST}")
    if options.write:
        with (options.write / "res4lyf.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    return 0


if __name__ == "__main__":
    sys.exit(main())
