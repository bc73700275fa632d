"""The engine: exact images on a closed-form model, counted evaluations, independence of batches and company."""

import dataclasses

import pytest
import torch

from sigmabench.eval.backends.mixture import GaussianMixture
from sigmabench.eval.cells import Cell, levels, plan, samples
from sigmabench.eval.engine import counted, generate, produce
from sigmabench.eval.jobs import Job
from sigmabench.eval.sweep import Sweep
from sigmabench.samplers.noise import SeededNoise
from sigmabench.samplers.schedules import Flow, Linear, ZeroTerminalSNR

PROMPTS = ["a photo of a cat", "a photo of a ship", "a photo of a frog"]
BASE = Cell("mixture", "dpmpp_2m", "model", "trailing", 10, "cfg(scale=1)", "0", 0, "float32")


@pytest.fixture(scope="module", params=["v-zsnr", "eps", "flow"])
def model(request):
    settings = {
        "v-zsnr": GaussianMixture(size=4, schedule=ZeroTerminalSNR(Linear()), prediction="v"),
        "eps": GaussianMixture(size=4, schedule=Linear(), prediction="eps"),
        "flow": GaussianMixture(size=4, schedule=Flow(), prediction="flow"),
    }
    return settings[request.param].load()


def job(count=6, **changes):
    sweep = Sweep(images=count, prompts=PROMPTS)
    return Job(dataclasses.replace(BASE, **changes), samples(sweep, PROMPTS, 0, count))


def test_many_steps_end_at_the_exact_solution(model):
    work = job(steps=400, sampler="heun" if model.prediction == "flow" else "dpmpp_2m")
    (x,) = generate(model, [work])
    path = levels(work.cell, model)
    start = SeededNoise([s.seed for s in work.samples], model.shape).initial() * path.levels[0].norm
    condition = model.encode([s.prompt for s in work.samples])
    exact = model.solution(start, path.levels[0], path.levels[-1], condition)
    assert (x - exact).abs().max() < 5e-3


@pytest.mark.parametrize(
    ("changes", "evaluations"),
    [
        ({"sampler": "euler", "steps": 7}, 7),
        ({"sampler": "euler", "steps": 7, "guidance": "cfg(scale=3)"}, 14),
        ({"sampler": "dpmpp_2m_sde", "steps": 7, "guidance": "rescaled_cfg(scale=3)"}, 14),
    ],
)
def test_evaluations_are_counted_at_the_network_and_scale_one_costs_no_second_branch(model, changes, evaluations):
    with counted(model.network) as rows:
        generate(model, [job(4, **changes)])
    assert sum(rows) == 4 * evaluations


def test_heun_takes_one_evaluation_at_each_infinite_or_clean_end(model):
    with counted(model.network) as rows:
        generate(model, [job(1, sampler="heun", steps=6)])
    pure_start = model.prediction != "eps"
    assert sum(rows) == 2 * 6 - 1 - pure_start


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "dpmpp_2m_sde", "euler_ancestral", "dpm_adaptive"])
def test_image_k_is_the_same_in_any_batch(model, sampler):
    whole = job(6, sampler=sampler, guidance="cfg(scale=3)")
    (together,) = generate(model, [whole])
    (alone,) = generate(model, [Job(whole.cell, whole.samples[4:5])])
    torch.testing.assert_close(together[4:5], alone, rtol=0, atol=2e-6)


def test_cells_in_company_make_the_same_images_as_alone(model):
    jobs = [
        job(3, sampler="euler", steps=4),
        job(2, sampler="heun", steps=9, guidance="cfg(scale=3)"),
        job(4, sampler="dpmpp_2m_sde", steps=6, spacing="linspace"),
    ]
    with counted(model.network) as calls:
        together = generate(model, jobs)
    for work, x in zip(jobs, together, strict=True):
        torch.testing.assert_close(x, generate(model, [work])[0], rtol=0, atol=2e-6)
    starts = 1 + 2 + 1  # a call for each branch of each, as no two start with the same images and level
    assert len(calls) == starts + max(4, 2 * 9 - 1 - (model.prediction != "eps"), 6) - 1


def cells_of_one_sweep():
    changes = [
        {"sampler": name, "steps": steps, "guidance": guidance}
        for name in ("euler", "dpmpp_2m", "heun", "dpmpp_2m_sde")
        for steps in (3, 5)
        for guidance in ("cfg(scale=1)", "cfg(scale=3)", "rescaled_cfg(scale=3)", "interval")
    ]
    return [job(3, **change) for change in changes]


def test_what_cells_ask_first_is_computed_once_and_changes_no_bit(model):
    jobs = cells_of_one_sweep()
    with counted(model.network) as together:
        shared = {done.job.cell: done for done in produce(model, jobs)}
    alone = 0
    for work in jobs:
        with counted(model.network) as rows:
            (done,) = produce(model, [work])
        assert done.x.numpy().tobytes() == shared[work.cell].x.numpy().tobytes()
        assert done.evaluations == shared[work.cell].evaluations == sum(rows)
        alone += sum(rows)
    firsts = sum(
        2 if "interval" not in work.cell.guidance and "scale=1" not in work.cell.guidance else 1 for work in jobs
    )
    assert alone - sum(together) == 3 * (firsts - 2)  # one for cond and one for uncond are left


def test_jobs_take_the_place_of_those_that_end_and_calls_stay_full(model):
    jobs = [job(3, sampler="euler", steps=3 + i % 5) for i in range(20)]
    with counted(model.network) as rows:
        done = list(produce(model, iter(jobs), rows=12))
    assert {id(one.job) for one in done} == {id(work) for work in jobs}
    full = [count for count in rows if count > 3]
    assert max(full) == 12
    assert sum(full) / len(full) > 9  # one in four jobs is asking about its start meanwhile
    for one in done:
        torch.testing.assert_close(one.x, generate(model, [one.job])[0], rtol=0, atol=2e-6)


def test_an_error_ends_its_own_job_alone(model, monkeypatch):
    jobs = [job(3, sampler="euler", steps=4), job(2, sampler="heun", steps=4), job(3, sampler="dpmpp_2m", steps=4)]
    denoise = model.denoise

    def short_of_memory(x, levels, condition):
        if len(x) == 2 or len(x) > 6:
            raise torch.OutOfMemoryError("7 rows are too many, and so are 2")
        return denoise(x, levels, condition)

    monkeypatch.setattr(model, "denoise", short_of_memory)
    done = {one.job.cell.sampler: one for one in produce(model, jobs, rows=100)}
    assert isinstance(done["heun"].error, torch.OutOfMemoryError)
    monkeypatch.undo()
    for work in (jobs[0], jobs[2]):
        torch.testing.assert_close(done[work.cell.sampler].x, generate(model, [work])[0], rtol=0, atol=2e-6)


def test_all_cells_share_noise_and_prompt_of_an_image(model):
    euler, dpm = (generate(model, [job(3, sampler=name, steps=200)])[0] for name in ("euler", "dpmpp_2m"))
    assert (euler - dpm).abs().mean() < 0.02 < (euler - dpm.flip(0)).abs().mean()


def test_a_diverged_image_is_an_error_that_counts_them(model):
    class Broken:
        schedule, prediction, shape, network = model.schedule, model.prediction, model.shape, model.network
        encode = staticmethod(model.encode)

        @staticmethod
        def denoise(x, levels, condition):
            return x * float("nan")

    with pytest.raises(FloatingPointError, match="4 of 4 images are not finite: dpmpp_2m diverged"):
        generate(Broken(), [job(4)])


def test_cells_that_cannot_start_are_refused_with_the_reason():
    model = GaussianMixture(size=4, schedule=Linear(), prediction="eps").load()
    sweep = Sweep(schedules=["model", "zero_terminal_snr(linear)", "cosine"], prompts=PROMPTS)
    reasons = [planned.refused for planned in plan(sweep, "m", model, PROMPTS)]
    assert reasons[0] == ""
    assert "eps prediction says nothing" in reasons[1]
    assert "noisier than the" in reasons[2]


def test_a_sweep_walks_one_path_of_noise_whatever_the_steps(model):
    """Images of twice as many steps are nearer to each other than with draws of their own."""
    settings = {"sampler": "dpmpp_2m_sde", "spacing": "linspace", "guidance": "cfg(scale=3)"}
    few, many, fresh_few, fresh_many = generate(
        model, [job(8, steps=n, noise=noise, **settings) for noise in ("brownian", "") for n in (20, 40)]
    )
    assert (few - many).square().mean() < (fresh_few - fresh_many).square().mean() / 2


@pytest.mark.parametrize(
    ("sampler", "noise"), [("dpmpp_2m_sde", "brownian"), ("ddim(eta=1)", "brownian"), ("heun", "")]
)
def test_cells_say_whose_noise_they_walk_and_old_runs_keep_their_keys(model, sampler, noise):
    for wanted in ("brownian", "independent"):
        sweep = Sweep(samplers=[sampler], prompts=PROMPTS, noise=wanted)
        (planned,) = plan(sweep, "m", model, PROMPTS)
        assert planned.cell.noise == (noise if wanted == "brownian" else "")
    assert planned.cell.key == dataclasses.replace(planned.cell, noise="").key
