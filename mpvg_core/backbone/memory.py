"""Where the parts of a model stay, by the room there is: a film must fit an 8 GB GPU as well as a 24 GB one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

GIB = 2**30
# Activations of one branch take 0.7 GiB (2b) and 1.1 GiB (5b) at 480x720x49; the rest is for the decoder.
SAMPLING_ROOM = 2 * GIB
ENCODING_ROOM = GIB // 2
SMALL = GIB // 16


@dataclass(frozen=True)
class Placement:
    """transformer: "resident", or "streamed" block by block from main memory; text_encoder: "device" or "cpu"."""

    transformer: str
    text_encoder: str


def place_parts(free: int | None, transformer: int, text_encoder: int) -> Placement:
    """The placement for `free` bytes on the device and parts of these sizes, in bytes.

    The transformer stays for the whole film if it leaves room to sample; otherwise its blocks are streamed, which is
    slower but needs only a few of them at a time. The text encoder is needed once, before the first step: it visits
    the device if there is room beside the transformer, and works on the CPU if not (seconds a prompt, each encoded
    once). None: a device without memory of its own.
    """
    if free is None:
        return Placement("resident", "device")
    resident = transformer + SAMPLING_ROOM <= free
    left = free - (transformer if resident else 0)
    return Placement(
        transformer="resident" if resident else "streamed",
        text_encoder="device" if text_encoder + ENCODING_ROOM <= left else "cpu",
    )


def free_bytes(device: torch.device) -> int | None:
    """Free memory of a CUDA device; None where parts need not be placed (CPU, MPS share main memory)."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else None


def weight_bytes(module: Any) -> int:
    """Memory that a module's parameters take, in bytes."""
    return sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())


def settle_threads(transformer: Any, device: torch.device) -> None:
    """One thread for a model so small that several only wait for one another; its films are then the same on every
    CPU."""
    if device.type == "cpu" and weight_bytes(transformer) < SMALL:
        torch.set_num_threads(1)


@contextmanager
def settled_threads(transformer: Any, device: torch.device) -> Iterator[None]:
    """`settle_threads` for as long as the block lasts: for programs that do other work besides."""
    before = torch.get_num_threads()
    settle_threads(transformer, device)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def stream_blocks(transformer: Any, device: torch.device) -> None:
    """Keeps the weights in main memory and brings one block at a time to the device (diffusers' group offloading)."""
    transformer.enable_group_offload(
        onload_device=device,
        offload_device=torch.device("cpu"),
        offload_type="block_level",
        num_blocks_per_group=1,
        use_stream=device.type == "cuda",
    )
