"""Which constraints an instruction gets, and which it has."""

from __future__ import annotations

from collections.abc import Collection

from evoagent_backtranslation.constraint import Case, Constraint, read, word
from evoagent_backtranslation.layout import LAYOUT
from evoagent_backtranslation.shape import SHAPE
from evoagent_backtranslation.wording import WORDING

KINDS = (*SHAPE, *LAYOUT, *WORDING)
_ORDER = ("language", "format", "structure", "length", "words", "marks", "case", "ends")
"""In which order they are stated: from the whole to its parts."""

_FEW = 8  # words of a response below which one constraint says all that there is to say


def stated(instruction: str) -> list[Constraint]:
    """The constraints that `instruction` states in wordings of this package, in their order."""
    return [constraint for _, constraint in _places(instruction)]


def without_stated(instruction: str) -> str:
    """`instruction` as it was before this package added to it."""
    kept, end = [], 0
    for start, constraint in _places(instruction):
        kept.append(instruction[end:start])
        end = start + len(constraint.text)
    return "".join([*kept, instruction[end:]]).strip()


def _places(instruction: str) -> list[tuple[int, Constraint]]:
    return sorted((place for kind in KINDS for place in read(kind, instruction)), key=lambda place: place[0])


def choose(case: Case, most: int, without: Collection[str] = (), had: Collection[Constraint] = ()) -> list[Constraint]:
    """Up to `most` constraints that the response of `case` meets: one of a group, none that repeats one of `had`."""
    groups = {*without, *(constraint.kind.group for constraint in had)}
    spoken = {name for constraint in had for name in constraint.quoted}
    if any(constraint.kind.alone for constraint in had):
        return []
    found: list[tuple[float, Constraint]] = []
    for kind in KINDS:
        values = kind.find(case) if kind.group not in groups else None
        if values is not None:
            constraint = word(kind, values, case)
            # Found and verified by different code: what the one says and the other denies is left out.
            if constraint.holds(case.response) and stated(constraint.text) == [constraint]:
                found.append((case.draw(f"kind:{kind.name}") ** (1 / kind.weight), constraint))
    wanted = 1 + int(case.draw("count") * most)
    wanted = 1 if len(case.words) < _FEW else wanted
    chosen: list[Constraint] = []
    for _, constraint in sorted(found, key=lambda item: -item[0]):
        if len(chosen) == wanted or (chosen and (chosen[0].kind.alone or constraint.kind.alone)):
            continue
        if constraint.kind.group in groups or constraint.quoted & spoken:
            continue
        chosen.append(_varied(constraint, chosen, case))
        groups.add(constraint.kind.group)
        spoken |= constraint.quoted
    return sorted(chosen, key=lambda constraint: _ORDER.index(constraint.kind.group))


def _varied(constraint: Constraint, others: Collection[Constraint], case: Case) -> Constraint:
    """`constraint` in a wording that begins unlike those of `others`, if it has one."""
    used = {other.text.split()[0] for other in others}
    wordings = [word(constraint.kind, constraint.values, case, shift) for shift in range(len(constraint.kind.wordings))]
    return next((worded for worded in wordings if worded.text.split()[0] not in used), constraint)
