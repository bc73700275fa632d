"""The ways to execute a network, by their names in a sweep."""

from __future__ import annotations

from typing import Literal

Execution = Literal["eager", "cuda_graphs", "compiled"]
