"""Settings for all tests: reproducible examples, no clock, one thread because the tensors are small."""

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("reproducible", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("reproducible")
