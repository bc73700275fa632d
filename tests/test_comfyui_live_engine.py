"""The nodes in a real ComfyUI against our own engine, which samples the same checkpoint as a pipeline of diffusers.

Runs against the checkout that COMFYUI_DIR names, with the Python that COMFYUI_PYTHON names.
"""

import dataclasses
from functools import cache

import pytest
from live_comfyui import NEEDS_HOST, Graph, ours_in, relative

from sigmabench.plugins.registry import catalogue, describe
from sigmabench.samplers.guidance import CFG

pytestmark = NEEDS_HOST

STEPS = 4
TEXTS = {"positive": "a fox", "negative": ""}
INSIDE = {
    "cfg": {"scale": 4.0},
    "pag": {"scale": 2.5},
    "seg": {"scale": 2.5},
    "slg": {"scale": 2.0},
    "tpg": {"scale": 2.0},
    "sag": {"scale": 0.7, "sigma": 1.0},
    "nag": {"scale": 3.0},
    "pladis": {"scale": 1.5},
    "freeu": {"b1": 1.3, "b2": 1.2, "s1": 0.7, "s2": 0.4},
    "swg": {"scale": 3.0},
    "s_cfg": {"scale": 4.0},
    "cads": {"clean": 0.1, "gone": 0.3, "noise": 0.5},
    "icg": {},
    "tsg": {"scale": 2.0, "noise": 3.0},
}
"""Methods that ask the network for other predictions, with settings."""


NOT = {"vp": {"freeu"}, "xl": set(), "flow": {"freeu", "sag", "nag", "pladis", "swg", "s_cfg"}}
"""U-Nets alone, of two stages up at least."""
PAIRS = [(kind, name) for kind, without in NOT.items() for name in INSIDE if name not in without]


@pytest.fixture(scope="module")
def twin_of(live):
    """Our engine's model of the same weights; the host is told what its text encoders make of the texts."""
    from live_twins import twin, write_texts

    @cache
    def made(kind):
        model = twin(kind, live.base / "models" / "checkpoints" / f"{kind}.ckpt")
        write_texts(model, live.base / "input" / f"{kind}.safetensors", TEXTS.values())
        return model

    return made


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_an_image_is_the_one_that_our_engine_makes_of_the_same_weights(live, twin_of, kind, name):
    from live_twins import SCALED
    from stock_pipelines import SEED, ours

    model, method = twin_of(kind), catalogue("guidance")[name].cls
    inner = {"guidance": CFG(4.0)} if "guidance" in {field.name for field in dataclasses.fields(method)} else {}
    graph = Graph(kind)
    given = {c: graph.add(c, "GivenText", file=f"{kind}.safetensors", text=text) for c, text in TEXTS.items()}
    given |= {"model": graph.model, "guidance": graph.cfg(4.0), **INSIDE[name]}
    graph.sample(
        "image", ours_in(graph, live, "Sampler_euler"), guider=ours_in(graph, live, f"Guider_{name}", **given),
        sigmas=graph.add("sigmas", "SigmabenchSigmas_trailing", model=graph.model, steps=STEPS, denoise=1.0),
        noise=graph.add("ours_noise", "SigmabenchNoise", noise_seed=SEED),
    )  # fmt: skip
    scale, shift = SCALED[kind]
    found = (live.run(graph)["image"] - shift) * scale
    of_engine, plain = (
        ours(model, describe("guidance", guidance), prompts=[TEXTS["positive"]], steps=STEPS).numpy()
        for guidance in (method(**INSIDE[name], **inner), CFG(4.0))
    )
    assert relative(found, of_engine) < 1e-5
    if name != "cfg":
        assert relative(of_engine, plain) > 1e-2
