"""Which operators are called on which parent. Every choice is a pure function of its arguments."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

Schedule = Literal["rotation", "random", "all"]


def choose(
    schedule: Schedule, operators: Sequence[str], position: int, round: int, seed: int, parent_id: str
) -> list[str]:
    """The operators for the parent at `position` of the population in `round` (from 1).

    rotation: `operators[(position + round) % n]`, as in "Smaller Language Models Are Better Instruction Evolvers";
    random: one, drawn by a hash of (seed, parent, round); all: every one of them.
    """
    if schedule == "all":
        return list(operators)
    if schedule == "rotation":
        return [operators[(position + round) % len(operators)]]
    digest = hashlib.sha256(f"{seed}:{parent_id}:{round}".encode()).digest()
    return [operators[int.from_bytes(digest[:8], "big") % len(operators)]]
