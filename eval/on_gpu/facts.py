"""What the machine is, what is missing on it, and whether its arithmetic is what the other stages take it for."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import time
from typing import Any

from ..provenance import device_name, versions
from .stages import Found, Task

NEEDED = {
    "torch": "everything", "numpy": "everything", "pluggy": "everything", "safetensors": "weights and shards",
    "scipy": "metrics", "pandas": "tables", "pyarrow": "tables and the training images", "yaml": "sweeps",
    "pydantic": "sweeps, and so all rows that run one", "diffusers": "the embedded model, pipelines and peers' rows",
    "open_clip": "the embedded model", "ftfy": "open_clip", "timm": "open_clip", "regex": "open_clip",
    "torchvision": "open_clip", "PIL": "the training images and PNG rows", "cleanfid": "the row of images",
    "transformers": "pipelines", "k_diffusion": "peers' rows", "torchsde": "peers' rows", "trampoline": "peers' rows",
    "torchdiffeq": "peers' rows", "jinja2": "pipelines and pages", "altair": "pages, and so the row of predicted times",
}  # fmt: skip
"""Packages and what does not work without them; what the run brings back needs no page."""

ROUNDING = {"float64": 1e-14, "float32": 3e-6}
"""Largest relative error of a matrix product with n = 1024, against float64 on the CPU; TF32 would be 3e-4."""
SIDE, LARGE, REPEATS = 1024, 8192, 10


def facts(task: Task) -> Found:
    missing = {name: what for name, what in NEEDED.items() if importlib.util.find_spec(name) is None}
    yield {"missing": missing, "python": platform.python_version(), "system": platform.platform()}
    yield {
        "cores": os.cpu_count(), "memory_gib": _memory(), "free_gib": shutil.disk_usage(task.folder).free // 2**30,
        "compiler": shutil.which("cc") or shutil.which("gcc") or "", "versions": versions(), "driver": _driver(),
    }  # fmt: skip
    yield {"device": task.device, "hardware": device_name(task.device), **_device(task.device)}
    errors = {name: _error(name, task.device) for name in ROUNDING}
    yield {"matmul_error": errors}
    if wrong := {name: error for name, error in errors.items() if not error <= ROUNDING[name]}:
        raise ArithmeticError(f"matrix products are off by {wrong}; at most {ROUNDING} is rounding. Is TF32 on?")
    little = task.small or task.device == "cpu"
    side = 512 if little else LARGE
    yield {"tflops": {name: _tflops(name, side, task.device) for name in ("float32", "bfloat16")}}
    yield {"copy_gb_per_s": _copied(2**20 if little else 2**32, task.device)}


def _memory() -> float | None:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return round(pages / 2**30, 1)


def _driver() -> str:
    """What nvidia-smi says, if it is there."""
    fields = "name,driver_version,memory.total,clocks.sm,clocks.mem,power.limit,mig.mode.current"
    try:
        done = subprocess.run(
            ["nvidia-smi", f"--query-gpu={fields}", "--format=csv"], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stdout or done.stderr).strip()


def _device(device: str) -> dict[str, Any]:
    """Of a GPU.

    Raises:
        RuntimeError: if it does not answer.
    """
    if device == "cpu":
        return {}
    import torch

    began = time.perf_counter()
    torch.zeros(1, device=device).item()
    ready = time.perf_counter() - began
    found = torch.cuda.get_device_properties(device)
    free, total = torch.cuda.mem_get_info(device)
    return {
        "seconds_to_start": round(ready, 2), "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(),
        "capability": f"{found.major}.{found.minor}", "multiprocessors": found.multi_processor_count,
        "device_gib": round(total / 2**30, 1), "device_free_gib": round(free / 2**30, 1),
        "tf32": {"matmul": torch.backends.cuda.matmul.allow_tf32, "cudnn": torch.backends.cudnn.allow_tf32},
    }  # fmt: skip


def _error(dtype: str, device: str) -> float:
    import torch

    a, b = torch.randn(2, SIDE, SIDE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    number = getattr(torch, dtype)
    own = (a.to(device, number) @ b.to(device, number)).cpu().double()
    exact = a.to(number).double() @ b.to(number).double()
    return ((own - exact).norm() / exact.norm()).item()


def _tflops(dtype: str, side: int, device: str) -> float:
    import torch

    a, b = (torch.randn(side, side, device=device).to(getattr(torch, dtype)) for _ in range(2))
    return round(2 * side**3 / _seconds(lambda: a @ b, device) / 1e12, 2)


def _copied(size: int, device: str) -> float:
    """Bytes read and written."""
    import torch

    a = torch.zeros(size, dtype=torch.uint8, device=device)
    b = torch.empty_like(a)
    return round(2 * size / _seconds(lambda: b.copy_(a), device) / 1e9, 1)


def _seconds(run: Any, device: str) -> float:
    """The median of some runs, after one that does not count."""
    from ..benchmarks.timing import spread, timed

    run()
    return spread([timed(run, device) for _ in range(REPEATS)]).median or 1e-9
