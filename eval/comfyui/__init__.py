"""Sweeps inside ComfyUI: nodes that run the harness on a connected model and show its report."""
