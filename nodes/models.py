"""The node that loads a model, and the one that reads a prompt with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_api.latest import io

from . import folders, host, sockets
from .sockets import EncodedPrompt, FilmModel

BESIDE_MODEL, NO_ADAPTER = "the model's own", "none"


class LoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_LoadModel",
            display_name="Load Film Model (MPVG)",
            category="MPVG",
            description="Loads the model that films: the embedded pocket model, or CogVideoX 2b or 5b from disk.",
            search_aliases=["cogvideox", "film", "storyboard", "mpvg"],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=folders.model_names(),
                    tooltip="'pocket' is a tiny model that comes with the pack and runs anywhere. Others are folders "
                    "in diffusers' layout under models/mpvg or models/diffusers.",
                ),
                io.Combo.Input(
                    "adapter",
                    options=[BESIDE_MODEL, NO_ADAPTER, *folders.adapter_names()],
                    tooltip="The history adapter, trained for the model, that lets a shot remember earlier ones. With "
                    "'none' every shot is made from its prompt alone. Files lie under models/mpvg.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=["auto", "float32", "bfloat16", "float16"],
                    tooltip="The precision of the weights. auto: bfloat16 on a GPU (float16 on one without it), "
                    "float32 on a CPU. CogVideoX 5b overflows float16.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "device",
                    options=["auto", "cpu"],
                    tooltip="auto: where ComfyUI runs models; what does not fit is streamed from main memory. cpu: "
                    "slow, but needs no GPU memory.",
                    advanced=True,
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="ComfyUI's own T5 (Load CLIP, type cogvideox) reads the prompts in place of a second copy "
                    "from the model's folder. Not for the pocket model, whose words are its own.",
                ),
            ],
            outputs=[sockets.Model.Output("model", display_name="model", tooltip="The model, ready to film.")],
        )

    @classmethod
    @host.plain_words
    def execute(cls, model: str, adapter: str, dtype: str, device: str, clip: Any = None) -> io.NodeOutput:
        from ..mpvg_core.backbone.folder import find_model
        from ..mpvg_core.backbone.load import load_backbone
        from ..mpvg_core.backbone.preview import fit_latent_colours
        from ..mpvg_core.history.adapter import load_adapter, require_fit

        path = folders.model_path(model)
        folder = find_model(path, without=() if clip is None else ("text_encoder",), control=True)
        file: Path | None = folder.adapter
        if adapter != BESIDE_MODEL:
            file = None if adapter == NO_ADAPTER else folders.adapter_path(adapter)
        host.make_room(folder.weight_bytes("transformer") + folder.weight_bytes("vae"))
        backbone = load_backbone(
            path,
            device=host.working_device(device),
            dtype=dtype,
            managed=True,
            text_encoder=None if clip is None else host.text_encoder_of(clip),
            control=True,
        )
        history = load_adapter(file) if file is not None else None
        parts = [backbone.vae] if backbone.streamed else [backbone.transformer, backbone.vae]
        if history is not None:
            require_fit(
                history,
                text_dim=backbone.text_width,
                max_tokens=backbone.text_length,
                transformer=backbone.transformer,
                path=str(file),
            )
            parts.append(history)
        resident = host.Resident(parts, backbone.device)
        with host.at_work(resident, backbone.transformer):
            colours = fit_latent_colours(backbone)
        return io.NodeOutput(
            FilmModel(
                backbone=backbone,
                adapter=history,
                resident=resident,
                colours=colours,
                defaults=folder.defaults(),
            )
        )


class EncodePrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_EncodePrompt",
            display_name="Encode Prompt (MPVG)",
            category="MPVG/method",
            description="The prompt of one shot, as the model reads it.",
            search_aliases=["prompt", "text", "t5"],
            inputs=[
                sockets.Model.Input("model", tooltip="The model that reads the prompt."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=False,
                    default="",
                    tooltip="What the shot shows. It is never cut: a prompt that is too long is refused. Leave it "
                    "empty for a negative prompt that forbids nothing.",
                ),
            ],
            outputs=[sockets.Prompt.Output("prompt", display_name="prompt", tooltip="The prompt as tokens.")],
        )

    @classmethod
    @host.plain_words
    def execute(cls, model: FilmModel, text: str) -> io.NodeOutput:
        from ..mpvg_core.storyboard.plan import require_possible_text

        words = " ".join(text.split())
        require_possible_text(words, model.backbone.limits(), "prompt")
        with host.reading(model.backbone):
            (embedding,) = model.backbone.encode_text([words])
        return io.NodeOutput(EncodedPrompt(words, embedding, model.backbone.fingerprint))
