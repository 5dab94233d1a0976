"""From prompt and history tokens to a clip: guidance, the sampler, and the decoder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from comfy_api.latest import io

from . import folders, host, inputs, sockets
from .asked import asked_of, require_kept_noise
from .history import require_same_model
from .sockets import EncodedPrompt, FilmModel, Methods, Tokens


class HistoryCFG(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_HistoryCFG",
            display_name="History CFG (MPVG)",
            category="MPVG/method",
            description="How strongly the prompt pulls, and how strongly what was seen before.",
            search_aliases=["guidance", "cfg", "history strength"],
            inputs=[
                io.Float.Input(
                    "text_scale",
                    default=6.0,
                    min=-100.0,
                    max=100.0,
                    step=0.1,
                    tooltip="w1, how strongly the prompt pulls. CogVideoX films well from 4 to 7, the pocket with far "
                    "less.",
                ),
                io.Float.Input(
                    "history_scale",
                    default=1.0,
                    min=-100.0,
                    max=100.0,
                    step=0.1,
                    tooltip="w2, how strongly the earlier shots pull; 0 to 4 with form mpvg, 1 to 3 with nested. Too "
                    "much freezes motion. 0 saves one transformer call a step.",
                ),
                io.Combo.Input(
                    "form",
                    options=["mpvg", "nested"],
                    tooltip="mpvg: the history is always present, w2 pushes away from the clip without it. nested: "
                    "prompt and history pull each by itself.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "schedule",
                    options=["constant", "cosine", "upstream"],
                    tooltip="How w1 changes over the steps. cosine rises from no guidance; upstream is diffusers' "
                    "oscillating one, for comparison only.",
                    advanced=True,
                ),
                io.Float.Input(
                    "start",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="From which part of the way, 0 (noise) to 1 (picture), w2 counts.",
                    advanced=True,
                ),
                io.Float.Input(
                    "end",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Up to which part of the way w2 counts. Ending early lets motion free and saves time.",
                    advanced=True,
                ),
            ],
            outputs=[
                sockets.Guidance.Output("guidance", display_name="guidance", tooltip="For the sampler or a film.")
            ],
        )

    @classmethod
    @host.plain_words
    def execute(
        cls, text_scale: float, history_scale: float, form: Any, schedule: Any, start: float, end: float
    ) -> io.NodeOutput:
        from ..mpvg_core.diffusion.guidance import HistoryGuidance

        return io.NodeOutput(
            HistoryGuidance(
                text_scale=text_scale, history_scale=history_scale, form=form, schedule=schedule, interval=(start, end)
            )
        )


class MultiSceneSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_CogVideoXMultiSceneSampler",
            display_name="CogVideoX Multi-Scene Sampler (MPVG)",
            category="MPVG/method",
            description="Films one shot from its prompt and from what the earlier shots showed.",
            search_aliases=["ksampler", "sampler", "cogvideox", "shot"],
            inputs=[
                inputs.filming_model(),
                sockets.Prompt.Input("prompt", tooltip="What the shot shows."),
                inputs.seed("The noise the shot starts from. The same seed gives the same noise on every device."),
                io.Int.Input(
                    "frames",
                    default=0,
                    min=0,
                    max=100_000,
                    tooltip="Length of the clip: 1 + 8n frames (9, 17, … 49). 0 = the model's longest; above that "
                    "it is made in overlapping windows (see Windows).",
                ),
                inputs.steps("Denoising steps."),
                io.Int.Input(
                    "width",
                    default=0,
                    min=0,
                    max=16384,
                    step=8,
                    tooltip="In pixels; 0 = the model's own. CogVideoX was trained at 720x480.",
                    advanced=True,
                ),
                io.Int.Input(
                    "height",
                    default=0,
                    min=0,
                    max=16384,
                    step=8,
                    tooltip="In pixels; 0 = the model's own.",
                    advanced=True,
                ),
                inputs.scheduler(),
                inputs.batched(),
                sockets.HistoryTokensSocket.Input(
                    "history_tokens",
                    optional=True,
                    tooltip="What the shot remembers. Open: it is made from its prompt alone, as stock CogVideoX.",
                ),
                inputs.guidance(),
                sockets.Prompt.Input(
                    "negative", optional=True, tooltip="What the shot should not show. Open: the empty prompt."
                ),
                sockets.MethodsSocket.Input(
                    "methods",
                    optional=True,
                    tooltip="Other ways to make the shot (Keep the Look, Edit a Clip, …), chained. Open: none.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "latent", display_name="latent", tooltip="The clip, for Decode Shot and Prompt History."
                )
            ],
        )

    @classmethod
    @host.plain_words
    def execute(
        cls,
        model: FilmModel,
        prompt: EncodedPrompt,
        seed: int,
        frames: int,
        steps: int,
        width: int,
        height: int,
        scheduler: str,
        batched: bool,
        history_tokens: Tokens | None = None,
        guidance: Any = None,
        negative: EncodedPrompt | None = None,
        methods: Methods | None = None,
    ) -> io.NodeOutput:
        from ..mpvg_core.film.asked import with_words
        from ..mpvg_core.film.clips import shoot_once
        from ..mpvg_core.film.shoot import ClipRequest, conditioning
        from ..mpvg_core.film.takes import TakeStore
        from ..mpvg_core.film.techniques import ways_of

        backbone, methods = model.backbone, methods or Methods()
        _require_one_model(model, prompt, negative, history_tokens)
        limits = backbone.limits()
        request = ClipRequest(
            seed=seed,
            frames=frames or limits.max_frames,
            width=width or limits.width,
            height=height or limits.height,
            steps=steps or model.defaults.steps,
            scheduler=model.noise_scheduler(scheduler),
            batched=batched,
            guidance=_pulled(guidance or model.guidance(), methods),
        )
        request.require_possible(backbone)
        progress = host.Progress(request.steps)
        asked = asked_of(methods, model, prompt, request)
        require_kept_noise(asked, request.scheduler)
        with host.reading(backbone):
            asked = with_words(asked, *([""] if negative is None else []))
            against = negative.text if negative is not None else asked.read("")
        with host.at_work(model.resident, backbone.transformer), TakeStore(folders.clips_folder()) as store:
            remembered = history_tokens.tokens if history_tokens is not None else None
            latent = shoot_once(
                store,
                backbone,
                request,
                prompt.text,
                against,
                conditioning(model.adapter, remembered, backbone.device),
                adapter=model.adapter.fingerprint if model.adapter is not None else None,
                techniques=lambda: ways_of(asked).techniques,
                parts=methods.parts,
                made_by=methods.fingerprint(),
                on_step=lambda info: progress.show(info.index + 1, step_picture(model, info)),
                interrupt=host.interrupt,
            )
            return io.NodeOutput({"samples": backbone.to_stock(latent).cpu()})


class CoarseToFine(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_CoarseToFine",
            display_name="Coarse to Fine (MPVG)",
            category="MPVG/other ways",
            description="A long shot from a short one: its pictures are key frames, and clips are filled in between.",
            search_aliases=["nuwa-xl", "interpolate", "key frames", "long video", "extend"],
            inputs=[
                inputs.filming_model(),
                sockets.Prompt.Input("prompt", tooltip="What the shot shows."),
                io.Latent.Input("latent", tooltip="The coarse clip of the sampler: it spans the whole shot."),
                inputs.seed("The clips in between derive theirs from it."),
                io.Int.Input(
                    "keys",
                    default=3,
                    min=2,
                    max=1000,
                    tooltip="Key frames a clip gives, first and last among them: of 49 frames 3, 4, 5, 7, 9, 13, …, "
                    "of 17 frames 3, 5, 9 or 17. The shot becomes (keys - 1) times as long for each level.",
                ),
                io.Int.Input("depth", default=1, min=1, max=6, tooltip="How many times clips are filled in."),
                io.Float.Input(
                    "strength",
                    default=0.9,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Of the clips in between; below 1 their look keeps closer to the key frames.",
                ),
                inputs.steps("Denoising steps of each clip."),
                inputs.scheduler(),
                sockets.HistoryTokensSocket.Input(
                    "history_tokens", optional=True, tooltip="What the shot remembers. Open: nothing."
                ),
                inputs.guidance(),
                sockets.Prompt.Input(
                    "negative", optional=True, tooltip="What the shot should not show. Open: the empty prompt."
                ),
            ],
            outputs=[
                io.Image.Output("images", display_name="images", tooltip="The frames of the whole shot."),
                io.Video.Output("video", display_name="video", tooltip="The shot at the model's rate, without sound."),
            ],
        )

    @classmethod
    @host.plain_words
    def execute(
        cls,
        model: FilmModel,
        prompt: EncodedPrompt,
        latent: dict[str, Any],
        seed: int,
        keys: int,
        depth: int,
        strength: float,
        steps: int,
        scheduler: str,
        history_tokens: Tokens | None = None,
        guidance: Any = None,
        negative: EncodedPrompt | None = None,
    ) -> io.NodeOutput:
        from ..mpvg_core.film.shoot import ClipRequest, conditioning, shoot_clip
        from ..mpvg_core.film.techniques import filled_in, ways_of

        backbone = model.backbone
        _require_one_model(model, prompt, negative, history_tokens)
        coarse = backbone.from_stock(latent["samples"])
        side, times = backbone.spatial_compression, backbone.temporal_compression
        request = ClipRequest(
            seed=seed,
            frames=1 + times * (coarse.shape[0] - 1),
            width=coarse.shape[3] * side,
            height=coarse.shape[2] * side,
            steps=steps or model.defaults.steps,
            scheduler=model.noise_scheduler(scheduler),
            guidance=guidance or model.guidance(),
        )
        settings = {"infill": {"depth": depth, "keys": keys, "strength": strength}}
        frames = (request.frames - 1) * (keys - 1) ** depth + 1
        asked = asked_of(Methods(settings), model, prompt, replace(request, frames=frames))
        progress = host.Progress(request.steps)
        with host.reading(backbone):
            against = negative.text if negative is not None else backbone.encode_text([""])[0]
        remembered = history_tokens.tokens if history_tokens is not None else None
        windows, made = ways_of(asked).techniques, []
        with host.at_work(model.resident, backbone.transformer):

            def shoot(own_seed: int, techniques: Any) -> Any:
                return shoot_clip(
                    backbone,
                    replace(request, seed=own_seed),
                    prompt.text,
                    against,
                    conditioning(model.adapter, remembered, backbone.device),
                    techniques=(*windows, *techniques),
                    on_step=lambda info: progress.show(info.index + 1, step_picture(model, info)),
                    interrupt=host.interrupt,
                )

            for part in filled_in(asked, coarse, shoot):
                host.interrupt()
                made.append(part)
        whole = np.concatenate(made)
        return io.NodeOutput(host.image_batch(whole), host.video_of(whole, backbone.limits().fps))


def _pulled(guidance: Any, methods: Methods) -> Any:
    """The guidance with the pulls that methods add."""
    return replace(guidance, segments=(*guidance.segments, *methods.segments)) if methods.segments else guidance


def _require_one_model(
    model: FilmModel, prompt: EncodedPrompt, negative: EncodedPrompt | None, history_tokens: Tokens | None
) -> None:
    """Raises InputError where an input is another model's."""
    require_same_model(model, prompt.model, "prompt")
    if negative is not None:
        require_same_model(model, negative.model, "negative")
    if history_tokens is not None:
        require_same_model(model, history_tokens.model, "history_tokens")


class DecodeShot(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_DecodeShot",
            display_name="Decode Shot (MPVG)",
            category="MPVG/method",
            description="The clip of a shot as pictures and as a video.",
            search_aliases=["vae decode", "video"],
            inputs=[
                sockets.Model.Input("model", tooltip="The model that made the clip."),
                io.Latent.Input("latent", tooltip="A clip of the sampler."),
            ],
            outputs=[
                io.Image.Output("images", display_name="images", tooltip="The frames."),
                io.Video.Output("video", display_name="video", tooltip="The clip at the model's rate, without sound."),
            ],
        )

    @classmethod
    @host.plain_words
    def execute(cls, model: FilmModel, latent: dict[str, Any]) -> io.NodeOutput:
        backbone = model.backbone
        parts = []
        with host.at_work(model.resident, backbone.transformer):
            for part in backbone.decode(backbone.from_stock(latent["samples"])):
                host.interrupt()
                parts.append(part)
        frames = np.concatenate(parts)
        return io.NodeOutput(host.image_batch(frames), host.video_of(frames, backbone.limits().fps))


def step_picture(model: FilmModel, info: Any) -> Any:
    """What the clip looks like after a denoising step, as the preview shows it."""
    clean = info.predicted if info.predicted is not None else info.latents
    return model.colours.picture(clean[0])
