"""ComfyUI: every registered sampler, spacing, schedule and guidance method as a node.

Importing this package does not import ComfyUI; its nodes do when they run.
"""
