"""``explore``: a page to see what schedules, spacings, steps and guidance do."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from .groups import PLUGINS, examples
from .options import Device, Dtype, names

group = typer.Typer()

SAMPLERS = ["euler", "heun", "dpmpp_2m", "euler_ancestral"]
GUIDANCE = ["cfg(3)", "rescaled_cfg(3)", "apg(3)"]
SCALES = [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0]


@group.command(
    rich_help_panel=PLUGINS,
    epilog=examples(
        "sigmabench explore",
        "sigmabench explore --sampler ddim --sampler res_2s --steps 8 --prompt 'a photo of a frog' --seed 5",
    ),
)
def explore(
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("runs/explore.html"),
    model: Annotated[
        str, typer.Option(help="Such as embedded, 'diffusers(path=...)'.", autocompletion=names("backend"))
    ] = "embedded",
    sampler: Annotated[
        list[str] | None, typer.Option(help="Samplers whose steps are shown.", autocompletion=names("sampler"))
    ] = None,
    spacing: Annotated[
        list[str] | None, typer.Option(help="Such as 'karras(sigma_max=80)'.", autocompletion=names("spacing"))
    ] = None,
    steps: Annotated[int, typer.Option(help="Number of steps.")] = 12,
    guidance: Annotated[
        list[str] | None,
        typer.Option(
            help="The first is that of the walks; all are tried at every scale.", autocompletion=names("guidance")
        ),
    ] = None,
    scale: Annotated[list[float] | None, typer.Option(help="Guidance scales.")] = None,
    prompt: Annotated[str | None, typer.Option(help="By default the model's own first one.")] = None,
    negative: Annotated[str, typer.Option(help="A negative prompt, for guidance that uses one.")] = "",
    seed: Annotated[int, typer.Option(help="Seed of the starting noise.")] = 0,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Write a page to see what schedules, spacings, steps and guidance do.

    Every schedule's curves with any spacing's steps; an image on its way to noise and back, by each sampler, with the
    image that the model predicts at every step; and one seed at every guidance scale.
    """
    from ...reports.exploration import write_exploration
    from ..explore.exploration import explore as look
    from ..sweep import load_sweep

    fields = {
        "models": model, "samplers": sampler or SAMPLERS, "spacings": spacing, "steps": steps, "negative": negative,
        "guidance": guidance or GUIDANCE, "scales": scale or SCALES, "prompts": [prompt] if prompt else None,
        "seed": seed, "images": 1, "device": device, "dtype": dtype,
    }  # fmt: skip
    found = look(load_sweep(None, {name: value for name, value in fields.items() if value not in (None, [])}))
    page = write_exploration(out, {**found, "command": shlex.join(["sigmabench", *sys.argv[1:]])})
    typer.echo(f"Page: {page}")
