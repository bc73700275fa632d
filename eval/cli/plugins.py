"""Commands about plugins: ``list``, ``check``, ``orders``, ``optimise``, ``docs``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .groups import PLUGINS, examples
from .options import Json, names, words

group = typer.Typer()
CHECKED = ("sampler", "schedule", "spacing", "guidance")
KINDS = (*CHECKED, "backend", "metric", "names")


@group.command(
    "list",
    rich_help_panel=PLUGINS,
    epilog=examples("sigmabench list", "sigmabench list sampler", "sigmabench list names --json"),
)
def list_plugins(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="sampler, schedule, spacing, guidance, backend, metric; or names.", autocompletion=words(*KINDS)
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show plugins with their settings, order, cost and source.

    `names` shows what labels, pairs and schedulers of other programs come to.
    """
    from ..listing import show

    show(kind, as_json=json)


@group.command(rich_help_panel=PLUGINS, epilog=examples("sigmabench check heun", "sigmabench check 'karras(rho=5)'"))
def check(
    name: Annotated[
        str,
        typer.Argument(
            help="A sampler, schedule, spacing or guidance, with settings if wanted.", autocompletion=names(*CHECKED)
        ),
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            help="Where several kinds have the name.",
            autocompletion=words(*CHECKED),
        ),
    ] = None,
) -> None:
    """Run the conformance kit on a plugin.

    For a sampler: order of convergence, three processes, both ends, seeds, cost. The exit code is 1 when a check fails.
    """
    from ..checking import check_named

    raise typer.Exit(0 if check_named(name, kind) else 1)


@group.command(
    rich_help_panel=PLUGINS,
    epilog=examples("sigmabench orders heun 'dpmpp_2m_sde(eta=0.5)'", "sigmabench orders --json"),
)
def orders(
    samplers: Annotated[
        list[str] | None,
        typer.Argument(help="Samplers; a bare name has its variants. Default: all.", autocompletion=names("sampler")),
    ] = None,
    peers: Annotated[bool, typer.Option("--peers", help="k-diffusion, diffusers and ComfyUI beside ours.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for tables, figures and page.")] = None,
    json: Json = False,
) -> None:
    """Measure samplers on closed-form problems.

    Order, error against evaluations, and the start at alpha = 0.
    """
    from ..orders.publish import run

    run(samplers or [], with_peers=peers, out=out, as_json=json)


@group.command(
    rich_help_panel=PLUGINS,
    epilog=examples("sigmabench optimise --steps 6 --steps 10 --guidance 'cfg(3)'"),
)
def optimise(
    model: Annotated[
        str, typer.Option(help="Such as embedded, 'diffusers(path=...)'.", autocompletion=names("backend"))
    ] = "embedded",
    steps: Annotated[list[int] | None, typer.Option(help="Numbers of steps; by default 6.")] = None,
    guidance: Annotated[str, typer.Option(help="Such as 'cfg(3)'.", autocompletion=names("guidance"))] = "cfg(3)",
    prompts: Annotated[str | None, typer.Option(help="A text file, one a line, or a table.")] = None,
    negative: Annotated[str, typer.Option(help="A negative prompt, for guidance that uses one.")] = "",
    images: Annotated[int, typer.Option(help="Images to search on, and as many others to try the levels on.")] = 32,
    fine: Annotated[int, typer.Option(help="Steps of the reference, among whose levels it chooses.")] = 60,
    method: Annotated[
        str,
        typer.Option(
            help="gits, or optimal_steps: slower, sees errors add up.", autocompletion=words("gits", "optimal_steps")
        ),
    ] = "gits",
    seed: Annotated[int, typer.Option(help="Seed of image 0.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16.")] = "float32",
) -> None:
    """Find the best levels for a model and print them as a spacing.

    Standard error has Euler's error by them and by usual spacings, on other images.
    """
    from ..optimising import optimise as search
    from ..sweep import load_sweep

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


@group.command(rich_help_panel=PLUGINS, epilog=examples("sigmabench docs --out my_plugins"))
def docs(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the pages.")] = Path("reports/catalogue"),
) -> None:
    """Write a Markdown page for every kind of plugin.

    Formulas, settings, sources and measured orders.
    """
    from ..catalogue_pages import write_pages

    written = write_pages(out)
    typer.echo(f"{len(written)} pages in {out}")
