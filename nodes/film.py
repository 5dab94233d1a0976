"""A whole film in one node: it expands into one node a shot, each with its take on disk before the next begins."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io
from comfy_execution.graph_utils import GraphBuilder

from . import folders, host, inputs, sockets
from .history import require_same_model
from .sampling import step_picture
from .sockets import Assignment, FilmedSoFar, FilmModel, FilmOnDisk, ShownHistory
from .storyboard import shot_numbers

if TYPE_CHECKING:
    from ..mpvg_core.diffusion.guidance import HistoryGuidance
    from ..mpvg_core.film.takes import Take
    from ..mpvg_core.storyboard.model import Storyboard

_MADE: dict[str, tuple[Path, ...]] = {}
"""By node, the folders of the takes it gave last: whether they are still there decides whether it must run again."""


class FilmStoryboard(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_FilmStoryboard",
            display_name="Film Storyboard (MPVG)",
            category="MPVG/storyboard",
            description="Films a storyboard shot by shot. Finished shots are kept on disk: stop at any time, queue "
            "again and it goes on; a changed shot films itself anew, and those later ones that remember it otherwise.",
            search_aliases=["film", "movie", "shots", "render"],
            enable_expand=True,
            inputs=[
                inputs.filming_model(),
                sockets.StoryboardSocket.Input("storyboard", tooltip="What to film."),
                inputs.steps("Denoising steps a shot."),
                inputs.seed(
                    "Of the whole film; every shot's seed derives from it. 0 = the storyboard's own.", rolls=False
                ),
                io.String.Input(
                    "shots",
                    default="",
                    tooltip="Film only these (3 or 2,5-7 or names) and what depends on them; empty = all.",
                ),
                io.String.Input(
                    "keep",
                    default="",
                    tooltip="Shots whose take of the last film stays, whatever changed (1,2,4 or names).",
                ),
                io.String.Input(
                    "folder",
                    default="",
                    tooltip="The film's folder under output/mpvg; empty = the storyboard's title.",
                ),
                inputs.scheduler(),
                inputs.batched(),
                inputs.guidance(),
            ],
            outputs=[
                sockets.FilmSocket.Output("film", display_name="film", tooltip="The takes of all shots in order.")
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, **_: Any) -> str:
        gone = any(not folder.is_dir() for folder in _MADE.get(str(cls.hidden.unique_id), ()))
        return f"takes gone at {time.time_ns()}" if gone else ""

    @classmethod
    @host.plain_words
    def execute(
        cls,
        model: FilmModel,
        storyboard: Storyboard,
        steps: int,
        seed: int,
        shots: str,
        keep: str,
        folder: str,
        scheduler: str,
        batched: bool,
        guidance: HistoryGuidance | None = None,
    ) -> io.NodeOutput:
        from ..mpvg_core.film.chain import Filming
        from ..mpvg_core.film.pace import Pace
        from ..mpvg_core.film.record import takes_in_use
        from ..mpvg_core.film.settings import FilmSettings
        from ..mpvg_core.film.takes import TakeStore
        from ..mpvg_core.storyboard.plan import plan_film, require_known_words
        from ..mpvg_core.storyboard.slug import slug_of

        backbone, limits = model.backbone, model.backbone.limits()
        plan = plan_film(storyboard, limits, seed=seed or None)
        require_known_words(plan, limits)
        names = [shot.name for shot in plan.shots]
        store = TakeStore(folders.films_folder() / (slug_of(folder) if folder.strip() else plan.slug))
        last = takes_in_use(store.folder)
        kept = [names[number - 1] for number in shot_numbers(keep, names, "keep") or ()]
        settings = FilmSettings(
            steps=steps or model.defaults.steps,
            guidance=guidance or model.guidance(),
            scheduler=model.noise_scheduler(scheduler),
            batched=batched,
        )
        node = str(cls.hidden.unique_id)
        pace = Pace(settings.steps)
        notes = [*plan.notes]

        def on_event(event: Any) -> None:
            if event.kind == "note":
                notes.append(event.text)
            if line := pace(event):
                host.say(node, line)

        with host.reading(backbone):
            filming = Filming(
                plan,
                backbone,
                model.adapter,
                settings,
                store,
                only=shot_numbers(shots, names, "shots"),
                keep={name: last[name] for name in kept if name in last},
                folders=folders.named_files(),
                on_event=on_event,
                interrupt=host.interrupt,
            )
        graph = GraphBuilder()
        shot = None
        for errand in filming.errands:
            before: dict[str, Any] = {} if shot is None else {"before": shot.out(0)}
            work = Assignment.of(errand, filming, model, node, () if before else notes)
            shot = graph.node("MPVG_FilmShot", id=f"shot-{errand.number}", work=work, **before)
        assert shot is not None, "a storyboard has at least one shot"
        return io.NodeOutput(shot.out(1), expand=graph.finalize())


class FilmShot(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_FilmShot",
            display_name="Film Shot (MPVG, made by Film Storyboard)",
            category="MPVG/storyboard",
            description="One shot of a film in the making. Film Storyboard makes these; it has no use by itself.",
            inputs=[
                io.Custom("MPVG_ASSIGNMENT").Input("work", tooltip="The shot to film."),
                sockets.Takes.Input("before", optional=True, tooltip="The shots before it."),
            ],
            outputs=[
                sockets.Takes.Output("takes", display_name="takes", tooltip="The shots up to this one."),
                sockets.FilmSocket.Output("film", display_name="film", tooltip="The film of all takes so far."),
            ],
            **host.hidden_in_menus(),
        )

    @classmethod
    @host.plain_words
    def execute(cls, work: Assignment, before: FilmedSoFar | None = None) -> io.NodeOutput:
        from ..mpvg_core.errors import InputError, Problem
        from ..mpvg_core.film.record import write_record

        if not isinstance(work, Assignment):
            raise InputError(
                Problem("work", "is no shot of a film", remedy="use Film Storyboard, which makes this node")
            )
        filming, model = work.filming, work.model
        progress = host.Progress(filming.settings.steps)
        filming.on_step = lambda info: progress.show(info.index + 1, step_picture(model, info))
        try:
            with host.at_work(model.resident, model.backbone.transformer):
                take = filming.shoot(work.errand)
            takes = (*(before.takes if before is not None else ()), take)
            film = filming.film()
            if len(takes) == len(filming.errands):
                write_record(film, filming.store, {})
                _MADE[work.shown_on] = tuple(made.folder for made in takes if made is not None)
        finally:
            filming.on_step = None
            filming.store.close()
        return io.NodeOutput(
            FilmedSoFar(takes),
            FilmOnDisk(film, filming.store.folder),
            ui={"mpvg_takes": [_card(work, take)]},
        )


class FilmOfHistory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_FilmOfHistory",
            display_name="Film of History (MPVG)",
            category="MPVG/storyboard",
            description="The shots of a history, made one by one, as a film: its takes are kept on disk.",
            search_aliases=["collect", "join", "by hand"],
            inputs=[
                sockets.Model.Input("model", tooltip="The model that made the shots."),
                sockets.History.Input("history", tooltip="The shots in order."),
                io.String.Input(
                    "title", default="by hand", tooltip="The film's title, which also names its folder in output/mpvg."
                ),
            ],
            outputs=[
                sockets.FilmSocket.Output("film", display_name="film", tooltip="The takes of all shots in order.")
            ],
        )

    @classmethod
    @host.plain_words
    def execute(cls, model: FilmModel, history: ShownHistory, title: str) -> io.NodeOutput:
        from ..mpvg_core.film.collect import collect_film
        from ..mpvg_core.film.takes import TakeStore
        from ..mpvg_core.storyboard.slug import slug_of

        require_same_model(model, history.model, "history")
        folder = folders.films_folder() / slug_of(title)
        with TakeStore(folder) as store, host.at_work(model.resident, model.backbone.transformer):
            film = collect_film(title.strip() or "Untitled", history.clips, model.backbone, store, host.interrupt)
        return io.NodeOutput(FilmOnDisk(film, folder))


class AssembleFilm(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_AssembleFilm",
            display_name="Assemble Film (MPVG)",
            category="MPVG/storyboard",
            description="Joins the takes of a film by cuts and crossfades, and lays sound under them.",
            search_aliases=["join", "concat", "crossfade", "audio"],
            is_output_node=True,
            inputs=[
                sockets.FilmSocket.Input("film", tooltip="The takes in order."),
                io.Combo.Input(
                    "transitions",
                    options=["as the storyboard says", "cut", "crossfade"],
                    tooltip="How a shot is joined to the one before it.",
                ),
                io.Float.Input(
                    "crossfade_seconds",
                    default=0.5,
                    min=0.05,
                    max=60.0,
                    step=0.05,
                    tooltip="Length of a crossfade, with transitions set to crossfade.",
                ),
                io.String.Input(
                    "file_name",
                    default="film",
                    tooltip="The film's file in its folder, without ending.",
                ),
                io.Audio.Input("audio", optional=True, tooltip="Cut, or filled up with silence, to the film's length."),
            ],
            outputs=[io.Video.Output("video", display_name="video", tooltip="The film.")],
        )

    @classmethod
    @host.plain_words
    def execute(
        cls, film: FilmOnDisk, transitions: str, crossfade_seconds: float, file_name: str, audio: Any = None
    ) -> io.NodeOutput:
        from ..mpvg_core.film.assemble import assemble_film
        from ..mpvg_core.film.durable import sha256_file
        from ..mpvg_core.film.record import write_record
        from ..mpvg_core.film.sound import write_wave
        from ..mpvg_core.film.takes import TakeStore
        from ..mpvg_core.storyboard.slug import slug_of

        joined = film.film
        if transitions in ("cut", "crossfade"):
            seconds = crossfade_seconds if transitions == "crossfade" else 0.0
            shots = (replace(shot, transition=transitions, transition_seconds=seconds) for shot in joined.shots)
            joined = replace(joined, shots=tuple(shots))
        target = film.folder / f"{slug_of(file_name)}.mp4"
        require_takes(film)
        with TakeStore(film.folder) as store:
            sound = None
            if audio is not None:
                samples, rate = host.sound_of(audio)
                sound = store.scratch / "sound.wav"
                write_wave(samples, rate, sound)
            assemble_film(joined, target, store.scratch, sound)
            write_record(joined, store, {target.name: sha256_file(target)})
        shown = {"images": [folders.output_file(target)], "animated": (True,)}
        return io.NodeOutput(host.video_file(target), ui=shown)


class ContactSheet(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_ContactSheet",
            display_name="Contact Sheet (MPVG)",
            category="MPVG/storyboard",
            description="The film on one page: a row a shot with its prompt and what it remembers, a column a moment.",
            search_aliases=["overview", "grid", "thumbnails"],
            is_output_node=True,
            inputs=[
                sockets.FilmSocket.Input("film", tooltip="The takes in order."),
                io.Int.Input("columns", default=6, min=1, max=24, tooltip="Pictures of each shot."),
            ],
            outputs=[io.Image.Output("image", display_name="image", tooltip="The sheet.")],
        )

    @classmethod
    @host.plain_words
    def execute(cls, film: FilmOnDisk, columns: int) -> io.NodeOutput:
        import numpy as np
        from PIL import Image

        from ..mpvg_core.film.assemble import CONTACT
        from ..mpvg_core.film.contact import draw_contact_sheet
        from ..mpvg_core.film.takes import TakeStore

        target = film.folder / CONTACT
        require_takes(film)
        with TakeStore(film.folder) as store:
            draw_contact_sheet(film.film, target, store.scratch, columns)
        sheet = np.asarray(Image.open(target).convert("RGB"))
        return io.NodeOutput(host.image_batch(sheet[None]), ui={"images": [folders.output_file(target)]})


def require_takes(film: FilmOnDisk) -> None:
    """Raises InputError for a film without shots, or whose takes are no longer on disk."""
    from ..mpvg_core.errors import InputError, Problem

    where = f"film {film.film.title!r}"
    if not film.film.shots:
        raise InputError(Problem(where, "has no take of any shot", remedy="film at least one shot"))
    gone = [shot for shot in film.film.shots if not shot.take.clip.is_file()]
    if gone:
        raise InputError(
            Problem(f"{where}, shot {shot.name!r}", f"take {shot.take.id} is gone", remedy="queue the film again")
            for shot in gone
        )


def _card(work: Assignment, take: Take | None) -> dict[str, Any]:
    """What the page shows of a finished shot."""
    errand = work.errand
    return {
        "number": errand.number,
        "of": len(work.filming.errands),
        "name": errand.shot.name,
        "prompt": errand.shot.prompt,
        "action": errand.action,
        "take": take.id if take is not None else "",
        "clip": folders.output_file(take.clip) if take is not None else None,
        "notes": [*work.notes, *errand.shot.notes],
        "remembers": [{"shot": memory.shot, "words": " ".join(memory.pieces)} for memory in errand.memories],
    }
