"""What a built data set is made of, on disk.

    DIR/dataset.json                      what was built, of what, and what could not be (the manifest)
    DIR/index.html                        its clips to look at
    DIR/stories/NAME-KEY/                 layout 'scenes', a folder a video:
        cut.json                            the source, its cuts, and the clips that are planned
        scene-001.mp4 scene-001.jpg …       the clips, and a strip of pictures of each
        captions.json                       what each clip shows, and who said so
        story.yaml                          a storyboard whose shot 'scene 001' was filmed in scene-001.mp4; of a long
                                            video story-2.yaml … go on
    DIR/transitions/NAME-KEY/             layout 'transitions', a folder a video:
        cut.json clip.mp4 clip.jpg captions.json
        transition.json                     the clip, its cut, both captions and both prompts

KEY is a hash of the source's bytes and of the settings. Only what the manifest lists is part of the data set.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import InputError, Problem

VERSION = 1
MANIFEST, PAGE = "dataset.json", "index.html"
CUT, CAPTIONS, STORY, TRANSITION = "cut.json", "captions.json", "story.yaml", "transition.json"
FOLDERS = {"scenes": "stories", "transitions": "transitions"}  # by layout


def read_object(file: Path, remedy: str) -> dict[str, Any]:
    """The JSON object in one of a data set's files. Raises InputError for one that is missing or no object of ours."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(Problem(str(file), f"cannot be read ({error.strerror or error})", remedy=remedy)) from error
    except ValueError as error:
        raise InputError(Problem(str(file), f"is no JSON ({error})", remedy=remedy)) from error
    version = data.get("version") if isinstance(data, dict) else None
    if version != VERSION:
        found = f"has version {version!r}" if isinstance(data, dict) else "holds no object"
        raise InputError(Problem(str(file), found, f"version {VERSION}", remedy))
    return data
