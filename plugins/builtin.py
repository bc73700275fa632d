"""The plugins that come with Sigmabench, registered like anyone's. The only file that names concrete classes."""

from __future__ import annotations

from .. import samplers
from ..samplers import guidance, schedules, spacings
from .hookspecs import Register, hookimpl


@hookimpl
def register_samplers(register: Register) -> None:
    register("euler", samplers.Euler)
    register("euler_ancestral", samplers.EulerAncestral)
    register("heun", samplers.Heun)
    register("dpmpp_2m", samplers.DPMpp2M)
    register("dpmpp_2m_sde", samplers.DPMpp2MSDE)
    register("ddim", samplers.DDIM)
    register("ddpm", samplers.DDPM)
    register("dpm_2", samplers.DPM2)
    register("dpm_solver_3", samplers.DPMSolver3)
    register("dpmpp_2s", samplers.DPMpp2S)
    register("dpmpp_3s", samplers.DPMpp3S)
    register("res_2s", samplers.RES2S)
    register("exponential_runge_kutta", samplers.ExponentialRungeKutta)
    register("runge_kutta", samplers.RungeKutta)
    register("implicit_runge_kutta", samplers.ImplicitRungeKutta)
    register("exponential_collocation", samplers.ExponentialCollocation)
    register("lms", samplers.LMS)
    register("ipndm", samplers.IPNDM)
    register("deis", samplers.DEIS)
    register("res_2m", samplers.RES2M)
    register("res_3m", samplers.RES3M)
    register("abnorsett_4m", samplers.ABNorsett4M)
    register("dpmpp_3m", samplers.DPMpp3M)
    register("unipc", samplers.UniPC)
    register("gradient_estimation", samplers.GradientEstimation)
    register("dpm_2_ancestral", samplers.DPM2Ancestral)
    register("dpmpp_2s_ancestral", samplers.DPMpp2SAncestral)
    register("res_multistep_ancestral", samplers.RESMultistepAncestral)
    register("dpmpp_sde", samplers.DPMppSDE)
    register("seeds_2", samplers.Seeds2)
    register("seeds_3", samplers.Seeds3)
    register("dpmpp_3m_sde", samplers.DPMpp3MSDE)
    register("er_sde", samplers.ERSDE)
    register("sa_solver", samplers.SASolver)
    register("lcm", samplers.LCM)
    register("consistency", samplers.Consistency)
    register("tcd", samplers.TCD)
    register("cfg_pp", samplers.CFGpp)
    register("churn", samplers.Churn)
    register("restart", samplers.Restart)
    register("predictor_corrector", samplers.PredictorCorrector)
    register("euler_maruyama", samplers.EulerMaruyama)
    register("pndm", samplers.PNDM)
    register("dpm_solver_m", samplers.DPMSolverM)
    register("dpm_fast", samplers.DPMFast)
    register("dpm_adaptive", samplers.DPMAdaptive)
    register("sde_dpm_solver", samplers.SDEDPMSolver)
    register("heunpp2", samplers.HeunPP2)
    register("afs", samplers.AFS)


@hookimpl
def register_schedules(register: Register) -> None:
    register("linear", schedules.Linear)
    register("scaled_linear", schedules.ScaledLinear)
    register("cosine", schedules.Cosine)
    register("flow", schedules.Flow)
    register("zero_terminal_snr", schedules.ZeroTerminalSNR)
    register("sigmoid", schedules.Sigmoid)
    register("sigmoid_betas", schedules.SigmoidBetas)
    register("exp", schedules.Exp)
    register("laplace", schedules.Laplace)
    register("vp_sde", schedules.VPSDE)
    register("trigflow", schedules.TrigFlow)
    register("ve", schedules.VE)
    register("edm", schedules.EDM)
    register("flux_flow", schedules.FluxFlow)
    register("trained_betas", schedules.TrainedBetas)
    register("trained_sigmas", schedules.TrainedSigmas)
    register("snr_shift", schedules.SNRShift)
    register("interpolated_shifted_cosine", schedules.InterpolatedShiftedCosine)
    register("edm_discrete", schedules.EDMDiscrete)
    register("cosmos_rflow", schedules.CosmosRFlow)


@hookimpl
def register_spacings(register: Register) -> None:
    register("karras", spacings.Karras)
    register("exponential", spacings.Exponential)
    register("trailing", spacings.Trailing)
    register("leading", spacings.Leading)
    register("linspace", spacings.Linspace)
    register("simple", spacings.Simple)
    register("sgm_uniform", spacings.SGMUniform)
    register("ddim_uniform", spacings.DDIMUniform)
    register("sd_turbo", spacings.SDTurbo)
    register("polyexponential", spacings.PolyExponential)
    register("vp", spacings.VP)
    register("kl_optimal", spacings.KLOptimal)
    register("laplace", spacings.Laplace)
    register("beta", spacings.Beta)
    register("linear_quadratic", spacings.LinearQuadratic)
    register("ltxv", spacings.LTXV)
    register("ays", spacings.AYS)
    register("tabulated", spacings.Tabulated)
    register("bong_tangent", spacings.BongTangent)
    register("iddpm", spacings.IDDPM)
    register("crash", spacings.Crash)
    register("flux2", spacings.Flux2)


@hookimpl
def register_guidance(register: Register) -> None:
    register("cfg", guidance.CFG)
    register("rescaled_cfg", guidance.RescaledCFG)
    register("interval", guidance.Interval)
    register("dynamic_cfg", guidance.DynamicCFG)
    register("apg", guidance.APG)
    register("apg_mix", guidance.APGMix)
    register("cfg_zero_star", guidance.CFGZeroStar)
    register("tcfg", guidance.TCFG)
    register("fdg", guidance.FDG)
    register("fresca", guidance.FreSca)
    register("cfg_norm", guidance.CFGNorm)
    register("magnitude_aware", guidance.MagnitudeAware)
    register("mahiro", guidance.Mahiro)
    register("perp_neg", guidance.PerpNeg)
    register("dual_cfg", guidance.DualCFG)
    register("dynamic_threshold", guidance.DynamicThreshold)
    register("eps_scaling", guidance.EpsScaling)
    register("negative_prompt", guidance.NegativePrompt)
    register("pag", guidance.PAG)
    register("sag", guidance.SAG)
    register("seg", guidance.SEG)
    register("slg", guidance.SLG)
    register("tpg", guidance.TPG)
    register("nag", guidance.NAG)
    register("pladis", guidance.PLADIS)
    register("autoguidance", guidance.Autoguidance)


@hookimpl
def register_backends(register: Register) -> None:
    from ..eval.backends import comfyui, connected, diffusers_pipeline, embedded, mixture

    register("embedded", embedded.Embedded)
    register("gaussian_mixture", mixture.GaussianMixture)
    register("diffusers", diffusers_pipeline.Diffusers)
    register("connected", connected.Connected)
    register("comfyui", comfyui.ComfyUI)


@hookimpl
def register_metrics(register: Register) -> None:
    from ..eval import metrics

    register("fd", metrics.FrechetDistance)
    register("kd", metrics.KernelDistance)
    register("fid", metrics.FID)
    register("fd_inf", metrics.FrechetInfinity)
    register("cmmd", metrics.CMMD)
    register("precision", metrics.Precision)
    register("recall", metrics.Recall)
    register("density", metrics.Density)
    register("coverage", metrics.Coverage)
    register("inception_score", metrics.InceptionScore)
    register("trajectory_error", metrics.TrajectoryError)
    register("clip_score", metrics.ClipScore)
    register("pick_score", metrics.PickScore)
    register("class_agreement", metrics.ClassAgreement)
    register("diversity", metrics.Diversity)
    register("luminance", metrics.Luminance)
    register("contrast", metrics.Contrast)
    register("sharpness", metrics.Sharpness)
    register("colourfulness", metrics.Colourfulness)
    register("clipping", metrics.Clipping)
