"""Changes inside networks of ComfyUI that no small checkpoint can be made of: its own classes, a few features wide.

    python tests/live_networks.py COMFYUI_DIR

Prints, as JSON, by how much each change changes what the network predicts, or why it is refused.
"""

import inspect
import json
import sys

import torch

comfyui = sys.argv[1]
sys.path.insert(0, comfyui)
sys.argv = sys.argv[:1]

from comfy.cli_args import args  # noqa: E402

args.cpu = True

import comfy.ops  # noqa: E402
from comfy.ldm.flux.model import Flux, FluxParams  # noqa: E402
from comfy.ldm.lightricks.model import LTXVModel  # noqa: E402

from sigmabench.plugins.comfyui import dit  # noqa: E402
from sigmabench.plugins.comfyui.changed import started  # noqa: E402
from sigmabench.samplers.level import Level  # noqa: E402
from sigmabench.samplers.perturbation import (  # noqa: E402
    BlurredQueries,
    IdentityAttention,
    ShuffledTokens,
    SkippedLayers,
)  # fmt: skip

PARTS = {"dtype": torch.float32, "device": "cpu", "operations": comfy.ops.disable_weight_init}
WIDTHS = {
    "in_channels": 4, "out_channels": 4, "vec_in_dim": 8, "context_in_dim": 16, "hidden_size": 48, "mlp_ratio": 2.0,
    "num_heads": 2, "depth": 2, "depth_single_blocks": 3, "axes_dim": [8, 8, 8], "theta": 10000, "patch_size": 2,
    "qkv_bias": True, "guidance_embed": False,
}  # fmt: skip
NEWER = {"txt_ids_dims": []} if "txt_ids_dims" in inspect.signature(FluxParams).parameters else {}
LTX = {"in_channels": 8, "cross_attention_dim": 64, "attention_head_dim": 32, "num_attention_heads": 2,
       "caption_channels": 16, "num_layers": 2}  # fmt: skip
CHANGES = (
    IdentityAttention("0"), IdentityAttention("single.1"), BlurredQueries("0"), BlurredQueries("single"),
    BlurredQueries("0", 1.0), SkippedLayers("1"), SkippedLayers("single.2"), ShuffledTokens("0"),
    ShuffledTokens("single.0"),
)  # fmt: skip


def numbers(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def flux(network, options):
    return network(numbers(2, 4, 8, 8), torch.full((2,), 0.5), numbers(2, 5, 16), numbers(2, 8),
                   transformer_options=options)  # fmt: skip


def ltx(network, options):
    return network(numbers(2, 8, 2, 4, 4), torch.full((2,), 0.5), numbers(2, 5, 16), None, transformer_options=options)


def changed(network, call, change, shape, usual):
    try:
        work = started(network, change, torch.zeros(shape), [Level(0.5, 0.5)] * 2)
    except ValueError as error:
        return str(error)
    found = call(network, dit.options({}, work))
    assert work.served == {layer.name for layer in work.layers}
    return float((found - usual).norm() / usual.norm())


torch.manual_seed(0)
report = {}
for network, call, shape in (
    (Flux(**WIDTHS, **NEWER, **PARTS), flux, (2, 4, 8, 8)), (LTXVModel(**LTX, **PARTS), ltx, (2, 8, 2, 4, 4))
):  # fmt: skip
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.2)
        usual = call(network, {})
        report[type(network).__name__] = {
            str(change): changed(network, call, change, shape, usual) for change in CHANGES
        }
print(json.dumps(report))
