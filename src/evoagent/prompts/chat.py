"""Words of chats and prompts that several folders share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    pass

if TYPE_CHECKING:
    pass


Message: TypeAlias = Mapping[str, str]
"""A chat turn: {"role": "system" | "user" | "assistant", "content": text}."""


Style = Literal["plain", "examples"]
