"""Train a generator.

python -m sigmabench.eval.embedded.train_generator --kind v --data train.parquet --test test.parquet \
    --out weights/generator-v --checkpoint v.pt

With x_t = alpha x0 + sigma eps and t uniform in 0..999, the loss is the plain mean square error of v; the eps
variant's is that of eps times min(1 / alpha^2, 300). As the error of v is that of eps over alpha, both count the
same thing, except where 1 / alpha^2 would let the noisiest steps of the linear schedule (24,600) drown the rest.
`--start` begins from another checkpoint's averaged weights; `--export-only` writes the current average and stops.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from .captions import TONES, all_captions
from .codec import encode
from .data import Images, read_images
from .generator import NAMES, SCHEDULERS, UNET
from .group_norm import use_row_group_norm
from .imagetext import FOLDER, ImageText
from .train_imagetext import NEUTRAL, tones_of
from .training import Trainer, hold_then_cool, random_mirror, recipe_arguments

MAX_WEIGHT = 300.0
Loss = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


class Prompts:
    """The text states of every caption, and the draw of one true caption per image."""

    def __init__(self, model: ImageText, *, drop_tone: float = 0.3, drop_all: float = 0.12) -> None:
        texts = all_captions()
        self.states = model.encode_tokens([*texts, ""])
        keys = torch.tensor([label * len(TONES) + tone for label, tone in texts.values()], device=model.device)
        self.counts = keys.bincount()
        self.starts = self.counts.cumsum(0) - self.counts
        self.drop_tone, self.drop_all = drop_tone, drop_all

    def draw(self, labels: torch.Tensor, tones: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """(B, 16, 32): a random wording, at times without its tone word, at times the empty prompt."""
        wording, tone, everything = torch.rand(3, len(labels), generator=rng, device=rng.device)
        key = labels * len(TONES) + torch.where(tone < self.drop_tone, NEUTRAL, tones)
        row = self.starts[key] + (wording * self.counts[key]).long()
        return self.states[torch.where(everything < self.drop_all, len(self.states) - 1, row)]


def scheduler_of(kind: str) -> Any:
    """A diffusers scheduler for the variant: its `alphas_cumprod` define the noise levels."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(**SCHEDULERS[kind])


def diffusion_loss(
    unet: nn.Module, x0: torch.Tensor, states: torch.Tensor, alpha_bar: torch.Tensor, kind: str, rng: torch.Generator
) -> torch.Tensor:
    """Mean square error of the variant's target, weighted as the module says: x0 (B, 12, 16, 16) -> scalar."""
    t = torch.randint(0, len(alpha_bar), (len(x0),), generator=rng, device=x0.device)
    eps = torch.randn(x0.shape, generator=rng, device=x0.device)
    alpha, sigma = (a.sqrt()[:, None, None, None] for a in (alpha_bar[t], 1 - alpha_bar[t]))
    x_t = (alpha * x0 + sigma * eps).contiguous(memory_format=torch.channels_last)
    target = eps if kind == "eps" else alpha * eps - sigma * x0
    error = unet(x_t, t, encoder_hidden_states=states).sample.float() - target
    weight = alpha.pow(-2).clamp(max=MAX_WEIGHT) if kind == "eps" else torch.ones_like(alpha)
    return (weight * error.square()).mean()


def export(average: dict[str, torch.Tensor], kind: str, folder: Path) -> None:
    """Averaged weights as float16 `unet/` and the scheduler configuration, as a diffusers pipeline stores them."""
    from diffusers import UNet2DConditionModel

    half: Any = UNet2DConditionModel(**UNET)
    half = half.half()
    half.load_state_dict(average)
    half.save_pretrained(folder / "unet")
    scheduler_of(kind).save_pretrained(folder / "scheduler")


def fresh_unet(device: torch.device | str, start: Path | None = None) -> Any:
    """The network to train, from random weights or the averaged ones of another checkpoint."""
    from diffusers import UNet2DConditionModel

    unet: Any = UNet2DConditionModel(**UNET)
    unet = unet.to(device, memory_format=torch.channels_last)
    if start:
        unet.load_state_dict(torch.load(start, map_location=device, weights_only=True)["average"])
    if unet.device.type == "cpu":
        use_row_group_norm(unet)
    return unet


def optimizer_of(unet: nn.Module, lr: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(unet.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)


def loss_of(unet: nn.Module, train: Images, text: ImageText, kind: str) -> Loss:
    """The loss of a step's rows, mirrored at random, each with a caption drawn for it, on the device of ``train``."""
    tones, prompts = tones_of(train.pixels), Prompts(text)
    alpha_bar = scheduler_of(kind).alphas_cumprod.to(train.pixels.device)

    def loss(rows: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        x0 = encode(random_mirror(train.pixels[rows], rng))
        states = prompts.draw(train.labels[rows], tones[rows], rng)
        return diffusion_loss(unet, x0, states, alpha_bar, kind, rng)

    return loss


def attention(device: torch.device | str) -> AbstractContextManager[object]:
    """On a CPU, with sixteen positions, the flash kernel's set-up costs more than the work."""
    return sdpa_kernel(SDPBackend.MATH) if torch.device(device).type == "cpu" else nullcontext()


def main(argv: list[str] | None = None) -> None:
    parser = recipe_arguments(__doc__, epochs=16, batch=100, lr=1e-3, seed=3)
    parser.add_argument("--kind", choices=NAMES, required=True)
    parser.add_argument("--text", type=Path, default=FOLDER, help="folder of the image-text model")
    parser.add_argument("--cool", type=float, default=0.25, help="share of the run over which the rate falls to 0")
    parser.add_argument("--start", type=Path, help="checkpoint whose averaged weights to begin from")
    parser.add_argument("--export-only", action="store_true")
    args = parser.parse_args(argv)
    torch.manual_seed(args.seed)
    unet = fresh_unet(args.device, None if args.checkpoint.exists() else args.start)
    train = read_images(args.data, limit=args.limit).to(args.device)
    size = {"rows": len(train.labels), "batch": args.batch, "epochs": args.epochs, "checkpoint": args.checkpoint}
    run = {"schedule": partial(hold_then_cool, cool=args.cool), "seed": args.seed, "decay": 0.998, "clip": 1.0}
    trainer = Trainer(unet, optimizer_of(unet, args.lr), **size, **run).resume()
    if not args.export_only:
        loss = loss_of(unet, train, ImageText(args.text, args.device), args.kind)
        with attention(args.device):
            trainer.run(loss)
    export(trainer.average.values, args.kind, args.out)
    print(f"exported samples {trainer.samples} core-seconds {trainer.core_seconds:.0f}")


if __name__ == "__main__":
    main()
