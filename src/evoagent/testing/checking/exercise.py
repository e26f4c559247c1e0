"""Calling a plugin in earnest: with hostile texts and hostile models, twice, and in another order."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from evoagent.errors import EvoAgentError
from evoagent.ledger.database import Database
from evoagent.models.engines.scripted import Script, ScriptedEngine, ScriptedOptions
from evoagent.models.pools import Rows, Sources
from evoagent.models.requests import GenerateRequest, Sampling, Scope
from evoagent.models.roles import Models
from evoagent.plugins.specs import PluginSpec, RuleSpec
from evoagent.prompts.chat import Style
from evoagent.records import Instruction
from evoagent.testing.checking import canary
from evoagent.testing.checking.cases import Case, cases
from evoagent.testing.checking.findings import Finding, place
from evoagent.testing.checking.hostile import ANSWERS, PRODUCT, Calm, Fixed, Refusing
from evoagent.testing.checking.stall import Heartbeat
from evoagent.testing.scripted import RecordingDispatcher, Sent
from evoagent.testing.seeds import DOCUMENTS, SEEDS

STALL_S = 0.1
"""The longest that one call may keep the event loop: the engine's batches wait for as long."""

CERTAIN_S = 2.0  # a stall that no import and no busy machine explains
REPEATS = 3  # further measurements of a stall: what imports something at first, or waits for a busy machine, is none
SHOWN = 3  # cases that a message names

_STYLES: tuple[Style, ...] = ("plain", "examples")
_SURROGATE = re.compile("[\ud800-\udfff]")

Progress = Callable[[str], None]


class NeverReturns(Exception):
    """A call does not come back."""


class Stalls(Exception):
    """A call keeps the event loop: every further one would take as long."""


@dataclass(slots=True)
class Answered:
    """What a call came to."""

    case: Case
    value: Any = None
    error: BaseException | None = None
    requests: list[Sent] = field(default_factory=list)
    stall: float = 0.0

    @property
    def trace(self) -> tuple[str, tuple[str, ...]]:
        """Result and requests, for comparison. Requests are told apart by content, whatever the order."""
        result = f"raised {type(self.error).__name__}: {self.error}" if self.error else repr(self.value)
        return result, tuple(sorted(f"{sent.role} {sent.key}" for sent in self.requests))


class Exercise:
    """All calls of one plugin, in one event loop."""

    def __init__(self, spec: PluginSpec, make: Callable[[], Any], *, limit: float, progress: Progress) -> None:
        self._spec, self._make, self._limit, self._progress = spec, make, limit, progress
        self._cases = cases(spec)
        self._where = place(spec)
        self._used: set[str] = set()
        self._database: Database | None = None

    async def run(self) -> list[Finding]:
        """Make the calls and say what they showed."""
        with self._opened():
            try:
                return await self._findings()
            except (NeverReturns, Stalls) as error:
                return [self._finding("event loop", f"{error}; what comes after it was not checked")]

    async def traces(self) -> list[tuple[str, tuple[str, ...]]]:
        """Results and requests of one pass, to be compared with those of another process."""
        with self._opened():
            return [answered.trace for answered in await self._pass(Calm(), "plain")]

    def _opened(self) -> Any:
        self._database = Database(":memory:")
        return closing(self._database)

    async def _findings(self) -> list[Finding]:
        first = await self._pass(Calm(), "plain", measure=True)
        again = await self._pass(Calm(), "plain")
        turned = await self._pass(Calm(), "plain", together=True)
        return [
            *self._raised("hostile text", [*first, *await self._pass(Calm(), "examples")]),
            *self._raised("hostile answers", await self._hostile_models()),
            *self._same(first, again, turned),
            Finding("event loop", self._where),
            *self._needs(),
        ]

    # -- passes -------------------------------------------------------------------------------------------------

    async def _pass(
        self,
        script: Script,
        style: Style,
        *,
        name: str = "calm",
        measure: bool = False,
        together: bool = False,
        only_ordinary: bool = False,
    ) -> list[Answered]:
        """Every case once, on one new plugin: one after the other, or all at once in the opposite order."""
        chosen = [case for case in self._cases if case.ordinary or not only_ordinary]
        async with self._dispatcher(script, style, name) as dispatcher:
            plugin, before = await self._prepared(dispatcher, measure)
            if any(answered.error for answered in before):
                return before  # a run would end here
            chosen = [case for case in chosen if not case.method or hasattr(plugin, case.method)]
            if together:
                calls = [self._call(case, plugin, dispatcher, name) for case in reversed(chosen)]
                found = list(reversed(await asyncio.gather(*calls)))
            else:
                found = []
                for case in chosen:
                    found.append(await self._call(case, plugin, dispatcher, name))
                    if measure:
                        await self._confirm(found[-1], partial(self._call, case, plugin, dispatcher, name))
            self._used |= {sent.need for sent in dispatcher.requests}
            return [*before, *found]

    def _dispatcher(self, script: Script, style: Style, name: str) -> RecordingDispatcher:
        assert self._database is not None
        engine = ScriptedEngine(options=ScriptedOptions(batch=1), script=script)
        engine.identity = f"check:{name}"  # other answers, other keys: nothing comes from another script's log
        sampling = Sampling(temperature=0.7, max_tokens=256)
        roles = [need.partition(".")[0] for need in self._spec.needs]
        return RecordingDispatcher(engine, self._database, sampling=sampling, style=style, seed=1, roles=roles)

    async def _prepared(self, dispatcher: RecordingDispatcher, measure: bool) -> tuple[Any, list[Answered]]:
        plugin = self._make()
        single = isinstance(self._spec, RuleSpec) and self._spec.looks_at != "population"
        if not (single and hasattr(plugin, "prepare")):
            return plugin, []
        case = Case("prepare", lambda rule, models: rule.prepare(SEEDS, models), lambda value: None, ordinary=True)
        answered = await self._call(case, plugin, dispatcher, "prepare")
        if measure:
            await self._confirm(answered, lambda: self._call(case, self._make(), dispatcher, "prepare"))
        return plugin, [answered]

    async def _confirm(self, answered: Answered, repeat: Callable[[], Awaitable[Answered]]) -> None:
        """Raise `Stalls` if a call that kept the event loop does so each time."""
        stall = answered.stall
        for _ in range(REPEATS):
            if stall > CERTAIN_S:
                break
            if stall > STALL_S:
                stall = min(stall, (await repeat()).stall)
        if stall > STALL_S:
            raise Stalls(
                f"blocks the event loop for {stall * 1000:.0f} ms without an `await` on {answered.case.label}, at most "
                f"{STALL_S * 1000:.0f} ms: do it in a thread, by `await asyncio.to_thread(...)`, sleep by "
                "`asyncio.sleep`, and bound the text that is read"
            )

    async def _hostile_models(self) -> list[Answered]:
        found: list[Answered] = []
        if not self._used:
            return found  # it asks no model
        asks = any(need.endswith(".generate") for need in self._used)
        for name, answer in list(ANSWERS.items())[: None if asks else 1]:
            for style in _STYLES:
                found += [
                    _on_answer(answered, name)
                    for answered in await self._pass(Fixed(answer), style, name=name, only_ordinary=True)
                ]
        refused = await self._pass(Refusing(), "plain", name="refusing", only_ordinary=True)
        return [*found, *(_on_answer(answered, "a request that fails") for answered in refused)]

    async def _call(self, case: Case, plugin: Any, dispatcher: RecordingDispatcher, script: str) -> Answered:
        self._progress(f"{case.label} ({script} model)" if script != "calm" else case.label)
        caller = case.label  # part of each draw's key, so the same in every pass and process
        start = len(dispatcher.requests)
        models = Models(dispatcher, Scope(self._spec.name, 1, caller, case.parents), self._sources())
        answered = Answered(case)
        async with Heartbeat() as heart:
            # A task of its own, so that one that never ends, or swallows its cancellation, can be left behind.
            task = asyncio.create_task(_outcome(case, plugin, models, answered))
            heart.reset()
            done, _ = await asyncio.wait({task}, timeout=self._limit)
            answered.stall = heart.longest()
        if not done:
            task.cancel()
            raise NeverReturns(f"does not return within {self._limit:g} s on {case.label}")
        answered.requests = [sent for sent in dispatcher.requests[start:] if sent.caller == caller]
        return answered

    def _sources(self) -> Sources:
        """A small population, and every corpus that the spec asks for."""
        rows = (*SEEDS, *DOCUMENTS)

        def counted(need: str) -> Rows:
            async def read(positions: Sequence[int]) -> list[Instruction]:
                self._used |= {need} if need else set()
                return [rows[position] for position in positions]

            return Rows(len(rows), read)

        corpora = {need.removeprefix("corpora."): counted(need) for need in self._spec.needs if "corpora." in need}
        return Sources(counted(""), corpora)

    # -- what they show -----------------------------------------------------------------------------------------

    def _finding(self, what: str, message: str, severity: Any = "error") -> Finding:
        return Finding(what, self._where, severity, message)

    def _raised(self, what: str, answers: Sequence[Answered]) -> list[Finding]:
        """What was raised, returned amiss, or done with a text that it must only carry."""
        problems: dict[str, list[str]] = {}
        for answered in answers:
            for problem in _problems(answered):
                problems.setdefault(problem, []).append(answered.case.label)
        if not problems:
            return [Finding(what, self._where)]
        return [self._finding(what, f"{problem} [{_some(labels)}]") for problem, labels in problems.items()]

    def _same(self, first: list[Answered], again: list[Answered], turned: list[Answered]) -> list[Finding]:
        what = "determinism"
        if difference := _difference(first, again):
            advice = "use no clock and no `random`: a request's own seed makes what varies repeatable"
            return [self._finding(what, f"two runs differ {difference}; {advice}")]
        if difference := _difference(first, turned):
            advice = "keep no state between calls: thousands run at once, in any order"
            return [self._finding(what, f"the order of the calls changes what they give {difference}; {advice}")]
        return [Finding(what, self._where)]

    def _needs(self) -> list[Finding]:
        declared = set(self._spec.needs)
        found = []
        if missing := sorted(self._used - declared):
            advice = "name it there, so that a run whose models lack it is refused before any model loads"
            found.append(self._finding("needs", f"calls {', '.join(missing)}, which `needs` does not name: {advice}"))
        if unused := sorted(declared - self._used):
            text = f"{', '.join(unused)} was not called by any of {len(self._cases)} calls: drop it if nothing calls it"
            found.append(self._finding("needs", text, "note"))
        return found or [Finding("needs", self._where)]


async def _outcome(case: Case, plugin: Any, models: Models, answered: Answered) -> None:
    try:
        result = case.call(plugin, models)
        if not inspect.isawaitable(result):
            raise TypeError(f"returned {result!r:.60}, which cannot be awaited: write `async def`")
        answered.value = await _awaited(result)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # whatever a stranger's code raises, SystemExit included
        answered.error = error


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result


def _on_answer(answered: Answered, name: str) -> Answered:
    answered.case = replace(answered.case, label=f"{answered.case.label}, answered with {name}", ordinary=False)
    return answered


def _problems(answered: Answered) -> list[str]:
    found = []
    if canary.heard():
        found.append("executes a text that a model wrote: parse it instead")
    error = answered.error
    if error is not None:
        text = f"raises {type(error).__name__}: {' '.join(str(error).split())[:160]}"
        if not isinstance(error, EvoAgentError):
            found.append(f"{text}; expected a result that says what is wrong")
        elif answered.case.ordinary:
            found.append(f"{text}; but text and answers are harmless")
        return found
    if flaw := answered.case.flaw(answered.value):
        found.append(flaw)
        return found
    texts = [*_texts(answered.value), *_prompts(answered.requests)]
    if any(PRODUCT in text for text in texts):
        found.append("reads an instruction as a template: hand texts to a template as values, and never render twice")
    if any(map(_SURROGATE.search, texts)):
        found.append("makes half a character (a lone surrogate), which cannot be stored")
    return found


def _texts(value: Any) -> list[str]:
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in _texts(item)]
    names = ("instruction", "input", "response", "raw", "reason", "detail")
    return [text for name in names if isinstance(text := getattr(value, name, None), str)]


def _prompts(requests: Sequence[Sent]) -> list[str]:
    return [
        text
        for sent in requests
        if isinstance(sent.request, GenerateRequest)
        for text in (sent.request.text, *(content for _, content in sent.request.messages))
    ]


def _difference(one: list[Answered], other: list[Answered]) -> str | None:
    for a, b in zip(one, other, strict=False):
        if a.trace != b.trace:
            if a.trace[0] != b.trace[0]:
                return f"on {a.case.label}: {a.trace[0]:.100} and {b.trace[0]:.100}"
            return f"on {a.case.label}: in what they ask the models"
    return None


def _some(labels: Sequence[str]) -> str:
    unique = list(dict.fromkeys(labels))
    more = f" and {len(unique) - SHOWN} more" if len(unique) > SHOWN else ""
    return f"on {', '.join(unique[:SHOWN])}{more}"
