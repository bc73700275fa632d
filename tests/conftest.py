"""Strict and repeatable: no network, one thread a process, the same examples every time."""

import os
import socket
import sys

import hypothesis
import pytest
import torch

from sigmabench.eval.faults.hosts import MissingPeerError, k_diffusion

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
    """k-diffusion's samplers."""
    try:
        return k_diffusion()
    except MissingPeerError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """``saved(make, scheduler)``: the folder of a pipeline of that kind, written once."""
    folders = {}

    def save(make, scheduler):
        key = (make, type(scheduler), str(sorted(scheduler.config.items(), key=str)))
        if key not in folders:
            folders[key] = tmp_path_factory.mktemp("pipeline") / make.__name__
            make(scheduler).save_pretrained(folders[key])
        return str(folders[key])

    return save


@pytest.fixture(scope="session")
def live(tmp_path_factory):
    """A real ComfyUI; see ``live_comfyui``."""
    from live_comfyui import Live

    folder = tmp_path_factory.mktemp("comfyui")
    server = Live(os.environ["COMFYUI_DIR"], os.environ.get("COMFYUI_PYTHON", sys.executable), folder)
    server.make_checkpoints()
    with server:
        yield server


@pytest.fixture(scope="session")
def ours(live):
    """What the server knows of our nodes, by id."""
    return {name: info for name, info in live.get("/object_info").items() if name.startswith("Sigmabench")}
