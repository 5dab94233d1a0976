"""The three ways in which a server does not make a film: they decide whether the board is tried elsewhere."""

from __future__ import annotations

from ..errors import MPVGError


class ServerGone(MPVGError):
    """A server does not answer, answers with a fault of its own, or no longer knows the film: try another."""


class FilmRefused(MPVGError):
    """A server finds the graph wrong (HTTP 400) and so would any other: nothing was filmed."""


class FilmFailed(MPVGError):
    """A node failed, or someone stopped the film at the server: its other shots are not made."""
