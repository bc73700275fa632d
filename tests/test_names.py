"""Names of other programs: each comes to plugins of ours, with the same levels and images, or says why not."""

import inspect
import math

import diffusers
import pytest
import torch

from sigmabench.eval.errors import UsageError
from sigmabench.eval.sweep import Sweep, load_sweep
from sigmabench.plugins.names import UnknownPair, known_names, resolve
from sigmabench.plugins.names.defaults import DEFAULTS
from sigmabench.plugins.names.diffusers import READERS, REFUSED
from sigmabench.plugins.registry import build
from sigmabench.samplers import Level
from sigmabench.samplers.problems import BIMODAL
from sigmabench.samplers.run import sample
from sigmabench.samplers.schedules import ScaledLinear

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")


@pytest.mark.parametrize(
    ("name", "sampler", "spacing"),
    [
        ("DPM++ 2M Karras", "dpmpp_2m", "karras"),
        ("DPM++ 2M", "dpmpp_2m", "karras"),
        ("DPM++ 2M Automatic", "dpmpp_2m", "karras"),
        ("DPM++ 2M SGM Uniform", "dpmpp_2m", "sgm_uniform"),
        ("Euler a", "euler_ancestral", "linspace"),
        ("euler A karras", "euler_ancestral", "karras"),
        ("Euler", "euler", "linspace"),
        ("DPM++ SDE Karras", "dpmpp_sde", "karras"),
        ("DPM++ 2M SDE Exponential", "dpmpp_2m_sde", "exponential"),
        ("DPM++ 2M SDE", "dpmpp_2m_sde", "exponential"),
        ("DPM++ 2M SDE Heun Karras", "dpmpp_2m_sde(solver=heun)", "karras"),
        ("DPM++ 3M SDE Exponential", "dpmpp_3m_sde", "exponential"),
        ("DPM2 a Karras", "dpm_2_ancestral", "karras"),
        ("DPM++ 2S a Karras", "dpmpp_2s_ancestral", "karras"),
        ("LMS Karras", "lms", "karras"),
        ("DDIM", "ddim", "ddim_uniform"),
        ("PLMS", "pndm(compat=True)", "ddim_uniform"),
        ("sa_solver_pece / karras", "sa_solver(pece=True)", "karras"),
        ("DDIM CFG++", "cfg_pp(sampler=ddim)", "ddim_uniform"),
        ("UniPC", "unipc(points=3, variant=bh1)", "ddim_uniform"),
        ("Heun Align Your Steps", "heun", "ays"),
        ("dpmpp_2m / karras", "dpmpp_2m", "karras"),
        ("dpmpp_2m + karras", "dpmpp_2m", "karras"),
        ("dpmpp_2m/karras", "dpmpp_2m", "karras"),
        ("euler_ancestral / normal", "euler_ancestral", "linspace"),
        ("euler_cfg_pp / simple", "cfg_pp", "simple"),
        ("dpmpp_2m_sde_heun_gpu / beta57", "dpmpp_2m_sde(solver=heun)", "beta(alpha=0.5, beta=0.7)"),
        ("uni_pc_bh2 / sgm_uniform", "unipc(points=3)", "sgm_uniform"),
        ("dpmpp_2m_sde(eta=0.5) + karras(rho=5)", "dpmpp_2m_sde(eta=0.5)", "karras(rho=5)"),
        ("res_multistep / bong_tangent", "res_2m", "bong_tangent"),
    ],
)
def test_labels_and_pairs_come_to_a_sampler_and_a_spacing(name, sampler, spacing):
    found = resolve(name)
    assert (found.name, found.sampler, found.spacing, found.schedule) == (name, sampler, spacing, "")


@pytest.mark.parametrize(
    ("name", "sampler", "spacing", "schedule"),
    [
        ("EulerDiscreteScheduler", "euler", "linspace", ""),
        ("EulerDiscreteScheduler(timestep_spacing='trailing')", "euler", "trailing", ""),
        ("EulerDiscreteScheduler(use_karras_sigmas=True, sigma_max=10)", "euler", "karras(sigma_max=10)", ""),
        (
            "DPMSolverMultistepScheduler(algorithm_type='sde-dpmsolver++', solver_order=2, use_karras_sigmas=True)",
            "dpmpp_2m_sde", "karras", "",
        ),
        ("DPMSolverMultistepScheduler(solver_order=3)", "dpmpp_3m(compat=True)", "sgm_uniform", ""),
        ("DPMSolverMultistepScheduler(solver_order=1, use_lu_lambdas=True)", "euler", "exponential", ""),
        (
            "DPMSolverMultistepScheduler(timestep_spacing=leading, steps_offset=1)",
            "dpmpp_2m", "leading(offset=1, spare=1)", "",
        ),
        ("UniPCMultistepScheduler(use_flow_sigmas=True, flow_shift=3.0)", "unipc", "sgm_uniform", "flow(shift=3)"),
        ("PNDMScheduler(skip_prk_steps=True, steps_offset=1)", "pndm(compat=True)", "leading(offset=1)", ""),
        ("LCMScheduler(original_inference_steps=100)", "lcm", "simple(grid=100)", ""),
        ("EDMEulerScheduler(sigma_max=120)", "euler", "karras", "edm(sigma_max=120)"),
        ("FlowMatchEulerDiscreteScheduler(shift=3.0)", "euler", "trailing", "flow(shift=3)"),
        ("FlowMatchEulerDiscreteScheduler(shift_terminal=0.1)", "euler", "ltxv", ""),
        ("FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)", "euler", "trailing", "flux_flow"),
        ("FlowMatchEulerDiscreteScheduler(stochastic_sampling=True)", "lcm", "trailing", ""),
        (
            "DDIMScheduler(beta_schedule=scaled_linear, beta_start=0.00085, beta_end=0.012, "
            "rescale_betas_zero_snr=True, timestep_spacing=trailing)",
            "ddim", "trailing", "zero_terminal_snr",
        ),
        ("DDPMScheduler(variance_type='fixed_large', beta_schedule='squaredcos_cap_v2')",
         "ddpm(variance=large)", "leading", "cosine"),
    ],
)  # fmt: skip
def test_scheduler_calls_come_to_sampler_spacing_and_schedule(name, sampler, spacing, schedule):
    found = resolve(name)
    assert (found.sampler, found.spacing, found.schedule) == (sampler, spacing, schedule)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("DPM++ 2M Karas", "after 'DPM\\+\\+ 2M' comes a schedule, not 'Karas': Uniform, Karras"),
        ("DPM+ 2M", "unknown pair 'DPM\\+ 2M'; did you mean 'DPM\\+\\+ 2M'"),
        ("euler", "unknown pair 'euler'.* a pair such as 'dpmpp_2m / karras'"),
        ("dpmpp2m / karras", "no counterpart here: unknown sampler 'dpmpp2m'; did you mean 'dpmpp_2m'"),
        ("euler / karas", "no counterpart here: unknown spacing 'karas'; did you mean 'karras'"),
        ("euler / karras(rho=0)", "must satisfy 0.1 <= rho"),
        ("DDIMInverseScheduler()", "no counterpart here: it adds noise instead of removing it"),
        ("EulerScheduler()", "unknown scheduler 'EulerScheduler'; did you mean"),
        ("EulerDiscreteScheduler('trailing')", "write settings by name"),
        ("EulerDiscreteScheduler(timestep_spacig='trailing')", "has no setting 'timestep_spacig'; did you mean 'time"),
        (
            "EulerDiscreteScheduler(timestep_spacing='trail')",
            "timestep_spacing = 'trail': must be one of 'trailing', 'leading', 'linspace'",
        ),
        ("EulerDiscreteScheduler(interpolation_type='log_linear', use_karras_sigmas=True)", "another spacing"),
        ("EulerDiscreteScheduler(final_sigmas_type='sigma_min')", "spacings end clean"),
        ("DPMSolverMultistepScheduler(algorithm_type='dpmsolver')", "algorithm_type = 'dpmsolver' has no counterpart"),
        ("DPMSolverMultistepScheduler(solver_type='heun')", "use midpoint"),
        ("DPMSolverMultistepScheduler(thresholding=True)", "use dynamic_threshold"),
        ("DPMSolverMultistepScheduler(lambda_min_clipped=-5.1)", "lambda_min_clipped = -5.1 .* leave it out"),
        ("UniPCMultistepScheduler(predict_x0=False)", "only data prediction"),
        ("DDIMScheduler(rescale_betas_zero_snr=True)", "say beta_schedule, beta_start and beta_end too"),
        ("DDIMScheduler(beta_schedule='foo')", "beta_schedule = 'foo'"),
        ("FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True)", "on a flow it has no counterpart"),
        ("__import__('os').system('true')", "unknown pair"),
    ],
)  # fmt: skip
def test_what_has_no_counterpart_says_why(name, message):
    with pytest.raises(UnknownPair, match=message):
        resolve(name)


def test_differences_are_told():
    assert "leaves out the next to last" in resolve("DPM2 Karras").note
    assert "quantiles of sigma" in resolve("Euler Beta").note
    assert (
        "ends of sigma from leading timesteps"
        in resolve("EulerDiscreteScheduler(use_karras_sigmas=True, timestep_spacing='leading')").note
    )
    assert resolve("DPM++ 2M Karras").note == ""


def test_every_known_name_comes_to_something_or_says_why():
    known = list(known_names())
    assert {k.host for k in known} == {"AUTOMATIC1111, Forge", "ComfyUI", "diffusers"}
    for k in known:
        assert (k.resolved is None) == ("no counterpart here" in k.reason)
        if k.resolved:
            build("sampler", k.resolved.sampler)
            build("spacing", k.resolved.spacing)


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_defaults_are_those_of_the_classes(name):
    parameters = inspect.signature(getattr(diffusers, name)).parameters
    real = {key: parameter.default for key, parameter in parameters.items()}
    real = {key: tuple(value) if isinstance(value, list) else value for key, value in real.items()}
    if diffusers.__version__.startswith("0.42"):
        assert DEFAULTS[name] == real
    else:
        shared = real.keys() & DEFAULTS[name].keys()
        assert {key: DEFAULTS[name][key] for key in shared} == {key: real[key] for key in shared}


def test_every_scheduler_has_its_defaults():
    assert READERS.keys() == DEFAULTS.keys()


def test_every_scheduler_of_diffusers_is_read_or_refused_with_a_reason():
    theirs = {name for name in dir(diffusers.schedulers) if name.endswith("Scheduler")}
    assert theirs <= {*READERS, *REFUSED}


SD = "beta_schedule='scaled_linear', beta_start=0.00085, beta_end=0.012"
PARITY = [
    ("EulerDiscreteScheduler", "", 20),
    ("EulerDiscreteScheduler", "timestep_spacing='trailing'", 20),
    ("EulerDiscreteScheduler", "timestep_spacing='leading', steps_offset=1", 30),
    ("EulerDiscreteScheduler", "use_karras_sigmas=True", 20),
    ("EulerDiscreteScheduler", "use_exponential_sigmas=True", 13),
    ("DPMSolverMultistepScheduler", "", 27),
    ("DPMSolverMultistepScheduler", "use_karras_sigmas=True", 20),
    ("DPMSolverMultistepScheduler", "timestep_spacing='trailing'", 20),
    ("DPMSolverMultistepScheduler", "timestep_spacing='leading', steps_offset=1", 30),
    ("DPMSolverMultistepScheduler", "use_lu_lambdas=True", 20),
    ("DPMSolverMultistepScheduler", "solver_order=1, use_karras_sigmas=True", 20),
    ("DPMSolverMultistepScheduler", "solver_order=3, use_exponential_sigmas=True", 20),
    ("UniPCMultistepScheduler", "use_karras_sigmas=True", 20),
    ("UniPCMultistepScheduler", "timestep_spacing='trailing'", 20),
]
"""Configured schedulers that are deterministic, evaluate once a step and end by the model's answer."""

LEVELS = [
    ("LMSDiscreteScheduler", "use_karras_sigmas=True", 20),  # extrapolates eps in the last step
    ("EulerAncestralDiscreteScheduler", "timestep_spacing='trailing'", 20),
    ("DPMSolverSinglestepScheduler", "use_karras_sigmas=True", 20),
]


def scheduler_of(name, settings):
    return eval(f"diffusers.{name}({SD}{', ' * bool(settings)}{settings})")


@pytest.mark.parametrize(("name", "settings", "steps"), [*PARITY, *LEVELS])
def test_levels_of_a_resolved_call_are_the_schedulers(name, settings, steps):
    theirs = scheduler_of(name, settings)
    theirs.set_timesteps(steps)
    found = resolve(f"{name}({settings})")
    ours = [level.ve_sigma for level in build("spacing", found.spacing)(ScaledLinear(), steps)]
    assert ours == pytest.approx(theirs.sigmas.tolist(), rel=1e-4)


@pytest.mark.parametrize(("name", "settings", "steps"), PARITY)
def test_a_run_of_a_resolved_call_is_the_schedulers(name, settings, steps):
    theirs = scheduler_of(name, settings)
    theirs.set_timesteps(steps)
    sigmas = theirs.sigmas.double().tolist()
    ve = bool(theirs.init_noise_sigma != 1.0)
    noise = torch.linspace(-1.5, 1.5, 16, dtype=torch.float64).view(1, 1, 4, 4)
    levels = [Level(1 / math.hypot(1, s), s / math.hypot(1, s)) for s in sigmas]
    x = noise * float(theirs.init_noise_sigma)
    for t, level in zip(theirs.timesteps, levels, strict=False):
        seen = theirs.scale_model_input(x, t)
        eps = (seen - level.alpha * BIMODAL(seen, level)) / level.sigma
        x = theirs.step(eps.float(), t, x.float()).prev_sample.double()
    found = resolve(f"{name}({settings})")
    path = build("spacing", found.spacing)(ScaledLinear(), steps)
    start = noise * (float(theirs.init_noise_sigma) * path[0].alpha if ve else 1.0)
    ours = sample(build("sampler", found.sampler), BIMODAL, start, path)
    assert torch.allclose(ours, x, atol=1e-4)


@pytest.mark.xfail(raises=AssertionError, strict=True, reason="diffusers multiplies an infinite step of log-SNR by 0")
def test_diffusers_unipc_of_bh1_ends_in_an_image():
    theirs = scheduler_of("UniPCMultistepScheduler", "solver_type='bh1'")
    theirs.set_timesteps(5)
    x = torch.linspace(-1.5, 1.5, 16).view(1, 1, 4, 4)
    for t in theirs.timesteps:
        x = theirs.step(0.5 * x, t, x).prev_sample
    assert x.isfinite().all()


def test_resolved_schedules_are_the_schedulers():
    text = f"DDIMScheduler({SD}, rescale_betas_zero_snr=True, timestep_spacing='trailing')"
    theirs = eval(f"diffusers.{text}")
    theirs.set_timesteps(10)
    found = resolve(text)
    levels = build("spacing", found.spacing)(build("schedule", found.schedule), 10)
    expected = [theirs.alphas_cumprod[t].item() for t in theirs.timesteps]
    assert [level.alpha**2 for level in levels[:-1]] == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_resolved_edm_and_flow_calls_have_the_schedulers_sigmas():
    edm = diffusers.EDMEulerScheduler(sigma_max=40.0)
    edm.set_timesteps(12)
    found = resolve("EDMEulerScheduler(sigma_max=40.0)")
    levels = build("spacing", found.spacing)(build("schedule", found.schedule), 12)
    assert [level.sigma for level in levels] == pytest.approx(edm.sigmas.tolist(), rel=1e-4)
    flow = diffusers.UniPCMultistepScheduler(use_flow_sigmas=True, flow_shift=3.0)
    flow.set_timesteps(12)
    found = resolve("UniPCMultistepScheduler(use_flow_sigmas=True, flow_shift=3.0)")
    levels = build("spacing", found.spacing)(build("schedule", found.schedule), 12)
    assert [level.sigma for level in levels] == pytest.approx(flow.sigmas.tolist(), abs=1e-4)


def test_pairs_are_cells_beside_the_product_of_samplers_and_spacings():
    sweep = Sweep(samplers=["heun"], spacings=["karras", "simple"], pairs=["DPM++ 2M Karras", "heun / simple"])
    assert sweep.combinations() == [
        ("heun", "model", "karras"), ("heun", "model", "simple"), ("dpmpp_2m", "model", "karras"),
    ]  # fmt: skip


def test_pairs_alone_leave_out_the_default_sampler_and_stay_so_when_read_again():
    sweep = Sweep(pairs="Euler a")
    assert sweep.combinations() == [("euler_ancestral", "model", "linspace")]
    assert Sweep(**sweep.model_dump()) == sweep
    assert Sweep().combinations() == [("dpmpp_2m", "model", "trailing")]


def test_a_pair_that_says_its_schedule_walks_that_one():
    sweep = Sweep(pairs=["EDMEulerScheduler", "Euler"], schedules=["model", "cosine"])
    assert sweep.combinations() == [
        ("euler", "edm", "karras"), ("euler", "model", "linspace"), ("euler", "cosine", "linspace"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pairs": ["DPM++ 2M Karas"]}, r"pairs\.1 = 'DPM\+\+ 2M Karas': after 'DPM\+\+ 2M' comes a schedule"),
        ({"samplers": []}, "samplers and pairs are both empty"),
    ],
)
def test_a_bad_pair_is_named(fields, message):
    with pytest.raises(UsageError, match=message):
        load_sweep(None, fields)
