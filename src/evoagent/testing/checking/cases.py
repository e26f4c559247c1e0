"""The calls that the check makes of each kind of plugin, on harmless and on hostile samples."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from numbers import Real
from typing import Any

from evoagent.operators.optimizer import DecidedPage, FinishedRound
from evoagent.plugins.manager import PluginManager
from evoagent.plugins.returned import (
    checked_evolutions,
    checked_figures,
    checked_parameters,
    checked_ranks,
    checked_row,
    checked_score,
    checked_verdict,
)
from evoagent.plugins.specs import ExporterSpec, OperatorSpec, PluginSpec, RuleSpec, ScorerSpec
from evoagent.population.base import Population
from evoagent.records import Candidate, Instruction, Score, Verdict
from evoagent.testing.checking.hostile import INSTRUCTIONS
from evoagent.testing.checking.static import parameters_for
from evoagent.testing.seeds import DOCUMENTS, SEEDS

Check = Callable[[Any], object]
"""Looks at what a plugin has returned; raises TypeError or ValueError where a run could not use it as it is."""

CROWD = 60  # candidates of a population's largest case

_SCORES = ("ifd", "ifd_ppl", "ic_ifd", "instruction_loss", "difficulty", "embedding_diversity", "length")


@dataclass(frozen=True, slots=True)
class Case:
    """One call of a plugin.

    Attributes:
        label: what messages call it.
        method: what is called; a plugin that lacks it is spared the case.
        args: what it is given, before the models.
        check: raises where what comes back is of no use.
        ordinary: the texts are harmless: this case is also put to hostile models.
        noun: what it gives one of for each candidate, where it sees a whole population.
        parents: ids of those that an operator is given.
    """

    label: str
    method: str
    args: tuple[Any, ...]
    check: Check
    ordinary: bool = False
    noun: str = ""
    parents: tuple[str, ...] = ()


def cases(spec: PluginSpec, manager: PluginManager) -> Iterator[Case]:
    """Every call to make of a plugin; none of an engine, which is asked in batches."""
    if isinstance(spec, OperatorSpec):
        return _operator_cases(spec)
    if isinstance(spec, ScorerSpec):
        return _population_cases("score_all", "Score", _score) if spec.population else _single_cases("score", _score)
    if isinstance(spec, RuleSpec):
        if spec.looks_at == "population":
            return _population_cases("judge_all", "Verdict", checked_verdict)
        prepare = Case("prepare", "prepare", (SEEDS,), lambda found: None, True)
        return chain([prepare], _single_cases("judge", checked_verdict))
    if isinstance(spec, ExporterSpec):
        return _exporter_cases(spec)
    if spec.kind == "selector":
        return _population_cases("select", "Verdict", checked_verdict)
    return _rank_cases() if spec.kind == "response-selector" else _optimizer_cases(manager)


def _operator_cases(spec: OperatorSpec) -> Iterator[Case]:
    mates = [replace(SEEDS[-1], id=f"mate{number}", seed_id=f"mate{number}") for number in range(spec.parents - 1)]

    def make(label: str, parent: Instruction, ordinary: bool = False) -> Case:
        check, group = partial(_evolutions, most=spec.evolutions), (parent, *mates)
        method, given = ("combine", group) if mates else ("evolve", parent)
        return Case(label, method, (given,), check, ordinary, parents=tuple(item.id for item in group))

    for number, seed in enumerate(SEEDS[:3], 1):
        yield make(f"seed {number}", seed, True)
    survivor = replace(SEEDS[0], id="s1", parent_ids=(SEEDS[0].id,), round=1, operator="deepening")
    yield make("a survivor", survivor, True)
    for name, text in INSTRUCTIONS.items():
        yield make(f"{name} as instruction", Instruction("h1", text, "", "Yes.", seed_id="h1"))
        yield make(f"{name} as input and output", replace(SEEDS[1], id="h2", input=text, output=text, seed_id="h2"))
    yield make("a document", DOCUMENTS[0], True)


def _single_cases(method: str, check: Check) -> Iterator[Case]:
    plain = _ordinary()
    for number, candidate in enumerate(plain, 1):
        yield Case(f"candidate {number}", method, (candidate,), check, True)
    for name, text in INSTRUCTIONS.items():
        parent = Instruction("h1", text, "", text, seed_id="h1")
        hostile = {
            "instruction": replace(plain[0], instruction=text),
            "input and response": replace(plain[0], input=text, response=text),
            "parent": replace(plain[0], parent=parent, parents=(parent,)),
        }
        for place, candidate in hostile.items():
            yield Case(f"{name} as {place}", method, (candidate,), check)


def _population_cases(method: str, noun: str, check: Check) -> Iterator[Case]:
    plain, hostile = _ordinary(), _hostile()
    alike = [replace(plain[0], id=f"a{number}") for number in range(5)]
    crowd = [
        replace(item, id=f"c{number}", instruction=f"{item.instruction} Give {number} examples.")
        for number, item in enumerate(plain[number % len(plain)] for number in range(CROWD))
    ]
    groups: dict[str, tuple[Sequence[Candidate], Sequence[Candidate], bool]] = {
        "no candidate": ([], [], False),
        "one candidate": (plain[:1], [], True),
        "a round with earlier survivors": (plain, crowd[:10], True),
        "equal candidates": (alike, alike[:1], False),
        "candidates without scores": ([replace(item, scores={}) for item in plain], [], False),
        "hostile candidates": (hostile, [], False),
        "hostile survivors": (plain, hostile, False),
        f"{CROWD} candidates": (crowd, plain, False),
    }
    for label, (candidates, survivors, ordinary) in groups.items():
        args = (Population.of(candidates), Population.of(survivors))
        yield Case(label, method, args, partial(_each, check), ordinary, noun)
    if method != "judge_all":
        for label, survivors in {"nothing": [], "hostile survivors": hostile, "a dataset": crowd}.items():
            yield Case(f"measure of {label}", "measure", (Population.of(survivors),), _figures)


def _rank_cases() -> Iterator[Case]:
    ordinary = {"three responses": ["Yes.", "No.", "Perhaps, if it rains."], "equal responses": ["Yes.", "Yes."]}
    hostile = {f"{name} as responses": [text, "Yes."] for name, text in INSTRUCTIONS.items()}
    for label, responses in {**ordinary, **hostile}.items():
        answered = [replace(_ordinary()[0], response=text) for text in responses]
        answered[0] = replace(answered[0], response_finish_reason="length")
        yield Case(label, "rank", (answered,), partial(checked_ranks, count=len(answered)), label in ordinary)


def _optimizer_cases(manager: PluginManager) -> Iterator[Case]:
    operators: dict[str, Mapping[str, Any]] = {}
    for spec in manager.specs("operator"):
        with suppress(Exception):  # parameters that cannot be had are told by the operator's own check
            given = parameters_for(spec, {})
            operators[spec.name] = spec.config.model_validate(given).model_dump(mode="json") if spec.config else {}

    def remake(name: str, params: Mapping[str, Any]) -> object:
        return manager.create(manager.get("operator", name), params)

    def finished(candidates: Sequence[Candidate]) -> FinishedRound:
        decided = [(item, Verdict(False, "unchanged")) for item in candidates]

        async def pages() -> AsyncIterator[DecidedPage]:
            if decided:
                yield decided

        return FinishedRound(1, operators, len(decided), 0, {"unchanged": len(decided)} if decided else {}, pages)

    check = partial(checked_parameters, operators=operators, remake=remake)
    for label, candidates in {"nothing": [], "hostile candidates": _hostile()}.items():
        yield Case(f"a round of {label}", "improve", (finished(candidates),), check)
    yield Case("a round", "improve", (finished(_ordinary()),), check, True)


def _exporter_cases(spec: ExporterSpec) -> Iterator[Case]:
    row = {
        "id": "a1", "parent_ids": ["s1"], "seed_id": "s1", "round": 1, "operator": "breadth", "instruction": "Say it.",
        "input": "", "output": "It.", "scores": {"ifd": 0.5, "length": None}, "model": "m", "responder": "m",
    }  # fmt: skip
    answer = {"response": "It.", "finish_reason": "stop", "scores": {"ifd": 0.5}, "rank": 0.5, "kept": True}
    other = {**answer, "response": "That.", "finish_reason": "length", "rank": None, "kept": False}
    rows = {"a row": row, "a row with responses": {**row, "responses": [answer, other]}}
    rows |= {name: {**row, "instruction": text, "input": text, "output": text} for name, text in INSTRUCTIONS.items()}
    for label, given in rows.items():
        check = partial(_row, may_skip=spec.responses, given=given, before=copy.deepcopy(given))
        yield Case(label, "__call__", (given,), check)


def _ordinary() -> list[Candidate]:
    return [
        Candidate(
            id=f"o{number}",
            instruction=f"{seed.instruction} Answer in {number + 2} sentences and name one exception.",
            parent=seed,
            operator="deepening" if number % 2 else "breadth",
            round=1,
            input=seed.input,
            response=f"{seed.output} There is an exception in winter.",
            family="depth" if number % 2 else "breadth",
            parents=(seed,),
            scores=dict.fromkeys(_SCORES, Score(0.3 + 0.1 * number)) if number != 2 else {"ifd": Score(None, "empty")},
        )
        for number, seed in enumerate(SEEDS)
    ]


def _hostile() -> list[Candidate]:
    plain = _ordinary()
    return [
        replace(plain[number % len(plain)], id=f"h{number}", instruction=text, response=text)
        for number, text in enumerate(INSTRUCTIONS.values())
    ]


# A run makes do with some of what it is given; an author is told of that too.


def _evolutions(found: Any, most: int) -> None:
    for item in checked_evolutions(found, most):
        if isinstance(item, Exception):
            raise item


def _score(found: Any) -> None:
    checked = checked_score(found)
    if checked.reason and not found.reason:
        raise ValueError(checked.reason)


def _figures(found: Any) -> None:
    checked_figures("", found)
    for name, figure in found.items():
        if not isinstance(figure, Real):
            raise TypeError(f"returned the figure {name!r}: {figure!r:.60}, expected a number")


def _row(found: Any, may_skip: bool, given: object, before: object) -> None:
    checked_row(found, may_skip)
    if given != before:
        raise ValueError("changes the row that it is given")


def _each(check: Check, found: list[Any]) -> None:
    for item in found:
        check(item)
