"""CLIP and DINO from folders: tiny random models of the real classes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPConfig,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    PreTrainedTokenizerFast,
    ViTConfig,
    ViTModel,
)

from mpvg_core.backbone.encoders import load_encoder
from mpvg_core.errors import InputError, MPVGError

SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
LOOK = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.25], "crop_size": {"height": 32, "width": 32}}
WORDS = ["[PAD]", "[UNK]", "[END]", "a", "red", "boat", "green", "wave"]


def put_look(folder, **changes):
    (folder / "preprocessor_config.json").write_text(json.dumps(LOOK | changes), "utf-8")
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    text = SMALL | {"vocab_size": len(WORDS), "max_position_embeddings": 9, "eos_token_id": 2, "pad_token_id": 0}
    config = CLIPConfig(text_config=text, vision_config=SMALL | {"image_size": 32, "patch_size": 8}, projection_dim=12)
    CLIPModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", eos_token="[END]")
    fast.save_pretrained(folder)
    return put_look(folder)


@pytest.fixture(scope="module", params=["dinov2", "vit"])
def dino(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    if request.param == "vit":
        ViTModel(ViTConfig(**SMALL, image_size=32, patch_size=8), add_pooling_layer=False).save_pretrained(folder)
    else:
        sizes = {key: value for key, value in SMALL.items() if key != "intermediate_size"}
        Dinov2Model(Dinov2Config(**sizes, image_size=32, patch_size=8)).save_pretrained(folder)
    return put_look(folder)


def pictures(*sizes):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, 3)).astype(np.uint8) for height, width in sizes]


def test_dino_gives_the_class_token_of_the_normalised_picture_as_a_unit_vector(dino):
    from transformers import AutoModel

    (picture,) = pictures((32, 32))
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255 - torch.tensor(LOOK["image_mean"])[:, None, None]
    model = AutoModel.from_pretrained(dino).eval()
    with torch.no_grad():
        token = model(pixel_values=pixels / torch.tensor(LOOK["image_std"])[:, None, None]).last_hidden_state[0, 0]
    found = load_encoder("dino", dino).pictures([picture])
    assert np.allclose(found[0], torch.nn.functional.normalize(token, dim=0).numpy(), atol=1e-5)


def test_pictures_of_any_size_are_taken_and_more_than_a_batch(dino):
    found = load_encoder("dino", dino).pictures(pictures(*[(20, 50), (70, 9)] * 10))
    assert found.shape == (20, 16) and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert load_encoder("dino", dino).texts(("a red boat",)) is None


def test_clip_gives_pictures_and_texts_in_one_space_as_the_model_itself_does(clip):
    encoder = load_encoder("clip", clip)
    (picture,) = pictures((32, 32))
    seen, read = encoder.pictures([picture]), encoder.texts(("a red boat", "a green wave"))
    assert seen.shape == (1, 12) and read.shape == (2, 12)
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
    for at, (mean, std) in enumerate(zip(LOOK["image_mean"], LOOK["image_std"], strict=True)):
        pixels[:, at] = (pixels[:, at] - mean) / std
    model = CLIPModel.from_pretrained(clip).eval()
    with torch.no_grad():
        ids = torch.tensor([[3, 4, 5], [3, 6, 7]])
        whole = model(pixel_values=pixels, input_ids=ids, attention_mask=torch.ones_like(ids))
    assert np.allclose(seen, whole.image_embeds.numpy(), atol=1e-5)
    assert np.allclose(read, whole.text_embeds.numpy(), atol=1e-5)


def test_a_text_longer_than_the_model_reads_is_cut(clip):
    assert load_encoder("clip", clip).texts(("a red boat " * 30,)).shape == (1, 12)


def test_a_folder_of_another_model_is_refused_by_its_type(clip, dino):
    with pytest.raises(InputError, match=r"this is a 'clip'; expected a DINO model"):
        load_encoder("dino", clip)
    with pytest.raises(InputError, match=r"expected a CLIP model \(model_type clip\)"):
        load_encoder("clip", dino)


def test_all_that_is_missing_is_told_at_once(tmp_path):
    with pytest.raises(InputError) as caught:
        load_encoder("clip", tmp_path)
    told = str(caught.value)
    for name in ("config.json", "preprocessor_config.json", "tokenizer.json", "no pickled weights"):
        assert name in told
    with pytest.raises(InputError, match="is not there"):
        load_encoder("dino", tmp_path / "none")


def test_pickled_weights_alone_are_no_weights(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "dinov2"}', "utf-8")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(InputError, match="MPVG loads no pickled weights"):
        load_encoder("dino", put_look(tmp_path))


def test_weights_that_do_not_fill_the_model_are_no_model(dino, tmp_path):
    for file in dino.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}), "utf-8")
    with pytest.raises(MPVGError, match="weights are missing"):
        load_encoder("dino", tmp_path)


def test_a_look_that_does_not_fit_names_its_file(dino, tmp_path):
    for file in dino.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    put_look(tmp_path, image_mean=[0.5])
    with pytest.raises(InputError, match=r"preprocessor_config\.json"):
        load_encoder("dino", tmp_path)
