"""Who makes which shard: claims among workers that share nothing but a folder.

    run/claims/<name>                                   held by the worker that created it

A claim is a file that only one worker can create. Its holder touches it from time to time; a claim that nobody has
touched for a lease, or whose process on this machine is gone, is free again. The lease is measured by the clock of
whoever waits, from the last change it saw, so the clocks of several machines need not agree.

Two workers may make one shard twice where a holder was stopped for longer than the lease. That costs time and nothing
else: a shard depends on its cell and images alone, and is published whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

LEASE = 60.0  # seconds without a sign of life after which a claim is free
BEATS = 6  # signs of life a lease
UNSIGNED = 5.0  # seconds after which a claim is free whose maker did not live to write its name into it


class Sighting(NamedTuple):
    """A claim as it was seen first in its present state, by our own clock."""

    touched: int
    since: float


class Claims:
    """The claims of one worker; a context, so that none is left behind however the work ends."""

    def __init__(self, folder: Path, lease: float = LEASE) -> None:
        self.folder, self.lease = folder, lease
        self.held: set[Path] = set()
        self.seen: dict[Path, Sighting] = {}
        self.stopped = threading.Event()

    def __enter__(self) -> Claims:
        self.folder.mkdir(parents=True, exist_ok=True)
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stopped.set()
        for path in list(self.held):
            self._release(path)

    def take(self, name: str) -> bool:
        """Whether the claim of that name is now ours."""
        path = self.folder / name
        if self._create(path):
            return True
        abandoned = self._abandoned(path)
        return abandoned is not None and self._clear(path, abandoned) and self._create(path)

    def release(self, name: str) -> None:
        """Give a claim of ours back."""
        self._release(self.folder / name)

    def _release(self, path: Path) -> None:
        self.held.discard(path)
        path.unlink(missing_ok=True)

    def _create(self, path: Path) -> bool:
        holder = json.dumps({"host": socket.gethostname(), "pid": os.getpid()})
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return False
        with os.fdopen(handle, "w") as file:
            file.write(holder)
        self.held.add(path)
        return True

    def _abandoned(self, path: Path) -> str | None:
        """What an abandoned claim says; None for one that is held."""
        try:
            touched, text = path.stat().st_mtime_ns, path.read_text()
        except OSError:
            return None  # given back meanwhile: the next round finds it published or free
        if _holder_is_gone(text):
            return text
        sighting = self.seen.get(path)
        if sighting is None or sighting.touched != touched:
            sighting = self.seen[path] = Sighting(touched, time.monotonic())
        lease = self.lease if text else min(self.lease, UNSIGNED)
        return text if time.monotonic() - sighting.since > lease else None

    def _clear(self, path: Path, text: str) -> bool:
        """Remove the abandoned claim that said this, unless another was faster and has claimed anew."""
        grave = path.with_name(f".{path.name}-{socket.gethostname()}-{os.getpid()}")
        try:
            path.rename(grave)  # of several who try, one succeeds
            if stolen := grave.read_text() != text:
                os.link(grave, path)  # it is that of a worker alive: back to its place
            grave.unlink()
        except OSError:
            return False
        return not stolen

    def _beat(self) -> None:
        while not self.stopped.wait(self.lease / BEATS):
            for path in list(self.held):
                with contextlib.suppress(OSError):
                    os.utime(path)


def _holder_is_gone(text: str) -> bool:
    """Whether the claim's process ran on this machine and does not run any more."""
    try:
        holder = json.loads(text)
        if holder["host"] != socket.gethostname():
            return False
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return True
    except (ValueError, KeyError, TypeError, OSError):
        return False  # half written, or another user's: the lease decides
    return False
