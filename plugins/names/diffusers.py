"""Schedulers of diffusers as they are written in code: "DPMSolverMultistepScheduler(use_karras_sigmas=True)".

The call is read as a syntax tree and never evaluated; what it leaves out has the class's default.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

from ..diffusers.scheduler_config import SIGMA_SPACINGS
from ..expression import Call, parse
from .resolved import Resolved, UnknownPair, resolved
from .settings_read import Settings

_TOKENS = "its noise is that of tokens, not Gaussian"
_TWO_TIMES = "its network answers for two times; samplers here ask for x0 at one level"
_OWN = "it belongs to one model, whose pipeline sets it: give the pipeline to the diffusers backend"
REFUSED = {
    "AmusedScheduler": _TOKENS,
    "BlockRefinementScheduler": _TOKENS,
    "DiscreteDDIMScheduler": _TOKENS,
    "EntropyBoundScheduler": _TOKENS,
    "VQDiffusionScheduler": _TOKENS,
    "FlowMapEulerDiscreteScheduler": _TWO_TIMES,
    "PiflowScheduler": "its network answers with a policy for many small steps",
    "ConsistencyDecoderScheduler": "it is part of a decoder",
    "RePaintScheduler": "it needs an image and a mask at every step: repaint, with a host that keeps the image",
    "KarrasVeScheduler": "it is deprecated: churn(heun) with karras on ve",
    "ScoreSdeVeScheduler": "its levels are a geometric row: predictor_corrector with exponential on ve",
    "ScoreSdeVpScheduler": "it is deprecated: euler_maruyama on vp_sde",
    "LTXEulerAncestralRFScheduler": "its levels are given by its pipeline: euler_ancestral(noise=flow) with ltxv",
    "CogVideoXDDIMScheduler": "its schedule is shifted in SNR: ddim on snr_shift(scaled_linear) with trailing",
    "CogVideoXDPMScheduler": "its schedule is shifted in SNR: dpmpp_2m_sde on snr_shift(scaled_linear) with trailing",
    "DDPMWuerstchenScheduler": "its times are a cosine's, given by its pipeline: ddpm on cosine",
    "UnCLIPScheduler": "its network predicts its variance: ddpm(variance=learned), from Python",
    "HeliosScheduler": _OWN,
    "HeliosDMDScheduler": _OWN,
    "MiniMaxH3Scheduler": "it is its model's: euler with trailing on flow(shift=12)",
    "RFD4ProteinaScheduler": _OWN,
    "SCMScheduler": "its second step starts at an angle of 1.3; use lcm with tabulated spacing on trigflow",
    "DDIMInverseScheduler": "it adds noise instead of removing it, as ddim_inverse",
    "DPMSolverMultistepInverseScheduler": "it adds noise instead of removing it, as inverse(dpmpp_2m)",
    "CMStochasticIterativeScheduler": "its levels go by pairs; use consistency with tabulated spacing",
}
"""Schedulers without counterpart, and why."""


def diffusers(text: str) -> Resolved | None:
    """A scheduler's name or call; None for what is neither.

    Raises:
        UnknownPair: for a scheduler, a setting or a value without counterpart, naming it and the reason.
    """
    try:
        call = parse(text)
    except ValueError:
        return None
    if not call.name.endswith("Scheduler"):
        return None
    if call.name in REFUSED:
        raise UnknownPair(f"{call.name} has no counterpart here: {REFUSED[call.name]}")
    if call.name not in READERS:
        near = difflib.get_close_matches(call.name, READERS, n=2)
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        raise UnknownPair(f"unknown scheduler {call.name!r}{hint} Known: {', '.join(READERS)}")
    settings = Settings(call.name, _given(call))
    sampler, spacing = READERS[call.name](settings)
    schedule = settings.schedule()
    settings.refuse_unread()
    return resolved(text, sampler, spacing, schedule, *settings.notes)


def calls() -> Iterable[str]:
    """Every scheduler that is known, with its defaults; and those that are refused."""
    return (*READERS, *REFUSED)


def _given(call: Call) -> dict[str, Any]:
    if call.positional:
        raise UnknownPair(f"{call.name}: write settings by name, such as timestep_spacing='trailing'")
    return {key: value.name if isinstance(value, Call) else value for key, value in call.named.items()}


def _plain(sampler: str) -> Callable[[Settings], tuple[str, str]]:
    return lambda settings: (sampler, settings.spacing())


def _euler(settings: Settings) -> tuple[str, str]:
    settings.only("final_sigmas_type", "zero", "spacings end clean")
    settings.ignore("timestep_type")
    if settings["interpolation_type"] != "log_linear":
        return "euler", settings.spacing()
    settings.ignore("timestep_spacing", "steps_offset")
    for option in SIGMA_SPACINGS:
        settings.only(option, False, "interpolation_type says another spacing")
    settings.note("diffusers makes steps + 2 levels of log_linear and never converges; these are right.")
    return "euler", "log_linear"


def _heun(settings: Settings) -> tuple[str, str]:
    settings.clipped()
    return "heun", settings.spacing()


def _ddim(settings: Settings) -> tuple[str, str]:
    settings.clipped()
    _final_alpha(settings)
    return "ddim", settings.spacing()


def _final_alpha(settings: Settings) -> None:
    if not settings["set_alpha_to_one"]:
        settings.note("diffusers ends at the cleanest trained level instead of clean.")
    settings.note("diffusers steps to t - 1000 // steps, which is the next timestep only where steps divide 1000.")


def _ddpm(settings: Settings) -> tuple[str, str]:
    settings.clipped()
    kinds = {"fixed_small": "small", "fixed_large": "large"}
    return f"ddpm(variance={settings.choice('variance_type', kinds)})", settings.spacing()


def _multistep(settings: Settings) -> tuple[str, str]:
    settings.threshold()
    return _dpm_solver(settings), settings.spacing()


def _dpm_solver(settings: Settings) -> str:
    settings.only("final_sigmas_type", "zero", "spacings end clean")
    settings.ignore("lower_order_final", "euler_at_final")
    order, kind = settings["solver_order"], settings["solver_type"]
    family = settings["algorithm_type"]
    if (family, order, kind) == ("dpmsolver++", 2, "heun"):
        raise settings.refusal("solver_type", "its weight has no counterpart here; use midpoint")
    if (family, order) == ("sde-dpmsolver++", 2):
        return f"dpmpp_2m_sde(solver={kind})"
    samplers = {
        ("dpmsolver++", 1): "euler",
        ("dpmsolver++", 2): "dpmpp_2m",
        ("dpmsolver++", 3): "dpmpp_3m(compat=True)",
        ("sde-dpmsolver++", 1): "ddim(eta=1)",
    }
    if (family, order) not in samplers:
        raise settings.refusal(
            "algorithm_type",
            f"with solver_order = {order!r}, that is; dpmsolver++ of order 1 to 3 and sde-dpmsolver++ of order 1 and 2 "
            "have one, dpmpp_3m_sde and dpm_solver_m are near the others",
        )
    if order == 3:
        settings.note("Without compat the third order is right.")
    return samplers[family, order]


def _singlestep(settings: Settings) -> tuple[str, str]:
    settings.threshold()
    settings.ignore("lower_order_final")
    settings.only("final_sigmas_type", "zero", "spacings end clean")
    settings.only("algorithm_type", "dpmsolver++", "only its data prediction has a counterpart here")
    settings.only("solver_type", "midpoint", "its weight has no counterpart here")
    samplers = {1: "euler", 2: "dpmpp_2s", 3: "dpmpp_3s"}
    sampler = settings.choice("solver_order", samplers)
    settings.note("diffusers counts evaluations as steps: a step here takes as many as the order.")
    return sampler, settings.spacing()


def _unipc(settings: Settings) -> tuple[str, str]:
    settings.threshold()
    settings.only("predict_x0", True, "only data prediction has a counterpart here")
    settings.only("final_sigmas_type", "zero", "spacings end clean")
    settings.ignore("lower_order_final")
    if settings["solver_type"] == "bh1":
        settings.note("diffusers' last step of bh1 to a clean image is not a number.")
    sampler = f"unipc(points={settings['solver_order']!r}, variant={settings['solver_type']!r})"
    return sampler, settings.spacing()


def _deis(settings: Settings) -> tuple[str, str]:
    settings.threshold()
    settings.only("algorithm_type", "deis", "it is another method")
    settings.only("solver_type", "logrho", "it is another method")
    settings.ignore("lower_order_final")
    settings.note("diffusers repeats its last sigma instead of denoising fully.")
    return f"deis(points={settings['solver_order']!r})", settings.spacing()


def _sa_solver(settings: Settings) -> tuple[str, str]:
    settings.threshold()
    settings.only("algorithm_type", "data_prediction", "only data prediction has a counterpart here")
    settings.only("tau_func", None, "a function cannot be written here; set tau, low and high of sa_solver")
    settings.ignore("lower_order_final")
    settings.note("diffusers repeats its last sigma instead of denoising fully.")
    settings.note("diffusers adds noise between timesteps 200 and 800 only: set low and high.")
    orders = f"predictor={settings['predictor_order']!r}, corrector={settings['corrector_order']!r}"
    return f"sa_solver({orders})", settings.spacing()


def _distilled(sampler: str) -> Callable[[Settings], tuple[str, str]]:
    def read(settings: Settings) -> tuple[str, str]:
        settings.threshold()
        settings.clipped()
        settings.only("set_alpha_to_one", True, "spacings end clean")
        settings.ignore("timestep_spacing", "steps_offset")
        return sampler, f"simple(grid={settings['original_inference_steps']!r})"

    return read


def _ipndm(settings: Settings) -> tuple[str, str]:
    settings.note("diffusers ignores the model's betas; crash spacing starts at its noisiest level.")
    return "ipndm(compat=True)", "crash"


def _pndm(settings: Settings) -> tuple[str, str]:
    start = "heun" if settings["skip_prk_steps"] else "runge_kutta"
    _final_alpha(settings)
    return f"pndm(start={start}, compat=True)", settings.spacing()


def _edm(settings: Settings) -> tuple[str, str]:
    settings.only("final_sigmas_type", "zero", "spacings end clean")
    return "euler", settings.edm_spacing()


def _edm_multistep(settings: Settings) -> tuple[str, str]:
    settings.threshold()
    return _dpm_solver(settings), settings.edm_spacing()


def _cosine(settings: Settings) -> tuple[str, str]:
    settings.only("solver_order", 2, "it is another method")
    settings.only("final_sigmas_type", "zero", "spacings end clean")
    settings.ignore("lower_order_final", "euler_at_final")
    return f"dpmpp_2m_sde(solver={settings['solver_type']!r})", settings.edm_spacing()


def _flow_match(sampler: str) -> Callable[[Settings], tuple[str, str]]:
    def read(settings: Settings) -> tuple[str, str]:
        settings.only("scale_factors", None, "images keep their size here")
        settings.ignore("upscale_mode")
        stochastic = settings.has("stochastic_sampling") and settings["stochastic_sampling"]
        return ("lcm" if stochastic else sampler), settings.flow_spacing()

    return read


READERS: dict[str, Callable[[Settings], tuple[str, str]]] = {
    "DDIMScheduler": _ddim,
    "DDPMScheduler": _ddpm,
    "DDIMParallelScheduler": _ddim,
    "DDPMParallelScheduler": _ddpm,
    "EulerDiscreteScheduler": _euler,
    "EulerAncestralDiscreteScheduler": _plain("euler_ancestral"),
    "HeunDiscreteScheduler": _heun,
    "LMSDiscreteScheduler": _plain("lms"),
    "KDPM2DiscreteScheduler": _plain("dpm_2"),
    "KDPM2AncestralDiscreteScheduler": _plain("dpm_2_ancestral"),
    "DPMSolverSDEScheduler": _plain("dpmpp_sde"),
    "DPMSolverMultistepScheduler": _multistep,
    "DPMSolverSinglestepScheduler": _singlestep,
    "UniPCMultistepScheduler": _unipc,
    "DEISMultistepScheduler": _deis,
    "SASolverScheduler": _sa_solver,
    "IPNDMScheduler": _ipndm,
    "PNDMScheduler": _pndm,
    "LCMScheduler": _distilled("lcm"),
    "TCDScheduler": _distilled("tcd"),
    "EDMEulerScheduler": _edm,
    "EDMDPMSolverMultistepScheduler": _edm_multistep,
    "CosineDPMSolverMultistepScheduler": _cosine,
    "FlowMatchEulerDiscreteScheduler": _flow_match("euler"),
    "FlowMatchHeunDiscreteScheduler": _flow_match("runge_kutta(method=heun2, quantity=flow)"),
    "FlowMatchLCMScheduler": _flow_match("lcm"),
}
