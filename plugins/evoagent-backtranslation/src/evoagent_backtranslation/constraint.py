"""What a kind of constraint is: how it is found in a response, worded, verified, and read back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from evoagent_backtranslation import text as texts

Values: TypeAlias = tuple[int | str, ...]

_SLOT = re.compile(r"\\\{([nmqr])\\\}")
_NUMBER = r"(\d{1,5}|" + "|".join(texts.NUMBERS[2:]) + ")"
_QUOTED = r'"([^"\n]{1,60})"'


@dataclass(frozen=True)
class Case:
    """An instruction with its response, and what kinds ask of it again and again.

    Attributes:
        instruction: without constraints that were added before.
        key: what the draws are made of: the same for the same parent and sample, on any machine.
    """

    instruction: str
    input: str
    response: str
    key: str

    @cached_property
    def words(self) -> list[str]:
        """The words of the response."""
        return texts.words(self.response)

    @cached_property
    def asked(self) -> set[str]:
        """The words of the instruction and its input, and the parts of those with hyphens."""
        found = texts.words(f"{self.instruction}\n{self.input}")
        return {*found, *(part for word in found for part in word.split("-"))}

    @cached_property
    def prose(self) -> bool:
        """Whether the response is in words and sentences."""
        return texts.is_prose(self.response)

    @cached_property
    def closed(self) -> bool:
        """Whether the instruction leaves hardly a choice of words: a correction, a translation, an extraction."""
        return self.says(
            r"translat\w*|correct|spelling|grammar\w*|misspell\w*|replace|extract|convert\w*"
            r"|fill in|change the|classif\w*|reorder|sort|parse|parsing|find the|link|identify"
            r"|detect|tag|label|anonymi\w*|answer the following"
        )

    @cached_property
    def offers(self) -> bool:
        """Whether the instruction offers what to choose from."""
        return self.says(r"or|whether|decide|classif\w*|which of|choose|select|verify|true|yes")

    def says(self, pattern: str) -> bool:
        """Whether the instruction has `pattern`, in any case."""
        return re.search(rf"\b(?:{pattern})\b", self.instruction, re.IGNORECASE) is not None

    def draw(self, what: str) -> float:
        """A number from 0 to 1 that depends on the key and on `what` it is drawn for."""
        digest = hashlib.sha256(f"{self.key}\x1f{what}".encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:6], "big") / 2**48


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of constraint.

    Attributes:
        group: of one group an instruction has one constraint at most: two could repeat or contradict each other.
        wordings: sentences with slots: {n} and {m} are numbers, {q} and {r} stand in double quotes.
        find: the values of the slots for a case; None where it does not apply, would tell nothing, or was asked for.
        holds: whether a response meets the constraint with these values.
        weight: how readily it is chosen.
        alone: it leaves room for no other constraint.
    """

    name: str
    group: str
    wordings: tuple[str, ...]
    find: Callable[[Case], Values | None]
    holds: Callable[..., bool]
    weight: float = 1.0
    alone: bool = False
    patterns: tuple[re.Pattern[str], ...] = field(default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "patterns", tuple(_pattern(wording) for wording in self.wordings))


@dataclass(frozen=True, slots=True)
class Constraint:
    """One constraint, with its values and the sentence that states it."""

    kind: Kind
    values: Values
    text: str

    def holds(self, response: str) -> bool:
        """Whether `response` meets it."""
        return self.kind.holds(response, *self.values)

    @property
    def quoted(self) -> set[str]:
        """The words that it speaks of."""
        return {value.lower() for value in self.values if isinstance(value, str)}


def word(kind: Kind, values: Values, case: Case, shift: int = 0) -> Constraint:
    """The constraint in one of the kind's wordings, as the case's key draws; `shift` takes a later one."""
    drawn = int(case.draw(f"wording:{kind.name}") * len(kind.wordings))
    wording = kind.wordings[(drawn + shift) % len(kind.wordings)]
    slots = iter(values)
    text = re.sub(r"\{[nmqr]\}", lambda match: _written(next(slots)), wording)
    return Constraint(kind, values, text)


def read(kind: Kind, text: str) -> list[tuple[int, Constraint]]:
    """Every constraint of `kind` that `text` states in one of its wordings, with its place."""
    return [
        (match.start(), Constraint(kind, tuple(_value(slot) for slot in match.groups()), match[0]))
        for pattern in kind.patterns
        for match in pattern.finditer(text)
    ]


def _written(value: int | str) -> str:
    return f'"{value}"' if isinstance(value, str) else texts.spelled(value)


def _value(slot: str) -> int | str:
    if slot in texts.NUMBERS:
        return texts.NUMBERS.index(slot)
    return int(slot) if slot.isdecimal() and slot.isascii() else slot


def _pattern(wording: str) -> re.Pattern[str]:
    body = _SLOT.sub(lambda match: _NUMBER if match[1] in "nm" else _QUOTED, re.escape(wording))
    return re.compile(rf"(?<![^\s]){body}(?=\s|\Z)")
