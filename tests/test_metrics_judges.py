"""Judges trained on people's choices, by small networks of the published layouts: HPS v2 and ImageReward."""

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from waits import assert_nothing_waits

from sigmabench.eval.metrics.blip import RewardNetwork
from sigmabench.eval.metrics.hps import HPSv2, PreferenceObserver, padded
from sigmabench.eval.metrics.image_reward import ImageReward, RewardObserver, encoded, prepared, vocabulary

PROMPTS = ["a cat", "a red dog in the snow, by night", "ship"]


def noise(n, size=(40, 40)):
    return torch.randint(0, 256, (n, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


# HPS v2: open_clip's layout below the key state_dict


@pytest.fixture(scope="module")
def hps(tmp_path_factory):
    """A small architecture, and its random weights as the published file holds them."""
    import open_clip

    folder = tmp_path_factory.mktemp("hps")
    (folder / "hps-tiny.json").write_text(
        json.dumps({
            "embed_dim": 16,
            "vision_cfg": {"image_size": 224, "layers": 2, "width": 32, "head_width": 16, "patch_size": 56},
            "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
        })
    )  # fmt: skip
    open_clip.add_model_config(folder / "hps-tiny.json")
    torch.manual_seed(0)
    network = open_clip.create_model("hps-tiny", load_weights=False).eval()
    torch.save({"state_dict": network.state_dict(), "epoch": 3}, folder / "HPS_v2.pt")
    save_file(network.state_dict(), folder / "HPS_v2.safetensors")
    return folder, network


@pytest.mark.parametrize("size", [(40, 40), (300, 200), (128, 250)])
def test_hps_is_a_hundred_times_the_cosine_of_the_whole_image(hps, size):
    """As the package hpsv2 1.2.0, whose pixels were found equal and whose scores differ by 2e-5 with such weights."""
    import open_clip
    from torchvision.transforms import v2

    folder, network = hps
    images = noise(3, size)
    scale = 224 / max(size)
    high, wide = (round(side * scale) for side in size)
    left, top = (224 - wide) // 2, (224 - high) // 2
    prepare = v2.Compose([
        v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Resize((high, wide), v2.InterpolationMode.BICUBIC),
        v2.Pad([left, top, 224 - wide - left, 224 - high - top]),
        v2.Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    ])  # fmt: skip
    pixels = torch.stack([prepare(Image.fromarray(image.permute(1, 2, 0).numpy())) for image in images])
    torch.testing.assert_close(padded(images, 224), pixels, atol=1e-5, rtol=0)
    with torch.no_grad():
        seen = network.encode_image(pixels, normalize=True)
        read = network.encode_text(open_clip.get_tokenizer("ViT-H-14")(PROMPTS), normalize=True)
    observer = PreferenceObserver(f"hps-tiny/{folder / 'HPS_v2.pt'}", "cpu")
    got = observer(images, PROMPTS)
    np.testing.assert_allclose(got, 100 * (seen * read).sum(dim=1), atol=1e-4)
    np.testing.assert_allclose(observer(images[1:2], PROMPTS[1:2]), got[1:2], atol=1e-4)


def test_hps_reads_weights_alone_and_says_what_it_cannot(hps, tmp_path):
    folder, _ = hps
    metrics = [HPSv2(model=f"hps-tiny/{folder / name}") for name in ("HPS_v2.pt", "HPS_v2.safetensors")]
    first, second = (metric.observers("cpu")[0] for metric in metrics)
    assert first.name == second.name  # the same weights
    assert_nothing_waits(metrics[0].observers("meta")[0], PROMPTS)
    value = metrics[0].evaluate([{first.name: first(noise(4), [*PROMPTS, "a cat"])}])
    assert (value.n, value.card["metric"], value.card["scale"]) == (4, "hps_v2", "100 cos(image, prompt), raw")
    (tmp_path / "bad.pt").write_bytes(pickle.dumps(Runs()))
    with pytest.raises(ValueError, match="open_clip cannot load"):
        HPSv2(model=f"hps-tiny/{tmp_path / 'bad.pt'}").observers("cpu")
    assert not Runs.ran
    metrics[0].check_prompts(PROMPTS)
    with pytest.raises(ValueError, match=r"prompt 2, .* tokens longer than HPS v2 reads"):
        metrics[0].check_prompts(["a cat", "cat " * 90])
    with pytest.raises(ValueError, match=r"must be the file HPS_v2\.1_compressed\.pt"):
        HPSv2().observers("cpu")


class Runs:
    """What a pickle could do when it is loaded."""

    ran = False

    def __reduce__(self):
        return setattr, (Runs, "ran", True)


# ImageReward: BLIP's layout and a linear head


LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, ",", ".", "cat", "dog", "red", "the", "in", "snow",
    *(f"##{letter}" for letter in LETTERS),
]  # fmt: skip


@pytest.fixture(scope="module")
def parts():
    """BLIP's two networks by transformers, small and random."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    vision = transformers.BlipVisionConfig(
        hidden_size=128, intermediate_size=96, num_hidden_layers=3, num_attention_heads=2, image_size=224,
        patch_size=56, layer_norm_eps=1e-6,
    )  # fmt: skip
    text = transformers.BlipTextConfig(
        hidden_size=64, encoder_hidden_size=128, intermediate_size=80, num_hidden_layers=2, num_attention_heads=1,
        vocab_size=len(VOCABULARY), max_position_embeddings=50,
    )  # fmt: skip
    networks = [
        transformers.BlipVisionModel(vision),
        transformers.models.blip.modeling_blip_text.BlipTextModel(text, False),
    ]
    head = torch.nn.Sequential(*(torch.nn.Linear(a, b) for a, b in ((64, 32), (32, 16), (16, 8), (8, 4), (4, 1))))
    for network in (*networks, head):
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return [network.eval() for network in (*networks, head)]


@pytest.fixture(scope="module")
def reward(parts, tmp_path_factory):
    """A folder as ImageReward's is, with the same weights by the names of the published file."""
    vision, text, head = parts
    names = {
        "embeddings.class_embedding": "cls_token", "embeddings.position_embedding": "pos_embed",
        "embeddings.patch_embedding": "patch_embed.proj", "encoder.layers.": "blocks.", "layer_norm": "norm",
        "self_attn.qkv": "attn.qkv", "self_attn.projection": "attn.proj", "post_layernorm": "norm",
    }  # fmt: skip
    state = {}
    for name, value in vision.state_dict().items():
        for theirs, published in names.items():
            name = name.replace(theirs, published)
        state[f"blip.visual_encoder.{name}"] = value
    state |= {f"blip.text_encoder.{name}": value for name, value in text.state_dict().items()}
    for place, layer in zip((0, 2, 4, 6, 7), head, strict=True):  # dropout is between
        state |= {f"mlp.layers.{place}.{name}": value for name, value in layer.state_dict().items()}
    state["blip.text_proj.weight"] = torch.zeros(2, 2)  # the published file has more than the score needs
    folder = tmp_path_factory.mktemp("reward") / "ImageReward"
    folder.mkdir()
    torch.save(state, folder / "ImageReward.pt")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    return folder, state


def test_image_reward_is_blips_answer_through_the_head(parts, reward):
    """As transformers' BLIP; the package image-reward's own network gave the same to 2e-7 with such weights."""
    vision, text, head = parts
    folder, _ = reward
    observer, images = RewardObserver(str(folder), "cpu"), noise(3, (40, 60))
    got = observer(images, PROMPTS)
    expected = []
    for image, prompt in zip(images, PROMPTS, strict=True):
        tokens = torch.tensor([encoded(observer.words, prompt)])
        with torch.no_grad():
            seen = vision(prepared(image[None], 224)).last_hidden_state
            states = text(tokens, encoder_hidden_states=seen, is_decoder=False).last_hidden_state
            expected.append(float(head(states[:, 0])))
    np.testing.assert_allclose(got * 1.0333394966054072 + 0.16717362830052426, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(observer(images[1:2], PROMPTS[1:2]), got[1:2], rtol=1e-5, atol=1e-6)
    metric = ImageReward(model=str(folder))
    assert_nothing_waits(metric.observers("meta")[0], PROMPTS)
    value = metric.evaluate([{observer.name: got}])
    assert value.value == pytest.approx(got.mean().item(), rel=1e-6)
    assert value.card["model"].startswith("ImageReward-")


def test_words_are_cut_as_berts_are(reward):
    transformers = pytest.importorskip("transformers")
    folder, _ = reward
    theirs = transformers.BertTokenizerFast.from_pretrained(folder)
    words = vocabulary(folder / "vocab.txt")
    for prompt in ("The cat,in  SNOW.", "a réd dogs", "catdog \t zebra!", "猫 cat", ""):
        assert encoded(words, prompt) == theirs(prompt)["input_ids"], prompt


def test_image_reward_says_what_it_cannot_use(reward, tmp_path):
    folder, state = reward
    metric = ImageReward(model=str(folder))
    metric.check_prompts(PROMPTS)
    with pytest.raises(ValueError, match=r"prompt 2, .* tokens longer than ImageReward reads"):
        metric.check_prompts(["a cat", "cat " * 34])
    with pytest.raises(ValueError, match=r"must be a folder with ImageReward\.safetensors or ImageReward\.pt"):
        ImageReward(model=str(tmp_path)).observers("cpu")
    with pytest.raises(ValueError, match="they are not ImageReward's"):
        RewardNetwork({name: value for name, value in state.items() if "crossattention" not in name})
    with pytest.raises(ValueError, match=r"lack blip\.text_encoder\.encoder\.layer\.1\.output\.dense\.bias"):
        RewardNetwork({name: value for name, value in state.items() if "layer.1.output.dense.bias" not in name})
    (tmp_path / "vocab.txt").write_text("[UNK]\n")
    (tmp_path / "ImageReward.pt").write_bytes(pickle.dumps(Runs()))
    with pytest.raises(ValueError, match="cannot be read as weights alone"):
        ImageReward(model=str(tmp_path)).observers("cpu")
    assert not Runs.ran
