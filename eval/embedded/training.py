"""What the four recipes share: augmentation, learning-rate shapes, averaging, and a loop that can be stopped.

The random numbers of a step come from a generator seeded by (seed, step), and the order of an epoch from
(seed, epoch). Nothing else is random, so a resumed run repeats the uninterrupted one bit for bit on one machine.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import torch
from torch import nn


def recipe_arguments(description: str, **defaults: object) -> argparse.ArgumentParser:
    """The options every recipe takes; `defaults` fills epochs, batch, lr, seed."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", required=True, help="training table (parquet)")
    parser.add_argument("--test", required=True, help="held-out table (parquet)")
    parser.add_argument("--out", required=True, type=Path, help="folder of the result")
    parser.add_argument("--checkpoint", required=True, type=Path, help="file to resume from and to write")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--limit", type=int, help="use only the first rows of each table")
    parser.add_argument("--epochs", type=float)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(**defaults)
    return parser


def one_cycle(step: int, total: int, *, warm: float = 0.2) -> float:
    """Linear 0 -> 1 over the first `warm` of the run, then linear 1 -> 0."""
    t = (step + 0.5) / total
    return t / warm if t < warm else (1 - t) / (1 - warm)


def hold_then_cool(step: int, total: int, *, warm: int = 400, cool: float = 0.25) -> float:
    """Linear warm-up over `warm` steps, constant, linear to 0 over the last `cool` of the run."""
    return min((step + 1) / warm, 1.0, (total - step) / (cool * total))


def step_generator(seed: int, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The source of randomness of one step."""
    return torch.Generator(device).manual_seed((seed << 32) + step)


def epoch_order(n: int, seed: int, epoch: int) -> torch.Tensor:
    """The permutation of the rows that one epoch follows."""
    return torch.randperm(n, generator=torch.Generator().manual_seed((seed << 32) + (1 << 31) + epoch))


def random_crop(pixels: torch.Tensor, rng: torch.Generator, pad: int) -> torch.Tensor:
    """Translate each image by up to `pad` pixels, reflecting at the border: uint8 (B, 3, H, W) -> the same."""
    b, _, h, w = pixels.shape
    count = partial(torch.arange, device=pixels.device)
    reflect = lambda n: (count(-pad, n + pad).abs() - (n - 1)).abs().neg() + (n - 1)  # noqa: E731
    dy, dx = torch.randint(0, 2 * pad + 1, (2, b), generator=rng, device=rng.device)
    rows, cols = reflect(h)[dy[:, None] + count(h)], reflect(w)[dx[:, None] + count(w)]
    at = count(b)[:, None, None]
    return pixels.permute(0, 2, 3, 1)[at, rows[:, :, None], cols[:, None, :]].permute(0, 3, 1, 2)


def mirror(pixels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Flip left-right the images where `mask` (B,) is true."""
    return torch.where(mask.to(pixels.device)[:, None, None, None], pixels.flip(3), pixels)


def random_mirror(pixels: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Flip half of the images."""
    return mirror(pixels, torch.rand(len(pixels), generator=rng, device=rng.device) < 0.5)


class Average:
    """Exponential moving average of every float entry of a state dict; others are copied.

    a <- a + (1 - d) (x - a) with d = min(decay, (1 + k) / (10 + k)) after k updates, so early steps are forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.values = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        d = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        state = model.state_dict()
        floats = [key for key, value in state.items() if value.is_floating_point()]
        own, new = ([values[key] for key in floats] for values in (self.values, state))
        torch._foreach_lerp_(own, new, 1 - d)  # a few launches instead of one for each of 250 tensors
        for key in state.keys() - {*floats}:
            self.values[key].copy_(state[key])


class Trainer:
    """Runs `loss(rows, rng) -> scalar` over shuffled rows, averages the weights, and writes a resumable checkpoint."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        rows: int,
        batch: int,
        epochs: float,
        checkpoint: Path,
        schedule: Callable[[int, int], float] = one_cycle,
        seed: int = 0,
        decay: float = 0.99,
        save_every: float = 120.0,
        clip: float | None = None,
    ) -> None:
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.rows, self.batch, self.seed, self.clip = rows, batch, seed, clip
        self.per_epoch = rows // batch
        self.total = int(epochs * self.per_epoch)
        self.checkpoint, self.save_every = Path(checkpoint), save_every
        self.average = Average(model, decay)
        self.peaks = [group["lr"] for group in optimizer.param_groups]
        self.step, self.core_seconds, self.stopping = 0, 0.0, False

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def samples(self) -> int:
        return self.step * self.batch

    @property
    def epoch(self) -> int:
        return self.step // self.per_epoch

    def state(self) -> dict:
        """Tensors, numbers and strings only, so that `torch.load(weights_only=True)` reads it."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.values,
            "updates": self.average.updates,
            "step": self.step,
            "core_seconds": self.core_seconds,
        }

    def save(self) -> None:
        """Write beside and rename, so that an interrupted write leaves the previous checkpoint."""
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        beside = self.checkpoint.with_suffix(".tmp")
        torch.save(self.state(), beside)
        os.replace(beside, self.checkpoint)

    def resume(self) -> Trainer:
        """Continue from the checkpoint if there is one."""
        if self.checkpoint.exists():
            state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average.values, self.average.updates = state["average"], state["updates"]
            self.step, self.core_seconds = state["step"], state["core_seconds"]
        return self

    def rows_of(self, step: int) -> torch.Tensor:
        """The row numbers of a step, on the network's device; the order of the current epoch is kept there."""
        epoch, i = divmod(step, self.per_epoch)
        if getattr(self, "_order_epoch", None) != epoch:
            self._order_epoch, self._order = epoch, epoch_order(self.rows, self.seed, epoch).to(self.device)
        return self._order[i * self.batch : (i + 1) * self.batch]

    def one_step(self, loss: Callable[[torch.Tensor, torch.Generator], torch.Tensor]) -> torch.Tensor:
        scale = self.schedule(self.step, self.total)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * scale
        rng = step_generator(self.seed, self.step, self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            value = loss(self.rows_of(self.step), rng)
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        self.step += 1
        self.average.update(self.model)
        return value.detach()

    def run(self, loss: Callable, *, until: int | None = None, log_every: int = 50) -> None:
        """Train to the end of the schedule, or to step `until`. SIGTERM saves and exits."""
        self.model.train()
        with suppress(ValueError):  # signals belong to the main thread
            signal.signal(signal.SIGTERM, lambda *_: setattr(self, "stopping", True))
        saved, began, cpu, seen, losses = time.time(), time.time(), time.process_time(), self.step, []
        while self.step < min(self.total, until or self.total):
            losses.append(self.one_step(loss))
            self.core_seconds, cpu = self.core_seconds + time.process_time() - cpu, time.process_time()
            if self.step % log_every == 0 or self.step == self.total:
                rate = (self.step - seen) * self.batch / (time.time() - began)
                mean = torch.stack(losses).float().mean().item()
                print(
                    f"{time.strftime('%H:%M:%S')} step {self.step}/{self.total} epoch {self.step / self.per_epoch:.2f} "
                    f"loss {mean:.4f} {rate:.0f} samples/s {self.core_seconds:.0f} core-s",
                    flush=True,
                )
                began, seen, losses = time.time(), self.step, []
            if time.time() - saved > self.save_every:
                self.save()
                saved = time.time()
            if self.stopping:
                self.save()
                raise SystemExit(f"stopped at step {self.step}; run again to resume")
        self.save()
