"""``sigmabench orders``: what order each sampler converges with, at what cost, measured on closed-form problems."""
