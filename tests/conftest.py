"""One thread for torch: the tensors here are small, and more threads only make tests wait for each other."""

import torch

torch.set_num_threads(1)
