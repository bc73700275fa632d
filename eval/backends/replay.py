"""A pipeline's network, called as the pipeline calls it, with our own x, times and conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .recording import Call, filled, first_tensor, leaves, record

Arguments = Callable[..., dict[str, Any]]
"""``(prompts, guided=False) -> keyword arguments of the pipeline``."""

MOST_KEPT = 512
BESIDE = "controlnet"
CHANNELS = "channels"


class Replay:
    """What was learned from watching a pipeline: which arguments carry x, time and conditions, and what the rest is.

    An argument is a condition if its first dimension follows the number of prompts, a constant if it does not change.
    Channels that the network is given beside x are one too. A ControlNet is asked anew for every x and time.
    The scale of time, the sign of the output and its learned variance channels are measured, not looked up by class.

    Raises:
        ValueError: naming the pipeline and what it does that cannot be replayed.
    """

    def __init__(self, pipe: Any, network: nn.Module, arguments: Arguments, probes: Sequence[str]) -> None:
        self.pipe, self.network, self.arguments, self.probes = pipe, network, arguments, probes
        self.name, self.controlnet = type(pipe).__name__, pipe.components.get(BESIDE)
        self.call = record(pipe, network, arguments(probes[:1]), evaluate=True)
        self.dtype = next(network.parameters()).dtype
        self.x, self.time = self._names()
        self.shape = tuple(self.call.sample.shape[1:])  # type: ignore[union-attr]
        self.axis = 2 if len(self.shape) == 2 else 1
        self.beside = self._same_beside() if self.controlnet is not None else {}
        self.conditions = self._conditions()
        self.time_scale = self._time_scale()
        self.sign = self._sign()
        self._encoded = {"": self._unconditional() if self.conditions else {}}

    def encode(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Conditions, one row per prompt; "" is what the pipeline itself takes for no prompt."""
        if not self.conditions:
            if any(prompts):
                raise ValueError(
                    f"{self.name} is unconditional: it takes no prompt, not {max(prompts)!r}; leave prompts out"
                )
            return {}
        self._encode(tuple(dict.fromkeys(prompt for prompt in prompts if prompt)))
        rows = [self._encoded[prompt] for prompt in prompts]
        return {name: torch.cat([row[name] for row in rows]) for name in self.conditions}

    def channels_of(self, prompts: Sequence[str], images: Sequence[Any], seeds: Sequence[int]) -> Tensor:
        """The channels that the network is given beside x for these images, a row for each."""
        arguments = self.arguments(prompts, images=images, seeds=seeds)
        return self._leaves(record(self.pipe, self.network, arguments))[CHANNELS]

    def __call__(self, x: Tensor, times: Tensor, condition: Mapping[str, Tensor]) -> Tensor:
        """The network's output for x (B, *shape) at the scheduler's timesteps (B,), as the scheduler would get it."""
        own = x.to(self.dtype)
        if CHANNELS in condition:
            own = torch.cat([own, condition[CHANNELS]], self.axis)
        given = {self.x: own, self.time: times.float() * self.time_scale, **condition}
        if self.controlnet is not None:
            given |= self._controlled(given)
        output = first_tensor(self.network(**filled(self.call.arguments, given)))
        return output[:, : x.shape[1]] * self.sign if output.shape != x.shape else output * self.sign

    def _controlled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the ControlNet adds to the network's arguments."""
        own = {name: given[source] for name, source in self.beside.items()}
        answer = leaves(self.controlnet(**filled(self.call.beside, {**given, **own}, BESIDE)))
        return {name: answer[source] for name, source in self.call.links.items()}

    def _encode(self, texts: tuple[str, ...]) -> None:
        """Keep the rows of these prompts, so that all cells of a sweep share the work of the text encoders."""
        if len(self._encoded) > MOST_KEPT:
            self._encoded = {"": self._encoded[""]}
        new = [text for text in texts if text not in self._encoded]
        if new:
            rows = self._rows(record(self.pipe, self.network, self.arguments(new)))
            self._encoded |= {text: self._row(rows, i) for i, text in enumerate(new)}

    def _row(self, rows: Mapping[str, Tensor], i: int) -> dict[str, Tensor]:
        """Row i of these; what does not depend on the prompt, such as an image, is kept in memory once."""
        kept = self._encoded[""]
        return {k: kept[k] if torch.equal(v[i : i + 1], kept[k]) else v[i : i + 1].clone() for k, v in rows.items()}

    def _names(self) -> tuple[str, str]:
        arguments = self.call.arguments
        x, time = next(iter(arguments)), next((name for name in ("timestep", "timesteps") if name in arguments), "")
        if not isinstance(arguments[x], Tensor) or not time:
            raise ValueError(f"{self.name}: the first argument of its network is not a tensor, or it has no timestep")
        if len(arguments[x]) != 1:
            raise ValueError(f"{self.name} runs its network on {len(arguments[x])} rows for 1 prompt without guidance")
        return x, time

    def _same_beside(self) -> dict[str, str]:
        """The ControlNet's names for x and time, which it must be given as the network is."""
        beside, x = self.call.beside, next(iter(self.call.beside), "")
        time = next((name for name in ("timestep", "timesteps") if name in beside), "")
        pairs = {x: self.x, time: self.time}
        same = [
            name and torch.equal(*(torch.as_tensor(v) for v in (beside[name], self.call.arguments[source])))
            for name, source in pairs.items()
        ]
        if not (self.call.links and all(same)):
            raise ValueError(f"{self.name} uses its ControlNet in a way that is not supported")
        return {f"{BESIDE}.{name}": source for name, source in pairs.items()}

    def _leaves(self, call: Call) -> dict[str, Any]:
        """All that the network and the ControlNet are told beside x and time, by name."""
        found = {**leaves(call.arguments), **(leaves(call.beside, BESIDE) if call.beside else {})}
        x, own = found[self.x], self.shape[self.axis - 1]
        more = {CHANNELS: x.narrow(self.axis, own, x.shape[self.axis] - own)} if x.shape[self.axis] > own else {}
        known = {self.x, self.time, *self.beside, *self.call.links}
        return {name: leaf for name, leaf in found.items() if name not in known} | more

    def _conditions(self) -> tuple[str, ...]:
        """Names of the arguments with one row per prompt, found by asking for one, two and three prompts."""
        calls = [self._leaves(self.call)] + [
            self._leaves(record(self.pipe, self.network, self.arguments(self.probes[:n]))) for n in (2, 3)
        ]
        found = []
        for name in dict.fromkeys(name for call in calls for name in call):
            values = [call.get(name) for call in calls]
            if _one_row_each(values):
                found.append(name)
            elif not all(_same(value, values[0]) for value in values):
                raise ValueError(
                    f"{self.name} passes its network {name}, which depends on the prompts but is not a tensor with one "
                    "row of one size for each; not supported"
                )
        return tuple(found)

    def _time_scale(self) -> float:
        given = self.call.arguments[self.time]
        ratio = float(torch.as_tensor(given).flatten()[0]) / self.call.time
        steps = self.pipe.scheduler.config.num_train_timesteps
        for scale in (1.0, 1 / steps):
            if abs(ratio / scale - 1) < 0.01:
                return scale
        raise ValueError(f"{self.name} tells its network the time {ratio:g} * t; only t and t / {steps} are supported")

    def _sign(self) -> float:
        """+1 or -1: what the pipeline makes of the network's output, its variance channels left out."""
        output, used = self.call.output, self.call.used
        if output is not None and used is not None:
            output, used = output[:, : self.shape[0]], used[:, : self.shape[0]]
            for sign in (1.0, -1.0):
                if used.shape[1:] == self.shape and torch.equal(output * sign, used):
                    return sign
        raise ValueError(f"{self.name} transforms its network's output before the scheduler sees it; not supported")

    def _rows(self, call: Call) -> dict[str, Tensor]:
        found = self._leaves(call)
        return {name: found[name] for name in self.conditions}

    def _unconditional(self) -> dict[str, Tensor]:
        """The pipeline's own unconditional row: the half of a guided call that is not the prompt's, else that of ""."""
        guided = record(self.pipe, self.network, self.arguments(self.probes[:1], guided=True))
        if len(guided.arguments[self.x]) != 2:
            return self._rows(record(self.pipe, self.network, self.arguments([""])))
        prompt, both = self._rows(self.call), self._rows(guided)
        for uncond, cond in ((0, 1), (1, 0)):
            if all(torch.allclose(both[k][cond], prompt[k][0], atol=1e-3) for k in self.conditions):
                return {name: rows[uncond : uncond + 1].clone() for name, rows in both.items()}
        raise ValueError(f"{self.name}: neither half of a guided call is that of its prompt; not supported")


def _one_row_each(values: Sequence[Any]) -> bool:
    """Whether these are tensors of 1, 2 and 3 rows of the same shape."""
    shapes = [tuple(value.shape) if isinstance(value, Tensor) else () for value in values]
    return [shape[:1] for shape in shapes] == [(1,), (2,), (3,)] and len({shape[1:] for shape in shapes}) == 1


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    plain = (bool, int, float, str)
    return a == b if isinstance(a, plain) or isinstance(b, plain) else type(a) is type(b)
