"""Train the feature network.

python -m sigmabench.eval.embedded.train_features --data train.parquet --test test.parquet \
    --out weights --checkpoint features.pt

SGD with Nesterov momentum, one cycle, label smoothing 0.1, mirrored every other epoch, shifted by up to 2 pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .data import Images, read_images
from .features import FeatureNet
from .judge import Judge
from .training import Trainer, mirror, random_crop, recipe_arguments
from .weights_files import write_weights


@torch.no_grad()
def accuracy(net: FeatureNet | Judge, images: Images, batch: int = 500) -> float:
    """Share of right classes, evaluation mode, float32, no augmentation."""
    net.eval()
    found = torch.cat([net.logits(pixels).argmax(1) for pixels in images.pixels.split(batch)])
    return (found == images.labels).float().mean().item()


def main(argv: list[str] | None = None) -> float:
    args = recipe_arguments(__doc__, epochs=20, batch=250, lr=0.4).parse_args(argv)
    torch.manual_seed(args.seed)
    train = read_images(args.data, limit=args.limit).to(args.device)
    net = FeatureNet().to(args.device).to(memory_format=torch.channels_last)
    net.set_whitening(train.pixels[:5000])
    decayed = [p for p in net.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in net.parameters() if p.requires_grad and p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 5e-4}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=args.lr, momentum=0.9, nesterov=True)
    size = {"rows": len(train.labels), "batch": args.batch, "epochs": args.epochs}
    trainer = Trainer(net, optimizer, **size, checkpoint=args.checkpoint, seed=args.seed, decay=0.99).resume()
    first_flip = torch.rand(len(train.labels), generator=torch.Generator().manual_seed(args.seed)) < 0.5
    first_flip = first_flip.to(args.device)

    def loss(rows: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        pixels = mirror(train.pixels[rows], first_flip[rows] ^ bool(trainer.epoch % 2))
        return F.cross_entropy(net.logits(random_crop(pixels, rng, 2)), train.labels[rows], label_smoothing=0.1)

    trainer.run(loss)
    net.load_state_dict(trainer.average.values)
    write_weights(net.state_dict(), args.out / "features.safetensors")
    score = accuracy(net, read_images(args.test, limit=args.limit).to(args.device))
    print(f"accuracy {score:.4f} samples {trainer.samples} core-seconds {trainer.core_seconds:.0f}")
    return score


if __name__ == "__main__":
    main()
