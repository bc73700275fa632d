"""What a name of another program comes to: a sampler, a spacing and perhaps a schedule of ours, as plugin texts."""

from __future__ import annotations

import dataclasses

from ..registry import UnknownName, build, describe


class UnknownPair(UnknownName):
    """A name that no program is known to use, or one that has no counterpart here; the message says why."""


@dataclasses.dataclass(frozen=True)
class Resolved:
    """Plugins that together are what the name stands for.

    Attributes:
        schedule: "" where the name leaves it to the model.
        note: what the other program does differently, or "".
    """

    name: str
    sampler: str
    spacing: str
    schedule: str = ""
    note: str = ""


def resolved(name: str, sampler: str, spacing: str, schedule: str = "", *notes: str) -> Resolved:
    """Plugins by their texts, checked and in their shortest form.

    Raises:
        UnknownPair: if one of them is not registered or cannot be built.
    """
    texts = []
    for kind, text in (("sampler", sampler), ("spacing", spacing), ("schedule", schedule)):
        try:
            texts.append(describe(kind, build(kind, text)) if text else "")
        except (ValueError, TypeError) as error:
            reason = str(error).partition(" Known:")[0]
            raise UnknownPair(f"{name!r} has no counterpart here: {reason}") from error
    return Resolved(name, texts[0], texts[1], texts[2], " ".join(note for note in notes if note))
