"""A sweep: what is compared, on which images, by which metrics; read from a small YAML file and checked in full.

    models: [embedded]
    samplers: [euler, dpmpp_2m, "dpmpp_2m_sde(eta=0.5)"]
    spacings: [trailing]
    steps: [5, 10, 20]
    guidance: [cfg]
    scales: Annotated[list[Scale], BeforeValidator(_as_list), AfterValidator(_unique)] = Field(
        [], description="guidance scales, tried with each guidance method; empty: the scale each method says"
    )
    prompts: list[str] = Field([], description="a list, or a text file with one a line; empty: the model's own")
    images: int = Field(100, ge=1, le=2**31, description="images a cell")
    seed: int = Field(0, ge=0, lt=2**32, description="seed of image 0; image i has seed + i in every cell")
    metrics: Axis[MetricText] = Field(["fd", "clip_score"], description="see `sigmabench list metric`")
    batch_size: int = Field(50, ge=1, le=100_000, description="images generated together")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="auto takes a GPU where there is one")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="of the network; states are float32 at least"
    )
    save_images: bool = Field(False, description="write every image as PNG beside the results")

    @field_validator("prompts", mode="before")
    @classmethod
    def _prompts(cls, value: Any) -> Any:
        texts = isinstance(value, list) and all(isinstance(prompt, str) for prompt in value)
        return check_prompts(value) if texts and value else value

    @model_validator(mode="after")
    def _seeds_fit(self) -> Sweep:
        if self.seed + self.images > 2**32:
            raise ValueError(f"seed + images = {self.seed + self.images} must be at most 2^32")
        return self

    def guided(self) -> list[str]:
        """Every guidance setting: each method at each scale, methods without a scale as they are."""
        texts = []
        for text in self.guidance:
            instance = build("guidance", text)
            scaled = bool(self.scales) and any(field.name == "scale" for field in dataclasses.fields(instance))
            variants = [dataclasses.replace(instance, scale=w) for w in self.scales] if scaled else [instance]
            texts += [describe("guidance", variant) for variant in variants]
        return _unique(texts)


def load_sweep(path: Path | None, overrides: Mapping[str, Any] | None = None) -> Sweep:
    """Read a sweep file, put ``overrides`` over its fields and check everything.

    Raises:
        UsageError: naming the file, the field, the value and the legal values.
    """
    fields = _read_yaml(path) if path else {}
    fields.update(overrides or {})
    if isinstance(fields.get("prompts"), str):
        base = path.parent if path and "prompts" not in (overrides or {}) else Path()
        fields["prompts"] = read_prompts(base / fields["prompts"])
    try:
        return Sweep(**fields)
    except ValidationError as error:
        raise UsageError(_explain(error, str(path) if path else "sweep")) from error
    except TypeError as error:
        raise UsageError(f"{path}: {error}") from error


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}; `sigmabench demo` writes an example") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not YAML: {error}") from error
    if not isinstance(fields, dict):
        raise UsageError(f"{path} must hold fields such as `samplers: [euler]`, found {type(fields).__name__}")
    return fields


def _explain(error: ValidationError, where: str) -> str:
    known = ", ".join(Sweep.model_fields)
    lines = []
    for fault in error.errors():
        place = ".".join(str(part + 1) if isinstance(part, int) else str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            lines.append(f"{where}: unknown field {place!r}. Fields: {known}")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            lines.append(f"{where}: {place} = {fault['input']!r}: {message}")
    return "\n".join(lines)


def metric_instances(sweep: Sweep) -> dict[str, Any]:
    """Metrics of the sweep by their text."""
    return {text: build("metric", text) for text in sweep.metrics}

