"""A sweep: what is compared, on which images, by which metrics; read from a small YAML file and checked in full.

    samplers: [euler, dpmpp_2m, "dpmpp_2m_sde(eta=0.5)"]
    steps: [5, 10, 20]
    guidance: cfg
    scales: [1, 3, 6]
    images: 200

Every combination is a cell. Plugins are written as in ``sigmabench list``: a name, or a call with settings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from ..plugins.names import resolve
from ..plugins.registry import build, describe
from .errors import UsageError
from .execution.names import Execution
from .prompts import check_prompts, read_prompts
from .scales import scaled

MODEL_SCHEDULE = "model"
UNCONDITIONAL = [""]
"""The prompts of a sweep that asks for nothing."""
PLUGIN = "plugin"
"""Key under which the JSON schema of a text says which kind of plugin it names, for ``sweep_schema``."""


def _as_list(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else [value]


def _unique(values: list[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _named(texts: dict[str, str]) -> dict[str, str]:
    """
    Raises:
        ValueError: for a name that no further condition can have, and for an empty text.
    """
    for name, text in texts.items():
        if not re.fullmatch("[a-z][a-z0-9_]*", name) or name in ("cond", "uncond", "negative"):
            raise ValueError(f"{name!r} must be another name than cond, uncond and negative, such as style")
        if not text.strip():
            raise ValueError(f"the text of {name} is empty; leave it out")
    return {name: text.strip() for name, text in texts.items()}


def _resolvable(text: str) -> str:
    resolve(text)
    return text


def _canonical(kind: str) -> AfterValidator:
    """Check a plugin's text by building it, and keep its shortest form."""

    def canonical(text: str) -> str:
        try:
            return text if (kind, text) == ("schedule", MODEL_SCHEDULE) else describe(kind, build(kind, text))
        except TypeError as error:  # pydantic reports ValueError alone
            raise ValueError(str(error)) from error

    return AfterValidator(canonical)


def _names(kind: str) -> Any:
    return Field(json_schema_extra={PLUGIN: kind})


T = TypeVar("T")
Options = Annotated[list[T], BeforeValidator(_as_list), AfterValidator(_unique)]
Axis = Annotated[list[T], BeforeValidator(_as_list), AfterValidator(_unique), Field(min_length=1)]
BackendText = Annotated[str, _canonical("backend"), _names("backend")]
SamplerText = Annotated[str, _canonical("sampler"), _names("sampler")]
ScheduleText = Annotated[str, _canonical("schedule"), _names("schedule")]
SpacingText = Annotated[str, _canonical("spacing"), _names("spacing")]
GuidanceText = Annotated[str, _canonical("guidance"), _names("guidance")]
MetricText = Annotated[str, _canonical("metric"), _names("metric")]
Texts = Annotated[dict[str, str], AfterValidator(_named)]
PairText = Annotated[str, AfterValidator(_resolvable), _names("names")]
Steps = Annotated[int, Field(ge=1, le=10_000)]
Scale = Annotated[float, Field(ge=0, le=1000)]


class Sweep(BaseModel):
    """The fields of a sweep file; lists are axes, and a single value stands for a list of one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: Axis[BackendText] = Field(["embedded"], description="what makes the images; see `sigmabench list backend`")
    samplers: Options[SamplerText] = Field(
        ["dpmpp_2m"],
        description="see `sigmabench list sampler`; without this field dpmpp_2m, or none where there are pairs",
    )
    schedules: Axis[ScheduleText] = Field(
        [MODEL_SCHEDULE], description="noise schedules to walk; 'model' is the one each model was trained on"
    )
    spacings: Axis[SpacingText] = Field(["trailing"], description="where the steps lie; see `sigmabench list spacing`")
    pairs: Options[PairText] = Field(
        [],
        description="sampler and spacing by other programs' names, as 'DPM++ 2M Karras'; see `sigmabench list names`",
    )
    steps: Axis[Steps] = Field([20], description="numbers of steps")
    guidance: Axis[GuidanceText] = Field(
        ["cfg"], description="how prompt and no prompt are combined; see `sigmabench list guidance`"
    )
    scales: Options[Scale] = Field(
        [], description="guidance scales, tried with each guidance; empty: the scale each one says"
    )
    prompts: list[str] = Field(
        [],
        description="a list, or a file: text with one a line, or a CSV, TSV or parquet table; empty: the model's own",
    )
    negative: str = Field("", description="the negative prompt, for guidance such as negative_prompt and perp_neg")
    texts: Texts = Field({}, description="of further conditions by name, for guidance such as composable and dual_cfg")
    images: int = Field(100, ge=1, le=2**31, description="images a cell")
    until: Literal["", "separated"] = Field("", description="separated: go on with the cells that nothing beats yet")
    budget: int = Field(0, ge=0, le=2**31, description="images a cell at most, with until: separated")
    intervals: Literal["images", "prompts"] = Field(
        "images", description="images: for just these prompts; prompts: for others like them, each prompt is one draw"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="seed of image 0; image i has seed + i in every cell")
    noise: Literal["brownian", "independent"] = Field(
        "brownian", description="of stochastic samplers: one path for each image, whatever the steps, or fresh draws"
    )
    metrics: Axis[MetricText] = Field(
        ["fd", "clip_score"], description="what is measured; see `sigmabench list metric`"
    )
    batch_size: int = Field(50, ge=1, le=100_000, description="images generated together")
    shard_size: int = Field(250, ge=1, le=10**6, description="images between two writes: what a killed worker loses")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="auto takes a GPU where there is one")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="number format of the network; states are float32 at least"
    )
    execution: Execution = Field(
        "eager",
        description="of the network: as it is written, as CUDA graphs, or compiled; cells are the same in all, their "
        "numbers differ by rounding",
    )
    save_images: bool = Field(False, description="write every image as PNG beside the results")

    @model_validator(mode="before")
    @classmethod
    def _pairs_alone(cls, fields: Any) -> Any:
        alone = isinstance(fields, dict) and fields.get("pairs") and "samplers" not in fields
        return {**fields, "samplers": []} if alone else fields

    @model_validator(mode="after")
    def _something_to_compare(self) -> Sweep:
        if not (self.samplers or self.pairs):
            raise ValueError("samplers and pairs are both empty; give at least one")
        return self

    @field_validator("prompts", mode="before")
    @classmethod
    def _prompts(cls, value: Any) -> Any:
        texts = isinstance(value, list) and all(isinstance(prompt, str) for prompt in value)
        return check_prompts(value) if texts and value and value != UNCONDITIONAL else value

    @model_validator(mode="after")
    def _seeds_fit(self) -> Sweep:
        most = max(self.images, self.budget)
        if self.seed + most > 2**32:
            raise ValueError(f"seed + images = {self.seed + most} must be at most 2^32")
        if bool(self.until) != bool(self.budget) or (self.until and self.budget <= self.images):
            raise ValueError(
                f"until = {self.until!r} with budget = {self.budget}: until=separated needs a budget of more than "
                f"images = {self.images}, and a budget needs until=separated"
            )
        return self

    def looks(self) -> list[int]:
        """Numbers of images at which cells are compared: twice as many each time, up to the budget."""
        found = [self.images]
        while found[-1] < self.budget:
            found.append(min(2 * found[-1], self.budget))
        return found

    def combinations(self) -> list[tuple[str, str, str]]:
        """Sampler, schedule and spacing of every cell: the product of the fields, then the pairs."""
        found = list(product(self.samplers, self.schedules, self.spacings))
        for pair in map(resolve, self.pairs):
            schedules = [pair.schedule] if pair.schedule else self.schedules
            found += [(pair.sampler, schedule, pair.spacing) for schedule in schedules]
        return _unique(found)

    def guided(self) -> list[str]:
        """Every guidance setting: each method at each scale, methods without a scale as they are."""
        methods = [build("guidance", text) for text in self.guidance]
        variants = [scaled(method, w) for method in methods for w in self.scales] if self.scales else methods
        return _unique([describe("guidance", variant) for variant in variants])


def load_sweep(path: Path | None, overrides: Mapping[str, Any] | None = None) -> Sweep:
    """Read a sweep file, put ``overrides`` over its fields and check everything.

    Raises:
        UsageError: naming the file, the field, the value and the legal values.
    """
    fields = {**(_read_yaml(path) if path else {}), **(overrides or {})}
    if isinstance(fields.get("prompts"), str):
        beside = path.parent if path and "prompts" not in (overrides or {}) else Path()
        fields["prompts"] = read_prompts(beside / fields["prompts"])
    try:
        return Sweep(**fields)
    except ValidationError as error:
        raise UsageError(_explain(error, str(path) if path else "sweep")) from error


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the sweep file {path}: {error}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not YAML: {error}") from error
    if not isinstance(fields, dict) or not all(isinstance(name, str) for name in fields):
        raise UsageError(f"{path} must hold fields such as `samplers: [euler]`")
    return fields


def _explain(error: ValidationError, where: str) -> str:
    lines = []
    for fault in error.errors():
        place = ".".join(str(part + 1) if isinstance(part, int) else str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            lines.append(f"{where}: unknown field {place!r}. Fields: {', '.join(Sweep.model_fields)}")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            lines.append(f"{where}: {place} = {fault['input']!r}: {message}" if place else f"{where}: {message}")
    return "\n".join(lines)


def metric_instances(sweep: Sweep) -> dict[str, Any]:
    """Metrics of the sweep by their text."""
    return {text: build("metric", text) for text in sweep.metrics}
