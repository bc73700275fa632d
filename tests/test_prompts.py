"""Prompt files as people have them: lists, tables of benchmarks, COCO's captions."""

import json

import pandas as pd
import pytest

from sigmabench.eval.errors import UsageError
from sigmabench.eval.prompts import read_prompts

PARTI = "Prompt\tCategory\tChallenge\tNote\nbond\tAbstract\tBasic\t\na shiba, NA\tAnimals\tBasic\tx\n"
DRAWBENCH = 'Prompts,Category\n"A red car, parked.",Colors\nnull,Rare Words\n'


def written(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("p.txt", "a cat\n a dog \n", ["a cat", "a dog"]),
        ("p.prompts", "a cat\n", ["a cat"]),
        ("PartiPrompts.tsv", PARTI, ["bond", "a shiba, NA"]),
        ("drawbench.csv", DRAWBENCH, ["A red car, parked.", "null"]),
        ("one.csv", "what to paint\na cat\nNA\n", ["a cat", "NA"]),
        ("both.csv", "text,caption\nno,a cat\n", ["a cat"]),
        ("bom.csv", "\ufeffprompt,x\na cat,1\n", ["a cat"]),
    ],
)
def test_prompts_come_in_the_order_of_the_file_and_as_they_are_written(tmp_path, name, data, expected):
    assert read_prompts(written(tmp_path, name, data)) == expected


def test_a_parquet_table_is_read(tmp_path):
    pd.DataFrame({"url": ["x", "y"], "Caption": ["a cat", "a dog"]}).to_parquet(tmp_path / "p.parquet")
    assert read_prompts(tmp_path / "p.parquet") == ["a cat", "a dog"]


def test_coco_gives_the_first_caption_of_each_image(tmp_path):
    rows = [(7, 3, "late"), (9, 1, "a cat"), (4, 3, "early"), (10, 1, "another cat")]
    annotations = [{"id": i, "image_id": image, "caption": text} for i, image, text in rows]
    path = written(tmp_path, "captions_val2014.json", json.dumps({"info": {}, "annotations": annotations}))
    assert read_prompts(path) == ["a cat", "early"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("p.csv", "a,b\n1,2\n", "has the columns a, b; call that of the prompts 'prompt'"),
        ("p.csv", "prompt,b\na,1\n,2\n", "empty line at 2"),
        ("p.csv", "", "no readable table"),
        ("p.csv", "prompt\n", "is empty"),
        ("p.csv", b"prompt\na\xff\n", "line 2 is not UTF-8"),
        ("p.parquet", b"no", "no readable table"),
        ("p.json", "[1]", "not COCO's captions"),
        ("p.json", "{}", "annotations"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_remedy(tmp_path, name, data, message):
    with pytest.raises(UsageError, match=message):
        read_prompts(written(tmp_path, name, data))


def test_an_empty_cell_of_a_parquet_table_is_no_prompt(tmp_path):
    pd.DataFrame({"prompt": ["a cat", None], "n": [1, 2]}).to_parquet(tmp_path / "p.parquet")
    with pytest.raises(UsageError, match="empty line at 2"):
        read_prompts(tmp_path / "p.parquet")
