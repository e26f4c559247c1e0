"""The values that pass between operators, scorers, rules and the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def content_id(*parts: object) -> str:
    """A stable 16-hex-digit identifier made of `parts`; equal parts give equal identifiers on any machine."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def content_number(text: str, below: int) -> int:
    """A number from 0 to `below` - 1 made of `text`: the same on any machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % below


def join_prompt(instruction: str, input: str | None) -> str:
    """The instruction followed by its input on a new line, where there are both: "Q" of the IFD formulas."""
    return "\n".join(part for part in (instruction, input) if part)


@dataclass(frozen=True, slots=True)
class Instruction:
    """A member of the population: a seed, or a survivor of an earlier round; or a row of a corpus.

    Attributes:
        id: stable identifier; a survivor keeps the identifier that it had as a candidate.
        instruction: "" for a document, a text that an operator is to write an instruction for.
        input: what the instruction works on; the text of a document.
        output: the seed's reference answer, or the responder's answer for a survivor; "" if there is none.
        seed_id: the seed at the root of the (first) line of parents; its own id for a seed.
        round: 0 for a seed, else the round that produced it, counted through the whole run.
        stage: the stage that produced it; "" for a seed.
        operator: None for a seed.
        data: what plugins have attached to it, for later ones to read: small, and plain JSON.
    """

    id: str
    instruction: str
    input: str = ""
    output: str = ""
    parent_ids: tuple[str, ...] = ()
    seed_id: str = ""
    round: int = 0
    operator: str | None = None
    stage: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_document(self) -> bool:
        """Whether it is a text, in `input`, without an instruction."""
        return not self.instruction

    @property
    def prompt_text(self) -> str:
        """Instruction and input as one text."""
        return join_prompt(self.instruction, self.input)


@dataclass(frozen=True, slots=True)
class Evolution:
    """What an operator returns for one parent; one, or a list of them where its spec allows several.

    Attributes:
        instruction: the evolved instruction; "" if nothing could be extracted, with the cause in `reason`.
        input: the evolved input; None keeps the parent's.
        response: an answer that the operator has already, such as the parent's own; None has the responder asked.
        reason: why there is no instruction, for the ledger.
        raw: the completion it was extracted from, for the ledger.
        truncated: the completion ran into its token limit.
        data: attached to the candidate, and to the instruction that it becomes; None keeps the (first) parent's.
    """

    instruction: str
    input: str | None = None
    reason: str | None = None
    raw: str = ""
    truncated: bool = False
    response: str | None = None
    data: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """A figure, or None with the reason why there is none: never 0 and never NaN for a missing one.

    Attributes:
        details: what stands beside the figure in the ledger, for whoever asks how it came about.
        data: attached to the candidate, for the plugins after this one; what is there under the same key gives way.
    """

    value: float | None
    reason: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An evolved instruction on its way through critic and eliminator.

    Attributes:
        response: the responder's answer, or the operator's; "" before the critic has asked for it.
        finish_reason: "stop" or "length" of the evolver's completion; rule `truncated` reads it.
        parents: all of them, `parent` first, where an operator takes several; else empty, or `parent` alone.
        scores: by scorer name; empty before the critic.
        data: what its operator and its scorers have attached to it.
    """

    id: str
    instruction: str
    parent: Instruction
    operator: str
    round: int
    input: str = ""
    response: str = ""
    finish_reason: str = "stop"
    response_finish_reason: str = "stop"
    family: str = "depth"
    stage: str = ""
    parents: tuple[Instruction, ...] = ()
    scores: Mapping[str, Score] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mates(self) -> tuple[Instruction, ...]:
        """The parents beside `parent`, for a crossover."""
        return self.parents[1:]

    @property
    def prompt_text(self) -> str:
        """Instruction and input as one text."""
        return join_prompt(self.instruction, self.input)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule's decision on one candidate.

    Attributes:
        kept: False rejects the candidate.
        rule: the rule that decided.
        figure: what it measured, where it is a number, and `threshold`, what it compared with.
        detail: a few words for whoever asks why.
    """

    kept: bool
    rule: str = ""
    figure: float | None = None
    threshold: float | None = None
    detail: str = ""


KEEP = Verdict(kept=True)
