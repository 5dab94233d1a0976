"""BLIP from a folder: a tiny one of the real classes, whose bias makes it say one word."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from mpvg_core.backbone.captions import BlipCaptioner
from mpvg_core.errors import InputError, MPVGError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "the", "dog", "cat", "tree", "runs", "sleeps"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import torch
    from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

    folder = tmp_path_factory.mktemp("blip")
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {"vocab_size": len(WORDS), "max_position_embeddings": 64, "encoder_hidden_size": 16}
    ends = {"bos_token_id": 2, "pad_token_id": 0, "eos_token_id": 3, "sep_token_id": 3}
    vision = {"image_size": 32, "patch_size": 16}
    torch.manual_seed(0)
    config = BlipConfig(text_config={**small, **text, **ends}, vision_config={**small, **vision})
    model = BlipForConditionalGeneration(config)
    with torch.no_grad():
        model.text_decoder.cls.predictions.bias[WORDS.index("dog")] = 9.0
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", "utf-8")
    tokenizer = BertTokenizer(str(folder / "vocab.txt"))
    BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder)
    return folder


def pictures(*colours):
    return [np.full((40, 60, 3), colour, np.uint8) for colour in colours]


def test_a_folder_speaks_the_same_words_for_the_same_picture(folder):
    captioner = BlipCaptioner(folder, device="cpu")
    said = captioner.describe(pictures(0, 128, 255))
    assert set(said.split()) == {"dog"} and said == captioner.describe(pictures(0, 128, 255), ["earlier"])


def test_it_looks_at_the_middle_picture(folder, monkeypatch):
    captioner = BlipCaptioner(folder, device="cpu")
    seen = []
    processor = captioner._processor

    class Watched:
        batch_decode = processor.batch_decode

        def __call__(self, images, **how):
            seen.append(int(images.mean()))
            return processor(images=images, **how)

    monkeypatch.setattr(captioner, "_processor", Watched())
    captioner.describe(pictures(0, 128, 255))
    assert seen == [128]


def test_other_weights_have_another_name(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    names = [BlipCaptioner(place, device="cpu").name for place in (folder, folder, other)]
    assert names[0] == names[1] != names[2] and names[0].startswith("blip ")


def test_pickled_weights_are_refused(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    (other / "model.safetensors").rename(other / "pytorch_model.bin")
    with pytest.raises(InputError, match="MPVG loads no pickled weights"):
        BlipCaptioner(other)


def test_a_folder_of_another_model_is_refused_before_it_is_loaded(folder, tmp_path):
    with pytest.raises(InputError, match=r"config\.json cannot be read"):
        BlipCaptioner(tmp_path)
    other = shutil.copytree(folder, tmp_path / "other")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    for change in ({"model_type": "clip"}, {"architectures": ["BlipForQuestionAnswering"]}):
        (other / "config.json").write_text(json.dumps({**config, **change}), "utf-8")
        with pytest.raises(InputError, match="expected BLIP for captions"):
            BlipCaptioner(other)


def test_a_damaged_folder_is_an_error_that_names_it(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    weights = other / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(MPVGError, match="the weights do not load"):
        BlipCaptioner(other)
