"""Strict and repeatable: no network, one thread a process, the same examples every time."""

import importlib
import importlib.util
import socket
import sys
import types
from pathlib import Path

import hypothesis
import pytest
import torch

torch.set_num_threads(1)
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=50)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Any attempt to reach another machine is a failure that names the address."""
    connect, lookup, here = socket.socket.connect, socket.getaddrinfo, ("127.0.0.1", "::1", "localhost")

    def guarded(self, address):
        if self.family != socket.AF_UNIX and address[0] not in here:
            raise AssertionError(f"a test tried to reach {address}")
        return connect(self, address)

    def resolve(host, *args, **kwargs):
        if host in here:
            return lookup(host, *args, **kwargs)
        raise AssertionError(f"a test tried to look up {host}")

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.fixture(scope="module")
def sampling():
    """k_diffusion.sampling alone: the package itself imports data sets and CLIP, which it does not need here."""
    for name in ("k_diffusion", "torchsde", "trampoline", "torchdiffeq"):
        if importlib.util.find_spec(name) is None:
            install = "pip install --no-deps k-diffusion==0.1.1.post1 torchsde trampoline torchdiffeq"
            pytest.skip(f"k-diffusion is not installed: {install}")
    package = types.ModuleType("k_diffusion")
    package.__path__ = [str(Path(importlib.util.find_spec("k_diffusion").origin).parent)]
    before, sys.modules["k_diffusion"] = sys.modules.get("k_diffusion"), package
    try:
        yield importlib.import_module("k_diffusion.sampling")
    finally:
        del sys.modules["k_diffusion"]
        if before:
            sys.modules["k_diffusion"] = before
