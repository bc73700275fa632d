"""Videos in a real ComfyUI: latents of five dimensions, and image and sound packed into one.

Runs against the checkout that COMFYUI_DIR names, with the Python that COMFYUI_PYTHON names.
"""

import numpy as np
import pytest
from live_comfyui import NEEDS_HOST, Graph, HostError, ours_in, relative

pytestmark = NEEDS_HOST


def plain(graph, sampler, scheduler):
    """A KSampler whose latent is saved."""
    name = f"plain_{sampler}"
    conds = {"positive": ["positive", 0], "negative": ["negative", 0]}
    graph.add(name, "KSampler", model=graph.model, seed=3, steps=4, cfg=3.0, sampler_name=sampler, scheduler=scheduler,
              latent_image=["latent", 0], denoise=1.0, **conds)  # fmt: skip
    return [name, 0]


def test_a_video_is_sampled_as_by_the_host(live):
    graph = Graph("video", batch=2)
    for name in ("euler", "cfg_pp", "heun", "dpmpp_2m_sde", "res_2m", "er_sde"):
        graph.sample(name, ours_in(graph, live, f"Sampler_{name}"))
    graph.sample("their_euler")
    graph.sample("their_cfg_pp", graph.add("theirs", "KSamplerSelect", sampler_name="euler_cfg_pp"))
    noise = graph.add("ours_noise", "SigmabenchNoise", noise_seed=3)
    graph.sample("own_noise", ours_in(graph, live, "Sampler_euler"), noise=noise)
    for name in ("sigmabench_euler", "euler"):
        graph.add(f"by_{name}", "SaveLatent", samples=plain(graph, name, "simple"), filename_prefix="x")
    found = live.run(graph)
    assert found["euler"].shape == (2, 16, 3, 8, 8)
    assert relative(found["euler"], found["their_euler"]) < 1e-5
    assert relative(found["cfg_pp"], found["their_cfg_pp"]) < 1e-5
    assert relative(found["by_sigmabench_euler"], found["by_euler"]) < 1e-5
    for name in ("heun", "dpmpp_2m_sde", "res_2m", "er_sde", "own_noise"):
        assert 0.3 < np.abs(found[name]).mean() / np.abs(found["euler"]).mean() < 3, name


def test_every_guidance_of_a_video_runs_or_says_why_not(live, ours):
    refused = dict.fromkeys(("sag", "nag", "pladis", "freeu", "swg", "s_cfg"), "is no U-Net")
    names = [name.removeprefix("SigmabenchGuider_") for name in ours if name.startswith("SigmabenchGuider_")]
    graph = Graph("video", size=32)
    conds = {
        "positive": ["positive", 0],
        "negative": ["negative", 0],
        "empty": ["negative", 0],
        "middle": ["positive", 0],
        "other": ["positive", 0],
    }
    graph.sample("plain", guider=graph.cfg(3.0))
    for name in names:
        if name == "autoguidance":
            continue
        guider = ours_in(graph, live, f"Guider_{name}", model=graph.model, guidance=graph.cfg(3.0), **conds)
        if name not in refused:
            graph.sample(name, guider=guider)
            continue
        alone = Graph("video", size=32)
        given = {"model": alone.model, "positive": ["positive", 0], "negative": ["negative", 0]}
        alone.sample("end", guider=ours_in(alone, live, f"Guider_{name}", guidance=alone.cfg(3.0), **given))
        with pytest.raises(HostError, match=refused[name]):
            live.run(alone)
    found = live.run(graph)
    for name in found.keys() - {"plain"}:
        assert np.isfinite(found[name]).all(), name
        assert relative(found[name], found["plain"]) < 10, name
    assert all(relative(found[name], found["plain"]) > 1e-4 for name in ("pag", "seg", "slg", "tpg"))


def test_what_a_mask_keeps_of_a_video_is_kept(live):
    graph = Graph("video", size=32)
    start = graph.sample("start")
    graph.add("half", "SolidMask", value=1.0, width=16, height=32)
    graph.add("whole", "SolidMask", value=0.0, width=32, height=32)
    graph.add("mask", "MaskComposite", destination=["whole", 0], source=["half", 0], x=16, y=0, operation="add")
    masked = graph.add("masked", "SetLatentNoiseMask", samples=start, mask=["mask", 0])
    noise = graph.add("other_noise", "RandomNoise", noise_seed=9)
    graph.sample("ours", ours_in(graph, live, "Sampler_euler"), latent=masked, noise=noise)
    graph.sample("theirs", latent=masked, noise=noise)
    found = live.run(graph)
    assert relative(found["ours"], found["theirs"]) < 1e-5
    assert np.abs(found["ours"][..., :2] - found["start"][..., :2]).max() < 1e-4
    assert relative(found["ours"][..., 2:], found["start"][..., 2:]) > 0.05


def test_image_and_sound_packed_into_one_latent_are_sampled_as_by_the_host(live):
    if "LTXVConcatAVLatent" not in live.get("/object_info"):
        pytest.skip("this ComfyUI has no packed latents")
    graph = Graph("video_and_audio", size=64, batch=2)
    graph.add("video", "EmptyLTXVLatentVideo", width=64, height=64, length=9, batch_size=2)
    graph.add("sound", "EmptyAceStepLatentAudio", seconds=1.5, batch_size=2)
    both = graph.add("latent", "LTXVConcatAVLatent", video_latent=["video", 0], audio_latent=["sound", 0])

    def sampled(name, *given, **more):
        graph.sample(name, *given, latent=both, **more)
        graph.pop(name)  # SaveLatent writes plain tensors alone
        graph.add(f"parts_{name}", "LTXVSeparateAVLatent", av_latent=[f"run_{name}", 0])
        for i, part in enumerate(("video", "sound")):
            graph.add(f"{name}_{part}", "SaveLatent", samples=[f"parts_{name}", i], filename_prefix="x")

    heun = {"method": "heun2", "quantity": "flow"}
    twins = {"euler": ("euler", {}), "heun": ("runge_kutta", heun), "lms": ("lms", {"quantity": "flow"})}
    for name, (own, settings) in {**twins, "euler_cfg_pp": ("cfg_pp", {})}.items():
        sampled(name, ours_in(graph, live, f"Sampler_{own}", **settings))
        sampled(f"their_{name}", graph.add(f"host_{name}", "KSamplerSelect", sampler_name=name))
    for name in ("dpmpp_2m_sde", "er_sde", "euler_ancestral"):
        sampled(name, ours_in(graph, live, f"Sampler_{name}"))
    guider = ours_in(graph, live, "Guider_cfg", model=graph.model, positive=["positive", 0], negative=["negative", 0],
                     scale=3.0)  # fmt: skip
    sampled("guided", guider=guider)
    sampled("skipping", guider=ours_in(graph, live, "Guider_slg", guidance=graph.cfg(3.0)))
    sampled("theirs_skipping", guider=skipping(graph))
    found = live.run(graph)
    for part in ("video", "sound"):
        for name in (*twins, "euler_cfg_pp"):
            assert relative(found[f"{name}_{part}"], found[f"their_{name}_{part}"]) < 1e-5, name
        assert relative(found[f"guided_{part}"], found[f"their_euler_{part}"]) < 1e-5
        assert relative(found[f"skipping_{part}"], found[f"theirs_skipping_{part}"]) < 1e-4
        for name in ("dpmpp_2m_sde", "er_sde", "euler_ancestral"):
            assert np.isfinite(found[f"{name}_{part}"]).all(), name
            assert relative(found[f"{name}_{part}"], found[f"their_euler_{part}"]) < 5, name

    alone = graph.sample("refused", guider=ours_in(graph, live, "Guider_pag", guidance=graph.cfg(3.0)), latent=both)
    assert alone == ["run_refused", 0]
    with pytest.raises(HostError, match="blocks of LTXVModel have more than an image; use slg"):
        live.run(graph)


def skipping(graph):
    whole = {"start_percent": 0.0, "end_percent": 1.0, "rescaling_scale": 0.0, "single_layers": ""}
    graph.add("skip", "SkipLayerGuidanceDiT", model=graph.model, double_layers="0", scale=3.0, **whole)
    conds = {"positive": ["positive", 0], "negative": ["negative", 0]}
    return graph.add("skipping_guider", "CFGGuider", model=["skip", 0], **conds, cfg=3.0)
