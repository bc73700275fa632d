"""PickScore with a small CLIP model made here: the formula, the preprocessing and the refusals."""

import numpy as np
import pytest
import torch
from PIL import Image
from waits import assert_nothing_waits

from sigmabench.eval.metrics.pick_score import PickObserver, PickScore, prepared

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    tower = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.CLIPConfig(
        text_config={**tower, "vocab_size": 49408, "max_position_embeddings": 77, "eos_token_id": 49407},
        vision_config={**tower, "image_size": 224, "patch_size": 56},
        projection_dim=8,
    )
    path = tmp_path_factory.mktemp("models") / "pick-tiny"
    transformers.CLIPModel(config).save_pretrained(path)
    return path


def noise(n, size=(40, 40)):
    return torch.randint(0, 256, (n, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_the_score_is_the_scaled_cosine_of_the_model(folder):
    import open_clip

    images, prompts = noise(4), ["a cat", "a red dog in the snow", "a cat", "ship"]
    clip = transformers.CLIPModel.from_pretrained(folder).eval()
    tokens = open_clip.get_tokenizer("ViT-H-14")(prompts)
    with torch.no_grad():
        logits = clip(input_ids=tokens, pixel_values=prepared(images)).logits_per_image
    observer = PickObserver(str(folder), "cpu")
    got = observer(images, prompts)
    np.testing.assert_allclose(got, logits.diagonal().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(observer(images[2:3], prompts[2:3]), got[2:3], rtol=1e-4, atol=1e-6)
    assert_nothing_waits(PickScore(model=str(folder)).observers("meta")[0], prompts)
    value = PickScore(model=str(folder)).evaluate([{observer.name: got}])
    assert value.value == pytest.approx(got.mean().item(), rel=1e-6)
    assert value.card["model"].startswith("pick-tiny-")


@pytest.mark.parametrize("size", [(40, 40), (30, 50), (260, 240)])
def test_images_are_prepared_as_clip_wants_them(size):
    from torchvision import transforms as T

    prepare = T.Compose([
        T.Resize(224, T.InterpolationMode.BICUBIC), T.CenterCrop(224), T.ToTensor(),
        T.Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    ])  # fmt: skip
    images = noise(2, size)
    expected = torch.stack([prepare(Image.fromarray(image.permute(1, 2, 0).numpy())) for image in images])
    torch.testing.assert_close(prepared(images), expected, atol=1e-5, rtol=0)


def test_prompts_that_would_be_cut_and_missing_weights_are_refused(folder, tmp_path):
    PickScore().check_prompts(["a cat"])
    with pytest.raises(ValueError, match=r"prompt 2, .* tokens longer than PickScore reads"):
        PickScore().check_prompts(["a cat", "cat " * 90])
    with pytest.raises(ValueError, match="prompt 1, ' ', is empty"):
        PickScore().check_prompts([" "])
    with pytest.raises(ValueError, match="cannot load PickScore from"):
        PickScore(model=str(tmp_path)).observers("cpu")
