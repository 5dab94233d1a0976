"""Token ids without torch, against transformers' own tokenizers."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpvg_core.backbone.tokens import load_words

CORPUS = [
    "a cat rides a red bicycle on the playground", "the dog is skiing on the snow, it looks happy",
    "an astronaut walks slowly across the moon", "two children play with a ball in the park at night",
    "close-up of an old man's face; he smiles", "the camera moves left and the light fades",
]  # fmt: skip
TEXTS = [
    "", " ", "a cat rides a bicycle", "A  Cat,  riding\ta\nbicycle!", "naïve café — 第一个场景", "ＦＵＬＬ　ｗｉｄｔｈ",
    "under_score (brackets) [1] 50%", " leading and trailing ", "é é", "🙂 smile", "ﬁne ﬂow",
]  # fmt: skip


@pytest.fixture(scope="module")
def piece_folder(tmp_path_factory) -> Path:
    from sentencepiece import SentencePieceTrainer

    folder = tmp_path_factory.mktemp("词 tokenizer")
    with (folder / "spiece.model").open("wb") as model:
        SentencePieceTrainer.train(
            sentence_iterator=iter(CORPUS * 4), model_writer=model, vocab_size=90, model_type="unigram", pad_id=0,
            eos_id=1, unk_id=2, bos_id=-1, hard_vocab_limit=False, minloglevel=2, num_threads=1,
        )  # fmt: skip
    return folder


def test_a_sentencepiece_model_gives_the_ids_of_transformers_t5(piece_folder):
    from transformers import T5Tokenizer

    stock = T5Tokenizer.from_pretrained(piece_folder, extra_ids=0)
    words = load_words(piece_folder)
    for text in TEXTS:
        assert words.ids(text) == stock(text).input_ids, text


def test_the_same_model_saved_by_transformers_gives_the_same_ids(piece_folder, tmp_path):
    from transformers import T5Tokenizer

    T5Tokenizer.from_pretrained(piece_folder, extra_ids=0).save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").is_file()
    pieces, words = load_words(piece_folder), load_words(tmp_path)
    for text in TEXTS:
        assert words.ids(text) == pieces.ids(text), text
    ids = pieces.ids(TEXTS[2])
    assert words.pieces(ids) == pieces.pieces(ids)
    assert words.unknown("zebra 第") == pieces.unknown("zebra 第") == ()
    assert words.known() == pieces.known() == ()


def test_pieces_say_where_words_begin_and_specials_what_they_are(piece_folder):
    words = load_words(piece_folder)
    assert words.pieces([0, 1, 2]) == ["<pad>", "</s>", "<unk>"]
    assert "".join(words.pieces(words.ids("a cat rides")[:-1])) == "▁a▁cat▁rides"


def test_whole_words_give_the_ids_of_the_stock_tokenizer(folders):
    from transformers import AutoTokenizer

    stock = AutoTokenizer.from_pretrained(folders["2b"] / "tokenizer")
    words = load_words(folders["2b"] / "tokenizer")
    for text in [*TEXTS, "Actor 12 rides. A CAT runs,snow", "a " * 30]:
        assert words.ids(text) == stock(text).input_ids, text


def test_unknown_words_are_told_once_as_they_were_written(folders):
    words = load_words(folders["2b"] / "tokenizer")
    assert words.unknown("A Cat rides Naïve zebras, Zebras and zebras; 第一") == (
        *("Naïve", "zebras", "Zebras", "and", ";", "第一"),
    )
    assert words.unknown("actor 1 runs.") == ()
