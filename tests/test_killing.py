"""Kills at random moments lose nothing that is finished and change nothing that is made; in small."""

import importlib.util

import pytest
from killing import content, endure, sweep

from sigmabench.eval.runner import Runner


@pytest.mark.skipif(importlib.util.find_spec("_posixshmem") is None, reason="SIGKILL and fork servers are POSIX")
def test_forty_kills_lose_no_finished_shard_and_end_in_the_same_bytes(tmp_path):
    run = sweep(cells=8, images=50)
    toll = endure(tmp_path / "killed", run, kills=40)
    assert (toll.kills, toll.shards) == (40, 400)
    assert (toll.lost, toll.repeated) == (0, 0)
    assert toll.begun_again <= toll.kills
    Runner(run, tmp_path / "alone").run(lambda images, cell: None)
    assert content(tmp_path / "killed") == content(tmp_path / "alone")
