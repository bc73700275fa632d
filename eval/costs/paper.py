"""A sweep too large to try, on paper: the table of the page "What a sweep costs" and where its numbers come from.

python -m sigmabench.eval.costs.paper
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ..images import PREVIEW_SIZE, PREVIEWS

HOUR = 3600.0
PEAK, REACHED = 989e12, 0.4
"""FLOP/s of an H200 in bfloat16 by its data sheet, and the part of them that is assumed to be reached."""
UNET, DECODER = 6.761e12, 10.470e12
"""FLOP of one row of SDXL's U-Net at 1024 x 1024 and of one image of its decoder, as ``operations`` counts them."""
FAILURES = 419 / (16_384 * 54 * 24)
"""Unexpected interruptions for each GPU-hour of H100s: Llama 3's training, arXiv:2407.21783, section 3.3.4."""


@dataclasses.dataclass(frozen=True)
class Large:
    """Cells x images of so many evaluations, by workers that each hold a GPU."""

    cells: int = 10_000
    images: int = 50_000
    evaluations: int = 40
    shard: int = 500
    numbers: int = 2048 + 2
    """float32 kept of each image: Inception's features, a cosine and how much of its prompt was cut."""
    workers: int = 1000
    limit: float = 24.0
    """Hours after which the cluster ends a job."""
    begin: float = 180.0
    """Seconds until a worker is ready: imports, and a model of 7 GB from a shared disk."""

    @property
    def made(self) -> int:
        return self.cells * self.images

    @property
    def network_hours(self) -> float:
        return self.made * self.evaluations * UNET / (PEAK * REACHED) / HOUR

    @property
    def decoder_hours(self) -> float:
        return self.made * DECODER / (PEAK * REACHED) / HOUR

    @property
    def hours(self) -> float:
        """Of GPUs."""
        return self.network_hours + self.decoder_hours

    @property
    def days(self) -> float:
        """By the clock."""
        return self.hours / self.workers / 24

    @property
    def shard_seconds(self) -> float:
        return self.hours * HOUR / self.made * self.shard

    @property
    def files(self) -> int:
        """Shards, and the settings of each cell."""
        return self.cells * (math.ceil(self.images / self.shard) + 1)

    @property
    def row_bytes(self) -> int:
        return 4 * self.numbers

    @property
    def bytes(self) -> int:
        """Of all rows, and of the small images that pages show."""
        return self.made * self.row_bytes + self.cells * PREVIEWS * 3 * PREVIEW_SIZE**2

    @property
    def written(self) -> float:
        """Bytes a second, by all workers together."""
        return self.bytes / (self.days * 24 * HOUR)

    @property
    def failures(self) -> float:
        """Of GPUs and what is around them, expected in all."""
        return self.hours * FAILURES

    @property
    def ended(self) -> float:
        """Jobs that come to the cluster's limit."""
        return self.hours / self.limit

    @property
    def lost_hours(self) -> float:
        """Half a shard for each job that ends, and the start of the one in its place."""
        return (self.failures + self.ended) * (self.shard_seconds / 2 + self.begin) / HOUR

    @property
    def shared_hours(self) -> float:
        """What the first evaluations, both branches, save where a worker makes the same images of cell after cell."""
        together = self.cells / self.workers
        return self.network_hours * 2 / self.evaluations * (1 - 1 / together)


def table(large: Large) -> list[str]:
    """Lines of Markdown."""
    evaluations, ends = large.made * large.evaluations, large.failures + large.ended
    return [
        "| part | each | times | H200-hours |",
        "| --- | --- | --- | --- |",
        f"| U-Net | {UNET / 1e12:.2f} TFLOP | {evaluations:.0e} | {large.network_hours:,.0f} |",
        f"| VAE decoder | {DECODER / 1e12:.1f} TFLOP | {large.made:.0e} | {large.decoder_hours:,.0f} |",
        f"| together, {large.workers:,} GPUs for {large.days:.1f} days | | | {large.hours:,.0f} |",
        f"| lost to {large.failures:.0f} failures and {large.ended:,.0f} time limits | "
        f"{large.shard_seconds / 2 + large.begin:.0f} s | {ends:,.0f} | {large.lost_hours:,.0f} |",
        f"| saved by shared first evaluations, at most | | | {large.shared_hours:,.0f} |",
        "",
        "| storage | |",
        "| --- | --- |",
        f"| rows | {large.row_bytes:,} bytes an image, {large.bytes / 1e12:.1f} TB in all |",
        f"| files | {large.files:,}: {math.ceil(large.images / large.shard)} shards of {large.shard} images a cell, "
        f"{large.shard * large.row_bytes / 1e6:.1f} MB each, and its settings |",
        f"| written | {large.written / 1e6:.0f} MB/s, {large.files / (large.days * 24 * HOUR):.1f} files/s |",
    ]


def sequential(large: Large, first: int, share: float) -> float:
    """The part of the whole that a sweep takes which begins with so few images and goes on with this share of cells."""
    return (first + share * (large.images - first)) / large.images


def operations() -> tuple[float, float]:
    """FLOP of SDXL's U-Net for one row and of its decoder for one image at 1024 x 1024, by PyTorch's counter."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), torch.no_grad():
        unet: Any = UNet2DConditionModel(
            sample_size=128, block_out_channels=(320, 640, 1280), layers_per_block=2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2, 10), attention_head_dim=(5, 10, 20), cross_attention_dim=2048,
            addition_embed_type="text_time", addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
            use_linear_projection=True,
        )  # fmt: skip
        decoder: Any = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512), layers_per_block=2, sample_size=1024,
        )  # fmt: skip
        x, added = torch.empty(1, 4, 128, 128), {"text_embeds": torch.empty(1, 1280), "time_ids": torch.empty(1, 6)}
        with FlopCounterMode(display=False) as asked:
            unet(x, torch.empty(1), torch.empty(1, 77, 2048), added_cond_kwargs=added)
        with FlopCounterMode(display=False) as decoded:
            decoder.decode(x)
    return float(asked.get_total_flops()), float(decoded.get_total_flops())


if __name__ == "__main__":
    print("\n".join(table(Large())))
