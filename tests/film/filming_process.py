"""A process that films in forked children on request, so that a test can kill them or weigh their memory.

Each line on its standard input is JSON: {"folder": ..., "plan": {...}, "pause": seconds}. The child's process id is
answered at once; an empty line asks for its exit status. The peak of its memory in kilobytes goes to the file
`memory`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch
from fake_film import FakeBackbone, make_film, story_plan

torch.set_num_threads(1)


def film(order: dict) -> None:
    prompts = {f"shot {index}": prompt for index, prompt in enumerate(order["prompts"])}
    plan = story_plan(prompts, frames=order.get("frames", 9), size=tuple(order.get("size", (64, 64))))
    make_film(Path(order["folder"]), plan, FakeBackbone(pause=order.get("pause", 0.0)))


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                film(order)
                status = 0
            except BaseException:  # noqa: BLE001 - the parent reads the status
                traceback.print_exc()
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            if "memory" in order:
                Path(order["memory"]).write_text(str(memory))
            os._exit(status)
        print(child, flush=True)
        sys.stdin.readline()  # until then the child's id stays its own, dead or alive
        _, status = os.waitpid(child, 0)
        print(status, flush=True)


main()
