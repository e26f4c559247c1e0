"""eliminator: rejects what is no real gain, selects what survives, and closes the round."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from langgraph.runtime import Runtime

from evoagent.errors import EvoAgentError, PluginError
from evoagent.events import Notice, RoundFinished
from evoagent.failures import AbandonedFault, explain
from evoagent.ledger.replacement import ReplaceParents
from evoagent.ledger.rows import StoredCandidate, Totals
from evoagent.models.roles import Models, Scope
from evoagent.nodes.common import Batcher, Progress, undecided
from evoagent.nodes.critic import criticise_edits
from evoagent.nodes.previews import preview
from evoagent.nodes.review import RULE as REVIEW
from evoagent.nodes.review import Decision, edits, review
from evoagent.nodes.review import verdicts as verdicts_of
from evoagent.nodes.rules import ERROR, checked_verdicts, judge, stillborn
from evoagent.nodes.scores import checked_figures
from evoagent.records import Candidate, Verdict
from evoagent.scorers.base import PopulationScorer
from evoagent.selectors.base import Selector
from evoagent.state import EvolutionContext, EvolutionState, LoadedRule, LoadedSelector
from evoagent.stopping import first_reason, stops

REJECTED = Verdict(kept=False)
QUOTA = "quota"  # the run has as many survivors as were asked for


async def eliminator(state: EvolutionState, runtime: Runtime[EvolutionContext]) -> EvolutionState:
    """Give every candidate of the round its verdict, and make the next population."""
    context, round = runtime.context, state["round"]
    await context.enter(state)
    store, run = context.store, context.store.database.run
    await context.prepare_rules()
    reviewed = await _review(context, round, state.get("review") or {})
    total = await run(store.count_candidates, context.run_id, round, undecided=True)
    progress = Progress(runtime, "eliminator", round, total)
    await _apply_rules(context, round, reviewed, progress)
    if _looks_at_all(context) or reviewed:
        verdicts = await _choose(context, round, reviewed)
    else:
        verdicts = {}
        await run(store.keep_undecided, context.run_id, round)
    await context.dispatcher.flush()
    await run(store.finish_round, context.run_id, round, verdicts)
    progress.finish()

    balance = await run(context.store.totals, context.run_id, round, round)
    totals = await run(context.store.totals, context.run_id, context.since)
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
        await run(store.replace, context.run_id, round, ReplaceParents())
    following, last = context.next_stage, ended is not None and context.next_stage is None
    if following is not None and ended is not None and not totals.survivors:
        ended, last = f"stage {context.stage.name}: {ended}, nothing has survived", True
    return {
        "stage": following.name if ended and following and not last else context.stage.name,
        "round": round if last else round + 1,
        "population": await run(context.store.population_size, context.run_id, round + 1),
        "candidates": totals.candidates,
        "survivors": totals.survivors,
        "rejected": totals.rejected,
        "barren": barren,
        "stop_reason": ended if last else None,
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
    return first_reason(stops(context.stage.config.stop), standing)


async def _review(context: EvolutionContext, round: int, given: Mapping[str, Any]) -> dict[str, Verdict]:
    """A person's verdicts, by candidate: asked for now, given in the state, or remembered."""
    asked = context.config.review or bool(given)
    if not (asked or await context.store.database.run(context.store.has_reviews)):
        return {}
    pending = [stored async for stored in undecided(context, round)]
    decisions = await review(context, round, pending, given)
    return verdicts_of(decisions, await _criticise_edits(context, round, decisions, pending))


def _looks_at_all(context: EvolutionContext) -> bool:
    """Whether anything has to see all candidates of the round at once."""
    rules = any(rule.looks_at == "population" for rule in context.rules)
    return rules or not context.selector.plugin.keeps_all or context.stage.config.stop.survivors is not None


async def _choose(context: EvolutionContext, round: int, reviewed: Mapping[str, Verdict]) -> dict[str, Verdict]:
    """The verdicts of a person, of the rules that see all candidates, of the selector, and of the quota."""
    verdicts = dict(reviewed)
    left = [stored.candidate async for stored in undecided(context, round)]
    remaining = [candidate for candidate in left if candidate.id not in verdicts]
    earlier = await context.store.database.run(context.store.survivors, context.run_id, context.since)
    places = None if context.stage.config.stop.survivors is None else context.stage.config.stop.survivors - len(earlier)
    # What a person has kept stands like an earlier survivor: rules and selector choose beside it.
    earlier += [candidate for candidate in left if verdicts.get(candidate.id, REJECTED).kept]
    remaining = await _apply_population_rules(context, round, remaining, earlier, verdicts)
    await _select(context, round, remaining, earlier, verdicts, places)
    return verdicts


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
    await context.store.database.run(context.store.add_candidates, context.run_id, new)
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
        await run(context.store.save_verdicts, context.run_id, round, dict(rejected))

    judged = context.dispatcher.map(undecided(context, round), decide)
    async with Batcher[tuple[str, Verdict]](write) as batch, aclosing(judged) as results:
        async for stored, outcome in results:
            if isinstance(outcome, AbandonedFault):
                outcome = Verdict(False, ERROR, detail=explain(outcome))
            if isinstance(outcome, Exception):
                raise outcome
            if outcome is not None:
                await batch.add((stored.candidate.id, outcome))
            progress.advance()


async def _apply_population_rules(
    context: EvolutionContext,
    round: int,
    remaining: list[Candidate],
    earlier: list[Candidate],
    verdicts: dict[str, Verdict],
) -> list[Candidate]:
    rules = [rule for rule in context.rules if rule.looks_at == "population"]
    if not rules or not remaining:
        return remaining
    models = context.models.scoped(Scope("", round, f"{round}"))
    for rule in rules:
        judge_all = rule.plugin.judge_all  # type: ignore[union-attr]
        found = await _decided(context, rule, judge_all, remaining, earlier, models)
        for candidate, verdict in zip(remaining, found, strict=True):
            if not verdict.kept:
                verdicts[candidate.id] = verdict if verdict.rule == ERROR else replace(verdict, rule=rule.name)
        remaining = [candidate for candidate in remaining if candidate.id not in verdicts]
    return remaining


async def _decided(
    context: EvolutionContext,
    plugin: LoadedRule | LoadedSelector,
    method: Callable[..., Any],
    candidates: list[Candidate],
    earlier: list[Candidate],
    models: Models,
) -> list[Verdict]:
    """The verdicts of a plugin that sees all candidates; without them the run cannot go on."""
    # Copies: what a plugin does to its lists is nobody else's affair.
    lists = (list(candidates), list(earlier))
    found = await context.dispatcher.require(plugin.title, method, *lists, models, limited=plugin.strange)
    try:
        return checked_verdicts(found, candidates, plugin, context)
    except TypeError as error:
        raise PluginError(f"{plugin.title} {error}") from error


async def _select(
    context: EvolutionContext,
    round: int,
    remaining: list[Candidate],
    earlier: list[Candidate],
    verdicts: dict[str, Verdict],
    left: int | None,
) -> None:
    """Add the selector's verdicts, and those of the quota where N survivors are asked for."""
    selector, models = context.selector, context.models.scoped(Scope("", round, f"{round}"))
    found = await _decided(context, selector, selector.plugin.select, remaining, earlier, models)
    for candidate, verdict in zip(remaining, found, strict=True):
        if not verdict.kept and verdict.rule != ERROR:
            verdict = replace(verdict, rule=f"selector:{selector.name}")
        verdicts[candidate.id] = verdict
    if left is not None:
        # In this order: what a person has kept comes before what the selector has.
        places = max(left, 0)
        late = [id for id, verdict in verdicts.items() if verdict.kept][places:]
        over = Verdict(False, QUOTA, float(places), float(left), "as many survivors as asked for")
        verdicts |= dict.fromkeys(late, over)


async def _measure(context: EvolutionContext, round: int) -> dict[str, float]:
    """What scorers and selectors say of all survivors so far; what one of them raises is told, and costs nothing."""
    plugins = [context.selector, *(scorer for scorer in context.scorers if scorer.population)]
    measuring = [plugin for plugin in plugins if _measures(plugin.plugin)]
    if not measuring:
        return {}
    run = context.store.database.run
    survivors = await run(context.store.survivors, context.run_id, context.since)
    models = context.models.scoped(Scope("", round, f"{round}"))
    figures: dict[str, float] = {}
    for plugin in measuring:
        measure = plugin.plugin.measure
        try:
            found = await context.dispatcher.attempt(
                plugin.title, measure, list(survivors), models, limited=plugin.strange
            )
            figures |= checked_figures(plugin.name, found)
        except EvoAgentError:
            raise
        except Exception as error:
            context.failures.failed(f"`measure` of {plugin.title}", explain(error))
    await context.dispatcher.flush()
    await run(context.store.save_figures, context.run_id, round, figures)
    return figures


def _measures(plugin: object) -> bool:
    measure = getattr(type(plugin), "measure", None)
    return measure is not None and measure not in (Selector.measure, PopulationScorer.measure)
