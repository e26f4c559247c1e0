"""Who is measured, and which of his texts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

from evoagent import Candidate

TextOf = Literal["instruction", "response"]


def text_of(member: Candidate, which: TextOf) -> str:
    """The instruction with its input, or the response."""
    return member.response if which == "response" else member.prompt_text


def by_hash(members: Sequence[Candidate]) -> list[Candidate]:
    """`members` in the order of the SHA-256 of their ids: a shuffle that is the same in every process."""
    return sorted(members, key=lambda member: hashlib.sha256(member.id.encode("utf-8", "surrogatepass")).digest())


def sample(members: Sequence[Candidate], size: int) -> list[Candidate]:
    """All members, or the first `size` of them by the hash of their ids."""
    return list(members) if len(members) <= size else by_hash(members)[:size]
