"""Trains the pocket's history adapter: first to see and predict looks, then to tell them to the frozen base."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..backbone.construct import new_scheduler
from ..backbone.features import describe_latents
from ..backbone.interface import TextEmbedding
from ..diffusion.inject import ConcatInjection, HistoryConditioning, injected
from ..history.adapter import HistoryAdapter
from ..history.decouple import DecouplingEncoder
from ..history.select import ReferenceName, SelectionSettings, telling_tokens
from ..history.semantics import VideoSemanticExtractor
from ..history.space import TokenSpace, fit_token_space
from ..training.memory import MemoryBatch, Remembered, gather, remember
from ..training.optimise import Optimisers, warmup_stable_decay
from ..training.run import Run, on_device
from ..training.semantics import Teacher, grounding_loss, prediction_loss
from .base import (
    CPU,
    SCHEDULER,
    TEXT_ENCODER,
    TRANSFORMER,
    WHOLE_FROM,
    add_noise,
    computing,
    token_ids,
    token_subset,
    tokenizer,
)
from .batches import FIRST_TRAINING_SEED
from .language import MAX_TOKENS, actor_of_token, tell, told_places
from .latents import CHANNELS, LatentBasis
from .stories import StoryBatches, Told, place_number
from .world import COLOURS, PLACES, SHAPES, draw_story

WIDTH = 128
REFERENCE: ReferenceName = "oldest"  # no copies of copies: in a long film their faults would add up
FARTHEST = 15  # shots ago
SPACE_STORIES = 500
TEXT_DROPOUT = 0.1
CLIP_NOISE = 0.3  # on remembered clips: the extractor must see through faults
GROUNDING = 0.2  # weight of the seeing losses while the adapter learns to tell
TELLING = 0.5  # share of the told prompt's prediction in the target, the rest is the true clip


def new_adapter(space: TokenSpace, selection: SelectionSettings) -> HistoryAdapter:
    text_dim, inner = TEXT_ENCODER["d_model"], TRANSFORMER["num_attention_heads"] * TRANSFORMER["attention_head_dim"]
    extractor = VideoSemanticExtractor(
        text_dim=text_dim,
        visual_dim=4 * CHANNELS,
        width=WIDTH,
        max_tokens=MAX_TOKENS,
        heads=4,
        layers=3,
        clip_layers=2,
    )
    decoupler = DecouplingEncoder(text_dim=text_dim, width=WIDTH)
    return HistoryAdapter(extractor, decoupler, ConcatInjection(history_dim=WIDTH, inner_width=inner), selection, space)


class Probes(nn.Module):
    """Linear readers of colours, shapes and places, used in training only."""

    def __init__(self) -> None:
        super().__init__()
        self.colour = nn.Linear(WIDTH, len(COLOURS))
        self.shape = nn.Linear(WIDTH, len(SHAPES))
        self.place = nn.Linear(WIDTH, len(PLACES))

    def look_loss(self, tokens: Tensor, looks: Tensor, mask: Tensor) -> Tensor:
        """Cross-entropy of colour and shape read off tokens [..., W], against look numbers [...], under `mask`."""
        tokens, looks = tokens[mask], looks[mask]
        if not len(tokens):
            return tokens.sum()
        colour = functional.cross_entropy(self.colour(tokens), looks // len(SHAPES))
        return colour + functional.cross_entropy(self.shape(tokens), looks % len(SHAPES))

    def place_loss(self, tokens: Tensor, places: Tensor, mask: Tensor) -> Tensor:
        if not bool(mask.any()):
            return tokens.sum() * 0.0
        return functional.cross_entropy(self.place(tokens[mask]), places[mask])


@dataclass(frozen=True)
class StorySample:
    """A batch of stories, read: the memory of each, what its tokens stand for, and the embeddings to denoise with.

    clips [N, T, D_v] as they are remembered, which [B, S] of them each sample remembers, own_clip [B, T, D_v] the one
    to be made; looks [B, 3], places [B], past_places [B, S]: numbers of looks and places;
    owners [B, L] and past_owners [B, S, m]: the actor a token speaks of, 3 for the place, -1 for neither;
    told, plain [B, L, D]: the current prompt with and without looks; said [B, L, W_t]: what the told prompt's tokens
    say, as the transformer takes them in, in place of the plain one's; all_known [B]: whether the memory knows every
    actor.
    """

    memory: MemoryBatch
    clips: Tensor
    which: Tensor
    positions: Tensor
    own_clip: Tensor
    owners: Tensor
    past_owners: Tensor
    looks: Tensor
    places: Tensor
    past_places: Tensor
    plain: Tensor
    told: Tensor
    said: Tensor
    all_known: Tensor


class StoryReader:
    """Turns drawn stories into tensors, with the base's own (frozen) text encoder and the film's own selection."""

    def __init__(self, base: Mapping[str, Any], shots: int) -> None:
        self.text_encoder, self.shots = base["text_encoder"], shots
        self.take_in = copy.deepcopy(base["transformer"].patch_embed.text_proj)
        self.words = tokenizer()
        self.space, self.selection = story_space(self.text_encoder)
        self.empty = self._encode([""])[0].embeds

    def _encode(self, prompts: Sequence[str]) -> list[TextEmbedding]:
        return encode_prompts(self.text_encoder, self.words, prompts)

    def read(self, drawn: Mapping[str, Any], generator: torch.Generator) -> StorySample:
        prompts: list[list[Told]] = drawn["prompts"]
        scenes = drawn["scenes"]
        flat = [told.prompt for story in prompts for told in story] + [story[-1].told for story in prompts]
        encoded = iter(self._encode(flat))
        texts = [[next(encoded) for _ in story] for story in prompts]
        telling = [next(encoded) for _ in prompts]
        told = torch.stack([text.embeds for text in telling])
        memory = gather(
            [story[:-1] for story in texts], [story[-1] for story in texts], self.shots, self.selection, self.space
        )
        memory = replace(memory, ages=_any_ages(len(prompts), self.shots, generator))

        past = drawn["past"].flatten(0, 1)
        level = CLIP_NOISE * torch.rand(len(past), 1, 1, 1, 1, generator=generator)
        past = past + level * torch.randn(past.shape, generator=generator)
        own = [describe_latents(clip) for clip in drawn["latents"]]

        batch = len(prompts)
        which = torch.zeros(batch, self.shots, dtype=torch.long)
        owners = torch.stack([_owners(story[-1].pieces) for story in texts])
        past_owners = torch.full(memory.kept.shape, -1)
        past_places = torch.zeros(batch, self.shots, dtype=torch.long)
        known = torch.zeros(batch, 4, dtype=torch.bool)
        for b, story in enumerate(texts):
            first = self.shots - len(story) + 1
            which[b, first:] = (b // self.shots) * self.shots + torch.arange(len(story) - 1)
            for s, text in enumerate(story[:-1]):
                all_owners, kept = _owners(text.pieces), memory.kept[b, first + s]
                past_owners[b, first + s][kept] = all_owners[memory.places[b, first + s][kept]]
                scene = scenes[b][s]
                past_places[b, first + s] = place_number(scene)
                known[b, [int(o) for o in past_owners[b, first + s] if 0 <= o < 3]] = True
                known[b, 3] |= scene.place == scenes[b][-1].place
        last = [story[-1] for story in scenes]
        cast = torch.zeros(batch, 3, dtype=torch.bool)
        for b, scene in enumerate(last):
            cast[b, [role.index for role in scene.roles]] = True
        # What nobody has seen yet cannot be predicted: such tokens are no target.
        owners = torch.where(known.gather(1, owners.clamp(min=0)), owners, -1)
        return StorySample(
            memory=memory,
            clips=torch.stack([describe_latents(clip).tokens for clip in past]),
            which=which,
            positions=own[0].positions,
            own_clip=torch.stack([f.tokens for f in own]),
            owners=owners,
            past_owners=past_owners,
            looks=drawn["looks"],
            places=torch.tensor([place_number(scene) for scene in last]),
            past_places=past_places,
            plain=memory.current,
            told=told,
            said=self._said([story[-1] for story in texts], telling),
            all_known=(known[:, :3] | ~cast).all(dim=1),
        )

    @torch.no_grad()
    def _said(self, plain: Sequence[TextEmbedding], told: Sequence[TextEmbedding]) -> Tensor:
        places = torch.tensor([told_places(a.pieces, b.pieces) for a, b in zip(plain, told, strict=True)])
        embeds = self.take_in(torch.stack([text.embeds for text in told]))
        return embeds.gather(1, places.clamp(min=0)[..., None].expand(-1, -1, embeds.shape[2]))


def _any_ages(batch: int, shots: int, generator: torch.Generator) -> Tensor:
    """Ages [B, S], falling to the last shot's: any number of shots may lie between those that a story remembers."""
    noise = torch.rand(batch, FARTHEST, generator=generator)
    noise[:, 0] -= (torch.rand(batch, generator=generator) < 0.7).float()  # the shot just before is the usual one
    return (noise.argsort(dim=1)[:, :shots] + 1).sort(dim=1, descending=True).values


@torch.no_grad()
def encode_prompts(text_encoder: nn.Module, words: Any, prompts: Sequence[str]) -> list[TextEmbedding]:
    ids = token_ids(words, prompts)
    embeds = text_encoder(input_ids=ids).last_hidden_state
    pieces = [tuple(words.convert_ids_to_tokens(row.tolist())) for row in ids]
    return [TextEmbedding(i, e, (i != 0) & (i != 1), p) for i, e, p in zip(ids, embeds, pieces, strict=True)]


def story_space(text_encoder: nn.Module) -> tuple[TokenSpace, SelectionSettings]:
    """The space in which prompts of the toy world are compared, fitted to the telling tokens of training stories.

    "Actor" counts as another word before each number. The threshold lies halfway between what an actor's name has in
    common with itself (all but one pair in a hundred) and with another's (all but one in a hundred).
    """
    rng = np.random.default_rng(11)
    prompts = []
    for seed in range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + SPACE_STORIES):
        for scene in draw_story(seed, shots=4).scenes:
            prompts.append(tell(scene, rng, told=bool(rng.random() < 0.2), cast_first=bool(rng.random() < 0.5)))
    texts = encode_prompts(text_encoder, tokenizer(), prompts)
    telling = [telling_tokens(text) for text in texts]
    words = [word for text, keep in zip(texts, telling, strict=True) for word in _named_words(text.pieces, keep)]
    embeds = torch.cat([text.embeds[keep] for text, keep in zip(texts, telling, strict=True)])
    space = fit_token_space(embeds, words)
    named = torch.tensor([index for index, word in enumerate(words) if word[-1] in "123"])[:3000]
    names = np.array(words)[named.numpy()]
    units = functional.normalize(space(embeds[named]), dim=-1)
    similarity, same = units @ units.T, torch.from_numpy(names[:, None] == names)
    threshold = (similarity[same].quantile(0.01) + similarity[~same].quantile(0.99)) / 2
    return space, SelectionSettings(threshold=round(float(threshold), 3), reference=REFERENCE)


def _named_words(pieces: Sequence[str], chosen: Tensor) -> list[str]:
    """The words of the tokens `chosen` [L]; "actor" with its number."""
    owners = actor_of_token(pieces)
    return [f"actor {owners[i] + 1}" if pieces[i] == "actor" else pieces[i] for i in chosen.nonzero().flatten()]


def _owners(pieces: Sequence[str]) -> Tensor:
    owners = torch.tensor(actor_of_token(pieces))
    place = torch.tensor([piece in PLACES for piece in pieces])
    return torch.where(place, torch.full_like(owners, 3), owners)


def seeing_loss(
    adapter: HistoryAdapter, probes: Probes, teacher: Teacher, sample: StorySample, found: Remembered
) -> tuple[Tensor, dict[str, float]]:
    """Past tokens know their thing's look in their clip, current ones foretell it and agree with the teacher, and
    history tokens say what a prompt that tells the looks would say."""
    served = sample.memory.served
    actor, past_actor = (sample.owners >= 0) & (sample.owners < 3), (sample.past_owners >= 0) & (sample.past_owners < 3)
    wanted = sample.looks.gather(1, sample.owners.clamp(0, 2))
    past_wanted = sample.looks.gather(1, sample.past_owners.flatten(1).clamp(0, 2)).view(sample.past_owners.shape)
    parts = {
        "seen": probes.look_loss(found.seen, past_wanted, past_actor),
        "foretold": probes.look_loss(found.semantics, wanted, actor & served),
        "told": probes.look_loss(found.tokens, wanted, actor & served),
        "place seen": probes.place_loss(
            found.seen, sample.past_places[:, :, None].expand(sample.past_owners.shape), sample.past_owners == 3
        ),
        "place foretold": probes.place_loss(
            found.semantics, sample.places[:, None].expand(served.shape), (sample.owners == 3) & served
        ),
    }
    injection = adapter.injection
    assert isinstance(injection, ConcatInjection)
    said, wanted_words = injection(found.tokens), sample.said
    known = served & (sample.owners >= 0)
    parts["said"] = grounding_loss(said, wanted_words, known) / wanted_words[known].var(dim=0).mean().clamp(min=1e-6)
    target = teacher.target(sample.plain, sample.own_clip, sample.positions.expand(len(served), -1, -1))
    parts["teacher"] = 0.25 * prediction_loss(found.semantics, target, known)
    total = torch.stack(list(parts.values())).sum()
    return total, {name: round(float(part.detach()), 4) for name, part in parts.items()}


def compact_tokens(tokens: Tensor, served: Tensor) -> tuple[Tensor, Tensor]:
    """History tokens [B, L, W] under `served` moved to the front: [B, n, W] and their mask [B, n]."""
    order = served.int().argsort(dim=1, descending=True, stable=True)[:, : max(1, int(served.sum(dim=1).max()))]
    return tokens.gather(1, order[..., None].expand(-1, -1, tokens.shape[2])), served.gather(1, order)


def open_run(
    folder: Path, adapter: HistoryAdapter, probes: Probes, *, seed: int = 0, save_every: int = 100
) -> tuple[Run, Teacher]:
    """The run of `train_history`, at its newest checkpoint, and the teacher that follows it."""
    modules: dict[str, nn.Module] = {"adapter": adapter, "probes": probes}
    teacher = Teacher(adapter.extractor)
    optimisers = Optimisers(modules, matrix_lr=2e-3, other_lr=1e-3, outer=("probes", "age", "place", "position.0"))
    followers = {"teacher": teacher.extractor}
    run = Run(folder, modules, optimisers, decay=0.995, seed=seed, save_every=save_every, followers=followers)
    return run, teacher


def train_history(
    folder: Path,
    base: Mapping[str, nn.Module],
    basis: LatentBasis,
    *,
    seeing_steps: int,
    steps: int,
    batch: int = 40,
    seed: int = 0,
    workers: int = 1,
    save_every: int = 100,
    device: torch.device = CPU,
) -> HistoryAdapter:
    """`seeing_steps` on the seeing losses alone, then up to `steps` on the frozen base; resumes; returns the
    average."""
    torch.manual_seed(seed)
    transformer = base["transformer"].requires_grad_(False).eval()
    base["text_encoder"].requires_grad_(False).eval()
    # Prompts are read and compared on the CPU, and what comes of it is moved: it is little.
    reader = StoryReader(base, shots=4)
    transformer = transformer.to(device)
    adapter, probes = new_adapter(reader.space, reader.selection).to(device), Probes().to(device)
    run, teacher = open_run(folder, adapter, probes, seed=seed, save_every=save_every)
    alphas_cumprod = new_scheduler(SCHEDULER).alphas_cumprod.float()
    stories = StoryBatches(basis, batch, seed=seed, skip=run.start).ahead(workers)
    for step in range(run.start, steps):
        generator = run.generator(step)
        drawn = next(stories)
        sample = on_device(reader.read(drawn, generator), device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            found = remember(adapter, sample.memory, sample.clips, sample.positions, sample.which)
            loss, report = seeing_loss(adapter, probes, teacher, sample, found)
        telling = step >= seeing_steps
        if telling:
            tokens, mask = compact_tokens(found.tokens, sample.memory.served)
            conditioning = HistoryConditioning(adapter.injection, tokens, mask=mask)
            kept = token_subset(generator) if step < seeing_steps + WHOLE_FROM * (steps - seeing_steps) else None
            shown = _telling_loss(
                transformer, conditioning, sample, drawn, reader.empty, alphas_cumprod, generator, kept
            )
            report["shown"] = round(float(shown.detach()), 4)
            loss = GROUNDING * loss + shown
        if telling:
            factor = warmup_stable_decay(step - seeing_steps, steps - seeing_steps, warmup=50)
        else:
            factor = warmup_stable_decay(step, 10 * seeing_steps, warmup=50)
        run.update(loss, factor)
        teacher.follow(adapter.extractor)
        if step % 20 == 0:
            run.journal.log(step=step, **report)
        run.save_if_due(step, steps)
    run.average.copy_to(run.modules)
    return adapter


def _telling_loss(
    transformer: nn.Module,
    conditioning: HistoryConditioning,
    sample: StorySample,
    drawn: Mapping[str, Any],
    empty: Tensor,
    alphas_cumprod: Tensor,
    generator: torch.Generator,
    kept: Tensor | None,
) -> Tensor:
    """The denoising error of the frozen base with the history tokens.

    Where the memory knows every actor the target is half the true clip, half what the base itself predicts when the
    prompt *tells* the looks: history tokens learn to say what words would say.
    """
    dropped = (torch.rand(len(sample.plain), generator=generator) < TEXT_DROPOUT).to(sample.plain.device)
    embeds = torch.where(dropped[:, None, None], empty.to(sample.plain), sample.plain)
    noised = add_noise(drawn["latents"].to(sample.plain), alphas_cumprod, generator)
    with computing(transformer, kept):
        with torch.no_grad():
            told = transformer(noised.noisy, sample.told, noised.timesteps, return_dict=False)[0]
        with injected(transformer, conditioning):
            output = transformer(noised.noisy, embeds, noised.timesteps, return_dict=False)[0]
    share = TELLING * (sample.all_known & ~dropped).view(-1, 1, 1, 1, 1)
    target = noised.latents + share * (noised.clean(told) - noised.latents)
    return noised.error(output, target, drawn["actors"].to(target), kept).mean()
