"""Train the judge.

python -m sigmabench.eval.embedded.train_judge --data train.parquet --test test.parquet \
    --out weights --checkpoint judge.pt

AdamW, one cycle, random mirror, shifts of up to 4 pixels, and, but for the last fifth of the run, a square of 8x8
pixels blotted out (arXiv 1708.04552).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .data import read_images
from .judge import Judge
from .train_features import accuracy
from .training import Trainer, random_crop, random_mirror, recipe_arguments
from .weights_files import write_weights


def cutout(pixels: torch.Tensor, rng: torch.Generator, side: int = 8) -> torch.Tensor:
    """Set one square per image, anywhere inside, to mid-grey: uint8 (B, 3, H, W) -> the same."""
    b, _, h, w = pixels.shape
    y, x = torch.randint(0, h - side + 1, (2, b, 1), generator=rng, device=pixels.device)
    rows, cols = torch.arange(h, device=pixels.device), torch.arange(w, device=pixels.device)
    inside = ((rows >= y) & (rows < y + side))[:, :, None] & ((cols >= x) & (cols < x + side))[:, None, :]
    return pixels.masked_fill(inside[:, None], 128)


def main(argv: list[str] | None = None) -> float:
    args = recipe_arguments(__doc__, epochs=14, batch=200, lr=4e-3, seed=2).parse_args(argv)
    torch.manual_seed(args.seed)
    train = read_images(args.data, limit=args.limit).to(args.device)
    net = Judge().to(args.device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=args.lr, weight_decay=0.05, fused=True)
    size = {"rows": len(train.labels), "batch": args.batch, "epochs": args.epochs}
    trainer = Trainer(net, optimizer, **size, checkpoint=args.checkpoint, seed=args.seed, decay=0.99).resume()

    def loss(rows: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        pixels = random_crop(random_mirror(train.pixels[rows], rng), rng, 4)
        if trainer.step < 0.8 * trainer.total:
            pixels = cutout(pixels, rng)
        return F.cross_entropy(net(pixels), train.labels[rows])

    trainer.run(loss)
    net.load_state_dict(trainer.average.values)
    write_weights(net.state_dict(), args.out / "judge.safetensors")
    score = accuracy(net, read_images(args.test, limit=args.limit).to(args.device))
    print(f"accuracy {score:.4f} samples {trainer.samples} core-seconds {trainer.core_seconds:.0f}")
    return score


if __name__ == "__main__":
    main()
