"""Who is measured, and which of his texts."""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evoagent import Candidate, Population

TextOf = Literal["instruction", "response"]


def text_of(member: Candidate, which: TextOf) -> str:
    """The instruction with its input, or the response."""
    return member.response if which == "response" else member.prompt_text


def by_hash(ids: NDArray[np.str_]) -> NDArray[np.intp]:
    """Numbers of the members in the order of the SHA-256 of their ids: a shuffle that is the same in every process."""
    digests = (hashlib.sha256(id.encode("utf-8", "surrogatepass")).digest() for id in ids)
    return np.argsort(np.fromiter((int.from_bytes(digest[:8]) for digest in digests), np.uint64), kind="stable")


async def sample(members: Population, size: int) -> list[Candidate]:
    """All members, or the first `size` of them by the hash of their ids."""
    return await members.rows(np.arange(len(members)) if len(members) <= size else by_hash(members.ids)[:size])
