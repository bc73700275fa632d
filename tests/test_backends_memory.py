"""Where a device's memory is too small: fewer rows at once, images in tiles, and the same numbers."""

import pytest
import torch

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from tiny_pipelines import SD15, stable_diffusion  # noqa: E402

from sigmabench.eval.backends.diffusers_pipeline import Diffusers  # noqa: E402
from sigmabench.eval.backends.memory import Rows  # noqa: E402
from sigmabench.eval.backends.pipeline_folder import load_pipeline, placed  # noqa: E402
from sigmabench.eval.engine import counted  # noqa: E402
from sigmabench.samplers.perturbation import IdentityAttention  # noqa: E402

PROMPTS = ["a", "b", "c", "d", "e"]


@pytest.fixture
def folder(tmp_path):
    stable_diffusion(diffusers.DDIMScheduler(**SD15)).save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def small(module, most):
    """A memory that holds the activations of so many rows."""

    def refuse(module, args, kwargs):
        if len(args[0] if args else kwargs["sample"]) > most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    module.register_forward_pre_hook(refuse, with_kwargs=True)


@pytest.mark.parametrize("changed", [False, True])
def test_a_batch_that_does_not_fit_is_halved_with_one_warning_and_the_same_numbers(folder, changed):
    model = Diffusers(str(folder)).load()
    asked = model.perturbed(IdentityAttention()) if changed else model
    x = torch.randn(5, *model.shape, generator=torch.Generator().manual_seed(0))
    levels, condition = [model.schedule.level(t) for t in (0.9, 0.7, 0.5, 0.3, 0.1)], model.encode(PROMPTS)
    expected = asked.denoise(x, levels, condition)
    small(model.network, 2)
    with pytest.warns(
        UserWarning, match=r"UNet2DConditionModel.*: 5 rows at once do not fit into memory; going on with 2"
    ):
        result = asked.denoise(x, levels, condition)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)
    with counted(model.network) as rows:
        asked.denoise(x, levels, condition)
    assert rows == [2, 2, 1]


def test_one_row_that_does_not_fit_is_an_error(folder):
    model = Diffusers(str(folder)).load()
    condition = model.encode(["a"])
    small(model.network, 0)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        model.denoise(torch.randn(1, *model.shape), [model.schedule.level(0.5)], condition)


def test_rows_are_halved_until_they_fit_and_remembered():
    rows, sizes = Rows("work"), []

    def evaluate(part):
        sizes.append(part.stop - part.start)
        if sizes[-1] > 2:
            raise torch.cuda.OutOfMemoryError("full")
        return torch.arange(part.start, part.stop)

    with pytest.warns(UserWarning, match="work") as warned:
        assert rows(11, evaluate).tolist() == [*range(11)]
    assert (len(warned), sizes[:3], set(sizes[2:])) == (2, [11, 5, 2], {1, 2})


def test_an_image_that_does_not_fit_is_decoded_in_tiles(folder, monkeypatch):
    model = Diffusers(str(folder)).load()
    x = torch.randn(2, *model.shape, generator=torch.Generator().manual_seed(0))
    expected, vae = model.decode(x), model.autoencoder.vae
    decode = vae.decode

    def small_decode(z, **options):
        if not vae.use_tiling:
            raise torch.cuda.OutOfMemoryError("full")
        return decode(z, **options)

    monkeypatch.setattr(vae, "decode", small_decode)
    with pytest.warns(UserWarning, match="one image does not fit into memory; going on in tiles"):
        result = model.decode(x)
    assert vae.use_tiling
    assert torch.equal(result, expected), "an image smaller than a tile is one tile"


def test_large_images_are_decoded_in_tiles(folder, monkeypatch):
    model = Diffusers(str(folder)).load()
    monkeypatch.setattr("sigmabench.eval.backends.latents.TILED", 15)
    model.decode(torch.randn(1, *model.shape))
    assert model.autoencoder.vae.use_tiling


def test_offloaded_pipelines_give_the_same_numbers(folder):
    """Offloaded to the CPU from the CPU: the hooks are at work, whatever the device."""
    pytest.importorskip("accelerate")
    model = Diffusers(str(folder)).load()
    pipe = placed(load_pipeline(folder, torch.float32), "cpu", "model")
    assert hasattr(pipe.unet, "_hf_hook")
    other = type(model)(model.settings, pipe, "offloaded")
    x, levels = torch.randn(2, *model.shape), [model.schedule.level(0.5)] * 2
    torch.testing.assert_close(
        other.denoise(x, levels, other.encode(PROMPTS[:2])), model.denoise(x, levels, model.encode(PROMPTS[:2]))
    )
    assert (other.decode(x).int() - model.decode(x).int()).abs().max() <= 1


def test_layer_by_layer_offloading_is_asked_of_every_network_for_the_device(folder, monkeypatch):
    """What it then does is accelerate's, and needs a GPU: from the CPU to the CPU its hooks fail on their own."""
    accelerate, asked = pytest.importorskip("accelerate"), []
    monkeypatch.setattr(accelerate, "cpu_offload", lambda module, device, **_: asked.append((module, device)))
    pipe = placed(load_pipeline(folder, torch.float32), "cuda", "sequential")
    assert asked == [(part, torch.device("cuda:0")) for part in (pipe.vae, pipe.text_encoder, pipe.unet)]
    assert pipe.vae.dtype == torch.float32
