"""Nodes that compare settings on a connected model: prompts, the sweep, its report."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..plans import Plan
    from ..runner import Runner
    from ..sweep import Sweep

CATEGORY = "sigmabench/benchmark"


def mappings() -> tuple[dict[str, type], dict[str, str]]:
    """The nodes by id, and the names shown."""
    titles = {SigmabenchPrompts: "prompts", SigmabenchSweep: "sweep", SigmabenchReport: "report"}
    return {cls.__name__: cls for cls in titles}, {cls.__name__: title for cls, title in titles.items()}


class SigmabenchPrompts:
    """Prompts of a sweep, one a line, each encoded: connect both outputs to the sweep."""

    DESCRIPTION = __doc__
    RETURN_TYPES = ("CONDITIONING", "STRING")
    RETURN_NAMES = ("positive", "prompts")
    OUTPUT_IS_LIST = (True, True)
    FUNCTION = "execute"
    CATEGORY = CATEGORY

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        text = {"multiline": True, "default": "a photo of a cat\na photo of a ship", "tooltip": "one prompt a line"}
        return {"required": {"clip": ("CLIP", {"tooltip": "the text encoder"}), "text": ("STRING", text)}}

    def execute(self, clip: Any, text: str) -> tuple[list[Any], list[str]]:
        from ..prompts import check_prompts

        prompts = check_prompts(text.strip().splitlines(), "text")
        return [clip.encode_from_tokens_scheduled(clip.tokenize(prompt)) for prompt in prompts], prompts


class SigmabenchSweep:
    """Every combination of samplers, spacings, steps, guidance and scales on the same images, measured and compared.

    Image i has the same prompt and noise in all of them. The folder below ComfyUI's output keeps everything: queue it
    again after a crash, or with more images or metrics, and only what is missing is made. `sampler`, `sigmas` and `cfg`
    are the best setting's, to sample with at once.
    """

    DESCRIPTION = __doc__
    RETURN_TYPES = ("IMAGE", "STRING", "STRING", "STRING", "SAMPLER", "SIGMAS", "FLOAT")
    RETURN_NAMES = ("grid", "best", "table", "folder", "sampler", "sigmas", "cfg")
    FUNCTION = "execute"
    CATEGORY = CATEGORY
    INPUT_IS_LIST = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        def several(default: str, tooltip: str) -> tuple[str, dict[str, Any]]:
            return "STRING", {"default": default, "tooltip": f"with commas between; {tooltip}"}

        def number(default: int, low: int, high: int, tooltip: str) -> tuple[str, dict[str, Any]]:
            return "INT", {"default": default, "min": low, "max": high, "tooltip": tooltip}

        required = {
            "model": ("MODEL", {"tooltip": "what is compared on"}),
            "vae": ("VAE", {"tooltip": "makes the images"}),
            "positive": ("CONDITIONING", {"tooltip": "of one prompt, or a list of them"}),
            "negative": ("CONDITIONING", {"tooltip": "or the empty prompt"}),
            "latent_image": ("LATENT", {"tooltip": "its size alone counts"}),
            "samplers": several("euler, dpmpp_2m", "settings as in dpmpp_2m_sde(eta=0.5)"),
            "spacings": several("trailing", "settings as in karras(sigma_max=80)"),
            "steps": several("5, 10, 20", "numbers of steps"),
            "guidance": several("cfg", "settings as in rescaled_cfg(rescale=0.5)"),
            "scales": several("4, 7", "guidance scales; empty: the scale each method says"),
            "metrics": several(
                "trajectory_error, diversity", "settings as in clip_score(model='ViT-B-32/laion2b_s34b_b79k')"
            ),
            "images": number(8, 1, 100_000, "of each setting"),
            "first_seed": number(0, 0, 2**32 - 100_001, "of image 0; image i has first_seed + i in every setting"),
            "batch_size": number(4, 1, 1024, "images made together"),
            "folder": ("STRING", {"default": "sigmabench/sweep", "tooltip": "below ComfyUI's output folder"}),
        }
        prompts = {"forceInput": True, "tooltip": "what the positive conditionings say, for metrics that read"}
        return {"required": required, "optional": {"prompts": ("STRING", prompts)}}

    def execute(self, positive: list[Any], prompts: list[str] | None = None, **lists: list[Any]) -> tuple[Any, ...]:
        from ..backends.connected import connected
        from . import host
        from .model import GraphModel

        given = {name: values[0] for name, values in lists.items()}
        texts = prompts or [f"prompt {i}" for i in range(1, len(positive) + 1)]
        latent = given["latent_image"]["samples"]
        model = GraphModel(given["model"], given["vae"], positive, given["negative"], texts, latent)
        folder = host.results_folder(given["folder"])
        with connected(model.id, model) as backend:
            runner = _runner(sweep_of(given, backend, texts), folder)
            advance = host.progress(len(runner.plan.runnable) * runner.sweep.images)
            try:
                outcome = runner.run(lambda images, cell: advance(images))
            except host.Cancelled as wish:
                raise wish.__cause__ or wish from None
        if outcome.failed:
            raise ValueError("; ".join(dict.fromkeys(outcome.failed.values())))
        return outputs(runner.plan, folder, model)


class SigmabenchReport:
    """The page of a sweep, written beside its results, and its figure: quality against network evaluations."""

    DESCRIPTION = __doc__
    RETURN_TYPES = ("IMAGE", "STRING")
    RETURN_NAMES = ("figure", "page")
    FUNCTION = "execute"
    CATEGORY = CATEGORY
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        folder = {"default": "sigmabench/sweep", "tooltip": "of a sweep, below ComfyUI's output folder"}
        return {"required": {"folder": ("STRING", folder)}}

    def execute(self, folder: str) -> dict[str, Any]:
        from ..plans import load_plan
        from ..publish import publish
        from ..results import results
        from ..store import Store
        from . import host
        from .pictures import figure

        root = host.results_folder(folder)
        plan = load_plan(root)
        page = publish(plan, root)
        return {"ui": {"text": [str(page)]}, "result": (figure(results(plan, Store(root))), str(page))}


def sweep_of(given: Mapping[str, Any], backend: str, prompts: list[str]) -> Sweep:
    """The sweep that the node's widgets describe.

    Raises:
        UsageError: naming the widget and the legal values.
    """
    from ..sweep import load_sweep

    fields = {name: _several(name, given[name]) for name in ("samplers", "spacings", "guidance", "metrics")}
    numbers = {"steps": _numbers("steps", given["steps"], int), "scales": _numbers("scales", given["scales"], float)}
    plain = {"images": given["images"], "seed": given["first_seed"], "batch_size": given["batch_size"]}
    return load_sweep(None, {"models": [backend], "prompts": prompts, **fields, **numbers, **plain})


def outputs(plan: Plan, folder: Path, model: Any) -> tuple[Any, ...]:
    """What the sweep node returns: pictures, words, and the best setting ready for use."""
    from ...plugins.comfyui.conditionings import scale_of
    from ...plugins.comfyui.samplers import ksampler
    from ...plugins.comfyui.schedule import sigmas_of
    from ...plugins.registry import build
    from ...reports.answer import answers
    from ...reports.table import markdown
    from ..cells import levels
    from ..publish import publish
    from ..results import previews, results
    from ..store import Store
    from .pictures import grid

    publish(plan, folder)
    store = Store(folder)
    frame = results(plan, store)
    (answer,) = answers(frame)
    cell = next((p.cell for p in plan.runnable if p.cell.key == answer.cell), plan.runnable[0].cell)
    words = " ".join([answer.lead, *answer.notes, *(f"Not run: {reason}." for reason in _refused(plan))])
    path = levels(cell, model).levels
    sampler = ksampler(cell.sampler.partition("(")[0], build("sampler", cell.sampler))
    return (
        grid(plan, previews(plan, store)), words, markdown(frame), folder.as_posix(),
        sampler, sigmas_of(model.process, path, len(path)), float(scale_of(build("guidance", cell.guidance))),
    )  # fmt: skip


def _runner(sweep: Sweep, folder: Path) -> Runner:
    from ..runner import Runner

    return Runner(sweep, folder)


def _refused(plan: Plan) -> list[str]:
    """The settings that cannot be run on this model, each once with the reason."""
    found = [f"{p.cell.guidance} with {p.cell.sampler}, {p.cell.spacing}: {p.refused}" for p in plan.cells if p.refused]
    return list(dict.fromkeys(found))


def _several(name: str, text: str) -> list[str]:
    """Names and calls with commas between."""
    try:
        (several,) = ast.parse(f"[{text}]").body
        return [ast.unparse(element) for element in several.value.elts]  # type: ignore[attr-defined]
    except (SyntaxError, ValueError):
        raise ValueError(f"{name} = {text!r}: write names with commas between, such as euler, heun") from None


def _numbers(name: str, text: str, number: Callable[[str], Any]) -> list[Any]:
    try:
        return [number(part) for part in re.split(r"[,\s]+", text.strip()) if part]
    except ValueError:
        raise ValueError(f"{name} = {text!r}: write numbers with commas between, such as 5, 10, 20") from None
