"""Commands that make images: ``init``, ``demo``, ``sweep``, ``resume``, ``join``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .groups import RUN, examples
from .options import Device, Dtype, Folder, Json, Out, Workers, names, texts_by_name, words

group = typer.Typer()


@group.command(
    rich_help_panel=RUN, epilog=examples("sigmabench init", "sigmabench init first.yaml", "sigmabench sweep first.yaml")
)
def init(file: Annotated[Path, typer.Argument(help="The file to write.")] = Path("sweep.yaml")) -> None:
    """Write a commented sweep file that runs as it is.

    It has every field. Editors that know YAML check it and complete it while you write.
    """
    from ..sweep_template import write_template

    typer.echo(f"{write_template(file)} is a sweep: edit it, then run `sigmabench sweep {file}`")


@group.command(rich_help_panel=RUN, epilog=examples("sigmabench demo"))
def demo(out: Out = Path("runs/demo"), json: Json = False) -> None:
    """Sweep the embedded model: a few minutes on two CPU cores."""
    from ..sweep import load_sweep
    from .sweeping import run_sweep

    run_sweep(load_sweep(Path(__file__).parent.with_name("demo.yaml")), out, as_json=json)


@group.command(
    rich_help_panel=RUN,
    epilog=examples(
        "sigmabench sweep first.yaml",
        "sigmabench sweep first.yaml --images 1000 --workers 4",
        "sigmabench sweep --sampler euler --sampler heun --steps 5 --steps 10 --scale 3 --out runs/mine",
    ),
)
def sweep(
    file: Annotated[
        Path | None, typer.Argument(help="A sweep file, as `sigmabench init` writes; without one, the options alone.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder of the run; the same continues it. Default: runs/ and the file's name."
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Such as embedded, 'diffusers(path=...)'.", autocompletion=names("backend")),
    ] = None,
    sampler: Annotated[
        list[str] | None,
        typer.Option(help="Such as euler, 'dpmpp_2m_sde(eta=0.5)'.", autocompletion=names("sampler")),
    ] = None,
    schedule: Annotated[
        list[str] | None,
        typer.Option(help="Noise schedules to walk; 'model' is its own.", autocompletion=names("schedule")),
    ] = None,
    spacing: Annotated[
        list[str] | None,
        typer.Option(help="Such as trailing, 'karras(sigma_max=80)'.", autocompletion=names("spacing")),
    ] = None,
    pair: Annotated[list[str] | None, typer.Option(help="Such as 'DPM++ 2M Karras', 'euler / normal'.")] = None,
    steps: Annotated[list[int] | None, typer.Option(help="Numbers of steps.")] = None,
    guidance: Annotated[
        list[str] | None,
        typer.Option(help="Such as cfg, 'rescaled_cfg(rescale=0.5)'.", autocompletion=names("guidance")),
    ] = None,
    scale: Annotated[list[float] | None, typer.Option(help="Guidance scales.")] = None,
    prompts: Annotated[str | None, typer.Option(help="A text file, one a line, or a table.")] = None,
    negative: Annotated[str | None, typer.Option(help="A negative prompt, for guidance that uses one.")] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="Of a further condition, such as 'style=a dark photo'.")
    ] = None,
    images: Annotated[int | None, typer.Option(help="Images a cell.")] = None,
    until: Annotated[
        str | None,
        typer.Option(help="separated: go on with the cells that nothing beats yet.", autocompletion=words("separated")),
    ] = None,
    budget: Annotated[int | None, typer.Option(help="Images a cell at most, with --until separated.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of image 0; image i has seed + i.")] = None,
    noise: Annotated[
        str | None,
        typer.Option(help="brownian: the same path for any steps.", autocompletion=words("brownian", "independent")),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Such as fd, clip_score.", autocompletion=names("metric"))
    ] = None,
    intervals: Annotated[
        str | None, typer.Option(help="images: for just these prompts; prompts: for others too.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images generated together.")] = None,
    shard_size: Annotated[int | None, typer.Option(help="Images between two writes.")] = None,
    device: Device = None,
    dtype: Dtype = None,
    workers: Workers = "",
    json: Json = False,
) -> None:
    """Run a sweep and write its report.

    Options may be repeated; they replace the file's fields. The same command goes on with a run that was stopped, and
    adds to one that has grown.
    """
    from ..sweep import load_sweep
    from .sweeping import run_sweep

    fields = {
        "models": model, "samplers": sampler, "schedules": schedule, "spacings": spacing, "pairs": pair, "steps": steps,
        "guidance": guidance, "scales": scale, "prompts": prompts, "negative": negative,
        "texts": texts_by_name(text or ()), "images": images, "until": until, "budget": budget, "seed": seed,
        "noise": noise, "metrics": metric, "intervals": intervals, "batch_size": batch_size, "shard_size": shard_size,
        "device": device, "dtype": dtype,
    }  # fmt: skip
    given = {name: value for name, value in fields.items() if value not in (None, [], {})}
    folder = out or Path("runs", file.stem if file else "sweep")
    run_sweep(load_sweep(file, given), folder, workers, as_json=json)


@group.command(
    rich_help_panel=RUN, epilog=examples("sigmabench resume runs/first", "sigmabench resume runs/first --workers 4")
)
def resume(folder: Folder, workers: Workers = "", json: Json = False) -> None:
    """Go on with a run that was stopped.

    The sweep is the one in its folder; what is there is kept.
    """
    from ..plans import load_plan
    from .sweeping import run_sweep

    run_sweep(load_plan(folder).sweep, folder, workers, as_json=json)


@group.command(rich_help_panel=RUN, epilog=examples("sigmabench join runs/first"))
def join(folder: Annotated[Path, typer.Argument(help="Folder of a run that `sweep` has started.")]) -> None:
    """Help with a run, from any machine that sees its folder.

    It ends when nothing is left to do. Start as many as there are machines or GPUs; none needs to know of the others,
    and any may be killed.
    """
    from ..workers import join as join_run

    join_run(str(folder))
