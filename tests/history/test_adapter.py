"""The adapter: from remembered shots to history tokens, and its file."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from word_shots import LENGTH, TEXT_DIM, WIDTH, embed, past_of, small_adapter

from mpvg_core.diffusion.inject import ConcatInjection, GatedInjection
from mpvg_core.errors import InputError
from mpvg_core.history.adapter import FORMAT, HistoryAdapter, load_adapter, require_fit, save_adapter
from mpvg_core.history.decouple import DecouplingEncoder
from mpvg_core.history.history import PromptHistory
from mpvg_core.history.select import SelectionSettings, TokenSelection, select_tokens
from mpvg_core.training.memory import gather, remember

PAST = ["a cat is driving", "snow falls", "a dog rides a bicycle"]
NOW = "a cat rides a bicycle"


def tokens_of(adapter, history, current, ages=None, **options):
    selection = select_tokens([shot.text for shot in history], current, SelectionSettings(**options))
    with torch.no_grad():
        return adapter.history_tokens(history, current, selection, ages)


def test_there_is_a_history_token_for_each_served_word_however_long_the_film():
    adapter, now = small_adapter(), embed(NOW)
    counts = {}
    for shots in (1, 2, 3, 10, 50):
        history = past_of([PAST[index % 3] for index in range(shots)])
        counts[shots] = tuple(tokens_of(adapter, history, now).tokens.shape)
    assert counts == {1: (1, WIDTH), 2: (1, WIDTH), 3: (3, WIDTH), 10: (3, WIDTH), 50: (3, WIDTH)}


def test_nothing_selected_gives_no_history_tokens():
    adapter, now = small_adapter(), embed(NOW)
    assert tokens_of(adapter, past_of(["snow falls"]), now) is None
    assert tokens_of(adapter, past_of(PAST), now, threshold=2) is None
    assert tokens_of(adapter, past_of(PAST), now, budget=0) is None
    assert adapter.history_tokens(PromptHistory(), now, TokenSelection((), (), (), ())) is None


def test_shots_of_which_no_word_is_kept_have_no_effect():
    adapter, now, history = small_adapter(), embed(NOW), past_of(PAST)
    selection = select_tokens([shot.text for shot in history], now, SelectionSettings())
    some, kept = PromptHistory((history.shots[0], history.shots[2])), selection.restricted([0, 2])
    with torch.no_grad():
        everything = adapter.history_tokens(history, now, selection).tokens
        assert torch.equal(adapter.history_tokens(some, now, kept, ages=[3, 1]).tokens, everything)
        # Without their true ages the two shots would be taken for neighbours.
        assert not torch.equal(adapter.history_tokens(some, now, kept).tokens, everything)


def test_the_age_and_the_clip_of_a_remembered_shot_matter():
    adapter, now, history = small_adapter(), embed(NOW), past_of(PAST)
    before = tokens_of(adapter, history, now).tokens
    assert (tokens_of(adapter, history, now, ages=[9, 2, 1]).tokens - before).abs().max() > 1e-4
    assert (tokens_of(adapter, past_of(PAST, first_seed=40), now).tokens - before).abs().max() > 1e-3


def test_one_shot_at_a_time_remembers_the_same_as_the_padded_batch_of_training():
    adapter = small_adapter()
    histories = [past_of(PAST), past_of(["a red cat"], 5), past_of(["snow falls", "dog and cat"], 7), PromptHistory()]
    currents = [embed(NOW), embed("cat and red snow"), embed("a cat on snow"), embed("a dog")]
    memory = gather([[s.text for s in h] for h in histories], currents, 4, SelectionSettings())
    positions = past_of(["a"]).shots[0].clip.positions
    clips = torch.full((4, 4, 6, 8), 3.0)
    for row, history in enumerate(histories):
        for index, shot in enumerate(history):
            object.__setattr__(shot.clip, "positions", positions)  # in training all clips have the same patches
            clips[row, 4 - len(history) + index] = shot.clip.tokens
    with torch.no_grad():
        which = torch.arange(clips.shape[0] * clips.shape[1]).view(clips.shape[:2])
        together = remember(adapter, memory, clips.flatten(0, 1), positions, which)
    assert memory.served.sum(dim=1).tolist() == [3, 2, 2, 0]
    for row, (history, now) in enumerate(zip(histories, currents, strict=True)):
        alone = tokens_of(adapter, history, now)
        if alone is None:
            assert not memory.served[row].any()
        else:
            torch.testing.assert_close(alone.tokens, together.tokens[row][memory.served[row]], atol=1e-5, rtol=1e-5)


def test_half_precision_texts_and_clips_are_remembered_in_full_precision():
    adapter, now = small_adapter(), embed(NOW)
    for shot in (history := past_of(PAST)):
        object.__setattr__(shot.text, "embeds", shot.text.embeds.bfloat16())
    object.__setattr__(now, "embeds", now.embeds.bfloat16())
    assert tokens_of(adapter, history, now).tokens.dtype == torch.float32


def test_a_gradient_reaches_every_weight_from_the_history_tokens():
    adapter, now, history = small_adapter().train(), embed(NOW), past_of(PAST)
    selection = select_tokens([shot.text for shot in history], now, SelectionSettings())
    found = adapter.history_tokens(history, now, selection)
    adapter.injection(found.tokens[None]).square().sum().backward()
    still = [name for name, p in adapter.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


def test_an_adapter_comes_back_from_its_file(tmp_path):
    adapter, now, history = small_adapter(), embed(NOW), past_of(PAST)
    path = tmp_path / "Geschichte ä 历史.safetensors"
    save_adapter(adapter, path, dtype=torch.float32, recipe="test", steps=3)
    loaded = load_adapter(path)
    assert loaded.trained == {"recipe": "test", "steps": 3}
    assert loaded.fingerprint == adapter.fingerprint
    assert not loaded.training
    assert loaded.config() == adapter.config()
    assert torch.equal(tokens_of(loaded, history, now).tokens, tokens_of(adapter, history, now).tokens)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_loaded_adapter_has_the_same_fingerprint_every_time_and_when_saved_again(tmp_path, dtype):
    save_adapter(small_adapter(), tmp_path / "a", dtype=dtype)
    first = load_adapter(tmp_path / "a")
    assert load_adapter(tmp_path / "a").fingerprint == first.fingerprint
    save_adapter(first, tmp_path / "b", dtype=dtype)
    assert load_adapter(tmp_path / "b").fingerprint == first.fingerprint
    assert len(first.fingerprint) == 16


def test_the_fingerprint_follows_weights_and_configuration():
    adapter = small_adapter()
    before = adapter.fingerprint
    assert small_adapter().fingerprint == before
    with torch.no_grad():
        adapter.extractor.wanted[3] += 0.25
    assert adapter.fingerprint != before
    assert small_adapter(seed=1).fingerprint != before


def test_a_gated_adapter_comes_back_as_one(tmp_path):
    base = small_adapter()
    injection = GatedInjection(history_dim=WIDTH, heads=2, head_dim=4, blocks=3, chosen=[0, 2])
    adapter = HistoryAdapter(base.extractor, base.decoupler, injection)
    save_adapter(adapter, tmp_path / "g", dtype=torch.float32)
    loaded = load_adapter(tmp_path / "g")
    assert loaded.injection.config() == injection.config()
    assert loaded.fingerprint == adapter.fingerprint


def rewritten(path, change_config=None, change_state=None):
    """The file with another configuration or other weights."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    state = load_file(path)
    config = json.loads(metadata["config"])
    if change_config:
        config = change_config(config)
    if change_state:
        change_state(state)
    save_file(state, path, metadata={**metadata, "config": json.dumps(config)})


@pytest.mark.parametrize(
    "change",
    [
        lambda config: {**config, "format": "mpvg-history-adapter/99"},
        lambda config: {key: value for key, value in config.items() if key != "extractor"},
        lambda config: {**config, "extractor": {**config["extractor"], "width": 15}},
        lambda config: {**config, "extractor": {**config["extractor"], "wings": 2}},
        lambda config: {**config, "decoupler": {**config["decoupler"], "width": 32}},
        lambda config: {**config, "injection": {**config["injection"], "form": "magic"}},
        lambda config: {**config, "injection": "concat"},
        lambda config: {**config, "selection": {"threshold": -3.0, "budget": 3}},
        lambda config: ["a list"],
        lambda config: None,
    ],
)
def test_a_configuration_that_does_not_fit_is_an_error_naming_the_file(tmp_path, change):
    path = tmp_path / "adapter.safetensors"
    save_adapter(small_adapter(), path)
    rewritten(path, change)
    with pytest.raises(InputError, match=f"adapter.safetensors: no history adapter that this version reads.*{FORMAT}"):
        load_adapter(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.pop("extractor.wanted"), "extractor.wanted"),
        (lambda state: state.update({"extractor.wanted": torch.zeros(3)}), "size mismatch for extractor.wanted"),
        (lambda state: state.update(more=torch.zeros(3)), "more"),
        (lambda state: state["extractor.wanted"].fill_(float("nan")), "NaN or infinity in 'extractor.wanted'"),
    ],
)
def test_weights_that_do_not_fit_are_an_error_naming_the_file(tmp_path, change, says):
    path = tmp_path / "adapter.safetensors"
    save_adapter(small_adapter(), path)
    rewritten(path, change_state=change)
    with pytest.raises(InputError, match=f"adapter.safetensors: .*{says}") as caught:
        load_adapter(path)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_adapters_are_named(tmp_path):
    good = tmp_path / "good.safetensors"
    save_adapter(small_adapter(), good)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(good.read_bytes()[:-100])
    other = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, other)
    empty = tmp_path / "empty.safetensors"
    empty.write_bytes(b"")
    for path in (cut, other, empty, tmp_path / "nowhere.safetensors", tmp_path):
        with pytest.raises(InputError) as caught:
            load_adapter(path)
        assert str(caught.value).startswith(f"{path}: "), path


def test_an_adapter_for_other_prompts_does_not_fit():
    adapter = small_adapter()
    require_fit(adapter, text_dim=TEXT_DIM, max_tokens=LENGTH)
    for wrong in ({"text_dim": TEXT_DIM + 1, "max_tokens": LENGTH}, {"text_dim": TEXT_DIM, "max_tokens": 226}):
        with pytest.raises(InputError, match=f"made for prompts of {LENGTH} tokens of {TEXT_DIM} numbers"):
            require_fit(adapter, **wrong, path="a.safetensors")


def test_an_adapter_for_another_transformer_does_not_fit():
    """2b and 5b read prompts alike: only the hooks tell that the adapter belongs to the other."""
    block = torch.nn.Module()
    block.attn1 = torch.nn.Module()
    block.attn1.to_q = torch.nn.Linear(8, 8)
    transformer = torch.nn.Module()
    transformer.transformer_blocks = torch.nn.ModuleList([block])
    numbers = {"text_dim": TEXT_DIM, "max_tokens": LENGTH, "transformer": transformer}
    require_fit(small_adapter(), **numbers)
    assert not block._forward_pre_hooks
    base = small_adapter()
    other = HistoryAdapter(base.extractor, base.decoupler, ConcatInjection(history_dim=WIDTH, inner_width=16))
    with pytest.raises(InputError, match="transformer of width 16, this one has 8"):
        require_fit(other, **numbers)


def test_parts_of_different_widths_make_no_adapter():
    base = small_adapter()
    with pytest.raises(ValueError, match="each should be the same"):
        HistoryAdapter(base.extractor, DecouplingEncoder(text_dim=TEXT_DIM, width=32, heads=2), base.injection)
