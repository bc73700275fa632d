"""What CUDA graphs are, on a CPU: a fixed list of kernels on fixed addresses, whatever Python would do now."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Tape(TorchDispatchMode):
    """Every operation with the very tensors that it read and wrote; one that the host would have to wait for fails."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        result = function(*args, **(kwargs or {}))
        self.operations.append((function, args, kwargs or {}, result))
        return result

    def replay(self):
        for function, args, kwargs, written in self.operations:
            anew = function(*args, **kwargs)
            for old, new in zip(tree_leaves(written), tree_leaves(anew), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():  # neither a view nor in place
                    old.copy_(new)


class TapeRecorder:
    """In the place of ``CudaRecorder``."""

    def __init__(self):
        self.recorded = self.replayed = 0

    def __call__(self, run):
        with Tape() as tape:
            result = run()
        self.recorded += 1

        def replay():
            self.replayed += 1
            tape.replay()

        return replay, result
