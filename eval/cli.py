"""The command line: ``sigmabench sweep``, ``report``, ``compare``, ``optimise``, ``list``, ``check``, ``orders``,
``docs``, ``demo``.

Exit codes: 0 all cells done, 1 some cells failed, 2 bad input (nothing was started), 130
interrupted (run it again to go on).
"""

from __future__ import annotations

import signal
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ..plugins.registry import UnknownName
from .errors import UsageError

app = typer.Typer(
    add_completion=True, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown",
    help="Diffusion samplers, noise schedules and guidance: compared on real images, with intervals.",
)  # fmt: skip

OUT = typer.Option("--out", "-o", help="Folder of the run; the same folder continues it.")


@app.command()
def sweep(
    file: Annotated[Path | None, typer.Argument(help="A sweep file; without one, the options alone.")] = None,
    out: Annotated[Path, OUT] = Path("runs/sweep"),
    model: Annotated[list[str] | None, typer.Option(help="Such as embedded, 'diffusers(path=...)'.")] = None,
    sampler: Annotated[list[str] | None, typer.Option(help="Such as euler, 'dpmpp_2m_sde(eta=0.5)'.")] = None,
    schedule: Annotated[list[str] | None, typer.Option(help="Noise schedules to walk; 'model' is its own.")] = None,
    spacing: Annotated[list[str] | None, typer.Option(help="Such as trailing, 'karras(sigma_max=80)'.")] = None,
    pair: Annotated[list[str] | None, typer.Option(help="Such as 'DPM++ 2M Karras', 'euler / normal'.")] = None,
    steps: Annotated[list[int] | None, typer.Option(help="Numbers of steps.")] = None,
    guidance: Annotated[list[str] | None, typer.Option(help="Such as cfg, 'rescaled_cfg(rescale=0.5)'.")] = None,
    scale: Annotated[list[float] | None, typer.Option(help="Guidance scales.")] = None,
    prompts: Annotated[str | None, typer.Option(help="A text file, one a line, or a table.")] = None,
    negative: Annotated[str | None, typer.Option(help="A negative prompt, for guidance that uses one.")] = None,
    images: Annotated[int | None, typer.Option(help="Images a cell.")] = None,
    until: Annotated[str | None, typer.Option(help="separated: go on with the cells that nothing beats yet.")] = None,
    budget: Annotated[int | None, typer.Option(help="Images a cell at most, with --until separated.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of image 0; image i has seed + i.")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="Such as fd, clip_score.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images generated together.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, mps.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16, float16.")] = None,
    workers: Annotated[
        str, typer.Option(help="A number of processes, 'ray(count=8)' or 'slurm(count=8, partition=gpu)'.")
    ] = "",
) -> None:
    """Run a sweep and write its report. Options may be repeated; they replace the file's fields.

    Example: `sigmabench sweep --sampler euler --sampler heun --steps 5 --steps 10 --scale 3 --out runs/mine`
    """
    fields = {
        "models": model, "samplers": sampler, "schedules": schedule, "spacings": spacing, "pairs": pair, "steps": steps,
        "guidance": guidance, "scales": scale, "prompts": prompts, "negative": negative, "images": images,
        "until": until, "budget": budget, "seed": seed, "metrics": metric, "batch_size": batch_size, "device": device,
        "dtype": dtype,
    }  # fmt: skip
    from .sweep import load_sweep

    given = {name: value for name, value in fields.items() if value not in (None, [])}
    _sweep(load_sweep(file, given), out, workers)


@app.command()
def join(folder: Annotated[Path, typer.Argument(help="Folder of a run that `sweep` has started.")]) -> None:
    """Help with a run until nothing is left to do, from any machine that sees its folder.

    Start as many as there are machines or GPUs; none needs to know of the others, and any may be killed.
    """
    from .workers import join as join_run

    join_run(str(folder))


@app.command()
def optimise(
    model: Annotated[str, typer.Option(help="Such as embedded, 'diffusers(path=...)'.")] = "embedded",
    steps: Annotated[list[int] | None, typer.Option(help="Numbers of steps; by default 6.")] = None,
    guidance: Annotated[str, typer.Option(help="Such as 'cfg(3)'.")] = "cfg(3)",
    prompts: Annotated[str | None, typer.Option(help="A text file, one a line, or a table.")] = None,
    negative: Annotated[str, typer.Option(help="A negative prompt, for guidance that uses one.")] = "",
    images: Annotated[int, typer.Option(help="Images to search on, and as many others to try the levels on.")] = 32,
    fine: Annotated[int, typer.Option(help="Steps of the reference, among whose levels it chooses.")] = 60,
    method: Annotated[str, typer.Option(help="gits, or optimal_steps: slower, sees errors add up.")] = "gits",
    seed: Annotated[int, typer.Option(help="Seed of image 0.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16.")] = "float32",
) -> None:
    """Find the best levels for a model and print them as a spacing, with Euler's error by them and by usual ones.

    Example: `sigmabench optimise --steps 6 --steps 10 --guidance "cfg(3)"`
    """
    from .optimising import optimise as search
    from .sweep import load_sweep

    fields = {
        "models": model, "steps": steps or [6], "guidance": guidance, "prompts": prompts, "negative": negative,
        "images": images, "seed": seed, "device": device, "dtype": dtype,
    }  # fmt: skip
    checked = load_sweep(None, {name: value for name, value in fields.items() if value is not None})
    for found in search(checked, method, fine):
        usual = ", ".join(f"{name} {error:.4f}" for name, error in found.usual.items())
        typer.echo(found.spacing)
        typer.echo(f"  {found.steps} steps of Euler are off by {found.error:.4f} on other images; {usual}", err=True)
        if found.error >= min(found.usual.values()):
            typer.echo("  No better than a usual spacing: use that, or try more --fine and --images", err=True)


@app.command()
def demo(out: Annotated[Path, OUT] = Path("runs/demo")) -> None:
    """Sweep the embedded model: a few minutes on two CPU cores, then look at report.html."""
    from .sweep import load_sweep

    _sweep(load_sweep(Path(__file__).with_name("demo.yaml")), out)


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="Folder of a run.")]) -> None:
    """Compute the numbers of a run again from its stored observations and write tables and page."""
    from .runner import load_plan

    _report(load_plan(folder), folder)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="Words such as 'dpmpp_2m steps=10', digits of a key, or a run's folder.")],
    b: Annotated[str, typer.Argument(help="Likewise; 'other/folder:words' is a cell of another run.")],
    folder: Annotated[Path, typer.Argument(help="Folder of the run.")] = Path("runs/sweep"),
    metric: Annotated[list[str] | None, typer.Option(help="By default the run's quality metric.")] = None,
) -> None:
    """Say in a sentence whether two cells differ, or which cells of two runs do, image by image.

    Example: `sigmabench compare "dpmpp_2m steps=10" "heun steps=5" runs/first --metric fd`
    """
    from .compare import compare as sentences

    for sentence in sentences(a, b, folder, metric or []):
        typer.echo(sentence)


@app.command("list")
def list_plugins(
    kind: Annotated[
        str | None, typer.Argument(help="sampler, schedule, spacing, guidance, backend, metric; or names.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Show every plugin with its settings, order, cost and source; or the names of other programs for pairs of them."""
    from .listing import show

    show(kind, as_json=json)


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="A sampler, schedule, spacing or guidance, with settings if wanted.")],
    kind: Annotated[str | None, typer.Option(help="Where several kinds have the name.")] = None,
) -> None:
    """Run the conformance kit on a plugin; for a sampler order of convergence, processes, ends, seeds, cost."""
    from .checking import check_named

    raise typer.Exit(0 if check_named(name, kind) else 1)


@app.command()
def orders(
    names: Annotated[
        list[str] | None, typer.Argument(help="Samplers; a bare name has its variants. Default: all.")
    ] = None,
    peers: Annotated[bool, typer.Option("--peers", help="k-diffusion and diffusers beside ours.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for tables, figures and page.")] = None,
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Measure samplers on closed-form problems: order, error against evaluations, the start at alpha = 0.

    Example: `sigmabench orders my_sampler 'dpmpp_2m_sde(eta=0.5)'`
    """
    from .orders.publish import run

    run(names or [], with_peers=peers, out=out, as_json=json)


@app.command()
def docs(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the pages.")] = Path("reports/catalogue"),
) -> None:
    """Write a Markdown page for every kind of plugin: formulas, settings, sources, orders."""
    from .catalogue_pages import write_pages

    written = write_pages(out)
    typer.echo(f"{len(written)} pages in {out}")


def main() -> None:
    """Entry point: turns errors of use into one message and exit code 2."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except (UsageError, UnknownName) as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(2)


def _sweep(checked: Any, out: Path, workers: str = "") -> None:
    from ..plugins.names import resolve
    from .progress import bar
    from .runner import Runner
    from .store import Store
    from .until import deciding_metric, undecided
    from .workers import launcher, run_with

    started = launcher(workers) if workers else None
    for pair in map(resolve, checked.pairs):
        on = f" on {pair.schedule}" if pair.schedule else ""
        typer.echo(f"{pair.name}: {pair.sampler}, {pair.spacing}{on}. {pair.note}".rstrip())
    runner = Runner(checked, out)
    make = partial(run_with, started, runner) if started else runner.extend
    if checked.until:
        deciding_metric(runner.plan)
    try:
        with bar(checked.images * len(runner.plan.runnable)) as progress:
            outcome = make(runner.plan.runnable, checked.images, progress)
        for images, cells in undecided(runner.plan, Store(out)):
            typer.echo(f"{len(cells)} cells may be the best: on to {images} images each", err=True)
            with bar(images * len(cells)) as progress:
                more = make(cells, images, progress)
            outcome.made, outcome.failed = outcome.made + more.made, {**outcome.failed, **more.failed}
    except KeyboardInterrupt:
        typer.echo("Interrupted. What was finished is kept; the same command goes on from there.", err=True)
        raise typer.Exit(130) from None
    _report(runner.plan, out)
    refused = len(runner.plan.cells) - len(runner.plan.runnable)
    typer.echo(
        f"{outcome.made} images made, {outcome.kept} were there; "
        f"{len(outcome.failed)} cells failed, {refused} refused (see the report)"
    )
    for key, reason in outcome.failed.items():
        typer.echo(f"failed {key}: {reason}", err=True)
    if outcome.failed:
        raise typer.Exit(1)


def _report(plan: Any, folder: Path) -> None:
    from .publish import publish

    page = publish(plan, folder)
    typer.echo(f"Report: {page}")
