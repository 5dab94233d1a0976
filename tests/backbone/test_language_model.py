"""A local language model: a tiny one with random weights talks nonsense, which is refused with the reason."""

from __future__ import annotations

import pytest
import torch
from typer.testing import CliRunner

from mpvg_core.backbone.language_model import LanguageModel
from mpvg_core.cli.main import app
from mpvg_core.errors import InputError, MPVGError

HELLO = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "a boat"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Llama of 20,000 numbers that knows single letters."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    signs = ["<s>", "</s>", "?", *'abcdefghijklmnopqrstuvwxyz {}[]":,.']
    words = Tokenizer(models.WordLevel({sign: index for index, sign in enumerate(signs)}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    words.decoder = decoders.Fuse()
    folder = tmp_path_factory.mktemp("llm")
    PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(signs),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=12_000,
        bos_token_id=0,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def test_the_same_seed_gives_the_same_reply_and_leaves_torchs_dice_alone(folder):
    before = torch.random.get_rng_state()
    replies = [LanguageModel(folder, seed=seed).reply(HELLO, longest=40) for seed in (1, 1, 2)]
    assert replies[0] == replies[1] != replies[2]
    assert torch.equal(torch.random.get_rng_state(), before)


def test_temperature_zero_takes_the_likeliest_tokens_whatever_the_seed(folder):
    replies = [LanguageModel(folder, seed=seed, temperature=0).reply(HELLO, longest=20) for seed in (1, 2)]
    assert replies[0] == replies[1]


def test_a_chat_template_is_used_where_there_is_one(folder):
    model = LanguageModel(folder)
    plain = model.tokenizer.decode(model._ids(HELLO)[0])
    model.tokenizer.chat_template = "{% for m in messages %}[{{ m.content }}]{% endfor %}"
    assert "user: a boat" in plain
    assert model.tokenizer.decode(model._ids(HELLO)[0]) == "[be brief][a boat]"


def test_a_conversation_that_fills_the_context_is_refused(folder):
    with pytest.raises(MPVGError, match=r"has \d+ tokens, .* reads 12000 in all"):
        LanguageModel(folder).reply([{"role": "user", "content": "a" * 13_000}])


def test_nonsense_becomes_no_board_and_is_kept(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("mpvg_core.backbone.language_model.LONGEST_REPLY", 60)
    monkeypatch.setattr(LanguageModel.reply, "__kwdefaults__", {"longest": 60})
    board = tmp_path / "board.yaml"
    result = CliRunner().invoke(app, ["write", "a boat", "--llm", str(folder), "--out", str(board)])
    assert result.exit_code == 1, result.output
    assert "the reply holds no storyboard" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["board.reply.txt"]
    assert (tmp_path / "board.reply.txt").read_text("utf-8").count("--- reply") == 2


def test_a_folder_that_holds_no_language_model_says_what_is_missing(tmp_path, folder):
    for damage, reason in [
        (lambda: None, "config.json is missing"),
        (lambda: (tmp_path / "config.json").write_text("{"), "is no JSON"),
        (lambda: (tmp_path / "config.json").write_text("{}"), "names no model_type"),
        (lambda: (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes()), "no weights"),
        (lambda: (tmp_path / "model.safetensors").write_bytes(b"x"), "no language model opens"),
    ]:
        damage()
        with pytest.raises(InputError, match=reason):
            LanguageModel(tmp_path)


def test_pickled_weights_are_not_loaded(tmp_path, folder):
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="MPVG loads no pickled weights"):
        LanguageModel(tmp_path)
