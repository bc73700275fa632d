"""Paths of every process, and a seeded run along one: what the tests of samplers share."""

import torch

from sigmabench.samplers import Path
from sigmabench.samplers.conformance.convergence import jagged_path, pure_noise_path
from sigmabench.samplers.level import CLEAN
from sigmabench.samplers.noise import SeededNoise
from sigmabench.samplers.problems import BIMODAL
from sigmabench.samplers.run import sample

PATHS = {
    "VE": Path([*jagged_path("VE", 9).levels, CLEAN]),
    "VP": jagged_path("VP", 9),
    "flow": pure_noise_path("flow", 9, last=0.0),
    "zero terminal SNR": pure_noise_path("VP", 9),
}


def run(sampler, path, problem=BIMODAL, seeds=(1, 2, 3)):
    noise = SeededNoise(seeds, (5,), dtype=torch.float64)
    return sample(sampler, problem, noise.initial() * path.levels[0].norm, path, noise)
