"""Latent and pixel frame arithmetic of a causal video VAE.

With a temporal compression of c, latent 0 is pixel frame 0 and latent i >= 1 is pixel frames c(i-1)+1 .. ci.
CogVideoX's VAE decodes an odd number F of latents to c(F-1)+1 frames but an even number to cF (it blows frame 0 up to
c frames), so only odd latent counts are legal here: a clip has 1 + 2cn frames, 1 + 8n for c = 4.
"""

from __future__ import annotations

from ..errors import InputError, Problem

TEMPORAL_COMPRESSION = 4


def frame_step(temporal_compression: int = TEMPORAL_COMPRESSION) -> int:
    """The distance between two legal clip lengths in pixel frames: 2c, as latent counts stay odd."""
    if temporal_compression < 1:
        raise ValueError(f"a temporal compression is at least 1, not {temporal_compression}")
    return 2 * temporal_compression


def is_legal_length(frames: int, temporal_compression: int = TEMPORAL_COMPRESSION) -> bool:
    """Whether a clip of so many pixel frames has an odd number of latents: frames = 1 + 2cn, n >= 0."""
    return frames >= 1 and (frames - 1) % frame_step(temporal_compression) == 0


def latent_frames(frames: int, temporal_compression: int = TEMPORAL_COMPRESSION) -> int:
    """How many latents (always odd) describe a clip of `frames` pixel frames: 1 + (frames - 1) / c.

    Raises InputError for a length that no odd number of latents can make; the message names the nearest legal ones.
    """
    if not is_legal_length(frames, temporal_compression):
        step = frame_step(temporal_compression)
        below = 1 + max(frames - 1, 0) // step * step
        nearest = f"{below} or {below + step}" if frames >= 1 else "1 or more"
        raise InputError(
            Problem("frames", f"{frames} frames cannot be made", f"1 + {step}n frames", f"take {nearest} frames")
        )
    return 1 + (frames - 1) // temporal_compression


def pixel_frames(latents: int, temporal_compression: int = TEMPORAL_COMPRESSION) -> int:
    """How many pixel frames an odd number of latents decodes to: 1 + c(F - 1). Raises InputError for an even count."""
    if latents < 1 or latents % 2 == 0:
        remedy = f"take {latents - 1} or {latents + 1}" if latents > 0 else ""
        raise InputError(Problem("latent frames", f"{latents} latent frames", "an odd number of at least 1", remedy))
    return 1 + temporal_compression * (latents - 1)


def pixel_frames_of(latents: range, temporal_compression: int = TEMPORAL_COMPRESSION) -> range:
    """The pixel frames of a decoded clip that its latent frames `latents` describe: those of a window or a prompt."""
    if not len(latents) or latents.start < 0 or latents.step != 1:
        raise ValueError(f"{latents} are no latent frames of a clip")
    first = 0 if latents.start == 0 else temporal_compression * (latents.start - 1) + 1
    return range(first, temporal_compression * (latents.stop - 1) + 1)
