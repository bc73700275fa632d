"""Progress of a sweep: images done, rate, time left, the cell at work and the best one so far.

A terminal shows it live; anything else, such as the log of a cluster's job, gets a line a minute.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..plugins.registry import build
from .cells import Cell, Planned
from .making import Progress as Callback
from .selection import describe

Clock = Callable[[], float]
WINDOW = 120.0  # seconds over which the rate is taken
EVERY = 60.0  # seconds between two lines where there is no terminal


class Meter:
    """Images done, their rate, and the time that the rest takes.

    The rest is weighed by evaluations of the network, as cells with more steps take longer. What was there before
    counts as done and not for the rate.
    """

    def __init__(
        self,
        cells: Sequence[Planned],
        images: int,
        kept: Mapping[str, int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock, self.kept = clock, dict(kept)
        self.weights = {planned.cell.key: _weight(planned.cell) for planned in cells}
        self.done, self.total = 0, images * len(cells)
        self.work_left = sum(weight * images for weight in self.weights.values())
        self.began = clock()
        self.recent: deque[tuple[float, int, float]] = deque([(self.began, 0, 0.0)])  # time, images made, work done
        self.made, self.worked = 0, 0.0

    def add(self, images: int, cell: Cell) -> None:
        """Count images that are newly done."""
        weight = self.weights[cell.key]
        old = min(images, self.kept.get(cell.key, 0))
        self.kept[cell.key] = self.kept.get(cell.key, 0) - old
        self.done += images
        self.work_left -= weight * images
        self.made, self.worked = self.made + images - old, self.worked + weight * (images - old)
        now = self.clock()
        while len(self.recent) > 2 and now - self.recent[0][0] > WINDOW:
            self.recent.popleft()
        if images > old:
            self.recent.append((now, self.made, self.worked))

    @property
    def rate(self) -> float:
        """Images a second; 0 before the first."""
        (start, images, _), (end, more, _) = self.recent[0], self.recent[-1]
        return (more - images) / (end - start) if end > start else 0.0

    @property
    def left(self) -> float | None:
        """Seconds; None before anything is known."""
        (start, _, work), (end, _, more) = self.recent[0], self.recent[-1]
        return self.work_left * (end - start) / (more - work) if more > work and end > start else None

    def text(self) -> str:
        """Rate and times in words."""
        left = "" if self.left is None else f", about {_duration(self.left)} left"
        return f"{self.rate:.3g} images/s, {_duration(self.clock() - self.began)} so far{left}"


@contextmanager
def bar(cells: Sequence[Planned], images: int, kept: Mapping[str, int], best: Callable[[], str]) -> Iterator[Callback]:
    """Progress on standard error of bringing these cells to so many images; yields what the runner calls.

    Args:
        kept: images that are there already, by cell.
        best: the best cell so far, in words.
    """
    meter, console = Meter(cells, images, kept), Console(stderr=True)
    if not console.is_terminal:
        yield _lines(meter, best, console)
        return
    with Live(_picture(meter, "starting", ""), console=console, refresh_per_second=4, transient=True) as live:

        def advance(images: int, cell: Cell) -> None:
            meter.add(images, cell)
            live.update(_picture(meter, describe(cell), best()))

        yield advance


def _lines(meter: Meter, best: Callable[[], str], console: Console) -> Callback:
    last = meter.clock()

    def advance(images: int, cell: Cell) -> None:
        nonlocal last
        meter.add(images, cell)
        leader = best()
        if meter.clock() - last >= EVERY:
            last = meter.clock()
            found = f"; best so far {leader}" if leader else ""
            console.print(
                f"{meter.done:,} of {meter.total:,} images, {meter.text()}{found}", highlight=False, soft_wrap=True
            )

    return advance


def _picture(meter: Meter, now: str, best: str) -> Group:
    line = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=max(meter.total, 1), completed=meter.done, width=30)
    line.add_row(bar, Text(f"{meter.done:,}/{meter.total:,} images"), Text(meter.text()))
    texts = [Text(f"now   {now}", style="dim", no_wrap=True)]
    if best:
        texts.append(Text(f"best  {best}", no_wrap=True))
    return Group(line, *texts)


def _weight(cell: Cell) -> float:
    """Evaluations of the network for an image, as far as they are known beforehand."""
    return 1.0 if cell.given else float(cell.steps * (build("sampler", cell.sampler).evaluations or 1))


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
