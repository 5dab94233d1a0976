"""Cutting footage into a data set of training clips."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from . import folders, host, sockets
from .film import require_takes
from .inputs import widget_names
from .sockets import FilmOnDisk

if TYPE_CHECKING:
    from ..mpvg_core.datasets.sources import Found

LISTED = 20  # files that are named on the node
OPEN = "open"  # what is connected comes as None while a graph is queued


class DatasetBuilder(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_DatasetBuilder",
            display_name="Dataset Builder (MPVG)",
            category="MPVG/evaluation",
            description="Cuts a folder of videos into training clips with captions. Run again, it goes on where it "
            "stopped.",
            search_aliases=["training data", "clips", "split video", "captions"],
            is_output_node=True,
            inputs=[
                io.String.Input(
                    "videos",
                    default="",
                    tooltip="A folder of videos, or one video: a whole path, or one inside ComfyUI's input folder. "
                    "Captions lie beside a.mp4 as a.txt (a line a scene) or a.srt.",
                ),
                io.String.Input(
                    "folder",
                    default="",
                    tooltip="The data set's folder under output/mpvg/datasets; empty = named after the videos.",
                ),
                io.Combo.Input(
                    "layout",
                    options=["scenes", "transitions"],
                    tooltip="scenes: a clip a scene, together a story. transitions: one clip around each video's "
                    "first cut.",
                ),
                _pixels("width", 720),
                _pixels("height", 480),
                io.Int.Input("fps", default=8, min=1, max=120, tooltip="Frames a second of the clips."),
                io.Int.Input(
                    "frames",
                    default=0,
                    min=0,
                    max=4001,
                    tooltip="Frames of the longest clip, 1 + 8n. 0 = 6 seconds of a scene, 10 around a cut.",
                ),
                io.Int.Input("jobs", default=2, min=1, max=16, tooltip="Videos that are cut at once."),
                io.Float.Input(
                    "min_scene",
                    default=1.0,
                    min=0.0,
                    max=3600.0,
                    step=0.1,
                    tooltip="Seconds that a scene lasts at least.",
                    advanced=True,
                ),
                io.Float.Input(
                    "max_scene",
                    default=0.0,
                    min=0.0,
                    max=36000.0,
                    step=0.1,
                    tooltip="Seconds that a scene lasts at most; longer ones are left out. 0 = any length.",
                    advanced=True,
                ),
                io.Float.Input(
                    "threshold",
                    default=27.0,
                    min=0.5,
                    max=255.0,
                    step=0.5,
                    tooltip="The change V from which on a frame may begin a new scene.",
                    advanced=True,
                ),
                sockets.FilmSocket.Input(
                    "film",
                    optional=True,
                    tooltip="A film of takes in place of videos; its prompts are its captions. Open: the videos above.",
                ),
            ],
            outputs=[
                io.String.Output("dataset", display_name="dataset", tooltip="The data set's folder."),
                io.String.Output("text", display_name="text", tooltip="What was built, and which files gave nothing."),
                io.String.Output("page", display_name="page", tooltip="Path of the page that shows all clips."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, videos: str | None = None, film: Any = OPEN) -> bool | str:
        from ..mpvg_core.errors import MPVGError

        try:
            if videos is not None and film is OPEN:
                folders.footage_path(videos)
        except MPVGError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, videos: str | None = None, folder: str | None = None, **_: Any) -> str:
        from ..mpvg_core.errors import MPVGError

        try:
            path = folders.footage_path(videos or "")
        except MPVGError:
            return "gone"
        built = _dataset_folder(folder or "", path) / "dataset.json"
        return f"{_state_of(path)} {built.is_file()}"

    @classmethod
    @host.plain_words
    def execute(
        cls,
        videos: str,
        folder: str,
        layout: Any,
        width: int,
        height: int,
        fps: int,
        frames: int,
        jobs: int,
        min_scene: float,
        max_scene: float,
        threshold: float,
        film: FilmOnDisk | None = None,
    ) -> io.NodeOutput:
        from ..mpvg_core.datasets.build import build_dataset
        from ..mpvg_core.datasets.files import PAGE
        from ..mpvg_core.datasets.manifest import summary
        from ..mpvg_core.datasets.settings import ClipSettings, longest_clip

        path = folders.footage_path(videos) if film is None else film.folder
        out = _dataset_folder(folder, path)
        node = str(cls.hidden.unique_id)
        with widget_names(), _footage(path, film, out) as found:
            longest = longest_clip(layout, fps, frames or None, None)
            size = (width, height)
            settings = ClipSettings(layout, fps, size, longest, min_scene, max_scene or None, threshold)
            steps = _Steps(node, len(found.videos))
            manifest = build_dataset(found, out, settings, jobs=jobs, say=steps, interrupt=host.interrupt)
        lines = [*summary(manifest.counts(), layout), *manifest.faults(LISTED)]
        host.say(node, lines[0])
        page = out / PAGE
        shown = {"mpvg_text": [*lines, folders.shown_path(page)]}
        return io.NodeOutput(str(out), "\n".join(lines), str(page), ui=shown)


@contextmanager
def _footage(path: Path, film: FilmOnDisk | None, out: Path) -> Iterator[Found]:
    """What is to be cut: the videos at `path`, or a film, joined anew from its takes, with its prompts as captions."""
    from ..mpvg_core.datasets.sources import Found, Source, find_sources
    from ..mpvg_core.film.assemble import assemble_film
    from ..mpvg_core.film.subtitles import subtitles
    from ..mpvg_core.film.takes import TakeStore

    if film is None:
        yield find_sources([path], out)
        return
    require_takes(film)
    with TakeStore(film.folder) as store:
        joined = store.scratch / f"{film.folder.name}.mp4"
        told = joined.with_suffix(".srt")
        assemble_film(film.film, joined, store.scratch)
        told.write_text(subtitles(film.film), encoding="utf-8")
        yield Found((Source(joined, film.film.title, (told,)),), ())


def _pixels(side: str, default: int) -> Any:
    return io.Int.Input(
        side,
        default=default,
        min=16,
        max=4096,
        step=16,
        tooltip=f"Pixels of the clips' {side}; pictures are scaled to cover the clip and cropped.",
    )


class _Steps:
    """Shows the steps of a build. The bar counts videos twice: once read, once cut."""

    def __init__(self, node: str, videos: int) -> None:
        self._node, self._videos, self._bar = node, videos, host.Progress(2 * videos)

    def __call__(self, step: Any) -> None:
        if step.kind == "described":  # told from another thread than the one whose progress the host shows
            return
        done = step.done if step.kind == "read" else 2 * self._videos - step.total + step.done
        self._bar.show(done)
        host.say(self._node, f"{step.kind} {step.done} of {step.total} videos: {Path(step.name).name}")


def _dataset_folder(name: str, videos: Path) -> Path:
    from ..mpvg_core.storyboard.slug import slug_of

    return folders.datasets_folder() / slug_of(name.strip() or videos.stem)


def _state_of(path: Path) -> str:
    """Changes when a file of the footage comes, goes, or is written."""
    import hashlib

    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    known = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
    return hashlib.sha256(repr(known).encode("utf-8", "backslashreplace")).hexdigest()
