"""A scheduler's settings while they are read: what nothing reads must have its default."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from ..diffusers.scheduler_config import SIGMA_SPACINGS, SPARE, read_scheduler, timestep_spacing
from ..registry import describe
from .defaults import DEFAULTS
from .resolved import UnknownPair

BETAS = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas")
DYNAMIC = ("base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len")
_ROUNDED = "diffusers rounds times to whole timesteps."


class Settings:
    """The settings of one call of a scheduler, each with its value or the class's default.

    Raises:
        UnknownPair: for a setting that the class does not have.
    """

    def __init__(self, name: str, given: Mapping[str, Any]) -> None:
        self.name, self.given = name, given
        self.notes: list[str] = []
        self._read = {"prediction_type", "sigma_data", "noise_sampler_seed"}  # of the model, or of a seed
        for key in given:
            if key not in DEFAULTS[name]:
                near = difflib.get_close_matches(key, DEFAULTS[name], n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise UnknownPair(f"{name} has no setting {key!r}{hint} Settings: {', '.join(DEFAULTS[name])}")

    def __getitem__(self, key: str) -> Any:
        self._read.add(key)
        return self.given.get(key, DEFAULTS[self.name][key])

    def has(self, key: str) -> bool:
        return key in DEFAULTS[self.name]

    def note(self, text: str) -> None:
        self.notes.append(text)

    def ignore(self, *keys: str) -> None:
        """Settings that make no difference here."""
        self._read.update(keys)

    def refusal(self, key: str, reason: str) -> UnknownPair:
        return UnknownPair(f"{self.name}: {key} = {self[key]!r} has no counterpart here: {reason}")

    def only(self, key: str, value: Any, reason: str) -> None:
        if self.has(key) and self[key] != value:
            raise self.refusal(key, reason)

    def choice(self, key: str, choices: Mapping[Any, str]) -> str:
        if self[key] not in choices:
            raise self.refusal(key, f"must be one of {', '.join(map(repr, choices))}")
        return choices[self[key]]

    def clipped(self) -> None:
        self.ignore("clip_sample_range")
        if self["clip_sample"]:
            self.note("diffusers clips x0 to [-1, 1] unless clip_sample=False; dynamic_threshold guidance can.")

    def threshold(self) -> None:
        self.ignore("dynamic_thresholding_ratio", "sample_max_value")
        self.only("thresholding", False, "it is guidance here; use dynamic_threshold")

    def spacing(self) -> str:
        """The spacing of the steps."""
        if self.has("use_flow_sigmas") and self["use_flow_sigmas"]:
            return self._of_flow_sigmas()
        given = self["timestep_spacing"] if self.has("timestep_spacing") else "linspace"
        offset = self["steps_offset"] if self.has("steps_offset") else 0
        options = [option for option in SIGMA_SPACINGS if self.has(option) and self[option]]
        if options:
            return self._of_sigmas(SIGMA_SPACINGS[options[0]], given)
        whole = self.name in (*SPARE, "DDIMScheduler", "DDPMScheduler", "PNDMScheduler")
        if given == "trailing" or (whole and given == "linspace"):
            self.note(_ROUNDED)
        try:
            return timestep_spacing(self.name, given, offset)
        except ValueError as error:
            raise UnknownPair(str(error)) from error

    def edm_spacing(self) -> str:
        """Of the schedulers that bring their own range of sigma."""
        return self.choice("sigma_schedule", {"karras": f"karras(rho={self['rho']!r})", "exponential": "exponential"})

    def flow_spacing(self) -> str:
        """Of flow matching, as pipelines call it."""
        for option in (*SIGMA_SPACINGS, "invert_sigmas"):
            self.only(option, False, "on a flow it has no counterpart here")
        self.note("Spaced as pipelines do it; set_timesteps(steps) alone goes to sigma = 0.001 and shifts that twice.")
        terminal = self["shift_terminal"] if self.has("shift_terminal") else None
        return f"ltxv(terminal={terminal!r})" if terminal else "trailing"

    def schedule(self) -> str:
        """The schedule that the settings say, "" where they leave it to the model."""
        if self.has("rho"):
            return self._edm_schedule()
        if self.has("use_dynamic_shifting") and self["use_dynamic_shifting"]:
            return self._dynamic_schedule()
        config = {key: self[key] for key in DEFAULTS[self.name] if key in _SCHEDULE}
        if not self.given.keys() & _SCHEDULE:
            return ""
        if self.given.keys() & _SCHEDULE == {"rescale_betas_zero_snr"} and config["rescale_betas_zero_snr"]:
            raise UnknownPair(
                f"{self.name}: rescale_betas_zero_snr rescales the model's betas; say beta_schedule, beta_start and "
                "beta_end too, or give schedules: zero_terminal_snr"
            )
        try:
            return describe("schedule", read_scheduler(self.name, config).schedule)
        except (ValueError, TypeError) as error:
            raise UnknownPair(str(error)) from error

    def refuse_unread(self) -> None:
        """
        Raises:
            UnknownPair: for a setting that nothing has read and that is not as usual.
        """
        for key, value in self.given.items():
            if key not in self._read and value != DEFAULTS[self.name][key]:
                raise self.refusal(key, "leave it out")

    def _of_sigmas(self, spacing: str, given: str) -> str:
        if spacing == "beta":
            self.note("diffusers takes the quantiles of sigma; these are of time, as in the paper.")
        elif self.name not in SPARE and given != "linspace":
            self.note(f"diffusers takes the ends of sigma from {given} timesteps; these are the model's own.")
        ends = [f"{key}={self[key]!r}" for key in ("sigma_min", "sigma_max") if self.has(key) and self[key] is not None]
        return f"{spacing}({', '.join(ends)})" if ends and spacing != "beta" else spacing

    def _of_flow_sigmas(self) -> str:
        self.ignore("timestep_spacing", "steps_offset")
        for option in SIGMA_SPACINGS:
            self.only(option, False, "on a flow it has no counterpart here")
        if self.name != "UniPCMultistepScheduler":
            self.note("diffusers starts at sigma = 0.999, this at 1.")
        return "sgm_uniform"

    def _edm_schedule(self) -> str:
        ends = f"sigma_min={self['sigma_min']!r}, sigma_max={self['sigma_max']!r}"
        return f"edm({ends}, rho={self['rho']!r}, timesteps={self['num_train_timesteps']!r})"

    def _dynamic_schedule(self) -> str:
        self.only("time_shift_type", "exponential", "use flow with a shift")
        if not self.has("base_shift"):
            raise self.refusal("use_dynamic_shifting", "use flow_shift, or FlowMatchEulerDiscreteScheduler")
        self.ignore("shift")
        self.note("The shift is that of 4096 image tokens; set tokens of flux_flow.")
        low, high, few, many = (self[key] for key in DYNAMIC)
        return f"flux_flow(base_shift={low!r}, max_shift={high!r}, base_tokens={few!r}, max_tokens={many!r})"


_SCHEDULE = {*BETAS, "rescale_betas_zero_snr", "shift", "flow_shift", "use_flow_sigmas"}
