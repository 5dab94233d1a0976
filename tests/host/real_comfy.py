"""A real ComfyUI for the tests: started with this pack in a folder of its own, spoken to as a page speaks to it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROBE = """
import sys
from aiohttp import web
from server import PromptServer
NODE_CLASS_MAPPINGS = {}
@PromptServer.instance.routes.get("/probe")
async def probe(request):
    return web.json_response(sorted({name.split(".")[0] for name in sys.modules}))
@PromptServer.instance.routes.get("/probe/flags")
async def flags(request):
    return web.json_response(sorted(PromptServer.instance.prompt_queue.flags))
"""
IMPORTS = """
import sys
sys.argv = ["main.py", "--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
import utils.extra_config  # as main.py does, before anything else is called utils
import server
import diffusers, imageio_ffmpeg, matplotlib, pydantic, rich, typer
"""
"""What a ComfyUI with this pack must be able to import, tried before any server is started."""

ENDS = ("execution_success", "execution_error", "execution_interrupted")


def folder() -> Path | None:
    """Where ComfyUI lies: COMFYUI_DIR, else ComfyUI in the home folder; None = nowhere."""
    path = Path(os.environ.get("COMFYUI_DIR") or Path.home() / "ComfyUI")
    return path if (path / "main.py").is_file() else None


def interpreter() -> str:
    """The Python that runs it: COMFYUI_PYTHON, else the one that runs the tests."""
    return os.environ.get("COMFYUI_PYTHON", sys.executable)


def what_it_lacks() -> str | None:
    """Why the Python that should run ComfyUI cannot, and what to do; None = it can."""
    home, python = folder(), interpreter()
    assert home is not None
    try:
        tried = subprocess.run([python, "-c", IMPORTS], cwd=home, capture_output=True, text=True)
    except OSError as error:
        return f"COMFYUI_PYTHON is no Python: {error}"
    if tried.returncode == 0:
        return None
    said = (tried.stderr.strip().splitlines() or [f"exit status {tried.returncode}"])[-1]
    remedy = f"set COMFYUI_PYTHON to the Python that runs it, with {ROOT / 'requirements.txt'} and matplotlib installed"
    return f"{python} cannot run the ComfyUI in {home} with this pack ({said}): {remedy}"


@dataclass
class Outcome:
    """What a queued graph told the page: (kind, data, seconds since it was queued)."""

    events: list[tuple[str, Any, float]] = field(default_factory=list)
    refused: dict[str, Any] | None = None

    def of(self, kind: str) -> list[Any]:
        return [data for name, data, _ in self.events if name == kind]

    @property
    def end(self) -> str:
        return self.events[-1][0] if self.events else "refused"

    @property
    def lines(self) -> list[str]:
        """What the film nodes said, in order."""
        return [text for _, text in self.of("text")]

    @property
    def filmed(self) -> list[int]:
        """The numbers of the shots that were denoised."""
        cards = [card for done in self.of("executed") for card in ((done["output"] or {}).get("mpvg_takes") or ())]
        started = {line.partition(",")[0] for line in self.lines if ", step 1 of" in line}
        return [card["number"] for card in cards if f"shot {card['number']} of {card['of']}" in started]

    @property
    def message(self) -> str:
        (error,) = self.of("execution_error")
        return str(error["exception_message"])


class Server:
    """A running ComfyUI with this pack; `base` holds its input, output and models, `name` is the pack's folder."""

    def __init__(self, base: Path, name: str = "any-name") -> None:
        self.base, self.name, self.log = base, name, base / "server.log"
        self.loaded: set[str] = set()  # the modules of a ComfyUI that has only just started
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def start(self, seconds: float = 300) -> None:
        nodes = self.base / "custom_nodes"
        (nodes / "probe").mkdir(parents=True, exist_ok=True)
        (nodes / "probe" / "__init__.py").write_text(PROBE)
        if not (nodes / self.name).exists():
            (nodes / self.name).symlink_to(ROOT, target_is_directory=True)
        home = folder()
        assert home is not None
        command = [interpreter(), "main.py", "--cpu", "--listen", "127.0.0.1", "--port", str(self.port)]
        command += ["--base-directory", str(self.base), "--disable-auto-launch", "--disable-api-nodes"]
        command += ["--database-url", "sqlite:///:memory:"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=home, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"ComfyUI ended:\n{self.said()[-3000:]}")
            try:
                self.loaded = set(self.get("/probe"))
                return
            except OSError:
                time.sleep(0.5)
        self.stop(signal.SIGKILL)
        raise RuntimeError(f"ComfyUI did not answer in {seconds:.0f} s:\n{self.said()[-3000:]}")

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def forget(self) -> None:
        """Nothing has been filmed yet: no take on disk, no node's result in memory."""
        shutil.rmtree(self.base / "output" / "mpvg", ignore_errors=True)
        self.free(free_memory=True)

    def free(self, **what: bool) -> None:
        """Free models or memory, and wait until it is begun: a graph queued at once might come before it."""
        self.post("/free", what)
        while self.get("/probe/flags"):
            time.sleep(0.05)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def read(self, path: str) -> bytes:
        with urllib.request.urlopen(self.address + path, timeout=30) as answer:
            found: bytes = answer.read()
            return found

    def get(self, path: str) -> Any:
        return json.loads(self.read(path))

    def post(self, path: str, data: Any) -> tuple[int, Any]:
        body = json.dumps(data).encode()
        request = urllib.request.Request(self.address + path, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                said = answer.read()
                return answer.status, json.loads(said) if said else None
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def run(
        self, graph: dict[str, Any], *, seconds: float = 300, watch: Callable[[str, Any], None] = lambda *_: None
    ) -> Outcome:
        """Queue a graph and listen until it ends; `watch` is told everything at once."""
        from websockets.sync.client import connect

        client, outcome = uuid.uuid4().hex, Outcome()
        address = f"ws://127.0.0.1:{self.port}/ws?clientId={client}"
        with connect(address, max_size=None) as socket:
            socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
            begun = time.monotonic()
            status, answer = self.post("/prompt", {"prompt": graph, "client_id": client})
            if status != 200:
                outcome.refused = answer
                return outcome
            while time.monotonic() - begun < seconds:
                try:
                    kind, data = _read(socket.recv(timeout=5))
                except TimeoutError:
                    continue
                outcome.events.append((kind, data, time.monotonic() - begun))
                watch(kind, data)
                if kind in ENDS and data["prompt_id"] == answer["prompt_id"]:
                    return outcome
        raise TimeoutError(f"the graph did not end in {seconds} s; last: {outcome.events[-3:]}")


def _read(message: str | bytes) -> tuple[str, Any]:
    if isinstance(message, str):
        data = json.loads(message)
        return str(data["type"]), data.get("data")
    kind = int.from_bytes(message[:4], "big")
    length = int.from_bytes(message[4:8], "big")
    if kind == 3:
        return "text", (message[8 : 8 + length].decode(), message[8 + length :].decode())
    if kind == 4:
        return "preview", (json.loads(message[8 : 8 + length]), message[8 + length :])
    return f"binary {kind}", message[4:]


def quick(graph: dict[str, Any], steps: int = 1, frames: int = 9) -> dict[str, Any]:
    """The same graph with as few steps and frames as there can be, long shots aside: how it looks does not matter."""
    for node in graph.values():
        inputs = node["inputs"]
        if "steps" in inputs:
            inputs["steps"] = steps
        if "frames" in inputs and not isinstance(inputs["frames"], list) and not inputs["frames"]:
            inputs["frames"] = frames
        if node["class_type"] == "MPVG_Storyboard":
            inputs["text"] = short(inputs["text"], frames)
    return graph


def short(board: str, frames: int = 9) -> str:
    """A board of YAML prompts with a length for each that has none."""
    lines = []
    following = [*board.splitlines()[1:], ""]
    for line, after in zip(board.splitlines(), following, strict=True):
        lines.append(line)
        if line.strip().removeprefix("- ").startswith("prompt:") and not after.strip().startswith("seconds:"):
            lines.append(f"{' ' * (line.index('prompt:'))}frames: {frames}")
    return "\n".join(lines) + "\n"
