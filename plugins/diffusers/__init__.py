"""Samplers and guidance inside diffusers' pipelines. Nothing heavy is imported here."""
