"""Our samplers as diffusers schedulers, in plain loops: the protocol, and the same numbers as without diffusers."""

import copy
import inspect
import json
import subprocess
import sys

import diffusers
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

import sigmabench
from sigmabench.plugins.diffusers.scheduler import StepScheduler
from sigmabench.plugins.registry import build, catalogue
from sigmabench.samplers.brownian import BrownianNoise
from sigmabench.samplers.level import PURE_NOISE, Level
from sigmabench.samplers.problems import BIMODAL
from sigmabench.samplers.run import sample
from sigmabench.samplers.schedules import ScaledLinear

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SHAPE, SEED = (3, 4), 11
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
REFUSED = {
    "afs": "changes x before its first evaluation",
    "ddim_inverse": "changes x before its first evaluation",
    "dpm_adaptive": "chooses its evaluations as it goes",
    "inverse": "changes x before its first evaluation",
}
SERVED = [name for name, entry in catalogue("sampler").items() if not entry.cls().needs and name not in REFUSED]
WRAPPED = [
    "churn(dpmpp_2s, s_churn=20)", "restart(euler, high=5)", "predictor_corrector(heun)", "lms(start=runge_kutta)"
]  # fmt: skip
OUTPUTS = {
    "epsilon": lambda x, x0, level: (x - level.alpha * x0) / level.sigma,
    "v_prediction": lambda x, x0, level: (level.alpha * x - x0 * level.norm**2) / (level.sigma * level.norm),
    "sample": lambda x, x0, level: x0,
    "flow_prediction": lambda x, x0, level: (x - (level.alpha + level.sigma) * x0) / level.sigma,
}


def ours(sampler="euler", spacing="trailing", schedule="scaled_linear", prediction_type="epsilon", **options):
    return sigmabench.scheduler(sampler, spacing=spacing, schedule=schedule, prediction_type=prediction_type, **options)


def starting_noise(dtype=torch.float64, rows=2):
    return BrownianNoise(range(rows), SHAPE, dtype=dtype).initial()


def own(scheduler, level):
    return build("schedule", scheduler.config["schedule"]).project(level)


def network(scheduler, x, level):
    """What a perfect network of this prediction type answers at x, in the schedule's own scale."""
    level = own(scheduler, level)
    return OUTPUTS[scheduler.config["prediction_type"]](x, BIMODAL(x, level), level)


def loop(scheduler, levels, x, generator=None, begin=0, edit=lambda i, x: x):
    """A pipeline's denoising loop, with an exact network at these levels."""
    times = scheduler.timesteps[begin:]
    assert len(times) == len(levels)
    for i, (t, level) in enumerate(zip(times, levels, strict=True)):
        seen = scheduler.scale_model_input(x, t)
        x = scheduler.step(network(scheduler, seen, level), t, x, generator=generator, return_dict=False)[0]
        x = edit(i, x)
    return x


def recorded(sampler, path, x, noise):
    """The end of a run without diffusers, and the levels that it asked for."""
    levels = []

    def denoiser(x, level):
        levels.append(level)
        return BIMODAL(x, level)

    return sample(build("sampler", sampler), denoiser, x, path, noise), levels


def time_of(schedule, level):
    if "flow" in schedule:
        return 1000 * level.sigma / (level.alpha + level.sigma)
    return max(0.0, build("schedule", schedule).time(level) * 1000 - 1)


@given(
    sampler=st.sampled_from([*SERVED, *WRAPPED]),
    spacing=st.sampled_from(
        [*catalogue("spacing"), "karras(sigma_max=10)", "exponential(sigma_max=14, sigma_min=0.1)"]
    ),
    steps=st.integers(1, 12),
    model=st.sampled_from(
        [("scaled_linear", kind) for kind in ("epsilon", "v_prediction", "sample")]
        + [("zero_terminal_snr", "v_prediction"), ("zero_terminal_snr", "epsilon"), ("zero_terminal_snr", "sample")]
        + [("flow(shift=3)", "flow_prediction"), ("flow", "flow_prediction"), ("cosine", "epsilon")]
    ),
)
@example(sampler="restart(euler, high=5)", spacing="trailing", steps=12, model=("scaled_linear", "epsilon"))
@example(sampler="churn(dpmpp_2s, s_churn=20)", spacing="karras", steps=12, model=("scaled_linear", "v_prediction"))
@settings(max_examples=300)
def test_a_loop_over_the_scheduler_equals_the_run_without_it(sampler, spacing, steps, model):
    schedule, kind = model
    scheduler = ours(sampler, spacing, schedule, kind, seed=SEED)
    try:
        path = build("spacing", spacing)(build("schedule", schedule), steps)
        refused = "alpha = 0" if kind == "epsilon" and not path[0].alpha else None
        refused = "noisier than anything" if path[0].ve_sigma > 1.001 * _top(schedule) else refused
    except ValueError as error:
        refused = str(error)[:30]
    if refused:
        with pytest.raises(ValueError, match=refused.replace("(", r"\(")):
            scheduler.set_timesteps(steps)
        return
    scheduler.set_timesteps(steps)
    first = build("schedule", schedule).project(path[0])
    assert scheduler.init_noise_sigma == pytest.approx(first.norm, rel=1e-12)
    x = starting_noise() * scheduler.init_noise_sigma
    noise = BrownianNoise([SEED, SEED + 1], SHAPE, dtype=torch.float64)
    expected, levels = recorded(sampler, path, x * (path[0].norm / first.norm), noise)
    times = [time_of(schedule, level) for level in levels]
    assert scheduler.timesteps.tolist() == pytest.approx(times, abs=1e-3)
    assert len(scheduler.sigmas) == len(levels) + 1
    assert scheduler.sigmas[-1] == 0
    torch.testing.assert_close(loop(scheduler, levels, x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("sampler", "reason"), REFUSED.items())
def test_a_sampler_whose_evaluations_are_not_known_in_advance_is_refused(sampler, reason):
    with pytest.raises(ValueError, match=reason):
        ours(sampler).set_timesteps(5)


def _top(schedule):
    return build("schedule", schedule).level(1.0).ve_sigma


@given(
    sampler=st.sampled_from(SERVED),
    steps=st.integers(2, 10),
    skipped=st.integers(0, 9),
    model=st.sampled_from(
        [("scaled_linear", "epsilon"), ("zero_terminal_snr", "v_prediction"), ("flow", "flow_prediction")]
    ),
)
@settings(max_examples=150)
def test_a_loop_that_leaves_out_steps_equals_the_run_over_the_others(sampler, steps, skipped, model):
    schedule, kind = model
    skipped = min(skipped, steps - 1)
    scheduler = ours(sampler, "trailing", schedule, kind, seed=SEED)
    scheduler.set_timesteps(steps)
    begin = skipped * scheduler.order
    path = build("spacing", "trailing")(build("schedule", schedule), steps)[skipped:]
    if sampler in ("churn", "restart", "dpm_fast", "heunpp2", "pndm") and skipped:  # they depend on the whole path
        return
    scheduler.set_begin_index(begin)
    image, noise = torch.linspace(-1, 1, 24, dtype=torch.float64).view(2, *SHAPE), starting_noise()
    x = scheduler.add_noise(image, noise, scheduler.timesteps[begin : begin + 1])
    torch.testing.assert_close(x, path[0].alpha * image + path[0].sigma * noise)
    within = BrownianNoise([SEED, SEED + 1], SHAPE, dtype=torch.float64)
    expected, levels = recorded(sampler, path, x, within)
    torch.testing.assert_close(loop(scheduler, levels, x, begin=begin), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("schedule", "kind"), [("scaled_linear", "epsilon"), ("flow", "flow_prediction")])
def test_order_times_steps_is_where_a_step_begins(schedule, kind):
    scheduler = ours("heun", "trailing", schedule, kind)
    scheduler.set_timesteps(5)
    late = 0 if schedule == "scaled_linear" else 1  # the step from pure noise takes one evaluation
    assert scheduler.order == 2
    assert [n * scheduler.order for n in range(7)] == [0, *(2 * n - late for n in range(1, 5)), 9 - late, 9 - late]
    assert scheduler.order * 2 == 2 * scheduler.order
    assert (7 % scheduler.order, 2.5 * scheduler.order) == (1, 5.0)
    times = scheduler.timesteps.tolist()
    starts = [n * scheduler.order for n in range(5)]
    assert [scheduler.index_for_timestep(times[i]) for i in starts] == starts


def test_beginning_in_the_middle_of_a_step_is_refused_by_name():
    scheduler = ours("heun")
    scheduler.set_timesteps(5)
    with pytest.raises(ValueError, match=r"heun cannot begin at evaluation 3 of 9.*dpmpp_2m"):
        scheduler.set_begin_index(3)
    for sampler in ("lms(start=runge_kutta)", "churn(s_churn=20)", "pndm"):
        scheduler = ours(sampler)
        scheduler.set_timesteps(10)
        with pytest.raises(ValueError, match=rf"{sampler.split('(')[0]}.* cannot begin at evaluation"):
            scheduler.set_begin_index(5 * scheduler.order)


def test_without_a_begin_index_the_first_time_says_where_to_begin():
    for begin_by in ("index", "time"):
        scheduler = ours("heun", "karras")
        scheduler.set_timesteps(6)
        begin = 3 * scheduler.order
        if begin_by == "index":
            scheduler.set_begin_index(begin)
        path = build("spacing", "karras")(build("schedule", "scaled_linear"), 6)[3:]
        expected, levels = recorded("heun", path, starting_noise(), None)
        torch.testing.assert_close(loop(scheduler, levels, starting_noise(), begin=begin), expected)
    scheduler.set_timesteps(6)
    with pytest.raises(ValueError, match=r"123.4 is not one of the timesteps"):
        scheduler.step(torch.zeros(1, 2), 123.4, torch.zeros(1, 2))


# Latents that were edited, half precision, noise.


def reference_with_edits(sampler, path, x, edits):
    """A run whose host halves x before the evaluations named."""
    run, reply, i = build("sampler", sampler)(x, path, None), None, 0
    while True:
        try:
            x, level = run.send(reply)
        except StopIteration as stop:
            return stop.value
        x = x * 0.5 if i in edits else x
        reply, i = (x, BIMODAL(x, level)), i + 1


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m", "unipc", "res_2s", "ipndm"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_latents_edited_between_steps_are_taken_as_they_are(sampler, dtype):
    scheduler, steps = ours(sampler, "karras"), 6
    scheduler.set_timesteps(steps)
    path = sigmabench.samplers.Path(build("spacing", "karras")(build("schedule", "scaled_linear"), steps))
    x = starting_noise(dtype)
    _, levels = recorded(sampler, path, x, None)
    edited = loop(scheduler, levels, x, edit=lambda i, x: x * 0.5 if i in (1, 3) else x)
    expected = reference_with_edits(sampler, path, x.double(), edits=(2, 4))
    torch.testing.assert_close(edited.double(), expected, rtol=1e-4, atol=2e-5)


def test_edits_in_place_are_seen_too():
    results = []
    for in_place in (False, True):
        scheduler = ours("dpmpp_2m")
        scheduler.set_timesteps(6)
        path = build("spacing", "trailing")(build("schedule", "scaled_linear"), 6)

        def edit(i, x, in_place=in_place):
            if i != 2:
                return x
            return x.mul_(0.5) if in_place else x * 0.5

        results.append(loop(scheduler, path[:-1], starting_noise(torch.bfloat16).clone(), edit=edit))
    assert torch.equal(*results)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_latents_do_not_round_the_state(dtype):
    """The network is asked at rounded latents, 200 times; the state is as exact as in a run on its own."""
    path = build("spacing", "trailing")(build("schedule", "scaled_linear"), 200)
    scheduler = ours("euler", prediction_type="sample")
    scheduler.set_timesteps(200)
    x = starting_noise(dtype)
    constant = torch.full_like(x, 0.3)  # exact whatever its input: what is left is the rounding of the state
    for t in scheduler.timesteps:
        x = scheduler.step(constant, t, x).prev_sample
        assert x.dtype == dtype
    expected = sample(build("sampler", "euler"), lambda x, level: torch.full_like(x, 0.3), starting_noise(dtype), path)
    torch.testing.assert_close(x, expected.to(dtype), rtol=0, atol=torch.finfo(dtype).eps / 4)
    scheduler = ours("euler", prediction_type="sample")
    scheduler.set_timesteps(200)
    x, rounded = starting_noise(dtype), starting_noise(dtype)
    for i, t in enumerate(scheduler.timesteps[:150]):
        x = scheduler.step(constant, t, x).prev_sample
        s, t = path[i : i + 2]
        keep = t.sigma / s.sigma
        rounded = rounded * keep + constant * (t.alpha - keep * s.alpha)
    exact = sample(
        build("sampler", "euler"), lambda x, level: torch.full_like(x, 0.3), starting_noise(dtype), path[:151]
    )
    ours_off, rounded_off = ((a.double() - exact).abs().max() for a in (x, rounded))
    assert ours_off < rounded_off / 3, "a state kept in half precision drifts"


def test_where_half_precision_latents_were_edited_only_those_numbers_are_new():
    scheduler = ours("euler", prediction_type="sample")
    scheduler.set_timesteps(4)
    x = torch.full((1, 4), 1.001, dtype=torch.bfloat16)
    x = scheduler.step(torch.zeros_like(x), scheduler.timesteps[0], x).prev_sample
    x = x.clone()
    x[0, 0] = 0.5
    kept = scheduler._run.x.clone()
    x0 = torch.zeros_like(x)
    scheduler.step(x0, scheduler.timesteps[1], x)
    s, t = scheduler._plan.path.levels[1:3]
    before = scheduler._run.x * (s.sigma / t.sigma)
    assert before[0, 0] == pytest.approx(0.5, rel=1e-6)
    torch.testing.assert_close(before[0, 1:], kept[0, 1:], rtol=1e-6, atol=0)
    assert (kept[0, 1:] - kept[0, 1:].bfloat16()).abs().max() > 1e-5


@pytest.mark.parametrize("sampler", ["euler_ancestral", "dpmpp_sde", "dpmpp_2m_sde", "er_sde", "lcm"])
def test_with_a_generator_for_each_image_an_image_does_not_depend_on_its_batch(sampler):
    def run(rows):
        scheduler = ours(sampler)
        scheduler.set_timesteps(5)
        path = build("spacing", "trailing")(build("schedule", "scaled_linear"), 5)
        _, levels = recorded(sampler, path, starting_noise(), BrownianNoise([0, 1], SHAPE, dtype=torch.float64))
        generators = [torch.Generator().manual_seed(100 + row) for row in rows]
        return loop(scheduler, levels, starting_noise(rows=4)[list(rows)], generators)

    together = run(range(4))
    for rows in ([2], [3, 0]):
        torch.testing.assert_close(run(rows), together[rows])
    assert not torch.equal(together[0], together[1])


def test_noise_comes_from_the_generator_the_seed_or_torch_in_that_order():
    def run(seed=None, generator=None):
        scheduler = ours("euler_ancestral", seed=seed)
        scheduler.set_timesteps(3)
        path = build("spacing", "trailing")(build("schedule", "scaled_linear"), 3)
        return loop(scheduler, path[:-1], starting_noise(), generator)

    made = [torch.Generator().manual_seed(3) for _ in range(3)]
    assert torch.equal(run(generator=made[0]), run(seed=5, generator=made[1]))
    assert torch.equal(run(seed=5), run(seed=5))
    assert not torch.equal(run(seed=5), run(seed=6))
    torch.manual_seed(3)
    assert torch.equal(run(), run(generator=made[2]).clone())


# Ends, times and sigmas.


@pytest.mark.parametrize(
    "sampler", ["euler", "heun", "dpmpp_2m", "unipc", "ddim(eta=1)", "dpmpp_2m_sde", "res_2s", "lms"]
)
@pytest.mark.parametrize("steps", [1, 2, 25, 50])
def test_zero_terminal_snr_starts_at_pure_noise_exactly(sampler, steps):
    scheduler = ours(sampler, "trailing", "zero_terminal_snr", "v_prediction", seed=1)
    scheduler.set_timesteps(steps)
    assert scheduler.timesteps[0] == 999
    assert scheduler.sigmas[0] == float("inf")
    assert scheduler.init_noise_sigma == 1
    x, image = starting_noise(), torch.full((2, *SHAPE), 0.3, dtype=torch.float64)
    assert torch.equal(scheduler.add_noise(image, x, scheduler.timesteps[:1]), x)
    path = build("spacing", "trailing")(build("schedule", "zero_terminal_snr"), steps)
    assert path[0] == PURE_NOISE
    expected, levels = recorded(sampler, path, x, BrownianNoise([1, 2], SHAPE, dtype=torch.float64))
    torch.testing.assert_close(loop(scheduler, levels, x), expected, rtol=1e-5, atol=1e-5)


def test_an_eps_model_at_zero_terminal_snr_is_refused_before_any_work():
    with pytest.raises(ValueError, match="an eps prediction says nothing about the image at alpha = 0"):
        ours("euler", "trailing", "zero_terminal_snr").set_timesteps(10)
    with pytest.raises(ValueError, match="leading spacing starts below the last level"):
        ours("euler", "leading", "zero_terminal_snr", "v_prediction").set_timesteps(10)


def test_given_times_and_sigmas_are_the_steps():
    scheduler = ours("dpmpp_2m")
    scheduler.set_timesteps(timesteps=[999, 850, 736, 343, 24])
    assert scheduler.timesteps.tolist() == pytest.approx([999, 850, 736, 343, 24], abs=1e-4)
    assert (scheduler.num_inference_steps, scheduler.order) == (5, 1)
    for sigmas in ([14.6, 3.9, 0.4], [14.6, 3.9, 0.4, 0.0]):
        scheduler.set_timesteps(sigmas=sigmas)
        assert scheduler.sigmas.tolist() == pytest.approx([14.6, 3.9, 0.4, 0.0])
    theirs = EulerDiscreteScheduler(**SD)
    theirs.set_timesteps(sigmas=[14.6, 3.9, 0.4, 0.0])
    assert scheduler.timesteps.tolist() == pytest.approx(theirs.timesteps.tolist(), abs=0.01)
    flow = ours("euler", "karras(sigma_max=20)", "flow(shift=3)", "flow_prediction")
    flow.set_timesteps(sigmas=[1.0, 0.7, 0.2])
    theirs = FlowMatchEulerDiscreteScheduler(shift=3)
    theirs.set_timesteps(sigmas=[1.0, 0.7, 0.2])
    torch.testing.assert_close(flow.sigmas, theirs.sigmas)
    torch.testing.assert_close(flow.timesteps, theirs.timesteps)
    even = [1.0, 0.75, 0.5, 0.25]  # what a pipeline gives when it is asked for four steps
    flow.set_timesteps(sigmas=even)
    path = build("spacing", "karras(sigma_max=20)")(build("schedule", "flow(shift=3)"), 4)
    assert flow.sigmas.tolist() == pytest.approx([level.sigma for level in path])
    with pytest.raises(ValueError, match="needs num_inference_steps, timesteps or sigmas"):
        flow.set_timesteps()
    with pytest.raises(ValueError, match="step 1 goes from"):
        scheduler.set_timesteps(timesteps=[999, 500, 500])


@pytest.mark.parametrize("kind", ["exponential", "linear"])
def test_dynamic_shifting_follows_mu(kind):
    theirs = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, time_shift_type=kind)
    mine = sigmabench.scheduler("heun", like=theirs)
    for mu in (0.6, 1.1):
        even = [1 - i / 8 for i in range(8)]
        theirs.set_timesteps(sigmas=even, mu=mu)
        mine.set_timesteps(sigmas=even, mu=mu)
        assert len(mine.timesteps) == 14
        torch.testing.assert_close(mine.sigmas[[0, *range(1, 14, 2), 14]], theirs.sigmas)
    with pytest.raises(ValueError, match="give set_timesteps its mu"):
        mine.set_timesteps(8)


def test_a_stretched_terminal_is_read():
    theirs = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.1)
    mine = sigmabench.scheduler("euler", like=theirs)
    assert build("spacing", mine.config["spacing"]) == build("spacing", "ltxv(terminal=0.1)")
    theirs.set_timesteps(sigmas=[1 - i / 6 for i in range(6)], mu=0.9)
    mine.set_timesteps(sigmas=[1 - i / 6 for i in range(6)], mu=0.9)
    torch.testing.assert_close(mine.sigmas, theirs.sigmas)


def test_noise_at_any_times_of_a_batch_as_in_training():
    image, noise, times = starting_noise(), starting_noise(rows=4)[2:], torch.tensor([7, 981])
    theirs = DDIMScheduler(**SD)
    expected = theirs.add_noise(image, noise, times)
    torch.testing.assert_close(ours().add_noise(image, noise, times), expected, rtol=1e-5, atol=1e-6)
    flow = ours("euler", "trailing", "flow(shift=3)", "flow_prediction")
    expected = torch.stack([0.993 * image[0] + 0.007 * noise[0], 0.019 * image[1] + 0.981 * noise[1]])
    torch.testing.assert_close(flow.scale_noise(image, times, noise), expected)
    half = ours().add_noise(image.half(), noise.half(), times)
    assert half.dtype == torch.float16


# Configs.


CONFIGS = [
    (DDIMScheduler(**SD, steps_offset=1), ("scaled_linear", "epsilon", "leading(offset=1)")),
    (
        DDIMScheduler(**SD, rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing"),
        ("zero_terminal_snr", "v_prediction", "trailing"),
    ),
    (EulerDiscreteScheduler(), ("linear(beta_end=0.02)", "epsilon", "linspace")),
    (DPMSolverMultistepScheduler(**SD), ("scaled_linear", "epsilon", "sgm_uniform")),
    (
        DPMSolverMultistepScheduler(**SD, timestep_spacing="leading", steps_offset=1),
        ("scaled_linear", "epsilon", "leading(offset=1, spare=1)"),
    ),
    (EulerDiscreteScheduler(**SD, use_karras_sigmas=True), ("scaled_linear", "epsilon", "karras")),
    (
        EulerDiscreteScheduler(**SD, use_karras_sigmas=True, sigma_min=0.1, sigma_max=9.0),
        ("scaled_linear", "epsilon", "karras(sigma_min=0.1, sigma_max=9)"),
    ),
    (FlowMatchEulerDiscreteScheduler(shift=3.0), ("flow(shift=3)", "flow_prediction", "trailing")),
    (
        UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0),
        ("flow(shift=5)", "flow_prediction", "trailing"),
    ),
]


def said(scheduler):
    config = scheduler.config
    assert build("schedule", config["schedule"]).timesteps == config["num_train_timesteps"] == 1000
    return build("schedule", config["schedule"]), config["prediction_type"], build("spacing", config["spacing"])


@pytest.mark.parametrize(("theirs", "expected"), CONFIGS, ids=lambda value: type(value).__name__)
def test_the_model_is_read_from_any_scheduler_and_survives_saving(theirs, expected, tmp_path):
    schedule, kind, spacing = expected
    expected = (build("schedule", schedule), kind, build("spacing", spacing))
    theirs.save_pretrained(tmp_path / "theirs")
    made = [
        sigmabench.scheduler("res_2s", like=theirs),
        StepScheduler.from_config(theirs.config, sampler="res_2s"),
        StepScheduler.from_pretrained(tmp_path / "theirs", sampler="res_2s"),
    ]
    for scheduler in made:
        assert (scheduler.config["sampler"], said(scheduler)) == ("res_2s", expected)
        scheduler.save_pretrained(tmp_path / "ours")
        assert json.loads((tmp_path / "ours" / "scheduler_config.json").read_text())["_class_name"] == "StepScheduler"
        again = StepScheduler.from_pretrained(tmp_path / "ours")
        copied = StepScheduler.from_config(scheduler.config, sampler="heun", spacing="beta")
        assert (again.config["sampler"], said(again)) == ("res_2s", expected)
        assert (copied.config["sampler"], said(copied)) == ("heun", (*expected[:2], build("spacing", "beta")))
        back = type(theirs).from_config(again.config).config
        assert {key: back[key] for key in theirs.config if key[0] != "_"} == {
            key: value for key, value in theirs.config.items() if key[0] != "_"
        }


def schedulers_of_diffusers():
    for name in dir(diffusers.schedulers):
        kind = getattr(diffusers.schedulers, name)
        if isinstance(kind, type) and issubclass(kind, diffusers.ConfigMixin) and name.endswith("Scheduler"):
            required = [p for p in inspect.signature(kind).parameters.values() if p.default is p.empty]
            if not required:
                yield kind


@pytest.mark.parametrize("kind", schedulers_of_diffusers())
def test_every_scheduler_of_diffusers_is_read_or_refused_by_name(kind):
    theirs = kind()
    try:
        mine = sigmabench.scheduler("euler", like=theirs)
    except ValueError as error:
        assert str(error).startswith(kind.__name__)  # noqa: PT017
        assert not hasattr(theirs, "alphas_cumprod")
        return
    if hasattr(theirs, "alphas_cumprod") and "snr_shift_scale" not in theirs.config:
        schedule, abar = build("schedule", mine.config["schedule"]), theirs.alphas_cumprod.tolist()
        alphas = [schedule.level((i + 1) / 1000).alpha ** 2 for i in range(1000)]
        assert alphas == pytest.approx(abar, rel=1e-3, abs=1e-6)


def test_a_network_that_is_told_log_sigma_is_refused():
    theirs = EulerDiscreteScheduler(**SD, timestep_type="continuous", prediction_type="v_prediction")
    with pytest.raises(ValueError, match="EulerDiscreteScheduler with timestep_type = 'continuous' is not supported"):
        sigmabench.scheduler("euler", like=theirs)


def test_settings_of_ones_own_win_over_the_models():
    theirs = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    mine = sigmabench.scheduler("euler", like=theirs, schedule="flow(shift=7)", spacing="beta")
    mine.set_timesteps(4, mu=0.5)
    assert mine.config["use_dynamic_shifting"] is False
    path = build("spacing", "beta")(build("schedule", "flow(shift=7)"), 4)
    assert mine.sigmas.tolist() == pytest.approx([level.sigma for level in path])


def test_a_scheduler_is_copied_before_runs_reused_after_them_and_not_copied_within():
    scheduler = ours("dpmpp_2m")
    scheduler.set_timesteps(5)
    path = build("spacing", "trailing")(build("schedule", "scaled_linear"), 5)
    twin, x = copy.deepcopy(scheduler), starting_noise()
    first = loop(scheduler, path[:-1], x)
    assert torch.equal(loop(twin, path[:-1], x), first)
    copy.deepcopy(scheduler)
    with pytest.raises(RuntimeError, match="the last step was taken"):
        scheduler.step(x, 999, x)
    for _ in range(2):
        scheduler.set_timesteps(5)
        assert (scheduler.step_index, scheduler.begin_index) == (None, None)
        assert torch.equal(loop(scheduler, path[:-1], x), first)
    scheduler.set_timesteps(5)
    scheduler.step(x, scheduler.timesteps[0], x)
    assert scheduler.step_index == 1
    with pytest.raises(TypeError, match="in the middle of a run cannot be copied"):
        copy.deepcopy(scheduler)
    scheduler.set_timesteps(5)
    assert torch.equal(loop(copy.deepcopy(scheduler), path[:-1], x), first)


def test_the_public_contract_of_diffusers_schedulers():
    """What its own tests ask of every scheduler."""
    for kind in (DDIMScheduler(**SD), FlowMatchEulerDiscreteScheduler(shift=3.0)):
        scheduler = sigmabench.scheduler("heun", like=kind)
        assert all(hasattr(scheduler, name) for name in ("init_noise_sigma", "scale_model_input", "step", "add_noise"))
        x = starting_noise(torch.float32)
        assert torch.equal(scheduler.scale_model_input(x, 0.0), x)
        assert kind.__class__ in scheduler.compatibles
        for other in scheduler.compatibles:
            again = StepScheduler.from_config(other.from_config(scheduler.config).config)
            known = inspect.signature(StepScheduler.__init__).parameters
            expected = {key: value for key, value in scheduler.config.items() if key in known}
            if other is kind.__class__:
                assert {key: again.config[key] for key in expected} == expected
        outputs = []
        for return_dict in (True, False):
            scheduler.set_timesteps(num_inference_steps=4, device="cpu")
            assert scheduler.timesteps.device.type == "cpu"
            output = scheduler.step(torch.ones_like(x), scheduler.timesteps[0], x, return_dict=return_dict)
            outputs.append(output.to_tuple() if return_dict else output)
        assert all(torch.equal(a, b) and a.shape == x.shape for a, b in zip(*outputs, strict=True))
        scheduler.dummy_attribute = 5
        scheduler.register_to_config(test_attribute=6)
        assert (scheduler.dummy_attribute, scheduler.config.test_attribute) == (5, 6)
        with pytest.raises(AttributeError, match="has no attribute 'does_not_exist'"):
            _ = scheduler.does_not_exist


# What cannot be served.


def test_what_a_pipeline_cannot_serve_is_refused_by_name():
    with pytest.raises(ValueError, match=r"cfg_pp\(heun\) needs the uncond prediction.*use the sampler inside it"):
        sigmabench.scheduler("cfg_pp(heun)")
    with pytest.raises(ValueError, match=r"cfg_pp\(heun\) needs the uncond prediction.*guider=sigmabench.guider"):
        StepScheduler.from_config(DDIMScheduler(**SD).config, sampler="cfg_pp(heun)").set_timesteps(5)
    with pytest.raises(ValueError, match=r"unknown sampler 'res_2'; did you mean 'res_2"):
        sigmabench.scheduler("res_2")
    with pytest.raises(ValueError, match=r"unknown spacing 'karas'; did you mean 'karras'"):
        sigmabench.scheduler("euler", spacing="karas")
    with pytest.raises(ValueError, match=r"prediction_type = 'eps': must be one of 'epsilon', 'v_prediction'"):
        sigmabench.scheduler("euler", prediction_type="eps")
    with pytest.raises(ValueError, match=r"does not know the model.*like=that_scheduler"):
        sigmabench.scheduler("euler").set_timesteps(5)
    with pytest.raises(RuntimeError, match="call set_timesteps first"):
        ours().step(torch.zeros(1), 1, torch.zeros(1))
    scheduler = ours("churn(s_churn=40, compat=True)")
    with pytest.raises(ValueError, match=r"churn\(s_churn=40, compat=True\) changes x before its first evaluation"):
        scheduler.set_timesteps(10)


def test_a_token_noisier_than_its_step_is_refused():
    scheduler = ours("euler", schedule="flow", prediction_type="flow_prediction")
    scheduler.set_timesteps(4)
    x, times = starting_noise(), torch.full((2, 3), 750.0)
    scheduler.set_begin_index(2)
    with pytest.raises(ValueError, match=r"a token at sigma = 0.75 is noisier than the step's 0.5"):
        scheduler.step(x, 500, x, per_token_timesteps=times)


def test_a_run_that_leaves_its_plan_is_stopped():
    scheduler = ours("euler")
    scheduler.set_timesteps(3)
    scheduler._plan.levels[1] = Level(0.5, 0.5)
    x = starting_noise()
    with pytest.raises(RuntimeError, match="chose another level than in its dry run"):
        scheduler.step(x, scheduler.timesteps[0], x)


def test_a_learned_variance_is_left_out_and_clipping_follows_the_config():
    theirs = DDIMScheduler(**SD, clip_sample=True, clip_sample_range=0.5, prediction_type="sample")
    x0 = torch.linspace(-2, 2, 12, dtype=torch.float64).view(1, *SHAPE)
    scheduler = sigmabench.scheduler("euler", like=theirs)
    scheduler.set_timesteps(1)
    x = starting_noise(rows=1)
    step = scheduler.step(torch.cat([x0, x0 + 9], 1), scheduler.timesteps[0], x)
    assert torch.equal(step.prev_sample, x0.clamp(-0.5, 0.5))
    assert torch.equal(step.pred_original_sample, step.prev_sample)
    theirs = DDIMScheduler(**SD, thresholding=True, sample_max_value=1.5, prediction_type="sample", clip_sample=False)
    scheduler = sigmabench.scheduler("euler", like=theirs)
    scheduler.set_timesteps(1)
    step = scheduler.step(x0.float(), scheduler.timesteps[0], x.float())
    torch.testing.assert_close(step.prev_sample, theirs._threshold_sample(x0.float()))


def test_importing_the_package_imports_neither_torch_nor_diffusers():
    program = "import sys, sigmabench; assert not {'torch', 'diffusers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_variance_that_the_network_predicts_is_used():
    """Of twice the channels, as DeepFloyd's pipelines hand it on. diffusers' DDPM noises the last image too."""
    from diffusers import DDPMScheduler

    settings = {"num_train_timesteps": 1000, **SD, "clip_sample": False}
    theirs = DDPMScheduler(**settings, variance_type="learned_range", timestep_spacing="trailing")
    ours = StepScheduler("ddpm(variance=learned)", "trailing", "scaled_linear", prediction_type="epsilon")
    ends = []
    for scheduler in (theirs, ours):
        scheduler.set_timesteps(5)
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(1, *SHAPE, 4, generator=generator)
        for t in scheduler.timesteps[:-1]:
            level = ScaledLinear().level((t.item() + 1) / 1000)
            eps = (x - level.alpha * BIMODAL(x.double(), level)) / level.sigma
            x = scheduler.step(torch.cat([eps, torch.tanh(x)], 1).float(), t, x, generator=generator).prev_sample
        ends.append(x)
    assert torch.allclose(*ends, atol=1e-4)
    ours.set_timesteps(5)
    with pytest.raises(ValueError, match="predicts no variance: use ddpm with variance=small or large"):
        ours.step(x, ours.timesteps[0], x)
