"""Asking plugins that see a whole population. What they give is checked and kept a page at a time."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from tempfile import SpooledTemporaryFile
from typing import Any, Generic, TypeVar

from evoagent.errors import EngineError, LedgerError, UserError
from evoagent.failures import Failures, explain
from evoagent.graph.context import EvolutionContext
from evoagent.graph.policies.quota import Quota, Unlimited
from evoagent.graph.rules import failed
from evoagent.graph.scores import checked, missing
from evoagent.models.roles import Models
from evoagent.plugins.calls import Calls
from evoagent.plugins.loaded import LoadedRule, LoadedScorer, LoadedSelector
from evoagent.plugins.returned import checked_verdict, one_for_each
from evoagent.population.base import PAGE, Population
from evoagent.records import Score, Verdict

IN_MEMORY = 2**20  # bytes that wait there before they go to a temporary file

T = TypeVar("T")


class Pages(Generic[T]):
    """Values in the order in which they were added. Iterating gives lists of them; few are in memory at once."""

    def __init__(self) -> None:
        self._page: list[T] = []
        self._count = 0
        self._file = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - it goes with the pages

    def __del__(self) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._count

    def add(self, value: T) -> None:
        """Take one more."""
        self._page.append(value)
        self._count += 1
        if len(self._page) == PAGE:
            pickle.dump(self._page, self._file)
            self._page = []

    def __iter__(self) -> Iterator[list[T]]:
        end = self._file.tell()
        self._file.seek(0)
        while self._file.tell() < end:
            yield pickle.load(self._file)
        if self._page:
            yield self._page


class Decided:
    """The verdicts of a round by candidate, until all of them are known."""

    def __init__(self, quota: Quota | None = None) -> None:
        """Whoever is kept beyond `quota` is rejected instead."""
        self._pages: Pages[tuple[str, Verdict]] = Pages()
        self._quota, self._kept = quota or Unlimited(), 0

    def add(self, id: str, verdict: Verdict) -> None:
        """Take one more."""
        if verdict.kept:
            verdict = self._quota.over(self._kept) or verdict
            self._kept += verdict.kept
        self._pages.add((id, verdict))

    def items(self) -> Iterator[tuple[str, Verdict]]:
        """Ids and verdicts, in order."""
        for page in self._pages:
            yield from page


async def score_all(
    scorer: LoadedScorer,
    candidates: Population,
    survivors: Population,
    models: Models,
    calls: Calls,
    failures: Failures,
) -> Pages[Score]:
    """As `scores.score`, for a scorer that sees all candidates of a round at once; one score a candidate, in order."""
    for _ in range(len(candidates)):
        failures.called(scorer.title)

    def check(item: object) -> Score:
        return checked(item, scorer, failures)

    method = scorer.plugin.score_all  # type: ignore[union-attr]
    given = one_for_each(method, "Score", candidates, survivors, models)
    found: Pages[Score]
    try:
        found = await calls.attempt(scorer, _pages, given, check)
    except (EngineError, LedgerError, UserError):
        raise
    except Exception as error:
        found = Pages()
        for _ in range(len(candidates)):
            found.add(missing(scorer, explain(error), failures))
    return found


async def judge_together(
    context: EvolutionContext,
    plugin: LoadedRule | LoadedSelector,
    method: Callable[..., Any],
    candidates: Population,
    survivors: Population,
    models: Models,
) -> Pages[Verdict]:
    """The verdicts of a population rule or a selector, in order; without them the run cannot go on.

    A single one that is none is that candidate's rejection, `error`.

    Raises:
        PluginError: it raised, or gave no such thing; the message names the plugin.
    """

    def check(item: object) -> Verdict:
        context.failures.called(plugin.title)
        try:
            return checked_verdict(item)
        except Exception as error:
            context.failures.failed(plugin.title, explain(error))
            return failed(plugin, explain(error))

    given = one_for_each(method, "Verdict", candidates, survivors, models)
    found: Pages[Verdict] = await context.calls.require(plugin, _pages, given, check)
    return found


async def _pages(given: AsyncGenerator[Any], check: Callable[[object], T]) -> Pages[T]:
    """What a plugin gives, checked."""
    pages: Pages[T] = Pages()
    async with aclosing(given):
        async for item in given:
            pages.add(check(item))
            if len(pages) % PAGE == 0:
                await asyncio.sleep(0)  # whoever never waits lets the others go on here
    return pages
