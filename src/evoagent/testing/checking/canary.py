"""Sings when model output is executed: hostile answers call it by its full name."""

from __future__ import annotations

_songs: list[str] = []

TRAP = "__import__('evoagent.testing.checking.canary', fromlist=['sing']).sing()"
"""An expression that a plugin must never evaluate."""


def sing() -> str:
    """Note that somebody has executed it."""
    _songs.append("sung")
    return "sung"


def heard() -> bool:
    """Whether it has sung since the last call."""
    found = bool(_songs)
    _songs.clear()
    return found
