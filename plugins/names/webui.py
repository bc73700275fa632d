"""Labels of AUTOMATIC1111's and Forge's menus: "Euler a", "DPM++ 2M Karras", "DPM++ SDE" with its automatic schedule.

Before version 1.9 label and schedule were one name; since, "Automatic" takes the one that each sampler came with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .resolved import Resolved, UnknownPair, resolved

_PENULTIMATE = "The web UI makes one more level and leaves out the next to last."
_THIRD = "The web UI has half of the right curvature; so has compat=True."


class _Label(NamedTuple):
    sampler: str
    automatic: str = "Uniform"
    note: str = ""


SAMPLERS = {
    "DPM++ 2M": _Label("dpmpp_2m", "Karras"),
    "DPM++ SDE": _Label("dpmpp_sde", "Karras"),
    "DPM++ 2M SDE": _Label("dpmpp_2m_sde", "Exponential"),
    "DPM++ 2M SDE Heun": _Label("dpmpp_2m_sde(solver=heun)", "Exponential"),
    "DPM++ 2S a": _Label("dpmpp_2s_ancestral", "Karras"),
    "DPM++ 3M SDE": _Label("dpmpp_3m_sde", "Exponential", f"{_THIRD} {_PENULTIMATE}"),
    "Euler a": _Label("euler_ancestral"),
    "Euler": _Label("euler"),
    "LMS": _Label("lms"),
    "Heun": _Label("heun"),
    "DPM2": _Label("dpm_2", "Karras", _PENULTIMATE),
    "DPM2 a": _Label("dpm_2_ancestral", "Karras", _PENULTIMATE),
    "DPM fast": _Label("dpm_fast(compat=True)"),
    "DPM adaptive": _Label("sample_dpm_adaptive"),
    "Restart": _Label("restart(heun)", "Karras", "The web UI chooses the repeats by the number of steps."),
    "DDIM": _Label("ddim", "DDIM"),
    "DDIM CFG++": _Label("cfg_pp(ddim)", "DDIM"),
    "PLMS": _Label("pndm(compat=True)", "DDIM"),
    "UniPC": _Label("unipc(points=3, variant=bh1)", "DDIM"),
    "LCM": _Label("lcm"),
    "DDPM": _Label("sample_ddpm"),
    "HeunPP2": _Label("sample_heunpp2"),
    "IPNDM": _Label("ipndm(compat=True)"),
    "IPNDM_V": _Label("ipndm_v", note="Published coefficients of orders 3 and 4 are wrong; these are right."),
    "DEIS": _Label("deis"),
}
"""The sampler of each label, and the schedule that "Automatic" takes for it."""

SCHEDULES = {
    "Uniform": ("linspace", ""),
    "Karras": ("karras", ""),
    "Exponential": ("exponential", ""),
    "Polyexponential": ("polyexponential", ""),
    "SGM Uniform": ("sgm_uniform", ""),
    "KL Optimal": ("kl_optimal", "The web UI ends at the cleanest trained level, not clean."),
    "Align Your Steps": ("ays", ""),
    "Simple": ("simple", ""),
    "Normal": ("linspace", ""),
    "DDIM": ("ddim_uniform", "The web UI makes one step more where the number does not divide 1000."),
    "Beta": ("beta", "The web UI takes the quantiles of sigma; these are of time, as in the paper."),
    "Karras Exponential": (
        "karras_exponential",
        "The web UI starts above the model's noisiest level, and ends noisy.",
    ),
    "Turbo": ("sd_turbo", ""),
}
"""The spacing of each label, and what differs."""


def webui(text: str) -> Resolved | None:
    """A label, alone or followed by that of a schedule, in upper or lower case; None if it starts with none of them.

    Raises:
        UnknownPair: for a label without counterpart and for what follows a label and is no schedule.
    """
    words = " ".join(text.split())
    known = [label for label in SAMPLERS if f"{words} ".lower().startswith(f"{label} ".lower())]
    if not known or (words.islower() and words.isidentifier()):
        return None  # euler is a sampler of ours, Euler is theirs with a schedule
    label = max(known, key=len)
    rest = words[len(label) :].strip()
    sampler, automatic, note = SAMPLERS[label]
    schedules = {name.lower(): value for name, value in SCHEDULES.items()}
    wanted = rest.lower() if rest and rest.lower() != "automatic" else automatic.lower()
    if wanted not in schedules:
        choices = ", ".join(SCHEDULES)
        raise UnknownPair(f"after {label!r} comes a schedule, not {rest!r}: {choices} or Automatic")
    spacing, difference = schedules[wanted]
    return resolved(text, sampler, spacing, "", note, difference)


def labels() -> Iterator[str]:
    """Every sampler with its automatic schedule, and one with every schedule."""
    yield from SAMPLERS
    yield from (f"Euler {schedule}" for schedule in SCHEDULES)
