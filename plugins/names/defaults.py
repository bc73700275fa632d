"""Settings of diffusers' schedulers and their defaults, release 0.42."""

from __future__ import annotations

import math
from typing import Any

_TRAINED: dict[str, Any] = {
    "num_train_timesteps": 1000, "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear",
    "trained_betas": None, "prediction_type": "epsilon",
}  # fmt: skip
_LATENT = {**_TRAINED, "beta_start": 0.00085, "beta_end": 0.012}
_SPACED = {"timestep_spacing": "linspace", "steps_offset": 0}
_LEADING = {**_SPACED, "timestep_spacing": "leading"}
_SIGMAS = {"use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}
_ZERO_SNR = {"rescale_betas_zero_snr": False}
_THRESHOLD = {"thresholding": False, "dynamic_thresholding_ratio": 0.995, "sample_max_value": 1.0}
_CLIP = {"clip_sample": True, "clip_sample_range": 1.0}
_FLOW = {"use_flow_sigmas": False, "flow_shift": 1.0}
_DYNAMIC = {"use_dynamic_shifting": False, "time_shift_type": "exponential"}
_DPM = {"solver_order": 2, "algorithm_type": "dpmsolver++", "solver_type": "midpoint", "final_sigmas_type": "zero"}
_FINAL = {"lower_order_final": True, "euler_at_final": False}
_CLIPPED = {"lambda_min_clipped": -math.inf, "variance_type": None}
_EDM = {
    "sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 0.5, "sigma_schedule": "karras", "num_train_timesteps": 1000,
    "prediction_type": "epsilon", "rho": 7.0, "final_sigmas_type": "zero",
}  # fmt: skip
_DISTILLED = {
    **_LATENT, "beta_schedule": "scaled_linear", "original_inference_steps": 50, **_CLIP, "clip_sample": False,
    "set_alpha_to_one": True, **_THRESHOLD, **_LEADING, "timestep_scaling": 10.0, **_ZERO_SNR,
}  # fmt: skip
_FLOW_MATCH = {
    "num_train_timesteps": 1000, "shift": 1.0, **_DYNAMIC, "base_shift": 0.5, "max_shift": 1.15,
    "base_image_seq_len": 256, "max_image_seq_len": 4096, "invert_sigmas": False, "shift_terminal": None, **_SIGMAS,
}  # fmt: skip

_DDIM = {**_TRAINED, **_CLIP, "set_alpha_to_one": True, **_THRESHOLD, **_LEADING, **_ZERO_SNR}
_DDPM = {**_TRAINED, **_CLIP, "variance_type": "fixed_small", **_THRESHOLD, **_LEADING, **_ZERO_SNR}

DEFAULTS: dict[str, dict[str, Any]] = {
    "DDIMScheduler": _DDIM,
    "DDPMScheduler": _DDPM,
    "DDIMParallelScheduler": _DDIM,
    "DDPMParallelScheduler": _DDPM,
    "EulerDiscreteScheduler": {
        **_TRAINED, **_SPACED, **_SIGMAS, **_ZERO_SNR, "interpolation_type": "linear", "timestep_type": "discrete",
        "sigma_min": None, "sigma_max": None, "final_sigmas_type": "zero",
    },
    "EulerAncestralDiscreteScheduler": {**_TRAINED, **_SPACED, **_ZERO_SNR},
    "HeunDiscreteScheduler": {**_LATENT, **_SPACED, **_SIGMAS, **_CLIP, "clip_sample": False},
    "LMSDiscreteScheduler": {**_TRAINED, **_SPACED, **_SIGMAS},
    "KDPM2DiscreteScheduler": {**_LATENT, **_SPACED, **_SIGMAS},
    "KDPM2AncestralDiscreteScheduler": {**_LATENT, **_SPACED, **_SIGMAS},
    "DPMSolverSDEScheduler": {**_LATENT, **_SPACED, **_SIGMAS, "noise_sampler_seed": None},
    "DPMSolverMultistepScheduler": {
        **_TRAINED, **_SPACED, **_SIGMAS, **_ZERO_SNR, **_THRESHOLD, **_DPM, **_FINAL, **_FLOW, **_CLIPPED, **_DYNAMIC,
        "use_lu_lambdas": False,
    },
    "DPMSolverSinglestepScheduler": {
        **_TRAINED, **_SIGMAS, **_THRESHOLD, **_DPM, "lower_order_final": False, **_FLOW, **_CLIPPED, **_DYNAMIC,
    },
    "UniPCMultistepScheduler": {
        **_TRAINED, **_SPACED, **_SIGMAS, **_ZERO_SNR, **_THRESHOLD, **_FLOW, **_DYNAMIC, "solver_order": 2,
        "predict_x0": True, "solver_type": "bh2", "lower_order_final": True, "disable_corrector": (), "solver_p": None,
        "final_sigmas_type": "zero", "sigma_min": None, "sigma_max": None, "shift_terminal": None,
    },
    "DEISMultistepScheduler": {
        **_TRAINED, **_SPACED, **_SIGMAS, **_THRESHOLD, **_FLOW, **_DYNAMIC, "solver_order": 2,
        "algorithm_type": "deis", "solver_type": "logrho", "lower_order_final": True,
    },
    "SASolverScheduler": {
        **_TRAINED, **_SPACED, **_SIGMAS, **_THRESHOLD, **_FLOW, **_CLIPPED, "predictor_order": 2, "corrector_order": 2,
        "tau_func": None, "algorithm_type": "data_prediction", "lower_order_final": True,
    },
    "IPNDMScheduler": {"num_train_timesteps": 1000, "trained_betas": None},
    "PNDMScheduler": {**_TRAINED, **_LEADING, "skip_prk_steps": False, "set_alpha_to_one": False},
    "LCMScheduler": _DISTILLED,
    "TCDScheduler": _DISTILLED,
    "EDMEulerScheduler": _EDM,
    "EDMDPMSolverMultistepScheduler": {**_EDM, **_THRESHOLD, **_DPM, **_FINAL},
    "CosineDPMSolverMultistepScheduler": {
        **_EDM, **_FINAL, "sigma_min": 0.3, "sigma_max": 500, "sigma_data": 1.0, "sigma_schedule": "exponential",
        "prediction_type": "v_prediction", "solver_order": 2, "solver_type": "midpoint",
    },
    "FlowMatchEulerDiscreteScheduler": {**_FLOW_MATCH, "stochastic_sampling": False},
    "FlowMatchHeunDiscreteScheduler": {"num_train_timesteps": 1000, "shift": 1.0},
    "FlowMatchLCMScheduler": {**_FLOW_MATCH, "scale_factors": None, "upscale_mode": "bicubic"},
}  # fmt: skip
"""The settings of each class; a test compares them with the classes."""
