"""What would make the host wait for a GPU, found on the meta device, which has shapes and no numbers.

What reads a value there (item, an if, nonzero, a copy to the host) is an error, and needs no counting.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Waits(TorchDispatchMode):
    """Counts copies to the device that wait for it."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self.count += self._waits(function, args, kwargs)
        return function(*args, **kwargs)

    def _waits(self, function, args, kwargs):
        if function is torch.ops.aten._to_copy.default:
            there = torch.device(kwargs.get("device") or args[0].device)
            return args[0].device.type == "cpu" and there.type == "meta" and not kwargs.get("non_blocking")
        if function is torch.ops.aten.copy_.default:
            return args[1].device.type == "cpu" and args[0].device.type == "meta" and len(args) < 3
        if function is torch.ops.aten.lift_fresh.default:  # torch.tensor(numbers, device=...)
            return args[0].device.type == "meta"
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor) and one.ndim]
        return {one.device.type for one in given} == {"cpu", "meta"}  # such as an index, moved on the way


def assert_nothing_waits(observer, prompts, size=(40, 40)):
    """Neither for its texts, which are new to it, nor for the images."""
    with Waits() as waits:
        answer = observer(torch.empty(len(prompts), 3, *size, dtype=torch.uint8, device="meta"), prompts)
    assert (waits.count, answer.device.type, len(answer)) == (0, "meta", len(prompts))
