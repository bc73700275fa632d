"""The conformance kit on every registered sampler: its defaults, each of its choices, and settings that matter.

A sampler that is registered is tested here without being named. What is named are more settings, and the failures that
are meant, with their reasons.
"""

import dataclasses

import pytest

from sigmabench.plugins.registry import BUILTIN, build, catalogue
from sigmabench.samplers.testing import check_sampler, label

MORE = [
    "afs(heun)",
    "afs(runge_kutta(heun2, quantity=flow))",
    "afs(lms(start=runge_kutta))",
    "cfg_pp(euler_ancestral)",
    "cfg_pp(heun)",
    "cfg_pp(lms(start=runge_kutta))",
    "cfg_pp(runge_kutta(midpoint, quantity=flow))",
    "cfg_pp(dpmpp_2m)",
    "cfg_pp(dpmpp_2m_sde)",
    "cfg_pp(seeds_2)",
    "churn(euler)",
    "churn(dpmpp_2m)",
    "churn(s_tmin=0.3,s_tmax=2)",
    "ddim(eta=0.5)",
    "ddim(eta=1)",
    "deis(points=4)",
    "deis(points=4,start=runge_kutta)",
    "dpm_2(r=0.3)",
    "dpm_2_ancestral(eta=0.5)",
    "dpm_solver_m(points=3)",
    "dpm_solver_m(points=3,compat=True)",
    "dpm_solver_v3(points=1)",
    "dpm_solver_v3(points=3)",
    "dpmpp_2m_sde(eta=0)",
    "dpmpp_2m_sde(eta=0,solver=heun)",
    "dpmpp_2s(r=1)",
    "dpmpp_3m(compat=True,start=runge_kutta)",
    "dpmpp_3m_sde(eta=0)",
    "dpmpp_sde(eta=0.5,r=0.7)",
    "er_sde(stages=1)",
    "er_sde(stages=2)",
    "euler_ancestral(eta=0.5)",
    "euler_maruyama(eta=0.5)",
    "exponential_collocation(radau_iia_3,sweeps=4)",
    "gradient_estimation(gamma=1.5)",
    "ddim_inverse(iterations=8)",
    "implicit_runge_kutta(sweeps=1)",
    "implicit_runge_kutta(radau_iia_3,sweeps=4)",
    "inverse(dpmpp_2m)",
    "inverse(dpmpp_3m(start=runge_kutta))",
    "inverse(heun)",
    "inverse(runge_kutta(quantity=flow))",
    "inverse(unipc)",
    "lms(points=1)",
    "lms(points=2)",
    "lms(points=3)",
    "lms(points=3,start=runge_kutta)",
    "lms(quantity=flow,start=runge_kutta)",
    "repaint(jump=2,resamples=2)",
    "repaint(heun)",
    "res_2s(c2=1)",
    "restart(euler,repeats=2)",
    "sa_solver(tau=0)",
    "sa_solver(predictor=2,corrector=2)",
    "sa_solver(predictor=1,corrector=0)",
    "sa_solver(low=0.3,high=2)",
    "sa_solver(pece=True,tau=0)",
    "sde_dpm_solver(points=1)",
    "seeds_2(eta=0.5,r=1,solver=phi_2)",
    "seeds_3(eta=0)",
    "tcd(gamma=0)",
    "unipc(points=1)",
    "unipc(points=1,variant=bh1)",
    "unipc(points=3)",
]

NUMBERS = "steps follow from errors that rounding and the shape of an image change"
STARTS_ELSEWHERE = {"check_host_edits": "the first evaluation is after the first step, so an edit there is another one"}
RAISED = {
    "check_host_edits": "the first evaluation is at the raised level, after the noise, so an edit there is another one",
    "check_one_step_path": "x0 of one step is that at the raised level",
}
LANGEVIN = {"check_noise_path": "Langevin steps do not shrink, so more steps are more noise"}
RESAMPLED = {"check_clean_end": "the part next to clean is walked ten times, and its steps do not shrink in log-SNR"}
AGAIN = {"check_evaluations": "part of the path is walked again, at that many evaluations more"}
NOT_LINEAR = "the step depends on norms of the noise, so moments cannot be read off single draws"
CONTRAST = "made for distilled networks: with the mean of a diffusion model for x0, replacing noise costs contrast"
ARRIVES = {"check_host_edits": "its first evaluation is at the end of the first step, so an edit there is another one"}
ONE_POINT = "what it asks about is not on the trajectory, which long steps next to pure noise do not forgive"
REPLACES = {
    "check_moments": CONTRAST,
    "check_pure_noise_start": CONTRAST,
    "check_clean_end": CONTRAST,
    "check_noise_path": "the more steps, the more noise is replaced",
}
FORGETS = {**REPLACES, "check_host_edits": "only x0 goes on to the next step"}
SMALL = {"check_order": "its fifth-order error is so small that order 6 is seen until rounding takes over"}
LAWSON = {"check_clean_end": "the integrating factor's quantity grows without bound near clean images"}
EXPECTED = {
    "afs": STARTS_ELSEWHERE,
    "afs(heun)": STARTS_ELSEWHERE,
    "afs(runge_kutta(heun2, quantity=flow))": STARTS_ELSEWHERE,
    "afs(lms(start=runge_kutta))": STARTS_ELSEWHERE,
    "churn(compat=True)": RAISED,
    "consistency": FORGETS,
    "ddim_inverse": ARRIVES,
    "ddim_inverse(compat=True)": {
        **ARRIVES,
        **dict.fromkeys(("check_pure_noise_start", "check_clean_end", "check_split_path"), ONE_POINT),
        "check_scales_agree": "x of one scale is given to the network as x of another",
    },
    "ddim_inverse(iterations=8)": {
        **ARRIVES,
        "check_evaluations": "steps from a clean image and to pure noise take as many as the others",
    },
    "dpm_adaptive": {"check_dtype": NUMBERS, "check_shapes": NUMBERS},
    "dpm_adaptive(pair='12')": {"check_shapes": NUMBERS},
    "dpm_fast(quantity=x0)": {
        "check_host_edits": "levels of the path are stages, where x is of use to the network alone"
    },
    "er_sde(scaler=sde)": {"check_moments": "second order from 160 steps on"},
    "euler_maruyama": {"check_one_step_path": "its noise of variance k_s^2 - k_t^2 is too loud in one large step"},
    "heunpp2": {"check_evaluations": "two evaluations in the last step but one, one in the last"},
    "implicit_runge_kutta(radau_iia_3)": {"check_order": "order 4.2 is seen until rounding takes over"},
    "lcm": FORGETS,
    "lms(points=3)": {"check_order": "the second order of Euler's one step shows after a thousand steps only"},
    "lms(quantity=lawson)": LAWSON,
    "pndm": {"check_order": "the third-order error of its first step is too small to be seen"},
    "predictor_corrector": {
        "check_moments": NOT_LINEAR,
        "check_pure_noise_start": NOT_LINEAR,
        "check_clean_end": NOT_LINEAR,
        "check_split_path": NOT_LINEAR,
        **LANGEVIN,
        "check_shapes": "norms are those of an image, so the same numbers in other images are another problem",
    },
    "predictor_corrector(size=level)": LANGEVIN,
    "repaint": {**RESAMPLED, "check_noise_path": "more steps go back more often, so more noise is replaced"},
    "repaint(heun)": RESAMPLED,
    "repaint(jump=2,resamples=2)": AGAIN,
    "restart": AGAIN,
    "restart(euler,repeats=2)": AGAIN,
    "runge_kutta(bogacki_shampine5)": SMALL,
    "runge_kutta(dormand_prince)": SMALL,
    "runge_kutta(dormand_prince8)": {"check_order": "its error is below that from which orders are measured"},
    "runge_kutta(tsit5)": SMALL,
    "sde_dpm_solver": {"check_clean_end": "steps next to clean do not shrink in log-SNR, in which eps grows stiff"},
    "seeds_3": {"check_moments": "second order from 80 steps on, when the error is a tenth of that of seeds_2"},
    "tcd": REPLACES,
    "unipc(points=3)": {"check_order": "the third-order error of its first step is too small to be seen"},
}


def registered():
    """Every built-in sampler with its defaults, with each other choice of a setting, and with each switch turned on."""
    for entry in catalogue("sampler").values():
        if entry.plugin != BUILTIN:
            continue
        yield entry.cls()
        for field in dataclasses.fields(entry.cls):
            values = (True,) if field.default is False else field.metadata.get("choices") or ()
            yield from (entry.cls(**{field.name: value}) for value in values if value != field.default)


SAMPLERS = {label(sampler): sampler for sampler in (*registered(), *map(build, ["sampler"] * len(MORE), MORE))}
REASONS = {label(build("sampler", text)): why for text, why in EXPECTED.items()}


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_registered_sampler_satisfies_the_kit(name):
    check_sampler(SAMPLERS[name], REASONS.get(name))


def test_every_expected_failure_is_of_a_sampler_tested_here():
    assert REASONS.keys() <= SAMPLERS.keys()


def test_every_other_name_builds_a_sampler():
    for entry in catalogue("sampler").values():
        for name in entry.aliases:
            assert type(build("sampler", name)) is entry.cls
