"""A storyboard written from an idea, by a template or by a language model."""

from __future__ import annotations

from functools import partial
from typing import Any

from comfy_api.latest import io

from . import folders, host, inputs, sockets
from .sockets import FilmModel

TEMPLATE, ENDPOINT, LOCAL = "the template", "an endpoint", "a local model"


class WriteStoryboard(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_WriteStoryboard",
            display_name="Write Storyboard (MPVG)",
            category="MPVG/storyboard",
            description="Writes a storyboard from an idea; a language model's reply is checked as any storyboard is.",
            search_aliases=["script", "llm", "writer", "story"],
            inputs=[
                io.String.Input(
                    "idea",
                    multiline=True,
                    dynamic_prompts=False,
                    default="Two friends meet in the snow and run to the beach.",
                    tooltip="What the film is about, in a sentence or two.",
                ),
                io.Int.Input("shots", default=0, min=0, max=1000, tooltip="How many shots. 0 = as the story needs."),
                io.Combo.Input(
                    "by",
                    options=[TEMPLATE, ENDPOINT, LOCAL],
                    tooltip="the template needs no model: the same board for the same idea and seed. an endpoint: any "
                    "OpenAI-compatible server, as Ollama or llama.cpp. a local model: a folder under models/LLM.",
                ),
                io.Boolean.Input("layout", default=False, tooltip="With boxes that say where everyone is."),
                inputs.seed("Another seed, another board; also the board's own seed."),
                io.String.Input(
                    "endpoint",
                    default="http://localhost:11434/v1",
                    tooltip="The server's base address. Its key, if it wants one, is read from the environment's "
                    "OPENAI_API_KEY, never from the graph.",
                    advanced=True,
                ),
                io.String.Input("model_name", default="", tooltip="The endpoint's model.", advanced=True),
                io.Combo.Input(
                    "folder",
                    options=folders.language_model_names(),
                    tooltip="A chat model's folder in transformers' layout, under models/LLM or models/mpvg.",
                    advanced=True,
                ),
                sockets.Model.Input(
                    "film_model",
                    optional=True,
                    tooltip="Keeps the board to what this model can film: its lengths, prompts and words.",
                ),
            ],
            outputs=[
                sockets.StoryboardSocket.Output("storyboard", display_name="storyboard", tooltip="What to film."),
                io.String.Output("text", display_name="text", tooltip="The storyboard as YAML, to read and to change."),
            ],
        )

    @classmethod
    @host.plain_words
    def execute(
        cls,
        idea: str,
        shots: int,
        by: str,
        layout: bool,
        seed: int,
        endpoint: str,
        model_name: str,
        folder: str,
        film_model: FilmModel | None = None,
    ) -> io.NodeOutput:
        from ..mpvg_core.storyboard.dump import dump_storyboard
        from ..mpvg_core.storyboard.writer import Brief, write_by_model, write_by_template

        limits = film_model.backbone.limits() if film_model is not None else None
        with inputs.widget_names():
            brief = Brief(idea, shots or None, layout, seed, limits)
            if by == TEMPLATE:
                board = write_by_template(brief)
            else:
                ask = _local(folder, seed) if by == LOCAL else _endpoint(endpoint, model_name)
                board = write_by_model(brief, ask)
        return io.NodeOutput(board, dump_storyboard(board))


def _endpoint(endpoint: str, model_name: str) -> Any:
    from ..mpvg_core.endpoint import chat
    from ..mpvg_core.errors import InputError, Problem

    if not model_name.strip():
        raise InputError(Problem("model_name", "is empty", "the name of the endpoint's model"))
    return partial(chat, endpoint=endpoint.strip(), model=model_name.strip())


def _local(folder: str, seed: int) -> Any:
    from ..mpvg_core.backbone.language_model import LanguageModel

    return LanguageModel(folders.language_model_path(folder), seed=seed).reply
