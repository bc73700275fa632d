"""Commands that read a run's folder: ``report``, ``compare``."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from .groups import READ, examples
from .options import Folder, Json, names, words

group = typer.Typer()


@group.command(
    rich_help_panel=READ,
    epilog=examples("sigmabench report runs/first", "sigmabench report runs/first runs/second --out runs/both"),
)
def report(
    folders: Annotated[list[Path], typer.Argument(help="Folders of runs; several make one report.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the report. Default: the run's.")] = None,
    json: Json = False,
) -> None:
    """Write the tables and the page of a run, or of several together.

    All numbers of a run are computed from what it has stored; no model is needed. Several runs are compared as they
    have been reported, image by image where they share prompts and seeds.
    """
    from ..reporting import report as write

    page, found = write(folders, out)
    typer.echo(dumps(found) if json else f"Report: {page}")


@group.command(
    rich_help_panel=READ,
    epilog=examples(
        "sigmabench compare 'dpmpp_2m steps=10' 'euler steps=10' runs/first --metric fd",
        "sigmabench compare runs/first runs/second",
    ),
)
def compare(
    a: Annotated[str, typer.Argument(help="Words such as 'dpmpp_2m steps=10', digits of a key, or a run's folder.")],
    b: Annotated[str, typer.Argument(help="Likewise; 'other/folder:words' is a cell of another run.")],
    folder: Annotated[Path, typer.Argument(help="Folder of the run.")] = Path("runs/sweep"),
    metric: Annotated[
        list[str] | None, typer.Option(help="By default the run's quality metric.", autocompletion=names("metric"))
    ] = None,
    json: Json = False,
) -> None:
    """Say in a sentence whether two cells differ, image by image.

    Of two folders, the cells that both have are compared.
    """
    from ..compare import compare as findings

    found = list(findings(a, b, folder, metric or []))
    if json:
        typer.echo(dumps([{"sentence": one.sentence, **one.facts} for one in found]))
        return
    for one in found:
        typer.echo(one.sentence)


@group.command(
    rich_help_panel=READ,
    epilog=examples(
        "sigmabench export runs/first",
        "sigmabench export runs/first --format latex --metric fd",
        "sigmabench export runs/first --out table.tex --out table.parquet --out quality.svg",
        "sigmabench export runs/first runs/second --figure ranking --out ranking.png",
    ),
)
def export(
    folders: Annotated[list[Path], typer.Argument(help="Folders of runs; several are joined and compared.")],
    out: Annotated[
        list[Path] | None,
        typer.Option("--out", "-o", help="A table (.md, .tex, .csv, .parquet) or a figure (.svg, .png, .pdf)."),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format", help="Of what is printed: md, latex, csv.", autocompletion=words("md", "latex", "csv")
        ),
    ] = "md",
    metric: Annotated[list[str] | None, typer.Option(help="Default: all; of a figure, the first.")] = None,
    figure: Annotated[
        str,
        typer.Option(
            help="quality, ranking, tradeoff or heat.", autocompletion=words("quality", "ranking", "tradeoff", "heat")
        ),
    ] = "quality",
) -> None:
    """Write a run's table or figures for a page, a paper or a program.

    Without --out the table is printed. Every number has its interval; bold is what the data cannot tell from the best,
    by intervals of paired differences that hold for all pairs together.
    """
    from ..exporting import loaded, text, write

    results = loaded(folders)
    for path in out or ():
        typer.echo(write(results, path, metric, figure))
    if not out:
        typer.echo(text(results, form, metric), nl=False)


@group.command(
    rich_help_panel=READ, epilog=examples("sigmabench serve runs/first", "sigmabench serve runs/first --open")
)
def serve(
    folder: Folder,
    port: Annotated[int, typer.Option(help="Port on this machine; 0: any free one.", min=0, max=65535)] = 8765,
    browse: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Show the report of a run while it goes on.

    In a browser on this machine, the page renews itself from what the workers have stored. Nothing but this machine
    can reach it: from elsewhere, use `ssh -L 8765:localhost:8765`. Ctrl-C ends it; the run goes on.
    """
    from ..serving import serve as serve_run

    serve_run(folder, port, lambda address: typer.echo(f"{folder} is at {address} until Ctrl-C"), browse=browse)
