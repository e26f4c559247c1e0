"""Words of content, and whether a text keeps those of a parent."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_ENDINGS = ("ing", "ies", "ed", "es", "s", "e", "y")

_STOP_WORDS = """
a about above after again all also am an and any are as at be because been before being below between both but by
can could did do does doing down during each else every few for from further had has have having he her here hers
him his how i if in into is it its itself just let like many may me might more most much must my no nor not of off
on once one only or other our out over own per please same shall she should so some such than that the their them
then there these they this those through to too under until up us very was we were what when where whether which
while who whom whose why will with within without would yes yet you your
answer ask come create describe example explain find following generate get give given help list lists make name
need output provide question request response say sentence sentences show suggest take task tell text use using want
word write
"""
_STOP = frozenset(_STOP_WORDS.split())
"""Words that say nothing of what an instruction is about: function words, and the verbs and nouns of any task."""


def content(text: str) -> set[str]:
    """The words of `text` that carry content, lower case, with the endings cut."""
    stems = {word: _stem(word) for word in _WORD.findall(text.lower()) if word not in _STOP and len(word) > 1}
    return set(stems.values()) - _STOP_STEMS


def count_words(text: str) -> int:
    """How many words `text` has."""
    return len(_WORD.findall(text))


def without_kin(words: set[str], others: set[str]) -> set[str]:
    """Those of `words` that are no form of any of `others`: "bacteria" is a form of "bacterium"."""
    return {word for word in words if not any(_kin(word, other) for other in others)}


def _kin(one: str, other: str) -> bool:
    size = min(len(one), len(other))
    return one[:size] == other[:size] if size < 4 else one[: max(4, size - 2)] == other[: max(4, size - 2)]


def kept_share(text: str, parent: str, other: str) -> float:
    """The share of the words that `parent` alone has, and `other` has not, which `text` keeps; 1 where it has none."""
    own = content(parent) - content(other)
    return 1 - len(without_kin(own, content(text))) / len(own) if own else 1.0


def only_joined(text: str, first: str, second: str) -> bool:
    """Whether `text` hardly says more than the one and then the other: most words of both, and next to none of its own.

    Texts of one or two words of content say too little to tell.
    """
    both = content(first), content(second)
    own = without_kin(content(text), both[0] | both[1])
    kept = [len(one) - len(without_kin(one, content(text))) for one in both]
    whole = all(len(one) > 2 and share >= 0.75 * len(one) for one, share in zip(both, kept, strict=True))
    return whole and (not own or (len(own) <= 2 and re.search(r"\band\b", text) is not None))


def shared_run(text: str, source: str, size: int = 6) -> str | None:
    """A run of `size` words that `text` has in common with `source`; None if there is none."""
    there = _WORD.findall(source.lower())
    known = {tuple(there[start : start + size]) for start in range(len(there) - size + 1)}
    here = _WORD.findall(text.lower())
    for start in range(len(here) - size + 1):
        if tuple(here[start : start + size]) in known:
            return " ".join(here[start : start + size])
    return None


def _stem(word: str) -> str:
    word = word.replace("’", "'").removesuffix("'s")
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word  # "getting" is a form of "get"


_STOP_STEMS = frozenset(map(_stem, _STOP))
