"""What Sigmabench costs beside its peers, measured in one process and in turns: ``make bench``.

    python -m sigmabench.eval.benchmarks                    every part, on the CPU
    python -m sigmabench.eval.benchmarks overhead noise     these parts
    python -m sigmabench.eval.benchmarks --device cuda

Each part is a file with a function ``rows(device)``; the numbers go to ``reports/benchmarks``.
"""

PARTS = (
    "agreement", "execution", "overhead", "operations", "hosts", "comfyui", "noise", "frechet", "images", "memory",
    "start", "cells", "efficiency", "script", "growth", "prediction",
)  # fmt: skip
