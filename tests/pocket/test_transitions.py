"""Two-scene clips of the toy world, their prompts, and what the bench reads from them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice, permutations
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mpvg_core.errors import InputError
from mpvg_core.evaluate.cuts import CutSettings
from mpvg_core.evaluate.segments import count_segments
from mpvg_core.pocket.base import token_ids, tokenizer
from mpvg_core.pocket.batches import FIRST_TRAINING_SEED, as_pixels
from mpvg_core.pocket.latents import LatentBasis
from mpvg_core.pocket.reader import agreement, read_clip
from mpvg_core.pocket.transition_bench import Made, bench_prompts, group_row, known_clips
from mpvg_core.pocket.transition_report import table, write_report
from mpvg_core.pocket.transitions import (
    CUT_FRAME,
    CUT_LATENT,
    KINDS,
    CutBatches,
    Cutting,
    draw_cut,
    draw_cutting,
    is_held_out,
    measured_basis,
)
from mpvg_core.pocket.world import PLACES, SIZE, draw_scene, draw_story
from mpvg_core.storyboard.readers.transition import split_explicit


def drawn(kind, number: int, *, held_out: bool = False) -> list[Cutting]:
    return [draw_cutting(kind, np.random.default_rng([seed, 5]), seed, held_out=held_out) for seed in range(number)]


def made(cutting: Cutting, clip: np.ndarray, seed: int = 0) -> Made:
    return Made(cutting, seed, clip, count_segments(clip))


# ----------------------------------------------------------------------------------------------------------- clips


def test_a_cut_between_any_two_places_is_found_where_it_is() -> None:
    for seed, (first, second) in enumerate(permutations(PLACES, 2)):
        scenes = draw_story(seed, shots=2).scenes
        clip = draw_cut([replace(scenes[0], place=first), replace(scenes[1], place=second)])
        cuts = count_segments(clip).cuts
        assert [(cut.frame, cut.kind) for cut in cuts] == [(CUT_FRAME, "cut")], (first, second)


def test_no_clip_of_one_scene_is_cut() -> None:
    for seed in range(60):
        clip = draw_scene(draw_story(seed, shots=1).scenes[0])
        assert len(count_segments(clip).segments) == 1, seed


def test_both_scenes_of_a_clip_can_be_read() -> None:
    for cutting in drawn("explicit", 6):
        clip = draw_cut(cutting.scenes)
        for part, scene in zip((clip[:CUT_FRAME], clip[CUT_FRAME:]), cutting.scenes, strict=True):
            found = agreement(read_clip(part), scene)
            assert found["place"]
            assert found["count"]


def test_the_closed_form_holds_a_cut_exactly(basis: LatentBasis) -> None:
    for cutting in drawn("implied", 3):
        joined = basis.encode(as_pixels(draw_cut(cutting.scenes)[None]))[0]
        first, second = (basis.encode(as_pixels(draw_scene(scene)[None]))[0] for scene in cutting.scenes)
        assert torch.allclose(joined, torch.cat([first[:CUT_LATENT], second[CUT_LATENT:]]), atol=1e-5)


# --------------------------------------------------------------------------------------------------------- prompts


@pytest.mark.parametrize("kind", KINDS)
def test_every_prompt_is_in_words_that_the_pocket_knows_and_fits(kind) -> None:
    words = tokenizer()
    prompts = [cutting.prompt for held_out in (False, True) for cutting in drawn(kind, 150, held_out=held_out)]
    assert token_ids(words, prompts).shape == (300, 40)  # raises for an unknown word or too many


def test_explicit_prompts_are_read_as_two_scenes_and_the_others_are_not_marked() -> None:
    assert all(len(split_explicit(cutting.prompt)) == 2 for cutting in drawn("explicit", 30))
    assert not any(split_explicit(cutting.prompt) for kind in KINDS[:3] for cutting in drawn(kind, 30))


def test_prompts_want_as_many_segments_as_they_have_scenes() -> None:
    assert [drawn(kind, 1)[0].wanted for kind in KINDS] == [1, 1, 2, 2]


def test_one_scene_told_twice_has_several_sentences_and_one_scene() -> None:
    for cutting in drawn("told twice", 20):
        assert cutting.prompt.count(".") == len(cutting.scenes[0].roles) + 1
        assert len(cutting.scenes) == 1


def test_the_two_scenes_of_a_clip_differ_in_place() -> None:
    assert all(cutting.scenes[0].place != cutting.scenes[1].place for cutting in drawn("implied", 60))


def test_no_held_out_scenes_are_trained_on_and_every_pair_of_places_is_in_both_parts(basis: LatentBasis) -> None:
    for kind in KINDS:
        assert not any(is_held_out(cutting.scenes) for cutting in drawn(kind, 100))
        assert all(is_held_out(cutting.scenes) for cutting in drawn(kind, 100, held_out=True))
    for held_out in (False, True):
        pairs = {tuple(s.place for s in cutting.scenes) for cutting in drawn("explicit", 350, held_out=held_out)}
        assert len(pairs) == len(PLACES) * (len(PLACES) - 1)
    trained = {prompt for batch in islice(iter(CutBatches(basis, 8, seed=0)), 12) for prompt in batch["prompts"]}
    benched = {cutting.prompt for group in bench_prompts(20).values() for cutting in group}
    assert not trained & benched


def test_batches_mix_all_kinds_and_are_the_same_again(basis: LatentBasis) -> None:
    batches = list(islice(iter(CutBatches(basis, 16, seed=0)), 8))
    assert batches[0]["latents"].shape == (16, 5, 16, 16, 16)
    marked = [bool(split_explicit(prompt)) for batch in batches for prompt in batch["prompts"]]
    assert 0.15 < np.mean(marked) < 0.45
    later = next(iter(CutBatches(basis, 16, seed=0, skip=3)))
    assert later["prompts"] == batches[3]["prompts"]
    assert torch.equal(later["latents"], batches[3]["latents"])


def test_every_word_of_a_scene_is_known_to_speak_of_it(basis: LatentBasis) -> None:
    words = tokenizer()
    seen = set()
    for batch in islice(iter(CutBatches(basis, 16, seed=0)), 4):
        for prompt, scenes in zip(batch["prompts"], batch["scenes"].tolist(), strict=True):
            ids = words(prompt).input_ids
            spoken = {
                number: words.decode([i for i, scene in zip(ids, scenes, strict=False) if scene == number])
                for number in (0, 1, 2)
            }
            marked = split_explicit(prompt)
            seen.add(bool(marked))
            if spoken[2]:
                assert not spoken[0] + spoken[1]
                assert len(spoken[2].split()) == len(ids) - 1
            else:
                assert any(place in spoken[0] for place in PLACES)
                assert any(place in spoken[1] for place in PLACES)
                assert "scene" not in spoken[0] + spoken[1] and "then" not in spoken[0] + spoken[1]
    assert seen == {True, False}


# ---------------------------------------------------------------------------------------------------- latent space


@dataclass
class Encoder:
    """Stands in for a model of the toy world; `spoil` changes what its encoder gives."""

    basis: LatentBasis
    spoil: float = 0.0
    name: str = "stand-in"
    latent_channels: int = 16
    size: int = SIZE

    def limits(self) -> SimpleNamespace:
        return SimpleNamespace(width=self.size, height=self.size)

    def encode_clip(self, clip: np.ndarray) -> torch.Tensor:
        latents = self.basis.encode(as_pixels(clip[None]))[0]
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(int(clip.sum()) % 2**31))
        return latents + self.spoil * noise


def test_a_models_latent_space_is_measured_from_its_encoder(basis: LatentBasis) -> None:
    found = measured_basis(Encoder(basis, spoil=0.05))
    seeds = range(FIRST_TRAINING_SEED + 500, FIRST_TRAINING_SEED + 506)
    pixels = as_pixels(np.stack([draw_scene(draw_story(seed, shots=1).scenes[0]) for seed in seeds]))
    right = basis.encode(pixels)
    assert float((found.encode(pixels) - right).square().mean() / right.square().mean()) < 2e-3


@pytest.mark.parametrize("change", [{"spoil": 1.0}, {"size": 128}, {"latent_channels": 4}])
def test_a_model_of_another_world_is_refused(basis: LatentBasis, change) -> None:
    with pytest.raises(InputError, match="data set with --data"):
        measured_basis(Encoder(basis, **change))


# ----------------------------------------------------------------------------------------------------------- bench


def test_the_bench_has_as_many_different_held_out_prompts_as_asked_for() -> None:
    groups = bench_prompts(50)
    assert {group: len({cutting.prompt for cutting in some}) for group, some in groups.items()} == {
        "A": 50, "A2": 50, "B": 50, "C": 50,
    }  # fmt: skip
    assert {group: {cutting.wanted for cutting in some} for group, some in groups.items()} == {
        "A": {1}, "A2": {1}, "B": {2}, "C": {2},
    }  # fmt: skip


def test_true_clips_have_what_is_wanted_and_every_place_right() -> None:
    for group, cuttings in bench_prompts(5).items():
        row = group_row([made(cutting, draw_cut(cutting.scenes)) for cutting in cuttings])
        assert row.segments.mean == row.segments.wanted == (2 if group in "BC" else 1)
        assert row.segments.error == 0
        assert row.place.mean == row.all_places.mean == 1
        assert row.motion.mean > 0.9


def test_scenes_in_the_wrong_order_are_wrong_and_so_is_a_scene_that_is_missing() -> None:
    cuttings = bench_prompts(8)["C"]
    swapped = group_row([made(cutting, draw_cut(cutting.scenes[::-1])) for cutting in cuttings])
    assert swapped.segments.error == 0
    assert swapped.place.mean == swapped.all_places.mean == 0
    first_only = group_row([made(cutting, draw_cut(cutting.scenes[:1])) for cutting in cuttings])
    assert (first_only.segments.mean, first_only.segments.error) == (1, 1)
    assert (first_only.place.mean, first_only.all_places.mean) == (0.5, 0)


def test_a_clip_cut_where_one_scene_is_wanted_is_counted_as_such() -> None:
    (one,), (two,) = bench_prompts(1)["A"], bench_prompts(1)["C"]
    row = group_row([made(one, draw_cut(two.scenes))])
    assert (row.segments.mean, row.segments.error, row.all_places.mean) == (2, 1, 0)


def test_an_actor_who_changes_colour_within_a_scene_or_over_a_cut_is_seen() -> None:
    one = next(one for one in bench_prompts(8)["A"] if len(one.scenes[0].roles) == 1)
    two = next(
        two for two in bench_prompts(20)["C"] if two.scenes[0].roles[0].index == two.scenes[1].roles[0].index
        and len(two.scenes[0].roles) == len(two.scenes[1].roles) == 1
    )  # fmt: skip
    for cutting in (one, two):
        clip = draw_cut(cutting.scenes)
        last = cutting.scenes[-1]
        (role,) = last.roles
        other = "green" if role.look.colour != "green" else "blue"
        changed = replace(last, roles=(replace(role, look=replace(role.look, colour=other)),))
        spoilt = clip.copy()
        spoilt[CUT_FRAME:] = draw_scene(changed)[CUT_FRAME:]
        assert group_row([made(cutting, clip)]).colour.mean == 1
        assert group_row([made(cutting, spoilt)]).colour.mean == 0


def test_a_frozen_clip_is_seen_not_to_move() -> None:
    # A raised arm waves even in one picture.
    cutting = next(one for one in bench_prompts(8)["A"] if one.scenes[0].roles[0].motion != "waving")
    clip = draw_cut(cutting.scenes)
    frozen = np.repeat(clip[:1], len(clip), axis=0)
    still, moving = group_row([made(cutting, frozen)]), group_row([made(cutting, clip)])
    assert still.moves.mean == 0 < moving.moves.mean
    assert still.motion.mean == 0 < moving.motion.mean


class Decoder(Encoder):
    """Gives the pixels back, the first frame after a cut mixed with the one before by `ghost`."""

    ghost = 0.0

    def decode(self, latents: torch.Tensor):
        still = latents.permute(0, 2, 3, 1)[..., :10] / self.basis.scale[:10]
        blocks = still @ self.basis.static + self.basis.mean  # (F, h, w, 48)
        rows, columns = blocks.shape[1:3]
        pictures = blocks.reshape(-1, rows, columns, 4, 4, 3).permute(0, 1, 3, 2, 4, 5).reshape(-1, 64, 64, 3)
        clip = torch.cat([pictures[:1], pictures[1:].repeat_interleave(4, dim=0)])
        clip[CUT_FRAME] = (1 - self.ghost) * clip[CUT_FRAME] + self.ghost * clip[CUT_FRAME - 1]
        yield ((clip + 1) * 127.5).round().clamp(0, 255).byte().numpy()


def test_known_clips_say_what_the_detector_misses(basis: LatentBasis) -> None:
    sharp = known_clips(Decoder(basis), basis, CutSettings())
    assert (sharp.found, sharp.false, sharp.pairs_missed, sharp.clips) == (1.0, 0.0, (), 60)
    assert sharp.highest_other < 27 < sharp.lowest_cut
    blurred = Decoder(basis)
    blurred.ghost = 0.6
    ghosts = known_clips(blurred, basis, CutSettings())
    assert ghosts.lowest_cut < sharp.lowest_cut
    assert ghosts.found < 1
    assert len(ghosts.pairs_missed) == round((1 - ghosts.found) * 30)


def test_table_sheets_and_json_are_written(tmp_path) -> None:
    clips = {
        name: {
            group: [made(cutting, draw_cut(cutting.scenes)) for cutting in cuttings]
            for group, cuttings in bench_prompts(2).items()
        }
        for name in ("before", "after")
    }
    rows = {name: {group: group_row(some) for group, some in groups.items()} for name, groups in clips.items()}
    files = write_report(rows, clips, ["a note"], {"steps": 2}, tmp_path / "out")
    assert Counter(file.suffix for file in files) == {".md": 1, ".json": 1, ".png": 8}
    assert all(file.stat().st_size for file in files)
    assert "| C | after | 2.000 ± 0.000 |" in table(rows)
    assert "| A | TAV's table | 1.18 before, 2.38 after |" in table(rows)
