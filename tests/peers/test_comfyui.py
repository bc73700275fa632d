"""The same images as ComfyUI's samplers and the same levels as its schedulers, wherever those are right.

    COMFYUI_DIR=/path/to/ComfyUI /path/to/its/python -m pytest tests/peers/test_comfyui.py

Samplers run in float64 on closed-form problems, with ComfyUI's own model_sampling. Each of its names is in one group
below; what a fault of ``eval/faults`` keeps from being equal is named there.
"""

import math

import pytest
import torch

from sigmabench.eval.faults.exact import error
from sigmabench.eval.orders.measure import measure
from sigmabench.eval.peers.comfyui import MissingPeerError, comfyui
from sigmabench.eval.peers.comfyui_samplers import peers
from sigmabench.plugins.registry import build
from sigmabench.samplers import Level
from sigmabench.samplers.conformance.convergence import jagged_path
from sigmabench.samplers.level import CLEAN
from sigmabench.samplers.noise import SeededNoise
from sigmabench.samplers.problems import BIMODAL
from sigmabench.samplers.run import sample
from sigmabench.samplers.schedules import Flow, ScaledLinear
from sigmabench.samplers.spacings import Karras

PATHS = {
    "karras": [Level(1.0, level.ve_sigma) for level in Karras()(ScaledLinear(), 12)],
    "uneven, split": [Level(1.0, sigma) for sigma in (20.0, 11.0, 10.0, 4.0, 1.0, 0.9, 0.3)],
    "flow": [Level(1 - t, t) for t in (0.97, 0.9, 0.8, 0.6, 0.45, 0.3, 0.1, 0.05, 0.0)],
}

EVERYWHERE = {
    "euler": "euler",
    "ddim": "euler",
    "euler_cfg_pp": "euler",
    "euler_ancestral_cfg_pp": "euler_ancestral",
    "dpmpp_2m_sde": "dpmpp_2m_sde",
    "dpmpp_2m_sde_heun": "dpmpp_2m_sde(solver=heun)",
    "dpmpp_3m_sde": "dpmpp_3m_sde(compat=True)",
    "lcm": "lcm",
    "seeds_2": "seeds_2",
    "seeds_3": "seeds_3",
    "exp_heun_2_x0": "seeds_2(eta=0, r=1, solver=phi_2)",
    "exp_heun_2_x0_sde": "seeds_2(r=1, solver=phi_2)",
}
"""Equal on variance exploding levels and on a flow."""

ON_SIGMA = {
    "heun": "heun",
    "heunpp2": "heunpp2",
    "dpm_2": "dpm_2",
    "lms": "lms",
    "ipndm": "ipndm(compat=True)",
    "gradient_estimation": "gradient_estimation",
    "gradient_estimation_cfg_pp": "gradient_estimation",
    "dpmpp_2m": "dpmpp_2m",
    "dpmpp_2m_cfg_pp": "dpmpp_2m",
    "res_multistep": "res_2m",
    "res_multistep_cfg_pp": "res_2m",
    "ddpm": "ddpm",
    "res_multistep_ancestral": "res_multistep_ancestral",
    "res_multistep_ancestral_cfg_pp": "res_multistep_ancestral",
    "euler_ancestral": "euler_ancestral",
    "dpm_2_ancestral": "dpm_2_ancestral",
    "dpmpp_2s_ancestral": "dpmpp_2s_ancestral",
}
"""Equal on variance exploding levels. On a flow, solvers of the ODE take sigma where ours takes sigma / alpha,
ancestral ones have another amount of noise for the same eta, and the rest are faults."""

ON_FLOW = {
    "heun": "runge_kutta(method=heun2, quantity=flow)",
    "lms": "lms(quantity=flow)",
}
"""What ours has for a solver in the flow's own variable."""

SOLVED = {
    "deis": "deis",
    "er_sde": "er_sde(scaler=ode)",
    "sa_solver": "sa_solver(tau=0)",
    "sa_solver_pece": "sa_solver(tau=0)",
    "uni_pc": "unipc(points=3, variant=bh1)",
    "uni_pc_bh2": "unipc(points=3)",
    "dpmpp_sde": "dpmpp_sde(eta=0)",
}
"""No equal numbers, but the same solution without noise: another variable (deis), quadrature (er_sde), order at the end
(sa_solver, uni_pc) or division of the noise (dpmpp_sde)."""

OF_THEIR_OWN_STEPS = {"dpm_fast": "dpm_fast(compat=True)", "dpm_adaptive": "dpm_adaptive"}
"""They take nothing but the ends of the path, and stop before clean; the second for one image at a time."""

FAULTS = ("ipndm_v", "dpmpp_2s_ancestral_cfg_pp")
"""Faults that leave nothing to be equal to."""

GPU = ("dpmpp_sde_gpu", "dpmpp_2m_sde_gpu", "dpmpp_2m_sde_heun_gpu", "dpmpp_3m_sde_gpu")
"""The functions of their names, but for the device that draws the noise."""


@pytest.fixture(scope="module")
def host():
    try:
        return comfyui()
    except MissingPeerError as missing:
        pytest.skip(str(missing))


def known(host, name):
    if name not in host.samplers.SAMPLER_NAMES:
        pytest.skip(f"ComfyUI {host.version} has no {name}")


def noise():
    return SeededNoise((1, 2), (3, 4, 5), dtype=torch.float64)


def test_every_sampler_of_the_host_is_in_a_group(host):
    assert set(host.samplers.SAMPLER_NAMES) <= {*EVERYWHERE, *ON_SIGMA, *SOLVED, *FAULTS, *OF_THEIR_OWN_STEPS, *GPU}


def equal(host, name, text, levels):
    known(host, name)
    ours, seeded = build("sampler", text), noise()

    def draw(s, t):
        """The host asks for noise of intervals of no length too, which ours does not draw."""
        return seeded(s, t) if s > t * (1 + 1e-12) else 0.0

    draws = ours.stochastic and "noise_sampler" in host.arguments(name)
    x = noise().initial() * levels[0].sigma
    theirs = host.sample(name, BIMODAL, x, levels, draw if draws else None)
    assert torch.allclose(sample(ours, BIMODAL, x, levels, noise()), theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_sampler_equals_the_hosts(host, name, path):
    equal(host, name, EVERYWHERE[name], PATHS[path])


@pytest.mark.parametrize("path", ["karras", "uneven, split"])
@pytest.mark.parametrize("name", ON_SIGMA)
def test_a_sampler_equals_the_hosts_on_sigma(host, name, path):
    equal(host, name, ON_SIGMA[name], PATHS[path])


@pytest.mark.parametrize("name", ON_FLOW)
def test_a_solver_of_the_flow_equals_the_hosts(host, name):
    equal(host, name, ON_FLOW[name], PATHS["flow"])


@pytest.mark.parametrize("name", OF_THEIR_OWN_STEPS)
def test_a_solver_with_steps_of_its_own_equals_the_hosts(host, name):
    levels = PATHS["uneven, split"]
    x = noise().initial()[:1] * levels[0].sigma
    ours = sample(build("sampler", OF_THEIR_OWN_STEPS[name]), BIMODAL, x, levels)
    precision = 1e-5 if name == "dpm_fast" else 1e-10  # its levels are float32
    assert torch.allclose(ours, host.sample(name, BIMODAL, x, levels), rtol=precision, atol=precision)


WITHOUT_NOISE = {
    "er_sde": {"noise_scaler": lambda x: x, "s_noise": 0.0},
    "sa_solver": {"tau_func": lambda sigma: 0.0},
    "sa_solver_pece": {"tau_func": lambda sigma: 0.0},
    "dpmpp_sde": {"eta": 0.0},
}


@pytest.mark.parametrize("name", SOLVED)
def test_a_sampler_without_noise_finds_the_hosts_solution(host, name):
    known(host, name)
    levels = [*jagged_path("VE", 120, last=0.002).levels, CLEAN]
    options, dtype = WITHOUT_NOISE.get(name, {}), torch.float32 if name.startswith("uni_pc") else torch.float64

    def theirs(x, levels):
        sigmas = torch.tensor([level.sigma for level in levels], dtype=dtype)
        return host.run(name, BIMODAL, x.to(dtype), sigmas, **options)

    ours = build("sampler", SOLVED[name])
    assert error(lambda x, levels: sample(ours, BIMODAL, x, levels), levels) < 1e-3
    assert error(theirs, levels) < 1e-3


ORDERS = {
    ("dpm_2", "VE"): 2.0,
    ("ipndm_v", "VE"): 0.0,
    ("dpmpp_2s_ancestral_cfg_pp(eta=0)", "VE"): 0.0,
    ("dpmpp_3m_sde(eta=0)", "VE"): 2.0,
    ("ddpm", "VE"): 1.0,
    ("ddpm on a flow", "flow"): 0.0,
    ("res_multistep_ancestral on a flow", "flow"): 0.0,
}
"""Of convergence, measured as ours is."""


@pytest.mark.parametrize(("name", "process"), ORDERS)
def test_the_orders_of_the_hosts_samplers_are_known(host, name, process):
    (method,) = (m for m in peers() if (m.name, m.processes) == (name, (process,)))
    orders, _ = measure([method], (40, 80, 160))
    assert orders["order"].item() == pytest.approx(ORDERS[name, process], abs=0.2)


SPACINGS = ("simple", "sgm_uniform", "karras", "exponential", "normal", "kl_optimal", "ddim_uniform")
FLOW_SPACINGS = ("simple", "sgm_uniform", "normal", "linear_quadratic")


def test_every_scheduler_of_the_host_is_compared(host):
    assert set(host.samplers.SCHEDULER_NAMES) == {*SPACINGS, *FLOW_SPACINGS, "beta"}


@pytest.mark.parametrize("steps", [2, 10, 20, 50, 200])
@pytest.mark.parametrize("name", SPACINGS)
def test_a_spacing_equals_the_hosts_scheduler(host, name, steps):
    theirs = host.samplers.calculate_sigmas(host.process("eps"), name, steps).tolist()
    ours = [level.ve_sigma for level in build("spacing", name)(ScaledLinear(), steps)]
    assert theirs == pytest.approx(ours, rel=2e-6)


@pytest.mark.parametrize("steps", [2, 10, 20, 50, 100])
def test_beta_is_the_hosts_but_for_its_rounding_to_whole_timesteps(host, steps):
    schedule = ScaledLinear()
    theirs = host.samplers.calculate_sigmas(host.process("eps"), "beta", steps).tolist()[:-1]
    times = [1000 * schedule.time(Level(1.0, sigma)) for sigma in theirs]
    ours = [1000 * schedule.time(level) for level in build("spacing", "beta")(schedule, steps)[:-1]]
    assert times == pytest.approx([round(time) for time in times], abs=1e-2)
    assert times == pytest.approx(ours, abs=0.51)


@pytest.mark.parametrize("steps", [1, 2, 10, 20, 50, 200])
@pytest.mark.parametrize("name", FLOW_SPACINGS)
def test_a_spacing_equals_the_hosts_scheduler_on_a_flow(host, name, steps):
    theirs = host.samplers.calculate_sigmas(host.process("flow"), name, steps).tolist()
    assert theirs == pytest.approx([level.sigma for level in build("spacing", name)(Flow(), steps)], abs=2e-7)


@pytest.mark.parametrize("shift", [1.0, 3.0, 7.0])
def test_a_shifted_flow_is_the_hosts(host, shift):
    theirs = host.samplers.calculate_sigmas(host.process("flow", shift=shift), "simple", 20).tolist()
    ours = [level.sigma for level in build("spacing", "simple")(Flow(shift=shift), 20)]
    assert theirs == pytest.approx(ours, abs=2e-7)
    assert math.isclose(host.process("flow", shift=shift).sigma_min, Flow(shift=shift).level(1e-3).sigma, rel_tol=1e-6)
