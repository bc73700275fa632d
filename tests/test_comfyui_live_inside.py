"""Guidance by changes that ComfyUI has no patches for, in a real ComfyUI, against its own nodes and the formulas."""

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
