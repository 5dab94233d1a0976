"""Remembering, a node a step: the shots so far, the words that matter, what they look like, the history tokens."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from . import host, sockets
from .sockets import EncodedPrompt, FilmModel, Remembered, Semantic, ShownHistory, Tokens

AS_TRAINED, OWN_FIGURES = "as the adapter was trained", "the figures below"


class PromptHistoryNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_PromptHistory",
            display_name="Prompt History (MPVG)",
            category="MPVG/method",
            description="Adds a finished shot, its prompt and its clip, to what later shots may remember.",
            search_aliases=["memory", "history", "footage"],
            is_output_node=True,
            inputs=[
                sockets.Model.Input("model", tooltip="The model that films; it describes the clip once."),
                sockets.Prompt.Input("prompt", tooltip="The prompt of the finished shot: what its clip shows."),
                io.MultiType.Input(
                    "clip",
                    types=[io.Latent, io.Image, io.Video],
                    tooltip="The finished shot: a LATENT of the sampler as it is, or footage of your own as IMAGE "
                    "batch or VIDEO, which is scaled, cut and encoded to fit the model.",
                ),
                sockets.History.Input(
                    "history",
                    optional=True,
                    tooltip="The shots before this one. Leave it open for the first shot.",
                ),
                io.String.Input(
                    "name",
                    default="",
                    optional=True,
                    tooltip="What the shot is called in lists; empty = its number.",
                ),
            ],
            outputs=[sockets.History.Output("history", display_name="history", tooltip="All shots up to this one.")],
        )

    @classmethod
    @host.plain_words
    def execute(
        cls,
        model: FilmModel,
        prompt: EncodedPrompt,
        clip: Any,
        history: ShownHistory | None = None,
        name: str = "",
    ) -> io.NodeOutput:
        from ..mpvg_core.backbone.preview import still
        from ..mpvg_core.film.collect import MadeClip
        from ..mpvg_core.film.footage import fit_footage
        from ..mpvg_core.history.history import PastShot, PromptHistory

        require_same_model(model, prompt.model, "prompt")
        if history is not None:
            require_same_model(model, history.model, "history")
        past = history.past if history is not None else PromptHistory()
        shown = history.pictures if history is not None else ()
        clips = history.clips if history is not None else ()
        backbone = model.backbone
        with host.at_work(model.resident, backbone.transformer):
            if isinstance(clip, dict):
                latents = backbone.from_stock(clip["samples"])
            else:
                frames, fps = host.frames_of(clip)
                latents = backbone.encode_clip(fit_footage(frames, backbone.limits(), fps=fps))
            features = backbone.describe_clip(latents)
            picture = host.shown_picture(still(backbone, latents, model.colours))
        label = name.strip() or f"shot {len(past) + 1}"
        pictures = (*shown, {"name": label, "prompt": prompt.words, "picture": picture})
        clips = (*clips, MadeClip(label, prompt.words, latents.cpu()))
        appended = past.append(PastShot(name=label, text=prompt.text, clip=features))
        return io.NodeOutput(
            ShownHistory(appended, clips, pictures, backbone.fingerprint), ui={"mpvg_history": [*pictures]}
        )


class TokenSelector(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_TokenSelector",
            display_name="Token Selector (MPVG)",
            category="MPVG/method",
            description="Step 1: keeps the words of earlier prompts that matter for this prompt, and shows which.",
            search_aliases=["select", "remember", "forget"],
            inputs=[
                sockets.Model.Input("model", tooltip="The model whose adapter compares the words."),
                sockets.Prompt.Input("prompt", tooltip="The prompt of the shot to be made."),
                io.Combo.Input(
                    "settings",
                    options=[AS_TRAINED, OWN_FIGURES],
                    tooltip="Similarity depends on the model, so its adapter brings figures that suit it; choose the "
                    "second to set your own.",
                ),
                io.Float.Input(
                    "threshold",
                    default=0.6,
                    min=-1.0,
                    max=1.1,
                    step=0.005,
                    tooltip="How alike a past word must be to a word of this prompt, as a cosine, to be kept. Above 1 "
                    "nothing is remembered.",
                    advanced=True,
                ),
                io.Int.Input(
                    "budget",
                    default=64,
                    min=0,
                    max=4096,
                    tooltip="Most words kept of all past shots together.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "reference",
                    options=["newest", "oldest"],
                    tooltip="Which shot speaks for a thing that several showed: the newest follows what changes, the "
                    "oldest goes back to where it was first seen, so that faults do not add up.",
                    advanced=True,
                ),
                sockets.History.Input(
                    "history",
                    optional=True,
                    tooltip="The shots before it. Open for the first shot, which has nothing to remember.",
                ),
            ],
            outputs=[
                sockets.Selection.Output(
                    "selection", display_name="selection", tooltip="The kept words of each past shot."
                )
            ],
        )

    @classmethod
    @host.plain_words
    def execute(
        cls,
        model: FilmModel,
        prompt: EncodedPrompt,
        settings: str,
        threshold: float,
        budget: int,
        reference: Any,
        history: ShownHistory | None = None,
    ) -> io.NodeOutput:
        from ..mpvg_core.film.recall import recall
        from ..mpvg_core.history.history import PromptHistory
        from ..mpvg_core.history.select import SelectionSettings

        require_same_model(model, prompt.model, "prompt")
        if history is None or model.adapter is None:
            said = "no history adapter: nothing is remembered" if model.adapter is None else ""
            return io.NodeOutput(
                Remembered(prompt, PromptHistory(), (), None),
                ui={"mpvg_selection": [{"prompt": prompt.words, "shots": [], "note": said}]},
            )
        require_same_model(model, history.model, "history")
        figures = model.adapter.selection
        if settings == OWN_FIGURES:
            figures = SelectionSettings(threshold=threshold, budget=budget, reference=reference)
        texts = [shot.text for shot in history.past]
        found = recall(texts, prompt.text, figures, model.adapter.space)
        kept = [history.past.shots[entry.position] for entry in found.kept]
        ages = tuple(len(texts) - entry.position for entry in found.kept)
        return io.NodeOutput(
            Remembered(prompt, PromptHistory(tuple(kept)), ages, found.selection),
            ui={"mpvg_selection": [{"prompt": prompt.words, "shots": _marked(history, found), "note": ""}]},
        )


class VideoSemanticExtractorNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_VideoSemanticExtractor",
            display_name="Video Semantic Extractor (MPVG)",
            category="MPVG/method",
            description="Step 2: the kept words look at their clips; what this prompt's words should look like "
            "follows.",
            search_aliases=["semantics", "look"],
            inputs=[
                sockets.Model.Input("model", tooltip="The model whose adapter looks."),
                sockets.Selection.Input("selection", tooltip="The kept words of the past shots."),
            ],
            outputs=[
                sockets.Semantics.Output(
                    "semantics", display_name="semantics", tooltip="What each word of the prompt should look like."
                )
            ],
        )

    @classmethod
    @host.plain_words
    def execute(cls, model: FilmModel, selection: Remembered) -> io.NodeOutput:
        require_same_model(model, selection.prompt.model, "selection")
        semantics = None
        if model.adapter is not None and selection.selection is not None:
            with host.at_work(model.resident, model.backbone.transformer), torch.no_grad():
                semantics = model.adapter.extract(
                    selection.past, selection.prompt.text, selection.selection, [*selection.ages]
                )
        return io.NodeOutput(Semantic(selection.prompt, semantics))


class DecouplingEncoderNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_DecouplingEncoder",
            display_name="Decoupling Encoder (MPVG)",
            category="MPVG/method",
            description="Step 3: turns what the words should look like into history tokens, a few however long the "
            "film.",
            search_aliases=["decouple", "history tokens"],
            inputs=[
                sockets.Model.Input("model", tooltip="The model whose adapter decouples."),
                sockets.Semantics.Input("semantics", tooltip="What each word of the prompt should look like."),
            ],
            outputs=[
                sockets.HistoryTokensSocket.Output(
                    "history_tokens", display_name="history_tokens", tooltip="What the sampler lets the shot remember."
                )
            ],
        )

    @classmethod
    @host.plain_words
    def execute(cls, model: FilmModel, semantics: Semantic) -> io.NodeOutput:
        require_same_model(model, semantics.prompt.model, "semantics")
        tokens = None
        if model.adapter is not None and semantics.semantics is not None:
            with host.at_work(model.resident, model.backbone.transformer), torch.no_grad():
                tokens = model.adapter.decouple(semantics.prompt.text, semantics.semantics)
        return io.NodeOutput(Tokens(tokens, model.backbone.fingerprint))


def require_same_model(model: FilmModel, made_by: str, what: str) -> None:
    """Raises InputError for an input that another model made: its numbers would mean nothing to this one."""
    from ..mpvg_core.errors import InputError, Problem

    if made_by != model.backbone.fingerprint:
        remedy = "connect the same model to both nodes"
        raise InputError(Problem(what, "was made by another model", f"one of {model.backbone.name!r}", remedy))


def _marked(history: ShownHistory, found: Any) -> list[dict[str, Any]]:
    """For the page: the pieces of every past prompt, which were kept, and which word each serves."""
    kept = {entry.position: entry for entry in found.kept}
    shown = []
    for position, (shot, card) in enumerate(zip(history.past, history.pictures, strict=True)):
        entry = kept.get(position)
        serves = dict(zip(entry.tokens, entry.serves, strict=True)) if entry else {}
        words = [
            {"piece": piece, "serves": serves.get(index)}
            for index, (piece, real) in enumerate(zip(shot.text.pieces, shot.text.mask.tolist(), strict=True))
            if real
        ]
        shown.append({"name": shot.name, "picture": card["picture"], "words": words})
    return shown
