"""Guidance by changes that ComfyUI has no patches for, in a real ComfyUI, against its own nodes and the formulas."""

import numpy as np
import pytest
from live_comfyui import NEEDS_HOST, Graph, ours_in, relative

pytestmark = NEEDS_HOST


@pytest.mark.parametrize(("theirs", "backbone"), [("FreeU", "constant"), ("FreeU_V2", "structure")])
def test_freeu_by_channels_is_the_hosts_and_by_stages_another(live, theirs, backbone):
    """On a U-Net of three stages up, with four times, two times and once its channels."""
    graph = Graph("wide", size=64)
    weights = {"b1": 1.3, "b2": 1.2, "s1": 0.7, "s2": 0.4}
    conds = {"positive": ["positive", 0], "negative": ["negative", 0]}
    graph.add("patch", theirs, model=graph.model, **weights)
    sigmas = graph.sigmas("simple", 3)
    guider = graph.add("theirs_guider", "CFGGuider", model=["patch", 0], **conds, cfg=4.0)
    graph.sample("theirs", sigmas=sigmas, guider=guider)
    graph.sample("plain", sigmas=sigmas, guider=graph.cfg(4.0))
    for by in ("channels", "stages"):
        ours = ours_in(graph, live, "Guider_freeu", guidance=graph.cfg(4.0), **weights, backbone=backbone, by=by)
        graph[f"freeu_{by}"] = graph.pop(ours[0])
        graph.sample(by, sigmas=sigmas, guider=[f"freeu_{by}", 0])
    found = live.run(graph)
    assert relative(found["channels"], found["theirs"]) < 1e-4
    assert relative(found["theirs"], found["plain"]) > 1e-2
    assert relative(found["stages"], found["channels"]) > 1e-3


TOLD = {"cads": {"clean": 0.1, "gone": 0.3, "noise": 1.0}, "icg": {}, "tsg": {"noise": 3.0}}
PICTURED = {"swg": {}, "s_cfg": {}, "freeu": {}}
SWITCHING = {"s_cfg": 1e-2}
"""Of regions that are told by the largest of several numbers, which batches compute to other last digits."""


@pytest.mark.parametrize(("kind", "methods"), [("vp", TOLD | PICTURED), ("flow", TOLD), ("video", TOLD)])
def test_an_image_is_the_same_alone_and_in_a_batch_and_unlike_plain_cfg(live, kind, methods):
    """Noise in what the network is told belongs to the image's seed, windows and regions to the image."""
    found = []
    for batch, seed in ((3, 40), (1, 42)):
        graph = Graph(kind, size=64, batch=batch)
        noise = graph.add("ours_noise", "SigmabenchNoise", noise_seed=seed)
        given = {"model": graph.model, "positive": ["positive", 0], "negative": ["negative", 0]}
        sigmas = graph.sigmas("simple", 3)
        graph.sample("plain", sigmas=sigmas, guider=graph.cfg(3.0), noise=noise)
        for name, settings in methods.items():
            guider = ours_in(graph, live, f"Guider_{name}", guidance=graph.cfg(3.0), scale=3.0, **given, **settings)
            graph.sample(name, sigmas=sigmas, guider=guider, noise=noise)
        found.append(live.run(graph))
    many, one = found
    for name in methods:
        assert relative(many[name][-1:], one[name]) < SWITCHING.get(name, 1e-4), name
        assert relative(one[name], one["plain"]) > 1e-3, name


def test_windows_are_those_that_the_host_predicts_of_a_cut_latent(live):
    """One step to the end gives x0: of the whole, and of the four windows as latents of their own."""
    graph = Graph("vp", size=96)
    graph.add("split", "SplitSigmas", sigmas=graph.sigmas("normal", 2), step=1)
    start = graph.sample("start", sigmas=["split", 0])
    rest = {"sigmas": ["split", 1], "noise": graph.add("none", "DisableNoise")}
    for scale in (1.0, 3.0):
        graph.sample(f"cfg_of_{scale:g}", guider=graph.cfg(scale), latent=start, **rest)
    ours = ours_in(graph, live, "Guider_swg", guidance=graph.cfg(3.0), scale=5.0, size=0.75, windows=2)
    graph.sample("ours", guider=ours, latent=start, **rest)
    corners = [(y, x) for y in (0, 3) for x in (0, 3)]
    for y, x in corners:
        cut = {"width": 72, "height": 72, "x": 8 * x, "y": 8 * y}
        part = graph.add(f"cut_{y}{x}", "LatentCrop", samples=start, **cut)
        graph.sample(f"part_{y}{x}", guider=graph.cfg(1.0), latent=part, **rest)
    found = live.run(graph)
    total, times = np.zeros_like(found["ours"]), np.zeros((12, 12))
    for y, x in corners:
        total[..., y : y + 9, x : x + 9] += found[f"part_{y}{x}"]
        times[y : y + 9, x : x + 9] += 1
    expected = found["cfg_of_3"] + 5 * (found["cfg_of_1"] - total / times)
    assert relative(found["ours"], expected) < 1e-5
    assert relative(expected, found["cfg_of_3"]) > 1e-3
