"""eliminator: rejects what is no real gain, selects what survives, and closes the round."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from langgraph.runtime import Runtime

from evoagent.errors import EngineError, LedgerError, UserError
from evoagent.events import Notice, RoundFinished
from evoagent.failures import explain
from evoagent.graph.context import EvolutionContext
from evoagent.graph.critic import criticise_edits
from evoagent.graph.policies.quota import Places, Unlimited
from evoagent.graph.policies.stopping import first_reason, stops
from evoagent.graph.populations import Decided, judge_together
from evoagent.graph.previews import preview
from evoagent.graph.progress import Batcher, Progress, undecided
from evoagent.graph.review import RULE as REVIEW
from evoagent.graph.review import Decision, edits, review
from evoagent.graph.review import verdicts as verdicts_of
from evoagent.graph.rules import judge, stillborn
from evoagent.graph.state import EvolutionState
from evoagent.ledger.replacement import ReplaceParents
from evoagent.ledger.rows import StoredCandidate, Totals
from evoagent.models.requests import Scope
from evoagent.plugins.returned import ERROR, checked_figures
from evoagent.population.base import Population
from evoagent.population.measuring import Measuring
from evoagent.records import Verdict


async def eliminator(state: EvolutionState, runtime: Runtime[EvolutionContext]) -> EvolutionState:
    """Give every candidate of the round its verdict, and make the next population."""
    context, round = runtime.context, state["round"]
    await context.enter(state)
    store, run = context.store, context.store.database.run
    await context.prepare_rules()
    reviewed = await _review(context, round, state.get("review") or {})
    total = await run(store.candidates.count, context.run_id, round, undecided=True)
    progress = Progress(runtime, "eliminator", round, total)
    await _apply_rules(context, round, reviewed, progress)
    if _looks_at_all(context) or reviewed:
        decided = await _choose(context, round, reviewed)
    else:
        decided = Decided()
        await run(store.candidates.keep_undecided, context.run_id, round)
    await context.dispatcher.flush()
    await run(store.candidates.finish_round, context.run_id, round, decided)
    progress.finish()

    balance = await run(context.store.results.totals, context.run_id, round, round)
    totals = await run(context.store.results.totals, context.run_id, context.since)
    previews = await preview(context, round)
    figures = await _measure(context, round)
    event = RoundFinished(round, balance.candidates, balance.survivors, balance.rejected, tuple(previews), figures)
    runtime.stream_writer(event)
    for line in context.failures.notices():
        runtime.stream_writer(Notice(line))
    await asyncio.to_thread(context.observe, event)
    barren = 0 if balance.survivors else state["barren"] + 1
    ended = _ended(context, round, totals, barren)
    if ended is None:
        await run(store.population.replace, context.run_id, round, ReplaceParents())
    following, last = context.next_stage, ended is not None and context.next_stage is None
    if following is not None and ended is not None and not totals.survivors:
        ended, last = f"{ended}, nothing has survived", True
    return {
        "stage": following.name if ended and following and not last else context.stage.name,
        "round": round if last else round + 1,
        "population": await run(context.store.population.size, context.run_id, round + 1),
        "candidates": totals.candidates,
        "survivors": totals.survivors,
        "rejected": totals.rejected,
        "barren": barren,
        "stop_reason": (f"stage {context.stage.name}: {ended}" if len(context.stages) > 1 else ended) if last else None,
        "then": "finish" if last else "prepare" if ended else "optimizer" if context.stage.optimizer else "evolver",
        "last_round": {
            "round": round,
            "candidates": balance.candidates,
            "survivors": balance.survivors,
            "rejected": balance.rejected,
        },
        "figures": figures,
        "review": {},
        "previews": previews,
    }


def _ended(context: EvolutionContext, round: int, totals: Totals, barren: int) -> str | None:
    """Why the stage ends after `round`, or None if it goes on."""
    standing = context.standing(round - context.since + 1, totals.candidates, totals.survivors, barren)
    call = max(operator.evolutions for operator in context.operators.values())
    return first_reason(stops(context.stage.config.stop, call), standing)


async def _review(context: EvolutionContext, round: int, given: Mapping[str, Any]) -> dict[str, Verdict]:
    """A person's verdicts, by candidate: asked for now, given in the state, or remembered."""
    asked = context.config.review or bool(given)
    if not (asked or await context.store.database.run(context.store.runs.has_reviews)):
        return {}
    pending = [stored async for stored in undecided(context, round)]
    decisions = await review(context, round, pending, given)
    return verdicts_of(decisions, await _criticise_edits(context, round, decisions, pending))


def _looks_at_all(context: EvolutionContext) -> bool:
    """Whether anything has to see all candidates of the round at once."""
    rules = any(rule.looks_at == "population" for rule in context.rules)
    return rules or not context.selector.plugin.keeps_all or context.stage.config.stop.survivors is not None


async def _choose(context: EvolutionContext, round: int, reviewed: Mapping[str, Verdict]) -> Decided:
    """The verdicts of a person, of the rules that see all candidates, of the selector, and of the quota."""
    left = await context.populations.undecided(round)
    earlier = await context.populations.survivors(context.since)
    wanted = context.stage.config.stop.survivors
    decided = Decided(Unlimited() if wanted is None else Places(wanted - len(earlier)))
    for id, verdict in reviewed.items():
        decided.add(id, verdict)
    remaining = left.where(~np.isin(left.ids, np.array(list(reviewed), dtype=np.str_)))
    # What a person has kept stands like an earlier survivor: rules and selector choose beside it.
    kept = [id for id, verdict in reviewed.items() if verdict.kept]
    earlier += left.where(np.isin(left.ids, np.array(kept, dtype=np.str_)))
    remaining = await _apply_population_rules(context, round, remaining, earlier, decided)
    await _select(context, round, remaining, earlier, decided)
    return decided


async def _criticise_edits(
    context: EvolutionContext, round: int, decisions: Mapping[str, Decision], pending: list[StoredCandidate]
) -> list[StoredCandidate]:
    """Record, answer and score what a person has written; the candidates of the round as they are then."""
    new = edits(decisions, pending)
    written = [StoredCandidate(item.candidate, item.position, None, None) for item in new]
    # Those that a killed process had recorded, but not answered any more.
    written += [s for s in pending if s.candidate.operator == REVIEW and not s.candidate.response]
    if not written:
        return pending
    await context.store.database.run(context.store.candidates.add, context.run_id, new)
    await criticise_edits(context, round, written)
    return [stored async for stored in undecided(context, round)]


async def _apply_rules(
    context: EvolutionContext, round: int, reviewed: Mapping[str, Verdict], progress: Progress
) -> None:
    """Record the rejections of the rules on single candidates, as they come."""
    screened = {"instruction"} if context.stage.config.critic.screen else set()
    rules = [rule for rule in context.rules if rule.looks_at not in screened]
    run = context.store.database.run

    async def decide(stored: StoredCandidate) -> Verdict | None:
        candidate = stored.candidate
        if candidate.id in reviewed:
            return None
        scope = Scope(candidate.operator, round, f"{round}.{candidate.id}")
        return stillborn(stored) or await judge(candidate, rules, context.models.scoped(scope), context)

    async def write(rejected: list[tuple[str, Verdict]]) -> None:
        await run(context.store.candidates.save_verdicts, context.run_id, round, dict(rejected))

    judged = context.calls.map(undecided(context, round), decide)
    async with Batcher[tuple[str, Verdict]](write) as batch, aclosing(judged) as results:
        async for stored, outcome in results:
            if isinstance(outcome, Exception):
                raise outcome
            if outcome is not None:
                await batch.add((stored.candidate.id, outcome))
            progress.advance()


async def _apply_population_rules(
    context: EvolutionContext, round: int, remaining: Population, earlier: Population, decided: Decided
) -> Population:
    """Add the rejections of the rules that see all candidates; what each leaves is what the next one sees."""
    models = context.models.scoped(Scope("", round, f"{round}"))
    for rule in context.rules:
        if rule.looks_at != "population" or not len(remaining):
            continue
        judge_all = rule.plugin.judge_all  # type: ignore[union-attr]
        verdicts = chain.from_iterable(await judge_together(context, rule, judge_all, remaining, earlier, models))
        kept = np.ones(len(remaining), dtype=np.bool_)
        for number, verdict in enumerate(verdicts):
            if not verdict.kept:
                kept[number] = False
                named = verdict if verdict.rule == ERROR else replace(verdict, rule=rule.name)
                decided.add(str(remaining.ids[number]), named)
        remaining = remaining.where(kept)
    return remaining


async def _select(
    context: EvolutionContext, round: int, remaining: Population, earlier: Population, decided: Decided
) -> None:
    """Add the selector's verdicts."""
    selector, models = context.selector, context.models.scoped(Scope("", round, f"{round}"))
    verdicts = await judge_together(context, selector, selector.plugin.select, remaining, earlier, models)
    for id, verdict in zip(remaining.ids, chain.from_iterable(verdicts), strict=True):
        if not verdict.kept and verdict.rule != ERROR:
            verdict = replace(verdict, rule=f"selector:{selector.name}")
        decided.add(str(id), verdict)


async def _measure(context: EvolutionContext, round: int) -> dict[str, float]:
    """What scorers and selectors say of all survivors so far; what one of them raises is told, and costs nothing."""
    plugins = [context.selector, *(scorer for scorer in context.scorers if scorer.population)]
    measuring = [plugin for plugin in plugins if _measures(plugin.plugin)]
    if not measuring:
        return {}
    run = context.store.database.run
    survivors = await context.populations.survivors(context.since)
    models = context.models.scoped(Scope("", round, f"{round}"))
    figures: dict[str, float] = {}
    for plugin in measuring:
        measure = plugin.plugin.measure
        try:
            found = await context.calls.attempt(plugin, measure, survivors, models)
            figures |= checked_figures(plugin.name, found)
        except (EngineError, LedgerError, UserError):
            raise
        except Exception as error:
            context.failures.failed(f"`measure` of {plugin.title}", explain(error))
    await context.dispatcher.flush()
    await run(context.store.runs.save_figures, context.run_id, round, figures)
    return figures


def _measures(plugin: object) -> bool:
    measure = getattr(type(plugin), "measure", None)
    return measure is not None and measure is not Measuring.measure
