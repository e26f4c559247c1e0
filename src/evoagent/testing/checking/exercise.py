"""Calling a plugin in earnest: with hostile texts and hostile models, twice, and in another order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass, field, replace
from typing import Any

from evoagent.errors import EvoAgentError
from evoagent.failures import PluginFault, explain
from evoagent.models.engines.scripted import Script
from evoagent.models.requests import Scope
from evoagent.models.roles import Models
from evoagent.plugins.calls import awaited
from evoagent.plugins.returned import one_for_each
from evoagent.plugins.specs import PluginSpec
from evoagent.prompts.chat import Style
from evoagent.testing.checking.cases import Case
from evoagent.testing.checking.findings import Finding, Severity, place
from evoagent.testing.checking.hostile import ANSWERS, PRODUCT, Fixed, Refusing
from evoagent.testing.scripted import ScriptedModels, Sent, scripted_models
from evoagent.testing.seeds import DOCUMENTS, SEEDS

SHOWN = 3  # cases that a message names

_CORPUS = "corpora."


class NeverReturns(Exception):
    """A call does not come back: every further one may take as long."""


@dataclass(slots=True)
class Answered:
    """What a call came to."""

    case: Case
    value: Any = None
    error: BaseException | None = None
    requests: list[Sent] = field(default_factory=list)

    @property
    def trace(self) -> tuple[str, list[str]]:
        """Result and requests, for comparison. Requests are told apart by content, whatever the order."""
        result = f"raised {type(self.error).__name__}" if self.error else repr(self.value)
        return result, sorted(f"{sent.role} {sent.key}" for sent in self.requests)


class Exercise:
    """All calls of one plugin, in one event loop."""

    def __init__(self, spec: PluginSpec, make: Callable[[], Any], cases: Sequence[Case], limit: float) -> None:
        """Prepare to call what `make` makes; a call may wait for `limit` seconds."""
        self._spec, self._make, self._cases, self._limit = spec, make, cases, limit
        self._used: set[str] = set()

    async def run(self) -> list[Finding]:
        """Make the calls and say what they showed."""
        try:
            first, again = await self._pass(Script()), await self._pass(Script())
            turned = await self._pass(Script(), together=True)
            examples = await self._pass(Script(), "examples")
            answered = await self._hostile_models()
        except NeverReturns as error:
            return [self._finding("time limit", f"{error}; what comes after it was not checked")]
        return [
            *self._raised("hostile text", [*first, *examples]),
            *self._raised("hostile answers", answered),
            self._same(first, again, turned),
            self._finding("time limit"),
            *self._needs(),
        ]

    async def _hostile_models(self) -> list[Answered]:
        """Calls with harmless texts; the model's answers are hostile, or it gives none."""
        models: dict[str, Script] = {"a request that fails": Refusing()} if self._used else {}
        if any(need.endswith(".generate") for need in self._used):
            models |= {name: Fixed(answer) for name, answer in ANSWERS.items()}
        elif self._used:
            models["nothing"] = Fixed("")
        found: list[Answered] = []
        for name, script in models.items():
            for style in ("plain", "examples"):
                for answered in await self._pass(script, style, harmless=True):
                    label = f"{answered.case.label}, answered with {name}"
                    answered.case = replace(answered.case, label=label, ordinary=False)
                    found.append(answered)
        return found

    async def _pass(
        self, script: Script, style: Style = "plain", *, together: bool = False, harmless: bool = False
    ) -> list[Answered]:
        """Call one new plugin with every case: one after the other, or all at once in the opposite order.

        Args:
            harmless: leave out the cases with hostile texts.
        """
        plugin = self._make()
        chosen = [case for case in self._cases if (case.ordinary or not harmless) and hasattr(plugin, case.method)]
        with closing(self._models(script, style)) as models:
            found = []
            if chosen and chosen[0].method == "prepare":
                found = [await self._call(chosen.pop(0), plugin, models)]
                if found[0].error:
                    return found  # a run would end here
            if together:
                calls = [self._call(case, plugin, models) for case in reversed(chosen)]
                found += reversed(await asyncio.gather(*calls))
            else:
                found += [await self._call(case, plugin, models) for case in chosen]
            self._used |= {sent.need for sent in models.requests}
            return found

    def _models(self, script: Script, style: Style) -> ScriptedModels:
        """Models with a small population, and every corpus and role that the spec asks for."""
        rows, needs = (*SEEDS, *DOCUMENTS), self._spec.needs
        corpora = {need.removeprefix(_CORPUS): rows for need in needs if need.startswith(_CORPUS)}
        roles = [need.partition(".")[0] for need in needs]
        return scripted_models(script, style=style, temperature=0.7, roles=roles, pool=rows, corpora=corpora)

    async def _call(self, case: Case, plugin: Any, models: ScriptedModels) -> Answered:
        answered, start = Answered(case), len(models.requests)
        scoped = models.scoped(Scope(self._spec.name, 1, case.label, case.parents))
        try:
            async with asyncio.timeout(self._limit) as timeout:
                answered.value = await _value(case, plugin, scoped)
        except (asyncio.CancelledError, KeyboardInterrupt):
            raise
        except BaseException as error:  # whatever a plugin raises, SystemExit included
            if timeout.expired():
                raise NeverReturns(f"does not return within {self._limit:g} s on {case.label}") from None
            answered.error = error
        answered.requests = [sent for sent in models.requests[start:] if sent.caller == case.label]
        return answered

    def _finding(self, what: str, message: str = "", severity: Severity = "error") -> Finding:
        return Finding(what, place(self._spec), severity if message else "ok", message)

    def _raised(self, what: str, answers: Sequence[Answered]) -> list[Finding]:
        """What was raised, returned amiss, or done with a text that it must only carry."""
        problems: dict[str, dict[str, None]] = {}
        for answered in answers:
            if problem := _problem(answered):
                problems.setdefault(problem, {})[answered.case.label] = None
        found = [self._finding(what, f"{problem} [on {_some(list(labels))}]") for problem, labels in problems.items()]
        return found or [self._finding(what)]

    def _same(self, first: list[Answered], again: list[Answered], turned: list[Answered]) -> Finding:
        text = ""
        if difference := _difference(first, again):
            advice = "use no clock and no `random`: a request's own seed makes what varies repeatable"
            text = f"two runs differ {difference}; {advice}"
        elif difference := _difference(first, turned):
            advice = "keep no state between calls: thousands run at once, in any order"
            text = f"the order of the calls changes what they give {difference}; {advice}"
        return self._finding("determinism", text)

    def _needs(self) -> list[Finding]:
        declared = {need for need in self._spec.needs if not need.startswith(_CORPUS)}
        found = []
        if missing := sorted(self._used - declared):
            advice = "name it there, so that a run whose models lack it is refused before any model loads"
            found.append(self._finding("needs", f"calls {', '.join(missing)}, which `needs` does not name: {advice}"))
        if unused := sorted(declared - self._used):
            text = f"{', '.join(unused)} was not called by any of {len(self._cases)} calls: drop it if nothing calls it"
            found.append(self._finding("needs", text, "note"))
        return found or [self._finding("needs")]


async def _value(case: Case, plugin: Any, models: Models) -> Any:
    method = getattr(plugin, case.method)
    if case.method == "__call__":  # an exporter, which asks no model
        return method(*case.args)
    if not case.noun:
        return await awaited(method, *case.args, models)
    candidates, survivors = case.args
    async with aclosing(one_for_each(method, case.noun, candidates, survivors, models)) as given:
        return [item async for item in given]


def _problem(answered: Answered) -> str:
    """What is wrong with what a call came to; "" if nothing."""
    case, error = answered.case, answered.error
    if isinstance(error, PluginFault):
        return explain(error)
    if isinstance(error, EvoAgentError):
        return f"raises {explain(error)}; but text and answers are harmless" if case.ordinary else ""
    if error is not None:
        return f"raises {explain(error)}; expected a result that says what is wrong"
    try:
        case.check(answered.value)
    except (TypeError, ValueError) as flaw:
        return explain(flaw)  # in the words of a run
    if PRODUCT in repr((answered.value, answered.requests)):
        return "reads an instruction as a template: hand texts to a template as values, and never render twice"
    return ""


def _difference(one: list[Answered], other: list[Answered]) -> str:
    for a, b in zip(one, other, strict=False):
        if a.trace[0] != b.trace[0]:
            return f"on {a.case.label}: {a.trace[0]:.100} and {b.trace[0]:.100}"
        if a.trace != b.trace:
            return f"on {a.case.label}: in what they ask the models"
    return ""


def _some(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    return ", ".join(labels[:SHOWN]) + more
