"""Train the image-text model.

python -m sigmabench.eval.embedded.train_imagetext --data train.parquet --test test.parquet \
    --out weights/imagetext --checkpoint imagetext.pt

Softmax of each image against the distinct captions (ten classes x five tones), written with a random template and
noun each step, plus the other direction. A caption without a tone word is true of every image of its class: it is
left out of the denominator of those with a tone, and has a ten-way softmax of its own.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from .captions import CLASSES, TONE_LIMITS, TONES, all_captions, caption
from .data import Images, mean_luminance, read_images
from .imagetext import MODEL_CFG, PREPROCESS_CFG, ImageText, resized
from .training import Trainer, random_crop, random_mirror, recipe_arguments
from .weights_files import write_weights

NEUTRAL = TONES.index("")


def tones_of(pixels: torch.Tensor) -> torch.Tensor:
    """The tone index of each image: uint8 (N, 3, H, W) -> int64 (N,)."""
    limits = torch.tensor(TONE_LIMITS, device=pixels.device)
    return torch.cat([torch.bucketize(mean_luminance(p), limits, right=True) for p in pixels.split(1000)])


class Phrasebook:
    """Tokens of every caption, grouped by (class, tone) so that a step can draw one wording of each."""

    def __init__(self, device: torch.device | str) -> None:
        from open_clip import SimpleTokenizer

        texts = all_captions()
        tokenizer = SimpleTokenizer(context_length=MODEL_CFG["text_cfg"]["context_length"])
        self.tokens = tokenizer(list(texts)).to(device)
        keys = torch.tensor([label * len(TONES) + tone for label, tone in texts.values()], device=device)
        self.order, self.counts = keys.argsort(stable=True), keys.bincount()
        self.starts = self.counts.cumsum(0) - self.counts

    def draw(self, rng: torch.Generator) -> torch.Tensor:
        """int64 (50, 16): one wording per class and tone, classes outermost."""
        u = torch.rand(len(self.counts), generator=rng, device=rng.device)
        return self.tokens[self.order[self.starts + (u.double() * self.counts).long()]]

    def used(self) -> torch.Tensor:
        """The token ids that occur in captions, marks and padding apart from 0."""
        return self.tokens.unique()[1:]


def contrastive_loss(logits: torch.Tensor, labels: torch.Tensor, tones: torch.Tensor) -> torch.Tensor:
    """Scaled cosines (B, 50) -> (exact + class) / 2 + (captions to images) / 4."""
    at = torch.arange(len(labels), device=labels.device)
    exact, general = labels * len(TONES) + tones, labels * len(TONES) + NEUTRAL
    others = logits.clone()
    others[at, general] = torch.where(tones == NEUTRAL, logits[at, general], -torch.inf)
    by_class = F.cross_entropy(logits[:, NEUTRAL :: len(TONES)], labels)
    true = torch.zeros_like(logits, dtype=torch.bool)
    true[at, exact], true[at, general] = True, True
    share = logits.log_softmax(0).masked_fill(~true, 0).sum(0) / true.sum(0).clamp(min=1)
    to_images = -share.sum() / true.any(0).sum()
    return (F.cross_entropy(others, exact) + by_class) / 2 + to_images / 4


def export(clip: nn.Module, used: torch.Tensor, folder: Path) -> None:
    """Write the open_clip model directory; rows of tokens that no caption has are zero."""
    state = dict(clip.state_dict())
    table = torch.zeros_like(state["token_embedding.weight"])
    table[used] = state["token_embedding.weight"][used]
    state["token_embedding.weight"] = table
    write_weights(state, folder / "open_clip_model.safetensors")
    config = {"model_cfg": MODEL_CFG, "preprocess_cfg": PREPROCESS_CFG}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")


def zero_shot(model: ImageText, images: Images, template: int = 0) -> float:
    """Share of images nearest to their own class caption."""
    texts = model.embed_texts([caption(name, template=template) for name in CLASSES])
    guesses = [(model.embed_images(p) @ texts.T).argmax(1) for p in images.pixels.split(500)]
    return (torch.cat(guesses).cpu() == images.labels).float().mean().item()


def main(argv: list[str] | None = None) -> float:
    from open_clip.model import CLIP

    parser = recipe_arguments(__doc__, epochs=15, batch=250, lr=3e-3, seed=1)
    args = parser.parse_args(argv)
    torch.manual_seed(args.seed)
    train = read_images(args.data, limit=args.limit).to(args.device)
    tones, phrases = tones_of(train.pixels), Phrasebook(args.device)
    clip = CLIP(**MODEL_CFG).to(args.device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(clip.parameters(), lr=args.lr, weight_decay=0.02, fused=True)
    size = {"rows": len(train.labels), "batch": args.batch, "epochs": args.epochs}
    trainer = Trainer(clip, optimizer, **size, checkpoint=args.checkpoint, seed=args.seed, decay=0.99, clip=1.0)

    def loss(rows: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        pixels = random_crop(random_mirror(train.pixels[rows], rng), rng, 3)
        images = clip.encode_image(resized(pixels)).float()
        texts = clip.encode_text(phrases.draw(rng)).float()
        scale = clip.logit_scale.clamp(max=math.log(100)).exp()
        logits = scale * F.normalize(images, dim=1) @ F.normalize(texts, dim=1).T
        return contrastive_loss(logits.float(), train.labels[rows], tones[rows])

    trainer.resume().run(loss)
    clip.load_state_dict(trainer.average.values)
    export(clip, phrases.used(), args.out)
    score = zero_shot(ImageText(args.out), read_images(args.test, limit=args.limit))
    print(f"zero-shot {score:.4f} samples {trainer.samples} core-seconds {trainer.core_seconds:.0f}")
    return score


if __name__ == "__main__":
    main()
