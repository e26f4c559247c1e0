"""The calls that the check makes of each kind of plugin, and what is wrong with what comes back."""

from __future__ import annotations

import math
import numbers
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from evoagent.failures import DATA_CHARACTERS, plain_json
from evoagent.models.roles import Models
from evoagent.plugins.returned import checked_ranks
from evoagent.plugins.specs import OperatorSpec, PluginSpec, RuleSpec, ScorerSpec
from evoagent.population.base import Population
from evoagent.records import Candidate, Evolution, Instruction, Score, Verdict
from evoagent.testing.checking.hostile import INSTRUCTIONS
from evoagent.testing.collecting import collect
from evoagent.testing.seeds import DOCUMENTS, SEEDS

Flaw = Callable[[Any], str | None]
"""What is wrong with a value that a plugin has returned; None if nothing is."""

CROWD = 60  # candidates of a population's largest case


@dataclass(frozen=True, slots=True)
class Case:
    """One call of a plugin: a label for messages, the call itself, and the judge of its result.

    Attributes:
        ordinary: the texts are harmless: this case is also put to hostile models.
        method: what the plugin must have for this call; "" if it has it in any case.
        parents: ids of those that an operator is given.
    """

    label: str
    call: Callable[[Any, Models], Any]
    flaw: Flaw
    ordinary: bool = False
    method: str = ""
    parents: tuple[str, ...] = ()


def cases(spec: PluginSpec) -> list[Case]:
    """Every call to make of an operator, a scorer, a rule or a selector; of others none is made."""
    if isinstance(spec, OperatorSpec):
        return _operator_cases(spec)
    if isinstance(spec, ScorerSpec):
        return _population_cases("score_all", _scores_flaw) if spec.population else _single_cases("score", score_flaw)
    if isinstance(spec, RuleSpec):
        whole = spec.looks_at == "population"
        return _population_cases("judge_all", _verdicts_flaw) if whole else _single_cases("judge", verdict_flaw)
    if spec.kind == "response-selector":
        return _rank_cases()
    return _population_cases("select", _verdicts_flaw) if spec.kind == "selector" else []


def _rank_cases() -> list[Case]:
    plain = _ordinary()[0]
    texts = {"three responses": ["Yes.", "No.", "Perhaps, if it rains."], "equal responses": ["Yes.", "Yes."]}
    texts["an empty response and one that is cut off"] = ["", "It depends on the"]
    hostile = {f"{name} as responses": [text, "Yes."] for name, text in INSTRUCTIONS.items()}

    def make(label: str, responses: list[str]) -> Case:
        ends = ["length" if text.endswith("the") else "stop" for text in responses]
        answered = [
            replace(plain, response=text, response_finish_reason=end) for text, end in zip(responses, ends, strict=True)
        ]
        flaw = partial(_ranks_flaw, len(answered))
        return Case(label, lambda plugin, models: plugin.rank(answered, models), flaw, label in texts)

    return [make(label, responses) for label, responses in {**texts, **hostile}.items()]


def _ranks_flaw(count: int, found: Any) -> str | None:
    try:
        checked_ranks(found, count)
    except (TypeError, ValueError) as error:
        return str(error)
    return None


def _operator_cases(spec: OperatorSpec) -> list[Case]:
    parents = {f"seed {number}": (seed, True) for number, seed in enumerate(SEEDS[:3], 1)}
    parents["a seed with an input"] = (next(seed for seed in SEEDS if seed.input), True)
    parents["a survivor"] = (_survivor(SEEDS[0]), True)
    for name, text in INSTRUCTIONS.items():
        parents[f"{name} as instruction"] = (Instruction("h1", text, "", "Yes.", seed_id="h1"), False)
        both = Instruction("h2", SEEDS[1].instruction, text, text, seed_id="h2")
        parents[f"{name} as input and output"] = (both, False)
    parents["a document"] = (DOCUMENTS[0], True)

    flaw = partial(evolution_flaw, most=spec.evolutions)

    def make(label: str, parent: Instruction, ordinary: bool) -> Case:
        group = (parent, *(_mate(number) for number in range(spec.parents - 1)))
        ids = tuple(item.id for item in group)
        if spec.parents == 1:
            return Case(label, lambda plugin, models: plugin.evolve(parent, models), flaw, ordinary, parents=ids)
        return Case(label, lambda plugin, models: plugin.combine(group, models), flaw, ordinary, parents=ids)

    return [make(label, parent, ordinary) for label, (parent, ordinary) in parents.items()]


def _mate(number: int) -> Instruction:
    seed = SEEDS[-1 - number % len(SEEDS)]
    return seed if number < len(SEEDS) else replace(seed, id=f"mate{number}", seed_id=f"mate{number}")


def _survivor(seed: Instruction) -> Instruction:
    return Instruction(
        "s1", f"{seed.instruction} Use a table.", seed.input, "Done.", (seed.id,), seed.id, 1, "deepening"
    )


def _single_cases(method: str, flaw: Flaw) -> list[Case]:
    found = {f"candidate {number}": (item, True) for number, item in enumerate(_ordinary(), 1)}
    for name, text in INSTRUCTIONS.items():
        plain = _ordinary()[0]
        found[f"{name} as instruction"] = (replace(plain, instruction=text), False)
        found[f"{name} as input and response"] = (replace(plain, input=text, response=text), False)
        odd = Instruction("h1", text, "", text, seed_id="h1")
        found[f"{name} as parent"] = (replace(plain, parent=odd, parents=(odd,)), False)

    def make(label: str, candidate: Candidate, ordinary: bool) -> Case:
        return Case(label, lambda plugin, models: getattr(plugin, method)(candidate, models), flaw, ordinary)

    return [make(label, candidate, ordinary) for label, (candidate, ordinary) in found.items()]


def _population_cases(method: str, flaw_of: Callable[[int], Flaw]) -> list[Case]:
    plain, hostile = _ordinary(), _hostile()
    alike = [replace(plain[0], id=f"a{number}") for number in range(5)]
    crowd = [
        replace(item, id=f"c{number}", instruction=f"{item.instruction} Give {number} examples.")
        for number in range(CROWD)
        for item in [plain[number % len(plain)]]
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

    def make(label: str, candidates: Sequence[Candidate], survivors: Sequence[Candidate], ordinary: bool) -> Case:
        def call(plugin: Any, models: Models) -> Any:
            found = getattr(plugin, method)(Population.of(candidates), Population.of(survivors), models)
            return collect(found) if isinstance(found, AsyncIterator) else found

        return Case(label, call, flaw_of(len(candidates)), ordinary)

    def measured(label: str, survivors: Sequence[Candidate]) -> Case:
        def call(plugin: Any, models: Models) -> Any:
            return plugin.measure(Population.of(survivors), models)

        return Case(label, call, figures_flaw, method="measure")

    made = [make(label, *group) for label, group in groups.items()]
    if method in ("score_all", "select"):
        made += [measured("measure of nothing", []), measured("measure of hostile survivors", hostile)]
        made.append(measured("measure of a dataset", crowd))
    return made


_SCORES = ("ifd", "ifd_ppl", "ic_ifd", "instruction_loss", "difficulty", "embedding_diversity", "length")


def _ordinary() -> list[Candidate]:
    made = []
    for number, seed in enumerate(SEEDS):
        scores = {name: Score(0.3 + 0.1 * number) for name in _SCORES} if number != 2 else {"ifd": Score(None, "empty")}
        made.append(
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
                scores=scores,
            )
        )
    return made


def _hostile() -> list[Candidate]:
    plain = _ordinary()
    return [
        replace(plain[number % len(plain)], id=f"h{number}", instruction=text, response=text)
        for number, text in enumerate(INSTRUCTIONS.values())
    ]


def evolution_flaw(value: Any, most: int = 1) -> str | None:
    """What is wrong with an operator's result: an evolution or, where `most` allows it, a list of them."""
    if most > 1 and isinstance(value, (list, tuple)):
        if len(value) > most:
            return f"found {len(value)} evolutions, expected at most {most}, its `evolutions`"
        return next((flaw for item in value if (flaw := evolution_flaw(item))), None)
    if not isinstance(value, Evolution):
        return _instead(value, "an Evolution")
    for name in ("instruction", "raw"):
        if not isinstance(getattr(value, name), str):
            return f"Evolution.{name}: {_instead(getattr(value, name), 'a text')}"
    for name in ("input", "response", "reason"):
        if not isinstance(getattr(value, name), (str, type(None))):
            return f"Evolution.{name}: {_instead(getattr(value, name), 'a text or None')}"
    return None if value.data is None else _data_flaw("Evolution.data", value.data)


def score_flaw(value: Any) -> str | None:
    """What is wrong with a score."""
    if not isinstance(value, Score):
        return _instead(value, "a Score")
    if value.value is None:
        return None if value.reason else "a Score without a value has no reason either: say why it is missing"
    if isinstance(value.value, bool) or not isinstance(value.value, (int, float)):
        return f"Score.value: {_instead(value.value, 'a float; float(...) makes one')}"
    if not math.isfinite(value.value):
        return f"Score.value is {value.value}: give Score(None, reason) where there is no figure"
    return _data_flaw("Score.details", value.details) or _data_flaw("Score.data", value.data)


def _data_flaw(name: str, value: Any) -> str | None:
    try:
        plain_json(value, DATA_CHARACTERS)
    except (TypeError, ValueError) as error:
        return f"{name} cannot be kept as JSON ({error})"
    return None


def verdict_flaw(value: Any) -> str | None:
    """What is wrong with a verdict."""
    if not isinstance(value, Verdict):
        return _instead(value, "a Verdict")
    kept: Any = value.kept  # a dataclass does not check its types
    if not isinstance(kept, bool):
        return f"Verdict.kept: {_instead(kept, 'True or False; bool(...) makes one')}"
    for name in ("figure", "threshold"):
        figure = getattr(value, name)
        if figure is not None and (isinstance(figure, bool) or not isinstance(figure, (int, float))):
            return f"Verdict.{name}: {_instead(figure, 'a float or None; float(...) makes one')}"
        if figure is not None and not math.isfinite(figure):
            return f"Verdict.{name} is {figure}: give None where there is no figure"
    for name in ("rule", "detail"):
        if not isinstance(text := getattr(value, name), str):
            return f"Verdict.{name}: {_instead(text, 'a text')}"
    return None


def _listed(count: int, flaw: Flaw, name: str) -> Flaw:
    def judge(value: Any) -> str | None:
        if not isinstance(value, (list, tuple)):
            return _instead(value, f"a list with a {name} for each candidate")
        if len(value) != count:
            return f"{len(value)} results for {count} candidates: give one for each, in order"
        return next((found for item in value if (found := flaw(item)) is not None), None)

    return judge


def _scores_flaw(count: int) -> Flaw:
    return _listed(count, score_flaw, "Score")


def _verdicts_flaw(count: int) -> Flaw:
    return _listed(count, verdict_flaw, "Verdict")


def figures_flaw(value: Any) -> str | None:
    """What is wrong with the figures that `measure` gives."""
    if not isinstance(value, Mapping):
        return _instead(value, "a mapping of names to figures")
    for name, figure in value.items():
        if not isinstance(name, str):
            return f"measure: {_instead(name, 'a text as name')}"
        if not isinstance(figure, numbers.Real):
            return f"measure: figure {name!r}: {_instead(figure, 'a number')}"
    return None


def _instead(value: Any, expected: str) -> str:
    return f"found {value!r:.60} of type {type(value).__name__}, expected {expected}"
