"""Storyboards as nodes: written or loaded, one shot of it, another roll of the dice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from . import folders, host, inputs, sockets
from .sockets import FilmModel

if TYPE_CHECKING:
    from ..mpvg_core.storyboard.model import Storyboard

EXAMPLE = """title: Four shots, two actors
shots:
  - prompt: Actor 1 is running on the playground.
  - prompt: Actor 2 is skiing on the snow.
  - prompt: Actor 2 is running on the playground.
  - prompt: Actor 1 is skiing on the snow.
"""


class StoryboardNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_Storyboard",
            display_name="Storyboard (MPVG)",
            category="MPVG/storyboard",
            description="A film as a list of shots. Mistakes are told when you press Run.",
            search_aliases=["script", "shots", "prompts"],
            inputs=[
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=False,
                    default=EXAMPLE,
                    tooltip="YAML or JSON (title, style, cast, shots with lengths, seeds, transitions), plain text "
                    "with a shot a line, 'Previous scene: …; next scene: …', a StoryMem script, or HoloCine tags.",
                )
            ],
            outputs=[sockets.StoryboardSocket.Output("storyboard", display_name="storyboard", tooltip="What to film.")],
        )

    @classmethod
    def validate_inputs(cls, text: str | None = None) -> bool | str:
        return True if text is None else _faults_of(text)

    @classmethod
    @host.plain_words
    def execute(cls, text: str) -> io.NodeOutput:
        from ..mpvg_core.storyboard.read import parse_storyboard

        return io.NodeOutput(parse_storyboard(text, source="storyboard"))


class LoadStoryboard(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_LoadStoryboard",
            display_name="Load Storyboard (MPVG)",
            category="MPVG/storyboard",
            description="A storyboard from a file in ComfyUI's input folder: .yaml, .yml, .json or .txt.",
            search_aliases=["script", "shots", "file"],
            inputs=[io.Combo.Input("file", options=folders.board_names(), tooltip="A file in ComfyUI's input folder.")],
            outputs=[sockets.StoryboardSocket.Output("storyboard", display_name="storyboard", tooltip="What to film.")],
        )

    @classmethod
    def validate_inputs(cls, file: str | None = None) -> bool | str:
        from ..mpvg_core.errors import MPVGError
        from ..mpvg_core.storyboard.read import read_storyboard

        try:
            if file is not None:
                read_storyboard(folders.board_path(file))
        except MPVGError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, file: str) -> str:
        import hashlib

        return hashlib.sha256(folders.board_path(file).read_bytes()).hexdigest()

    @classmethod
    @host.plain_words
    def execute(cls, file: str) -> io.NodeOutput:
        from ..mpvg_core.storyboard.read import read_storyboard

        return io.NodeOutput(read_storyboard(folders.board_path(file)))


class StoryboardShot(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_StoryboardShot",
            display_name="Storyboard Shot (MPVG)",
            category="MPVG/storyboard",
            description="One shot of a storyboard with everything resolved, for a chain of your own.",
            search_aliases=["shot", "prompt"],
            inputs=[
                sockets.Model.Input("model", tooltip="The model that will film it: lengths and sizes depend on it."),
                sockets.StoryboardSocket.Input("storyboard", tooltip="The film it belongs to."),
                io.Int.Input("number", default=1, min=1, max=1000, tooltip="Which shot, counted from 1."),
            ],
            outputs=[
                io.String.Output("prompt", display_name="prompt", tooltip="The full prompt: with looks and style."),
                io.String.Output("negative", display_name="negative", tooltip="What the shot should not show."),
                io.Int.Output("seed", display_name="seed", tooltip="The shot's seed."),
                io.Int.Output("frames", display_name="frames", tooltip="Its length in frames."),
                io.Int.Output("width", display_name="width", tooltip="In pixels."),
                io.Int.Output("height", display_name="height", tooltip="In pixels."),
                io.String.Output("name", display_name="name", tooltip="What the shot is called."),
            ],
        )

    @classmethod
    @host.plain_words
    def execute(cls, model: FilmModel, storyboard: Storyboard, number: int) -> io.NodeOutput:
        from ..mpvg_core.errors import InputError, Problem
        from ..mpvg_core.storyboard.plan import plan_film, require_known_words

        limits = model.backbone.limits()
        plan = plan_film(storyboard, limits)
        require_known_words(plan, limits)
        if number > len(plan.shots):
            raise InputError(Problem("number", f"there is no shot {number}", f"a number from 1 to {len(plan.shots)}"))
        shot = plan.shots[number - 1]
        return io.NodeOutput(
            shot.full_prompt, shot.negative, shot.seed, shot.frames, shot.width, shot.height, shot.name
        )


class RerollShot(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_RerollShot",
            display_name="Re-roll Shot (MPVG)",
            category="MPVG/storyboard",
            description="Gives shots of a storyboard another seed. Film Storyboard's 'keep' holds the others.",
            search_aliases=["seed", "retake", "again"],
            inputs=[
                sockets.StoryboardSocket.Input("storyboard", tooltip="The film."),
                io.String.Input(
                    "shots", default="1", tooltip="Which: numbers, ranges or names, as 3 or 2,5-7 or the chase."
                ),
                inputs.seed("The seed these shots are made from; with several, each derives its own.", default=1),
            ],
            outputs=[
                sockets.StoryboardSocket.Output("storyboard", display_name="storyboard", tooltip="With the new seeds.")
            ],
        )

    @classmethod
    @host.plain_words
    def execute(cls, storyboard: Storyboard, shots: str, seed: int) -> io.NodeOutput:
        from ..mpvg_core.storyboard.choice import chosen_shots
        from ..mpvg_core.storyboard.reroll import rerolled

        chosen = chosen_shots(shots, [shot.name for shot in storyboard.shots], "shots")
        return io.NodeOutput(rerolled(storyboard, chosen, seed))


def _faults_of(text: str) -> bool | str:
    """True for a storyboard that can be read, else all that is wrong with it."""
    from ..mpvg_core.errors import MPVGError
    from ..mpvg_core.storyboard.read import parse_storyboard

    try:
        parse_storyboard(text, source="storyboard")
    except MPVGError as error:
        return str(error)
    return True


def shot_numbers(text: str, names: list[str], option: str) -> Any:
    """The shots named in a widget, None for an empty one."""
    from ..mpvg_core.storyboard.choice import chosen_shots

    return chosen_shots(text, names, option) if text.strip() else None
