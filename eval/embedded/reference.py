"""Statistics of real photographs in the feature network's space.

python -m sigmabench.eval.embedded.reference --data train.parquet --test test.parquet --out weights/reference

Writes `train.safetensors` and `test.safetensors`: `mean` (d,) and `cov` (d, d) in float64, and in the first also
`features` (2000, d) in float16 of evenly spaced rows, for kernel distances. The metadata say which network, how many
images, and by a hash which ones.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import torch

from ..metrics.gaussian import Moments
from .data import read_images
from .features import FrozenFeatureNet, load_feature_net
from .weights_files import WEIGHTS

KEPT = 2000


def image_set_hash(pixels: torch.Tensor) -> str:
    """SHA-256 of the ordered SHA-256 of every image's bytes (C, H, W), first 16 digits."""
    whole = hashlib.sha256()
    for image in pixels.numpy():
        whole.update(hashlib.sha256(image.tobytes()).digest())
    return whole.hexdigest()[:16]


@torch.no_grad()
def features_of(net: FrozenFeatureNet, pixels: torch.Tensor) -> np.ndarray:
    """uint8 (N, 3, 32, 32) -> float32 (N, d)."""
    return torch.cat([net(batch) for batch in pixels.split(100)]).numpy()


def write_reference(path: Path, pixels: torch.Tensor, *, keep: int = 0) -> None:
    """Moments of all images and the feature rows of `keep` of them."""
    from safetensors.numpy import save_file

    net = load_feature_net()
    rows = features_of(net, pixels)
    moments = Moments([rows])
    arrays = {"mean": moments.mean, "cov": moments.cov}
    if keep:
        arrays["features"] = rows[np.linspace(0, len(rows) - 1, keep).astype(int)].astype(np.float16)
    metadata = {
        "extractor": net.name,
        "n": str(moments.n),
        "images": image_set_hash(pixels),
        "source": f"CIFAR-10 {path.stem} images, re-encoded as JPEG of quality 75",
        "resizer": "none, 32x32",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, path, metadata=metadata)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="training table (parquet)")
    parser.add_argument("--test", required=True, help="held-out table (parquet)")
    parser.add_argument("--out", type=Path, default=WEIGHTS / "reference")
    args = parser.parse_args(argv)
    write_reference(args.out / "train.safetensors", read_images(args.data).pixels, keep=KEPT)
    write_reference(args.out / "test.safetensors", read_images(args.test).pixels)


if __name__ == "__main__":
    main()
