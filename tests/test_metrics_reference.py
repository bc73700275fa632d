"""References: folders, .npz files and embedded statistics, their cache, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import save_file

from sigmabench.eval.metrics import image_statistics
from sigmabench.eval.metrics.frechet import FID, FrechetDistance
from sigmabench.eval.metrics.kid import KernelDistance
from sigmabench.eval.metrics.reference import load_reference

NAME = "features/cifarnet-00000000/bicubic-aa"


class Means:
    """Channel means and one pixel: features that anyone can compute."""

    name = NAME

    def __init__(self):
        self.calls = 0

    def __call__(self, images, prompts):
        self.calls += 1
        x = images.float().numpy()
        return np.concatenate([x.mean(axis=(2, 3)), x[:, :1, 0, 0]], axis=1)


@pytest.fixture
def means(monkeypatch, tmp_path):
    observer = Means()
    load_reference.cache_clear()
    monkeypatch.setattr("sigmabench.eval.metrics.features.load_extractor", lambda *_: observer)
    monkeypatch.setenv("SIGMABENCH_CACHE", str(tmp_path / "cache"))
    yield observer
    load_reference.cache_clear()


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "images"
    (path / "deeper").mkdir(parents=True)
    for i in range(23):
        side = 16 if i < 12 else 20
        pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / ("deeper" if i % 2 else ".") / f"{i:02d}.png")
    return path


def features_of(folder):
    files = sorted(folder.rglob("*.png"))
    pixels = [np.array(Image.open(file)).astype(np.float64) for file in files]
    return np.array([[*p.mean(axis=(0, 1)), p[0, 0, 0]] for p in pixels])


def test_a_folder_of_images_gives_its_moments_and_rows(means, folder):
    ref, expected = load_reference(str(folder), NAME, "embedded"), features_of(folder)
    np.testing.assert_allclose(ref.mean, expected.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(ref.cov, np.cov(expected.T), rtol=1e-5)
    np.testing.assert_allclose(ref.features(), expected, rtol=1e-6)
    assert ref.n == 23
    assert ref.card["reference_card"] == {"extractor": "cifarnet-00000000", "encodings": "23 png"}


def test_a_folder_is_cached_by_its_content_alone(means, folder, tmp_path):
    first = load_reference(str(folder), NAME, "embedded")
    calls = means.calls
    load_reference.cache_clear()
    moved = folder.rename(tmp_path / "moved")
    assert load_reference(str(moved), NAME, "embedded").id == first.id
    assert means.calls == calls
    Image.new("RGB", (16, 16)).save(moved / "00.png")
    load_reference.cache_clear()
    assert load_reference(str(moved), NAME, "embedded").id != first.id
    assert means.calls > calls


def test_at_most_so_many_evenly_spaced_rows_are_kept(means, folder, monkeypatch):
    monkeypatch.setattr(image_statistics, "KEPT", 3)
    ref = load_reference(str(folder), NAME, "embedded")
    np.testing.assert_allclose(ref.features(), features_of(folder)[[0, 11, 22]], rtol=1e-6)
    assert ref.n == 23


def test_an_npz_gives_its_moments(tmp_path):
    x = np.random.default_rng(1).standard_normal((50, 4))
    np.savez(tmp_path / "a.npz", mu=x.mean(axis=0), sigma=np.cov(x.T), n=50, extractor="cifarnet-00000000")
    ref = load_reference(str(tmp_path / "a.npz"), NAME, "embedded")
    np.testing.assert_array_equal(ref.cov, np.cov(x.T))
    assert ref.n == 50
    with pytest.raises(ValueError, match="was made with 'cifarnet-00000000', the images with 'features/other"):
        load_reference(str(tmp_path / "a.npz"), "features/other-11111111/x", "embedded")


@pytest.mark.parametrize("name", ["features", "feats"])
def test_an_npz_of_rows_alone_gives_moments_and_rows(tmp_path, name):
    x = np.random.default_rng(1).standard_normal((50, 4)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", **{name: x})
    ref = load_reference(str(tmp_path / "rows.npz"), NAME, "embedded")
    np.testing.assert_allclose(ref.cov, np.cov(x.T.astype(np.float64)), rtol=1e-12)
    np.testing.assert_array_equal(ref.features(), x)
    assert ref.n == 50
    assert ref.id.startswith("npz-")


def test_a_file_of_our_own_is_read_with_its_card(tmp_path):
    x = np.random.default_rng(2).standard_normal((30, 4))
    arrays = {"mean": x.mean(axis=0), "cov": np.cov(x.T), "features": x[:7]}
    save_file(arrays, tmp_path / "mine.safetensors", metadata={"extractor": "cifarnet-00000000", "n": "30"})
    ref = load_reference(str(tmp_path / "mine.safetensors"), NAME, "embedded")
    assert (ref.n, ref.features().shape, ref.id[:5]) == (30, (7, 4), "mine-")
    with pytest.raises(ValueError, match="they cannot be compared"):
        load_reference(str(tmp_path / "mine.safetensors"), "features/other-11111111/x", "embedded")


@pytest.mark.parametrize("layout", ["bytes", "structure"])
def test_a_parquet_of_images_is_the_folder_of_the_same_images(means, folder, tmp_path, layout):
    files = sorted(folder.rglob("*.png"))
    cells = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    table = {"Image": [cell["bytes"] for cell in cells]} if layout == "bytes" else {"image": cells}
    pd.DataFrame({"label": range(23), **table}).to_parquet(tmp_path / "images.parquet")
    ref = load_reference(str(tmp_path / "images.parquet"), NAME, "embedded")
    same = load_reference(str(folder), NAME, "embedded")
    np.testing.assert_array_equal(ref.features(), same.features())
    np.testing.assert_array_equal(ref.cov, same.cov)
    assert (ref.n, ref.card["reference_card"]["encodings"]) == (23, "23 png")
    assert ref.id.partition("-")[2] == same.id.partition("-")[2]  # the same images
    assert ref.id.startswith("parquet-")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"label": [1, 2]}, r"has 2 rows with the columns label; it must have two or more, and a column image, img"),
        ({"image": [b"x"]}, "has 1 rows"),
        ({"image": [b"no image", b"none"]}, "row 1 cannot be read"),
        ({"image": ["a.png", "b.png"]}, "row 1: 'image' has not the bytes of a file"),
    ],
)
def test_a_table_that_has_no_images_is_refused(means, tmp_path, table, message):
    pd.DataFrame(table).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=message):
        load_reference(str(tmp_path / "t.parquet"), NAME, "embedded")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(ValueError, match="no readable parquet table"):
        load_reference(str(tmp_path / "t.parquet"), NAME, "embedded")


# clean-fid's named statistics

INCEPTION = "features/inception-00000000/clean"


def test_named_statistics_are_the_files_clean_fid_asks_for(monkeypatch, tmp_path):
    """Its own function, its download answered from here, names the files and reads the same numbers."""
    import cleanfid.features

    rng, asked = np.random.default_rng(3), []
    x = rng.standard_normal((40, 4))
    folder = tmp_path / "cleanfid"
    folder.mkdir()
    np.savez(folder / "cifar10_clean_train_32.npz", mu=x.mean(axis=0), sigma=np.cov(x.T))
    np.savez(folder / "cifar10_clean_train_32_kid.npz", feats=x)

    def answered(local_folder, url):
        asked.append(url)
        return folder / url.rpartition("/")[2]

    monkeypatch.setattr(cleanfid.features, "check_download_url", answered)
    monkeypatch.setenv("SIGMABENCH_CACHE", str(tmp_path))
    load_reference.cache_clear()
    ref = load_reference("cleanfid:cifar10/train/32", INCEPTION, "inception")
    theirs = cleanfid.features.get_reference_statistics("cifar10", 32, split="train", metric="FID")
    np.testing.assert_array_equal(ref.mean, theirs[0])
    np.testing.assert_array_equal(ref.cov, theirs[1])
    rows = cleanfid.features.get_reference_statistics("cifar10", 32, split="train", metric="KID")
    np.testing.assert_allclose(ref.features(), rows, rtol=1e-6)
    assert ref.id.startswith("cleanfid-cifar10-train-32-")
    assert {url.replace("//", "/").partition("stats/")[0] for url in asked} == {"https:/www.cs.cmu.edu/~clean-fid/"}


def test_statistics_made_by_clean_fid_are_found_where_it_keeps_them(monkeypatch, tmp_path):
    monkeypatch.setattr("sigmabench.eval.metrics.named_statistics._of_cleanfid", lambda: [tmp_path])
    x = np.random.default_rng(4).standard_normal((40, 4))
    np.savez(tmp_path / "mine_clean_custom_na.npz", mu=x.mean(axis=0), sigma=np.cov(x.T))
    load_reference.cache_clear()
    np.testing.assert_array_equal(load_reference("cleanfid:Mine/custom", INCEPTION, "inception").cov, np.cov(x.T))


def test_named_statistics_that_are_nowhere_say_where_they_are_and_where_to_put_them(monkeypatch, tmp_path):
    monkeypatch.setenv("SIGMABENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("SIGMABENCH_DOWNLOAD", raising=False)
    address = "https://www.cs.cmu.edu/~clean-fid/stats/ffhq_clean_trainval70k_256.npz"
    with pytest.raises(FileNotFoundError) as caught:
        load_reference("cleanfid:ffhq/trainval70k/256", INCEPTION, "inception")
    assert address in str(caught.value)
    assert str(tmp_path / "cleanfid" / "ffhq_clean_trainval70k_256.npz") in str(caught.value)
    assert "SIGMABENCH_DOWNLOAD=1" in str(caught.value)
    with pytest.raises(ValueError, match="is of clean-fid's Inception, the images are observed as"):
        load_reference("cleanfid:ffhq/trainval70k/256", NAME, "embedded")
    with pytest.raises(ValueError, match="must be cleanfid:<name>/<split>/<resolution>"):
        load_reference("cleanfid:../../etc/32", INCEPTION, "inception")


def test_what_may_be_fetched_is_fetched_once_and_whole(monkeypatch, tmp_path):
    source = tmp_path / "source.npz"
    np.savez(source, mu=np.zeros(2), sigma=np.eye(2))
    monkeypatch.setattr("sigmabench.eval.metrics.named_statistics.ADDRESS", source.parent.as_uri() + "/")
    source.rename(tmp_path / "a_clean_test_8.npz")
    monkeypatch.setenv("SIGMABENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SIGMABENCH_DOWNLOAD", "1")
    load_reference.cache_clear()
    assert load_reference("cleanfid:a/test/8", INCEPTION, "inception").cov.tolist() == [[1, 0], [0, 1]]
    assert [path.name for path in (tmp_path / "cache" / "cleanfid").iterdir()] == ["a_clean_test_8.npz"]
    with pytest.raises(OSError, match=r"cannot fetch file:.*b_clean_test_8.npz .* put the file at"):
        load_reference("cleanfid:b/test/8", INCEPTION, "inception")
    assert len(list((tmp_path / "cache" / "cleanfid").iterdir())) == 1


def test_a_pickle_in_an_npz_is_never_loaded(tmp_path):
    np.savez(tmp_path / "b.npz", mu=np.array([{}], dtype=object), sigma=np.eye(1))
    with pytest.raises(ValueError, match="allow_pickle"):
        load_reference(str(tmp_path / "b.npz"), NAME, "embedded")


def test_what_cannot_be_a_reference_is_refused_by_name(means, folder, tmp_path):
    with pytest.raises(
        FileNotFoundError, match="'/no/such' does not exist: must be 'embedded', 'embedded-test', a folder"
    ):
        load_reference("/no/such", NAME, "embedded")
    np.savez(tmp_path / "c.npz", mean=np.zeros(3))
    with pytest.raises(ValueError, match=r"c.npz has mean: must have mu \(d,\) and sigma .* or features"):
        load_reference(str(tmp_path / "c.npz"), NAME, "embedded")
    (tmp_path / "one").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "one" / "1.png")
    with pytest.raises(ValueError, match=r"one has 1 images .* at least 2"):
        load_reference(str(tmp_path / "one"), NAME, "embedded")
    (folder / "broken.jpg").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"broken.jpg cannot be read .* repair or remove it"):
        load_reference(str(folder), NAME, "embedded")


def test_embedded_statistics_of_other_weights_are_refused(monkeypatch, tmp_path):
    x = np.random.default_rng(2).standard_normal((30, 4))
    (tmp_path / "reference").mkdir()
    metadata = {"extractor": "cifarnet-3f2a91bc", "n": "30"}
    arrays = {"mean": x.mean(axis=0), "cov": np.cov(x.T), "features": x[:7].astype(np.float16)}
    save_file(arrays, tmp_path / "reference" / "train.safetensors", metadata=metadata)
    monkeypatch.setattr("sigmabench.eval.embedded.weights_files.WEIGHTS", tmp_path)
    load_reference.cache_clear()
    ref = load_reference("embedded", "features/cifarnet-3f2a91bc/bicubic-aa", "embedded")
    np.testing.assert_array_equal(ref.cov, np.cov(x.T))
    assert ref.n == 30
    assert ref.features().shape == (7, 4)
    with pytest.raises(
        ValueError, match="has features of cifarnet-3f2a91bc, the images those of 'features/cifarnet-00"
    ):
        load_reference("embedded", NAME, "embedded")
    with pytest.raises(FileNotFoundError, match=r"test.safetensors is missing; reinstall"):
        load_reference("embedded-test", NAME, "embedded")
    load_reference.cache_clear()


def test_a_folder_is_not_compared_with_observations_of_other_weights(means, folder):
    with pytest.raises(
        ValueError, match="observed as 'features/cifarnet-11111111/bicubic-aa', but the extractor is now"
    ):
        load_reference(str(folder), "features/cifarnet-11111111/bicubic-aa", "embedded")


def test_fid_without_a_reference_says_what_to_give():
    with pytest.raises(
        ValueError, match=r"FID.reference = '': must be a folder of images, a .parquet of images, an .npz"
    ):
        FID().observers("cpu")


def test_fd_and_kid_read_a_folder_reference(means, folder):
    files = sorted(folder.rglob("*.png"))
    x = features_of(folder)[:12] * 1.1 + 3
    shards = [{NAME: x[:5]}, {NAME: x[5:]}]
    m, s = x.mean(axis=0), np.cov(x.T)
    ref = features_of(folder)
    eigenvalues = np.linalg.eigvals(s @ np.cov(ref.T)).real.clip(0)
    expected = ((m - ref.mean(axis=0)) ** 2).sum() + np.trace(s + np.cov(ref.T)) - 2 * np.sqrt(eigenvalues).sum()
    value = FrechetDistance(reference=str(folder)).evaluate(shards)
    assert value.value == pytest.approx(expected, rel=1e-4)
    assert value.card["reference_n"] == len(files) == 23
    assert value.card["n"] == value.n == 12
    assert KernelDistance(reference=str(folder)).evaluate(shards).card["reference_rows"] == 23


def test_images_without_the_observation_are_an_error_that_lists_what_there_is():
    with pytest.raises(ValueError, match="no observations 'features/cifarnet' of these images; there are luma/rec601"):
        FrechetDistance().evaluate([{"luma/rec601": np.zeros((3, 2))}])
