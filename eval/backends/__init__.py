"""Models behind one interface: the closed-form mixture, the embedded model, any diffusers pipeline.

`recording` and `replay` learn from a pipeline how to call its network.
Nothing heavy is imported here.
"""
