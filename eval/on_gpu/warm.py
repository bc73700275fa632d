"""What nearly every stage imports, imported once in the process that they are forked from; no device is touched."""

import importlib
from contextlib import suppress

MODULES = (
    "torch", "diffusers.models.unets.unet_2d_condition", "diffusers.schedulers.scheduling_ddim", "open_clip",
    "..publish", "..runner", "..embedded.train_generator",
)  # fmt: skip

for module in MODULES:
    with suppress(Exception):  # what is missing is told by the stage that needs it
        importlib.import_module(module, __package__)
