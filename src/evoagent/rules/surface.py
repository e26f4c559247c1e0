"""Rules on the surface of an instruction: no model is asked."""

from __future__ import annotations

import re

from pydantic import Field

from evoagent.config.model import Strict
from evoagent.models.roles import Models
from evoagent.records import KEEP, Candidate, Verdict
from evoagent.rules.base import Rule
from evoagent.text import normalise, repeated_share, words


class Extracted(Rule):
    """Rejects candidates without an instruction: nothing could be taken out of the completion."""

    async def judge(self, candidate: Candidate, models: Models) -> Verdict:
        """The figure is 0: no instruction where one is needed."""
        if candidate.instruction.strip():
            return KEEP
        return Verdict(False, "extracted", 0, 1, "the completion holds no instruction")


class Truncated(Rule):
    """Rejects completions that ran into their token limit, and are therefore cut off."""

    async def judge(self, candidate: Candidate, models: Models) -> Verdict:
        """The figure is 1: the engine says that it stopped for length."""
        if candidate.finish_reason != "length":
            return KEEP
        return Verdict(False, "truncated", 1, 1, "the evolver ran into its token limit")


class UnchangedConfig(Strict):
    """Parameters of `unchanged`."""

    max_similarity: float = Field(
        0.95,
        gt=0,
        le=1,
        description="ROUGE-L F1 with the parent at which a candidate counts as its copy. 1 rejects only exact copies.",
    )


class Unchanged(Rule):
    """Rejects candidates that say what their parent says: equal but for case and punctuation, or nearly equal."""

    def __init__(self, config: UnchangedConfig | None = None) -> None:
        self.config = config or UnchangedConfig()

    async def judge(self, candidate: Candidate, models: Models) -> Verdict:
        """The figure is the ROUGE-L F1 with the parent, or with the most similar of several."""
        child = normalise(compared(candidate)[0])
        parents = [normalise(text) for text in parent_texts(candidate)]
        if not parents:
            return KEEP
        limit = self.config.max_similarity
        figure = max(1.0 if child == text else _rouge_l(child, text) for text in parents)
        if figure < limit:
            return KEEP
        detail = "the parent, word by word" if child in parents else "nearly the parent's words"
        return Verdict(False, "unchanged", figure, limit, detail)


class MissingInput(Rule):
    """Rejects instructions without an input that speak of one: "the following email", "the given words"."""

    async def judge(self, candidate: Candidate, models: Models) -> Verdict:
        """Look for a reference at which nothing follows. What the parent says itself, without an input too, passes."""
        text, parent = candidate.instruction, candidate.parent
        if candidate.input:
            # A list that is promised, where there is still only the input of the parent. Of a document that is it.
            kept = candidate.input == parent.input and not parent.is_document
            unkept = kept and not _BELOW.search(parent.instruction)
            promised = unkept and _BELOW.search(text) is not None
            gone: set[str] = set()
        else:
            unkept = bool(parent.input) or not _REFERENCE.search(parent.instruction)
            promised = unkept and _REFERENCE.search(text) is not None
            # "The workshop" of an input that was dropped. What a document speaks of may be asked for without it.
            nouns = {noun.lower() for noun in _DEFINITE.findall(text)}
            gone = set() if parent.is_document else nouns & set(words(parent.input))
        if (promised or gone) and not _CONTENT.search(text):
            return Verdict(False, "missing_input", 1, 1, "speaks of an input that is not there")
        return KEEP


_BELOW = re.compile(r"\b(list|table|words|options|text|passage|data)\b[^.?!]{0,40}\bbelow\b", re.IGNORECASE)
_DEFINITE = re.compile(r"\bthe ([a-z]{4,})\b", re.IGNORECASE)
_REFERENCE = re.compile(
    r"\b(the|this|these|those|each of the|all of the) (following|given|provided|above|below)\b"
    r"|\bgiven (a|the) description\b|\b(which|each|all|any|one) of (these|those)\b"
    r"|\b(below|following|this)( \w+)?:\s*$",
    re.IGNORECASE,
)
_CONTENT = re.compile(r":\s*\S|[\"“'‘`][^\"”'’`\n]{3,}[\"”'’`]|\n")  # what is spoken of stands in the text itself


class LengthRatioConfig(Strict):
    """Parameters of `length_ratio`, all in words of the instruction without its input."""

    min_ratio: float = Field(0.35, ge=0, description="Shorter than this share of the parent is too short.")
    max_ratio: float = Field(4.0, gt=0, description="Longer than this many times the parent is too long …")
    grace_words: int = Field(60, ge=0, description="… unless it is longer by no more words than this.")
    min_words: int = Field(3, ge=0, description="Shorter than this is too short, whatever the parent.")
    max_words: int = Field(400, ge=1, description="Longer than this is too long, whatever the parent.")


class LengthRatio(Rule):
    """Rejects candidates that are too short or too long, by themselves or against the parent."""

    def __init__(self, config: LengthRatioConfig | None = None) -> None:
        self.config = config or LengthRatioConfig()

    async def judge(self, candidate: Candidate, models: Models) -> Verdict:
        """The figure is a number of words, or the ratio to the parent's."""
        config = self.config
        own, base = len(words(candidate.instruction)), max(1, len(words(candidate.parent.instruction)))
        ratio = own / base
        document = candidate.parent.is_document
        # A parent that is itself below the bound shows that such an instruction can be a whole one.
        least = config.min_words if document else min(config.min_words, base)
        if own < least:
            return Verdict(False, "length_ratio", own, least, "too few words")
        if own > config.max_words:
            return Verdict(False, "length_ratio", own, config.max_words, "too many words")
        if document:
            return KEEP
        if ratio < config.min_ratio:
            return Verdict(False, "length_ratio", ratio, config.min_ratio, "too short against the parent")
        if ratio > config.max_ratio and own > base + config.grace_words:
            return Verdict(False, "length_ratio", ratio, config.max_ratio, "too long against the parent")
        return KEEP


class RepetitionConfig(Strict):
    """Parameters of `repetition`."""

    max_share: float = Field(
        0.25, gt=0, le=1, description="Share of three-word runs that occurred before; above it the text is a loop."
    )


class Repetition(Rule):
    """Rejects degenerate loops: the same words over and over, more than in the parent."""

    def __init__(self, config: RepetitionConfig | None = None) -> None:
        self.config = config or RepetitionConfig()

    async def judge(self, candidate: Candidate, models: Models) -> Verdict:
        """The figure is the share of repeated runs; the threshold is the parent's own share if that is higher."""
        child, parent = compared(candidate)
        limit = max(self.config.max_share, repeated_share(parent))
        figure = repeated_share(child)
        return Verdict(False, "repetition", figure, limit, "repeats itself") if figure > limit else KEEP


def compared(candidate: Candidate) -> tuple[str, str]:
    """What tells `candidate` from its parent: the instructions, with their inputs only where those differ.

    A long input that both share would make any two texts alike.
    """
    parent = candidate.parent
    if candidate.input == parent.input:
        return candidate.instruction, parent.instruction
    return candidate.prompt_text, parent.prompt_text


def parent_texts(candidate: Candidate) -> list[str]:
    """The texts of all parents that `candidate` can be compared with: a document asks for nothing yet."""
    own = [] if candidate.parent.is_document else [compared(candidate)[1]]
    return own + [mate.prompt_text for mate in candidate.mates if not mate.is_document]


def _rouge_l(child: str, parent: str) -> float:
    """F1 of the longest common subsequence: 2 LCS / (m + n), which is the normalised similarity by indels."""
    from rapidfuzz.distance import Indel

    return Indel.normalized_similarity(child.split(), parent.split())
