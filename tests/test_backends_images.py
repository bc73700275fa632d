"""A folder of images as a model: found by their names or a table, scored beside models that draw, or refused."""

import re
import shutil

import numpy as np
import pytest
from PIL import Image

from sigmabench.eval.backends.images import Images
from sigmabench.eval.cells import samples
from sigmabench.eval.compare import compare
from sigmabench.eval.costs.counting import count
from sigmabench.eval.errors import UsageError
from sigmabench.eval.progress import bar
from sigmabench.eval.publish import publish
from sigmabench.eval.results import evaluate
from sigmabench.eval.runner import Runner
from sigmabench.eval.store import Store
from sigmabench.eval.sweep import Sweep
from sigmabench.reports.answer import answers
from sigmabench.reports.results import conform

PROMPTS = ["a photo of a cat", "A photo of a Dog"]


def sweep(*models, images=4, **fields):
    options = {"samplers": ["euler", "heun"], "steps": [2, 3], "guidance": ["cfg(2)"], "metrics": ["luminance"]}
    return Sweep(models=list(models), prompts=PROMPTS, images=images, **{**options, **fields})


def write(folder, name, value, size=(32, 32)):
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(folder / name)


def drawn(folder, *, table="", images=4):
    """The brightness of each image, in the order of the sweep."""
    model = Images(str(folder), table).load()
    wanted = samples(sweep("embedded", images=images), PROMPTS, 0, images)
    model.check_images(wanted)
    return [int(image.float().mean()) for image in model.decode(model.draw(None, wanted))]


def test_images_are_found_by_number_by_prompt_and_by_table(tmp_path):
    for i in range(4):
        write(tmp_path / "numbers", f"{i:03d}.png", 10 * i)
    assert drawn(tmp_path / "numbers") == [0, 10, 20, 30]
    names = [
        "a_photo_of_a_cat.png",
        "a photo of a dog (1).png",
        "A_photo_of_a_cat_(2).webp",
        "a-photo-of-a-dog (10).png",
    ]
    for i, name in enumerate(names):
        write(tmp_path / "names", name, 10 * i)
    assert drawn(tmp_path / "names", images=2) == [0, 10]
    assert drawn(tmp_path / "names") == [0, 10, 20, 30]
    rows = [("x.png", PROMPTS[1]), ("y.png", PROMPTS[0]), ("z.png", PROMPTS[0]), ("w.png", PROMPTS[1])]
    for i, (name, _) in enumerate(rows):
        write(tmp_path / "table", name, 10 * i)
    text = "\n".join(["file_name,text", *(f'{name},"{prompt}"' for name, prompt in rows)])
    (tmp_path / "table" / "metadata.csv").write_text(text)
    assert drawn(tmp_path / "table") == [10, 0, 20, 30]
    (tmp_path / "other.tsv").write_text("file\tprompt\n" + "\n".join(f"{n}\t{p}" for n, p in reversed(rows)))
    assert drawn(tmp_path / "table", table=str(tmp_path / "other.tsv")) == [20, 30, 10, 0]


def test_a_prompt_that_is_listed_twice_has_an_image_for_each_turn():
    found = samples(sweep("embedded", images=8), ["a", "b", "a"], 2, 8)
    assert [(one.prompt, one.turn) for one in found] == [("a", 1), ("a", 2), ("b", 1), ("a", 3), ("a", 4), ("b", 2)]


def test_given_images_are_scored_beside_others_and_compared_by_prompt(tmp_path):
    """Those that a sweep saved have the numbers of that sweep."""
    first = Runner(sweep("embedded", samplers=["euler"], steps=[2], save_images=True), tmp_path / "first")
    first.run(lambda images, cell: None)
    (saved,) = (tmp_path / "first").rglob("images")
    both = Runner(sweep("embedded", f"images(path='{saved}')"), tmp_path / "both")
    with bar(both.plan.runnable, 4, {}, lambda: "") as progress:
        assert both.run(progress).failed == {}
    assert [planned.cell.sampler for planned in both.plan.cells] == ["euler", "euler", "heun", "heun", "given"]
    frame = conform(evaluate(both.plan, Store(tmp_path / "both")).results)
    same, given = frame.iloc[0], frame.iloc[4]
    assert (given["value"], given["se"], given["status"]) == (same["value"], same["se"], "ok")
    assert given[["steps", "scale", "nfe", "seconds"]].isna().all()
    assert not "".join(given[["spacing", "schedule", "guidance", "method"]])
    assert given["model"].startswith("images/images-")
    assert count(both.plan.cells[4].cell, Images(str(saved)).load()).evaluations == 0
    ((sentence, *_),) = compare("given", "euler steps=2", tmp_path / "both", ["luminance"])
    assert "are the same" in sentence
    assert "4 common images" in sentence


def test_the_report_says_what_is_not_known_of_given_images(tmp_path):
    for i in range(8):
        write(tmp_path / "dalle3", f"{i}.png", 10 * i)
    fields = {"metrics": ["clip_score", "luminance"], "steps": [1, 2], "images": 8}
    runner = Runner(sweep("embedded", f"images(path='{tmp_path / 'dalle3'}')", **fields), tmp_path / "run")
    runner.run(lambda images, cell: None)
    frame = conform(evaluate(runner.plan, Store(tmp_path / "run")).results)
    _, given = answers(frame)
    assert given.lead.startswith("Images from a folder: clip_score")
    assert "paired with those of other models by prompt, not by noise" in given.notes[0]
    page = publish(runner.plan, tmp_path / "run").read_text()
    assert "paired with those of other models by prompt, not by noise" in page
    assert not re.search(r"\bnan\b", re.sub(r"<(style|script).*?</\1>|<[^>]*>", "", page, flags=re.DOTALL))


def test_what_cannot_be_scored_is_refused_with_the_reason(tmp_path):
    folder = tmp_path / "dalle3"
    with pytest.raises(UsageError, match="the images backend needs a path"):
        Runner(sweep("images"), tmp_path / "run")
    with pytest.raises(UsageError, match=r"dalle3 is not a folder; give one of images"):
        Runner(sweep(f"images(path='{folder}')"), tmp_path / "run")
    folder.mkdir()
    with pytest.raises(UsageError, match=r"holds no images; legal are \.png, \.jpg"):
        Runner(sweep(f"images(path='{folder}')"), tmp_path / "run")
    for i in range(3):
        write(folder, f"{i}.png", i)
    missing = r"has 3 of the 4 images of this sweep; the first that is missing is number 3, of 'A photo of a Dog' \(2\)"
    with pytest.raises(UsageError, match=missing):
        Runner(sweep(f"images(path='{folder}')"), tmp_path / "run")
    assert Runner(sweep(f"images(path='{folder}')", images=3), tmp_path / "run").plan.cells
    write(folder, "3.png", 3, size=(32, 48))
    with pytest.raises(
        UsageError, match=r"0.png has 32 x 32 pixels and 3.png 48 x 32: bring all images .* to one size"
    ):
        Runner(sweep(f"images(path='{folder}')"), tmp_path / "run")
    (folder / "3.png").write_text("no image")
    with pytest.raises(UsageError, match=r"3.png is not an image that can be read \(PNG, JPEG, WEBP\)"):
        Runner(sweep(f"images(path='{folder}')"), tmp_path / "run")
    shutil.copy(folder / "2.png", folder / "02.png")
    with pytest.raises(UsageError, match=r"02.png and 2.png are the same number"):
        Runner(sweep(f"images(path='{folder}')"), tmp_path / "run")


def test_a_table_is_confined_to_its_folder(tmp_path):
    folder = tmp_path / "given"
    write(folder, "0.png", 0)
    write(tmp_path, "secret.png", 0)
    for text, message in [
        ("file_name,prompt\n../secret.png,a", r"\.\./secret\.png is outside of"),
        (f"file_name,prompt\n{tmp_path / 'secret.png'},a", r"secret\.png is outside of"),
        ("file_name,prompt\n7.png,a", r"has no 7\.png, which its table names"),
        ("name,words\n0.png,a", r"has the columns name, words; it needs file_name and prompt"),
    ]:
        (folder / "metadata.csv").write_text(text)
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            Images(str(folder)).load()
    (folder / "metadata.csv").unlink()
    (folder / "1.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(ValueError, match=r"1\.png is outside of"):
        Images(str(folder)).load()
    with pytest.raises(FileNotFoundError, match=r"table = 'no.csv' is not here"):
        Images(str(folder), "no.csv").load()


def test_the_id_follows_the_images_and_whose_they_are(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / "given", f"{name}.png", 0 if name == "a" else 9)
    before = Images(str(tmp_path / "given")).load().id
    assert before == Images(str(tmp_path / "given")).load().id
    write(tmp_path / "given", "b.png", 10)
    changed = Images(str(tmp_path / "given")).load().id
    (tmp_path / "given" / "b.png").rename(tmp_path / "given" / "c.png")
    assert len({before, changed, Images(str(tmp_path / "given")).load().id}) == 3
