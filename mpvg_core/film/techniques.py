"""From the methods a storyboard asks for to the techniques of the one loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..diffusion.frames import latent_frames
from ..diffusion.guidance import HistoryGuidance
from ..diffusion.noise import shot_noise
from ..diffusion.predict import Guided, Predict
from ..errors import InputError, Problem
from ..history.select import telling_tokens
from ..methods.causal import causal_attention
from ..methods.codenoise import codenoise
from ..methods.control import Control as Controlling
from ..methods.control import control, control_latents
from ..methods.control_adapter import load_control_adapter
from ..methods.edit import latent_mask, masked_edit, paste, video_to_video, video_to_video_by_inversion
from ..methods.freenoise import freenoise
from ..methods.infill import Segment, bridge_latents, bridged, infill, plan_infill, start_end
from ..methods.keep_look import keep_look, look_tokens
from ..methods.noises import MOVING, box_path, moving_noise, noise_of_boxes, path, same_background, shared_noise
from ..methods.one_shot import one_shot, read_tuning
from ..methods.regions import Region, regions
from ..methods.regions import Regions as Acting
from ..methods.shared_attention import Anchor
from ..methods.structure import canny_clip, layout_clip
from ..methods.technique import Technique, require_compatible
from ..methods.temporal_adapter import read_temporal_adapter, temporal_adapter
from ..methods.windows import plan_windows
from ..storyboard.box import Box
from ..storyboard.layout import tracks
from ..storyboard.method import (
    Causal,
    Control,
    CrossShot,
    Edit,
    Ends,
    KeepLook,
    MovingNoise,
    OneShot,
    Regions,
    SameBackground,
    SharedNoise,
    Windows,
)
from ..storyboard.seeds import shot_seed
from ..storyboard.words import shot_label
from .asked import Asked, Model
from .pictures import covering, read_picture
from .reading import read_frames

if TYPE_CHECKING:
    from ..backbone.interface import TextEmbedding

Frames = Iterator[np.ndarray]

_EARLY = 1e-3  # seconds by which a frame may come before its time: files round theirs


@dataclass(frozen=True)
class Ways:
    """How a take is made: its techniques, and what is done to its frames as they leave the decoder."""

    techniques: tuple[Technique, ...] = ()
    finish: Callable[[Frames], Frames] | None = None


def ways_of(asked: Asked) -> Ways:
    """The techniques of all methods of a take, and windows where it is longer than the model's clips.

    Raises InputError that names the shot for methods that do not go together and files that do not serve.
    """
    found: list[Technique] = []
    finish = None
    chosen = asked.method.chosen
    try:
        for settings in chosen.values():
            match settings:
                case KeepLook():
                    found += _keep_look(asked, settings)
                case SharedNoise():
                    found.append(_shared_noise(asked, settings))
                case SameBackground():
                    found.append(_same_background(asked, settings))
                case MovingNoise():
                    found.append(_moving_noise(asked, settings))
                case Edit():
                    techniques, finish = _edit(asked, settings)
                    found += techniques
                case Ends():
                    found += _ends(asked, settings)
                case Regions():
                    found.append(_regions(asked, settings))
                case Control():
                    found.append(_control(asked, settings))
                case CrossShot():
                    found.append(_cross_shot(asked, settings))
                case OneShot():
                    found.append(one_shot(read_tuning(asked.files[settings.tuning]), settings.strength))
                case Causal():
                    found.append(causal_attention(settings.window))
        found = _in_order([*found, *_windows(asked, asked.method.windows or None)])
        require_compatible(found)
    except InputError as error:
        raise InputError(
            replace(problem, where=f"{asked.label}: {problem.where}") for problem in error.problems
        ) from error
    return Ways(tuple(found), finish)


def _in_order(techniques: Sequence[Technique]) -> list[Technique]:
    """Noise moves through the whole shot after FreeNoise has laid it, which would shuffle the way that it goes."""
    return sorted(techniques, key=lambda technique: technique.name == MOVING)


def filled_in(asked: Asked, coarse: Tensor, shoot: Callable[[int, Sequence[Technique]], Tensor]) -> Frames:
    """The frames of a shot that is made coarse to fine, from the latents [F, C, h, w] of its coarse clip.

    shoot: a clip's latents from its seed, with the techniques that hold its ends. Raises what `plan_infill` raises.
    """
    how = asked.method.infill
    assert how, "the shot is made coarse to fine"

    def of_level(segments: Sequence[Segment], held: Sequence[Technique]) -> Tensor:
        if segments[0].level == 0:
            return coarse[None]
        return torch.stack([shoot(shot_seed(asked.seed, segment.name), held) for segment in segments])

    plan = plan_infill(asked.clip_frames, how.depth, how.keys)
    return infill(plan, of_level, asked.backbone, strength=how.strength)


def _windows(asked: Asked, settings: Windows | None) -> list[Technique]:
    if asked.shape[1] <= _window(asked) and not asked.spans:
        return []
    how = settings or Windows()
    windows = _planned(asked, how)
    techniques = [codenoise(windows, asked.spans, weights=how.weights, between=how.between)]
    if how.freenoise:
        window = len(windows[0])
        techniques.append(freenoise(window, _overlap(window, how), asked.seed))
    return techniques


def _planned(asked: Asked, how: Windows) -> Sequence[range]:
    """The windows of the take; one, where it is no longer than the model's clips."""
    window = _window(asked)
    if asked.spans:  # a short take has shorter windows, so that each of its prompts has one
        longest = max(len(span.frames) for span in asked.spans)
        window = min(window, longest + 1 - longest % 2)
    if asked.shape[1] <= window:
        return [range(asked.shape[1])]
    return plan_windows(asked.shape[1], window, _overlap(window, how))


def _overlap(window: int, how: Windows) -> int:
    return (window + 1) // 3 if how.overlap is None else how.overlap


def _window(asked: Asked) -> int:
    """The model's longest clip in latent frames."""
    return latent_frames(asked.backbone.limits().max_frames, asked.backbone.temporal_compression)


def _model(asked: Asked, name: str | None) -> Model:
    assert name is not None, "planning names the shot that a method leans on"
    return asked.shots[name]


def _first_noise(asked: Asked, model: Model) -> Tensor:
    """The noise that an earlier shot started from, [1, F, C, h, w]; it draws its frames in order."""
    return shot_noise(asked.seeds[model.name], (1, *model.latents.shape), asked.backbone.device, asked.backbone.dtype)


def _keep_look(asked: Asked, settings: KeepLook) -> list[Technique]:
    if settings.strength == 0.0:
        return []
    model, window = _model(asked, settings.shot), _window(asked)
    latents, noise = model.latents[:window], _first_noise(asked, model)[0, :window]
    whole = Anchor(latents, model.text.embeds[None].to(latents.device), noise)
    anchor = replace(whole, tokens=look_tokens(asked.backbone, whole, _words(asked, model, settings.words)))
    start = shot_noise(asked.seeds[model.name], asked.shape, asked.backbone.device, asked.backbone.dtype)
    return keep_look(
        asked.backbone, anchor, settings.strength, interval=settings.interval, noise=settings.noise, start=start
    )


def _words(asked: Asked, model: Model, words: str) -> Tensor:
    """Which tokens of an earlier prompt say `words`, bool [L]; '': those that the prompt to be filmed says as well."""
    if not words:
        said = {int(i) for i in asked.text.ids[telling_tokens(asked.text)]}
        found = telling_tokens(model.text) & torch.tensor([int(i) in said for i in model.text.ids])
        what = "no word of its prompt"
    else:
        text = asked.read(words)
        ids = text.ids[text.mask.to(text.ids.device)].tolist()
        known = model.text.ids.tolist()
        found = torch.zeros(len(known), dtype=torch.bool)
        for start in range(len(known) - len(ids) + 1):
            if ids and known[start : start + len(ids)] == ids:
                found[start : start + len(ids)] = True
        what = f"{words!r} not"
    if not bool(found.any()):
        remedy = "say with 'words' whose look is kept, as the earlier prompt names it"
        raise InputError(Problem("keep_look", f"{what} stands in the prompt of {shot_label(model.name)}", "", remedy))
    return found


def _shared_noise(asked: Asked, settings: SharedNoise) -> Technique:
    seed, backbone = asked.seeds[str(settings.shot)], asked.backbone
    return shared_noise(shot_noise(seed, asked.shape, backbone.device, backbone.dtype), settings.strength)


def _same_background(asked: Asked, settings: SameBackground) -> Technique:
    latents, box = _model(asked, settings.shot).latents, _boxed(asked, settings.foreground)
    return same_background(latents, box, strength=settings.strength, interval=settings.interval)


def _moving_noise(asked: Asked, settings: MovingNoise) -> Technique:
    backbone = asked.backbone
    _, frames, _, height, width = asked.shape
    if settings.path is not None:
        points = [(down, right) for right, down in settings.path]
        spatial, temporal = backbone.spatial_compression, backbone.temporal_compression
        return moving_noise(path(points, frames, spatial=spatial, temporal=temporal), ratio=settings.strength)
    if not asked.layout:
        raise InputError(Problem("moving_noise", "there is neither a path nor a box", "a path, or boxes of a layout"))
    boxes = [box_path(track, frames, height, width) for track in tracks(asked.layout).values()]
    return noise_of_boxes(boxes, ratio=settings.strength)


def _regions(asked: Asked, settings: Regions) -> Technique:
    words = {line.entity: line.words for line in asked.layout}
    places = tracks(asked.layout)
    texts = [asked.read(words[entity]) for entity in places]
    entities = [
        Region(text.embeds[text.mask.to(text.embeds.device)], track)
        for text, track in zip(texts, places.values(), strict=True)
    ]
    _, frames, _, height, width = asked.shape
    acting = Acting(strength=settings.strength, interval=settings.interval)
    times = asked.backbone.temporal_compression
    return regions(entities, (frames, height, width), acting, temporal_compression=times)


def _control(asked: Asked, settings: Control) -> Technique:
    if settings.video is not None:
        clip = _footage(asked, settings.video, "control")
    elif settings.shot is not None:
        frames = np.concatenate(list(asked.backbone.decode(asked.shots[settings.shot].latents)))
        clip = frames[: asked.clip_frames]
    elif not asked.layout:
        what = "there is neither a clip to follow nor a box"
        raise InputError(Problem("control", what, "a clip, or the boxes of the shot's layout"))
    else:
        clip = layout_clip(asked.layout, asked.clip_frames, asked.height, asked.width)
    clip = canny_clip(clip) if settings.edges else clip
    latents = control_latents(asked.backbone, clip, asked.clip_frames, asked.height, asked.width)
    file = settings.adapter_file
    adapter = load_control_adapter(asked.files[file], device=asked.backbone.device) if file is not None else None
    return control(latents, adapter, Controlling(settings.strength, settings.scale, settings.interval))


def _cross_shot(asked: Asked, settings: CrossShot) -> Technique:
    adapter = read_temporal_adapter(asked.files[settings.adapter_file], device=asked.backbone.device)
    clips = [asked.shots[name].latents for name in asked.past]
    return temporal_adapter(adapter, clips, settings.strength, ages=asked.ages, interval=settings.interval)


def _ends(asked: Asked, settings: Ends) -> list[Technique]:
    start, end = (None if name is None else _picture(asked, name) for name in (settings.start, settings.end))
    first, last = (start if start is not None else end), (end if end is not None else start)
    assert first is not None and last is not None, "a storyboard's ends name a picture"
    bridge = bridge_latents(asked.backbone, first, last, asked.frames)
    held = start_end(bridge[0] if start is not None else None, bridge[-1] if end is not None else None)
    return [held] if settings.strength == 1.0 else [bridged(bridge, settings.strength), held]


def _picture(asked: Asked, name: str) -> np.ndarray:
    """A picture at the take's size, uint8 [H, W, 3]."""
    found = asked.clips[name][0] if name in asked.clips else read_picture(asked.files[name])
    return covering(found, asked.width, asked.height)


def _edit(asked: Asked, settings: Edit) -> tuple[list[Technique], Callable[[Frames], Frames] | None]:
    """The clip to begin with, how much of it stays, and, under a mask, its own pixels put back."""
    backbone = asked.backbone
    if settings.shot is not None:
        model = asked.shots[settings.shot]
        latents, source_text = model.latents, model.text
        known = partial(backbone.decode, latents)
    else:
        clip = _footage(asked, str(settings.video))
        latents, source_text = backbone.encode_clip(clip), None
        known = partial(iter, [clip])
    if latents.shape[0] != asked.shape[1]:
        count = 1 + backbone.temporal_compression * (latents.shape[0] - 1)
        what = f"the clip has {count} frames"
        raise InputError(Problem("edit", what, f"the shot's {asked.frames}", "give both one length"))
    techniques = [_begun(asked, settings, latents, source_text)]
    pixels = _pixel_mask(asked, settings)
    if pixels is None:
        return techniques, None
    mask = latent_mask(
        pixels, spatial=backbone.spatial_compression, temporal=backbone.temporal_compression, frames=asked.frames
    )
    techniques.append(masked_edit(latents, mask))
    return techniques, lambda made: _pasted(made, known(), pixels.expand(asked.frames, -1, -1).numpy())


def _begun(asked: Asked, settings: Edit, latents: Tensor, source_text: TextEmbedding | None) -> Technique:
    """source_text: the prompt of the clip; None: the empty one, of a clip that has none."""
    if settings.by == "noise":
        return video_to_video(latents, settings.strength)
    alone = HistoryGuidance(text_scale=1.0, history_scale=0.0)

    def source(guided: Guided) -> Predict:
        embeds = (source_text or asked.read("")).embeds[None].to(latents.device)
        known = Guided(asked.backbone, embeds, None, None, alone, scope="inversion", interrupt=guided.interrupt)
        windows = _planned(asked, asked.method.windows or Windows())
        in_windows = codenoise(windows).predict if len(windows) > 1 else None
        return in_windows(known) if in_windows is not None else known

    return video_to_video_by_inversion(latents, source, settings.strength)


def _footage(asked: Asked, name: str, method: str = "edit") -> np.ndarray:
    """The first frames of a clip, as many as the shot has, at its rate and size: uint8 [T, H, W, 3].

    Raises InputError that names the method for a clip that is too short.
    """
    frames = list[np.ndarray]()
    if name in asked.clips:
        called = name
        frames += [covering(frame, asked.width, asked.height) for frame in asked.clips[name][: asked.frames]]
    else:
        called = asked.files[name].name
        with closing(read_frames(asked.files[name])) as stream:
            for time, frame in stream:
                while len(frames) < asked.frames and time >= len(frames) / asked.fps - _EARLY:
                    frames.append(covering(frame, asked.width, asked.height))
                if len(frames) == asked.frames:
                    break
    if len(frames) == asked.frames:
        return np.stack(frames)
    what = f"{called} gives {len(frames)} frames at {asked.fps} a second"
    raise InputError(Problem(method, what, f"{asked.frames}, the shot's", "shorten the shot or take a longer video"))


def _pixel_mask(asked: Asked, settings: Edit) -> Tensor | None:
    """Where the picture is to be new, bool [1 or T, H, W]; None: everywhere."""
    if settings.box is not None:
        return _boxed_pixels(asked, settings.box)
    if settings.mask is None:
        return None
    if settings.mask in asked.masks:
        shown = np.repeat(asked.masks[settings.mask][..., None].astype(np.uint8) * 255, 3, axis=3)
        fitted = np.stack([covering(frame, asked.width, asked.height)[..., 0] for frame in shown[: asked.frames]])
        return torch.from_numpy(fitted >= 128)
    shown = _picture(asked, settings.mask)
    return torch.from_numpy(shown.astype(np.float32).mean(axis=2) >= 127.5)[None]


def _boxed_pixels(asked: Asked, box: Box) -> Tensor:
    x, y, w, h = box
    rows = (torch.arange(asked.height) + 0.5) / asked.height
    columns = (torch.arange(asked.width) + 0.5) / asked.width
    return ((rows >= y) & (rows < y + h))[None, :, None] & ((columns >= x) & (columns < x + w))[None, None]


def _boxed(asked: Asked, box: Box) -> Tensor:
    return latent_mask(
        _boxed_pixels(asked, box),
        spatial=asked.backbone.spatial_compression,
        temporal=asked.backbone.temporal_compression,
        frames=asked.frames,
    )


def _pasted(made: Frames, known: Frames, mask: np.ndarray) -> Frames:
    """`edit.paste` on streams whose chunks may differ."""
    at, waiting = 0, np.empty((0,))
    for chunk in made:
        while len(waiting) < len(chunk):
            more = next(known)
            waiting = np.concatenate([waiting, more]) if len(waiting) else more
        count = len(chunk)
        yield paste(chunk, waiting[:count], mask[at : at + count])
        at, waiting = at + count, waiting[count:]
