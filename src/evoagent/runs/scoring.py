"""Scoring any dataset file with the scorers of a run."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from evoagent.config.model import ModelsConfig, PluginUse
from evoagent.datasets.files import BadRow, read_rows
from evoagent.datasets.forms import Form, recognise, to_example
from evoagent.datasets.seeds import HEAD
from evoagent.errors import DataError, EngineError, LedgerError, UserError
from evoagent.events import Event, NodeFinished, NodeProgress, NodeStarted, Notice
from evoagent.failures import Failures, explain
from evoagent.graph.populations import score_all
from evoagent.graph.scores import score
from evoagent.ledger.database import Database
from evoagent.ledger.request_log import RequestLog
from evoagent.models.dispatcher import Dispatcher
from evoagent.models.requests import Scope
from evoagent.models.roles import Models
from evoagent.plugins.calls import PLUGIN_SECONDS, WINDOW, Calls
from evoagent.plugins.loaded import LoadedScorer
from evoagent.plugins.manager import PluginManager
from evoagent.plugins.watchdog import Watchdog
from evoagent.population.base import Population
from evoagent.records import Candidate, Instruction, Score
from evoagent.runs.loading import load_scorer
from evoagent.runs.models import bind, check_capabilities, load_models


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the dataset on its way: `candidate` is None if it has no instruction, for `reason`."""

    number: int
    columns: Mapping[str, Any]
    candidate: Candidate | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """What came of a scoring.

    Attributes:
        rows: how many were written.
        broken: the rows that could not be read, each with its line.
        missing: how many rows have no score, by scorer.
        sent: requests that models answered.
        cached: those that had been answered before.
        path: the file that was written, if it was one.
    """

    rows: int
    broken: list[BadRow]
    missing: Mapping[str, int] = field(default_factory=dict)
    sent: int = 0
    cached: int = 0
    path: Path | None = None


async def score_file(
    data: Path,
    uses: Sequence[PluginUse],
    models_config: ModelsConfig,
    write: Callable[[str], object],
    log: Path | None,
    manager: PluginManager,
    listen: Callable[[Event], None],
) -> Scored:
    """Score every row of `data` and `write` it as a line of JSON, in the order of the file.

    Each row keeps its columns and gets `scores` and, for those that are missing, `score_reasons`.

    Args:
        log: a database for the request log, so that a second or interrupted scoring asks nothing twice; None keeps it
            in memory.

    Raises:
        UserError: the data, a scorer or a model is wrong.
    """
    specs = [manager.get("scorer", use.name) for use in uses]
    scorers = [load_scorer(manager, use) for use in uses]
    failures = Failures()
    broken: list[BadRow] = []
    total = sum(1 for _ in read_rows(data, broken))
    if not total:
        raise DataError(f"{data}: " + (f"all {len(broken)} rows are broken" if broken else "has no rows"))
    form = recognise([row for _, row in islice(read_rows(data, []), HEAD)], where=str(data))
    models = load_models(models_config, Path.cwd(), manager)
    check_capabilities(models, list(specs))
    # Scoring draws nothing: the same data and models give the same scores.
    bindings = {
        role: replace(binding, sampling=replace(binding.sampling, temperature=0.0, top_p=1.0))
        for role, binding in bind(models).items()
    }
    with ExitStack() as stack:
        database = Database(log if log is not None else ":memory:")
        stack.callback(database.close)
        dispatcher = Dispatcher(
            bindings,
            RequestLog(database, "score"),
            database,
            on_load=lambda engine: listen(Notice(f"loading {engine.identity}")),
            notice=lambda text: listen(Notice(text)),
        )
        calls, roles = Calls(WINDOW, PLUGIN_SECONDS, lambda: dispatcher.fatal), Models(dispatcher, Scope())
        watchdog = Watchdog(manager.owner, lambda text: listen(Notice(text)))
        missing: Counter[str] = Counter()
        async with watchdog, dispatcher:
            started = time.monotonic()
            listen(NodeStarted("score", 1, total))
            population = await _population(data, form, scorers, roles, calls, failures)
            number = 0
            async for row, scores in _in_order(data, form, scorers, population, roles, calls, failures):
                number += 1
                missing.update(name for name, item in scores.items() if item.value is None)
                write(json.dumps(_finite(_scored(row, scores)), ensure_ascii=False, default=str) + "\n")
                rate = dispatcher.accounts.completion_tokens / max(time.monotonic() - started, 1e-6)
                listen(NodeProgress("score", 1, number, total, rate))
            await dispatcher.flush()
            listen(NodeFinished("score", 1, number, time.monotonic() - started))
            for line in failures.notices():
                listen(Notice(line))
        accounts = dispatcher.accounts
        return Scored(number, broken, missing, int(accounts.total("sent")), int(accounts.total("cached")))


def _rows(data: Path, form: Form) -> Iterator[Row]:
    for number, (line, columns) in enumerate(read_rows(data, [])):
        try:
            example = to_example(columns, form)
        except DataError as error:
            yield Row(number, columns, None, str(error))
            continue
        id = f"line-{line}"
        parent = Instruction(f"{id}-seed", example.instruction, example.input)
        candidate = Candidate(id, example.instruction, parent, "none", 0, input=example.input, response=example.output)
        yield Row(number, columns, candidate)


async def _population(
    data: Path, form: Form, scorers: Sequence[LoadedScorer], models: Models, calls: Calls, failures: Failures
) -> dict[str, dict[str, Score]]:
    """Scores of the scorers that see all rows at once, by candidate."""
    wanted = [scorer for scorer in scorers if scorer.population]
    if not wanted:
        return {}
    candidates = Population.of(row.candidate for row in _rows(data, form) if row.candidate is not None)
    found: dict[str, dict[str, Score]] = {id: {} for id in candidates.ids.tolist()}
    nobody = Population.of([])
    for scorer in wanted:
        scores = await score_all(scorer, candidates, nobody, models, calls, failures)
        for by_name, item in zip(found.values(), chain.from_iterable(scores), strict=True):
            by_name[scorer.name] = item
    return found


async def _in_order(
    data: Path,
    form: Form,
    scorers: Sequence[LoadedScorer],
    population: Mapping[str, Mapping[str, Score]],
    models: Models,
    calls: Calls,
    failures: Failures,
) -> Any:
    """(row, scores) in the order of the file; what finishes early waits."""

    async def score_row(row: Row) -> dict[str, Score]:
        if row.candidate is None:
            return {scorer.name: Score(None, row.reason) for scorer in scorers}
        known = population.get(row.candidate.id, {})
        return {
            scorer.name: known[scorer.name]
            if scorer.name in known
            else await score(scorer, row.candidate, models, calls, failures)
            for scorer in scorers
        }

    waiting: dict[int, tuple[Row, dict[str, Score]]] = {}
    following = 0
    async with aclosing(calls.map(_rows(data, form), score_row)) as results:
        async for row, outcome in results:
            if isinstance(outcome, (EngineError, LedgerError, UserError)):
                raise outcome
            if isinstance(outcome, Exception):
                outcome = {scorer.name: Score(None, explain(outcome)) for scorer in scorers}
            waiting[row.number] = (row, outcome)
            while following in waiting:
                yield waiting.pop(following)
                following += 1


def _finite(value: Any) -> Any:
    """`value` with null for numbers that JSON does not have: NaN and infinity, in columns of the dataset."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _scored(row: Row, scores: Mapping[str, Score]) -> dict[str, Any]:
    reasons = {name: item.reason for name, item in scores.items() if item.value is None}
    columns = {**row.columns, "scores": {name: item.value for name, item in scores.items()}}
    return {**columns, "score_reasons": reasons} if reasons else columns
