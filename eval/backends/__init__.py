"""Models behind one interface: the closed-form mixture, the embedded model, any diffusers pipeline.

`prediction` turns what networks say into x0; `recording` and `replay` learn from a pipeline how to call its network.
Nothing heavy is imported here.
"""
