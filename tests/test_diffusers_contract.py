"""What every pipeline of the installed diffusers asks of its scheduler, read from their sources: served, or refused."""

import ast
import inspect
import re
from collections import defaultdict
from pathlib import Path

import diffusers
import pytest
import torch
from tiny_pipelines import SD15, pixel_unet

import sigmabench
from sigmabench.plugins.diffusers.scheduler import StepScheduler

FOLDER = Path(diffusers.__file__).parent
ASKED = re.compile(r"\b(?:self|components|pipe)\.scheduler\.(\w+)(\()?")
NOT_SERVED = {
    "cosmos": "_get_conditioning_c_in _step_index",
    "cycle_diffusion": "_get_variance final_alpha_cumprod",
    "chronoedit": "last_sample model_outputs",
    "helios": "ori_start_sigmas",
    "leditspp": "",
    "llada2": "check_block_should_continue check_eos_finished",
    "paradigms": "_get_variance _is_ode_scheduler batch_step_no_noise",
    "repaint": "eta undo_step",
    "score_sde_ve": "set_sigmas step_correct step_pred",
    "karras_ve": "add_noise_to_input schedule step_correct",
    "audio_diffusion": "final_alpha_cumprod",
    "diffusion_gemma": "step_correct",
}
"""Attributes beyond the contract, by pipelines that are made for a scheduler of their own."""
KEYWORDS = {
    "cosmos": "pred_original_sample",
    "cycle_diffusion": "variance_noise",
    "leditspp": "variance_noise",
    "kandinsky": "prev_timestep",
    "ddim": "eta use_clipped_model_output",
    "audio_diffusion": "eta",
    "amused": "generator starting_mask_ratio",
    "helios": "is_amplify_first_chunk cur_sampling_step dmd_noisy_tensor dmd_sigmas dmd_timesteps all_timesteps",
    "llada2": "block_length mask_token_id temperature top_p top_k sampling_method threshold editing_threshold "
    "minimal_topk prompt_mask",
}
"""Keywords beyond it. Those of ``ddim`` ask for nothing unless the caller does."""


def sources():
    """Name and text of every pipeline; blocks of modular ones go by their folder."""
    for folder in ("pipelines", "modular_pipelines"):
        for file in sorted((FOLDER / folder).rglob("*.py")):
            yield (file.stem if file.stem.startswith("pipeline_") else file.parent.name), file.read_text()


def call_at(text, start):
    """The arguments of the call whose parenthesis opens at ``start``."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] in "([{") - (text[i] in ")]}")
        if not depth:
            return ast.parse("f" + text[start : i + 1]).body[0].value
    raise AssertionError(text[start:])


@pytest.fixture(scope="module")
def asked():
    """Attributes by pipeline, and keywords of methods that we have by pipeline and method."""
    names, keywords = defaultdict(set), defaultdict(set)
    for stem, text in sources():
        for found in ASKED.finditer(text):
            name, called = found.groups()
            names[stem].add(name)
            if called and name in ("step", "set_timesteps", "add_noise", "scale_noise"):
                given = call_at(text, found.end() - 1)
                keywords[stem, name] |= {keyword.arg for keyword in given.keywords if keyword.arg}
                served = inspect.signature(getattr(StepScheduler, name)).parameters
                assert len(given.args) < len(served) or any(isinstance(one, ast.Starred) for one in given.args)
    assert sum("step" in found for found in names.values()) > 200
    return names, keywords


def of_group(stem, groups):
    return {name for group, listed in groups.items() if group in stem for name in listed.split()}


def test_every_attribute_that_a_pipeline_reads_is_served_or_refused_by_name(asked):
    scheduler = sigmabench.scheduler("heun", like=diffusers.DDIMScheduler(**SD15))
    scheduler.set_timesteps(4)
    served = {name for name in set().union(*asked[0].values()) if name in dir(scheduler)}
    beyond = {stem: found - served for stem, found in asked[0].items()}
    for stem, found in beyond.items():
        assert found <= of_group(stem, NOT_SERVED), stem
    for name in set().union(*beyond.values()) - {"schedule"}:
        with pytest.raises(AttributeError, match=rf"no attribute '{name}'; it belongs to a scheduler of .* own: keep"):
            getattr(scheduler, name)


def test_every_keyword_that_a_pipeline_gives_is_served_or_refused_by_name(asked):
    scheduler = sigmabench.scheduler("heun", like=diffusers.DDIMScheduler(**SD15))
    x = torch.zeros(1, 4, 2, 2)
    for (stem, method), given in asked[1].items():
        beyond = given - {*inspect.signature(getattr(StepScheduler, method)).parameters}
        assert beyond <= of_group(stem, KEYWORDS), stem
        for keyword in beyond - {"eta", "generator"}:
            with pytest.raises(ValueError, match=rf"{method}\({keyword}=\.\.\.\) is not served; it belongs to"):
                getattr(scheduler, method)(*(() if method == "set_timesteps" else (x, 1, x)), **{keyword: 1.0})


def test_the_eta_of_a_pipeline_is_refused_unless_it_asks_for_nothing():
    network = pixel_unet()
    theirs = diffusers.DDIMScheduler(clip_sample=False, timestep_spacing="trailing")
    pipe = diffusers.DDIMPipeline(network, theirs)
    pipe.set_progress_bar_config(disable=True)
    images = [pipe(generator=torch.Generator().manual_seed(0), num_inference_steps=5, output_type="np").images]
    pipe.scheduler = sigmabench.scheduler("euler")
    images += [pipe(generator=torch.Generator().manual_seed(0), num_inference_steps=5, output_type="np").images]
    assert abs(images[0] - images[1]).max() < 1e-4
    with pytest.raises(
        ValueError, match=r"step\(eta=0.5\): eta is a setting of samplers here, such as ddim\(eta=0.5\)"
    ):
        pipe(num_inference_steps=5, eta=0.5)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_what_training_asks_of_a_scheduler(kind):
    theirs = diffusers.DDIMScheduler(**SD15, prediction_type=kind)
    ours = sigmabench.scheduler("euler", like=theirs)
    x, noise = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    times = torch.tensor([3, 500, 999])
    for method in ("add_noise", "get_velocity"):
        torch.testing.assert_close(getattr(ours, method)(x, noise, times), getattr(theirs, method)(x, noise, times))
    for name in ("alphas_cumprod", "alphas", "betas"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=1e-4, atol=1e-6)
    flow = sigmabench.scheduler("euler", like=diffusers.FlowMatchEulerDiscreteScheduler())
    assert not hasattr(flow, "alphas_cumprod")
    assert not hasattr(flow, "betas")
