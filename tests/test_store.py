"""The store: whole shards or none, gaps found, damage noticed."""

import dataclasses
import json
import os

import numpy as np
import pytest

from sigmabench.eval.cells import Cell
from sigmabench.eval.errors import UsageError
from sigmabench.eval.store import Store, write_atomic

CELL = Cell("m-1", "euler", "model", "trailing", 5, "cfg", "abcd", 0, "float32")
NAMES = frozenset({"a"})


def observations(start, stop):
    return {"a": np.arange(start, stop, dtype=np.float32), "b": np.ones((stop - start, 2), np.float16)}


def filled(tmp_path, *ranges):
    store = Store(tmp_path)
    for start, stop in ranges:
        store.put(CELL, start, observations(start, stop), {"seconds": "1.5", "evaluations": "10"})
    return store


def test_what_is_put_comes_back_in_order_with_its_metadata(tmp_path):
    store = filled(tmp_path, (50, 100), (0, 50))
    observed = store.observations(CELL, 80)
    np.testing.assert_array_equal(np.concatenate([o["a"] for o in observed]), np.arange(80))
    assert [m["seconds"] for m in observed.metadata()] == ["1.5", "1.5"]


@pytest.mark.parametrize(
    ("ranges", "images", "expected"),
    [
        ([], 120, [(0, 50), (50, 100), (100, 120)]),
        ([(0, 50)], 120, [(50, 100), (100, 120)]),
        ([(0, 30)], 120, [(30, 50), (50, 100), (100, 120)]),
        ([(50, 100)], 120, [(0, 50), (100, 120)]),
        ([(0, 50), (50, 120)], 120, []),
        ([(0, 50), (50, 120)], 60, []),
    ],
)
def test_only_what_is_missing_is_asked_for(tmp_path, ranges, images, expected):
    assert filled(tmp_path, *ranges).missing(CELL, images, 50, NAMES) == expected


def test_a_shard_without_a_wanted_observation_is_made_again(tmp_path):
    store = filled(tmp_path, (0, 50))
    assert store.missing(CELL, 50, 50, frozenset({"a", "new"})) == [(0, 50)]


def test_making_a_shard_again_keeps_what_other_metrics_observed(tmp_path):
    store = filled(tmp_path, (0, 50))
    store.put(CELL, 0, {"new": np.zeros(50)}, {})
    (shard,) = store.observations(CELL, 50)
    assert set(shard) == {"a", "b", "new"}


def test_a_new_shard_replaces_overlapping_ones(tmp_path):
    store = filled(tmp_path, (0, 30), (30, 40), (0, 50))
    assert [(shard.start, shard.stop) for shard in store.shards(CELL)] == [(0, 50)]


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_a_damaged_shard_counts_as_missing(tmp_path, damage):
    store = filled(tmp_path, (0, 50), (50, 100))
    path = store.shards(CELL)[0].path
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-3] ^= 1
    path.write_bytes({"truncate": data[:-10], "flip": data, "empty": b""}[damage])
    assert store.missing(CELL, 100, 50, NAMES) == [(0, 50)]


def test_a_failure_is_kept_until_the_cell_succeeds(tmp_path):
    store = Store(tmp_path)
    store.fail(CELL, "diverged")
    assert store.failure(CELL) == "diverged"
    store.put(CELL, 0, observations(0, 5), {})
    assert store.failure(CELL) == ""


def test_an_interrupted_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomic(path, b"old")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_writer_left_is_removed_once_it_is_old(tmp_path):
    store = filled(tmp_path, (0, 50))
    old, young = (store.folder(CELL) / f".0000050-0000100-{name}.safetensors" for name in ("old", "young"))
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    os.utime(old, (0, 0))
    store.tidy()
    assert not old.exists()
    assert young.exists()
    assert len(store.shards(CELL)) == 1


def test_a_folder_that_is_a_file_is_refused_with_the_remedy(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match="choose another --out"):
        Store(tmp_path / "taken")


def test_a_key_is_stable_and_depends_on_every_setting():
    assert CELL.key == "4a41f0543cc35465"
    for field in dataclasses.fields(Cell):
        value = getattr(CELL, field.name)
        other = dataclasses.replace(CELL, **{field.name: value + 1 if isinstance(value, int) else (*value, "x")
                                             if isinstance(value, tuple) else value + "x"})  # fmt: skip
        assert other.key != CELL.key, field.name


def test_the_cell_is_described_beside_its_shards(tmp_path):
    store = filled(tmp_path, (0, 5))
    assert json.loads((store.folder(CELL) / "cell.json").read_text())["sampler"] == "euler"
