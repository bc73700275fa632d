"""Errors that are the caller's to mend: the message names the thing, the legal values and the remedy; exit code 2."""

from __future__ import annotations


class UsageError(ValueError):
    """Bad input, found before any work was started."""


class NotApplicable(ValueError):  # noqa: N818
    """A metric that by its nature has no number for a cell; the cell is refused there, and nothing has failed."""
