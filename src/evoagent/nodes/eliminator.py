"""eliminator: rejects what is no real gain, selects what survives, and closes the round."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from langgraph.runtime import Runtime

from evoagent.eliminators.base import PopulationEliminator, Selector
from evoagent.errors import EvoAgentError, PluginError
from evoagent.events import RoundFinished
from evoagent.ledger.rows import StoredCandidate, Totals
from evoagent.models.roles import Scope
from evoagent.nodes.common import Progress, undecided
from evoagent.nodes.critic import criticise_edits
from evoagent.nodes.previews import preview
from evoagent.nodes.review import RULE as REVIEW
from evoagent.nodes.review import Decision, edits, review
from evoagent.nodes.review import verdicts as reviewed
from evoagent.nodes.rules import judge, stillborn
from evoagent.records import Candidate, Verdict
from evoagent.scorers.base import PopulationScorer
from evoagent.state import EvolutionContext, EvolutionState

logger = logging.getLogger(__name__)

QUOTA = "quota"  # the run has as many survivors as were asked for


async def eliminator(state: EvolutionState, runtime: Runtime[EvolutionContext]) -> EvolutionState:
    """Give every candidate of the round its verdict, and make the next population."""
    context, round = runtime.context, state["round"]
    run = context.store.database.run
    await context.prepare_rules()
    pending = [stored async for stored in undecided(context, round)]
    decisions = await review(context, round, pending, state.get("review") or {})
    pending = await _criticise_edits(context, round, decisions, pending)
    verdicts = reviewed(decisions, pending)
    progress = Progress(runtime, "eliminator", round, len(pending))
    verdicts |= await _apply_rules(context, round, [s for s in pending if s.candidate.id not in verdicts], progress)
    remaining = [stored.candidate for stored in pending if stored.candidate.id not in verdicts]
    earlier = await run(context.store.survivors, context.run_id)
    remaining = await _apply_population_rules(context, round, remaining, earlier, verdicts)
    await _select(context, round, remaining, earlier, verdicts)
    await context.dispatcher.flush()
    await run(context.store.finish_round, context.run_id, round, verdicts)
    progress.finish()

    balance = await run(context.store.totals, context.run_id, round)
    totals = await run(context.store.totals, context.run_id)
    previews = await preview(context, round)
    figures = await _measure(context, round)
    event = RoundFinished(round, balance.candidates, balance.survivors, balance.rejected, tuple(previews), figures)
    runtime.stream_writer(event)
    await asyncio.to_thread(context.observe, event)
    barren = 0 if balance.survivors else state["barren"] + 1
    return {
        "round": round + 1,
        "population": await run(context.store.population_size, context.run_id, round + 1),
        "candidates": totals.candidates,
        "survivors": totals.survivors,
        "rejected": totals.rejected,
        "barren": barren,
        "stop_reason": stop_reason(context, round, totals, barren),
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


def stop_reason(context: EvolutionContext, round: int, totals: Totals, barren: int) -> str | None:
    """Why the run ends after `round`, or None if it goes on."""
    stop = context.config.stop
    if stop.survivors is not None and totals.survivors >= stop.survivors:
        return f"{stop.survivors} survivors"
    if stop.rounds is not None and round >= stop.rounds:
        return f"{stop.rounds} rounds"
    if stop.candidates is not None and totals.candidates >= stop.candidates:
        return f"budget of {stop.candidates} candidates"
    if stop.tokens is not None and context.tokens >= stop.tokens:
        return f"budget of {stop.tokens} tokens"
    if stop.minutes is not None and context.seconds >= stop.minutes * 60:
        return f"budget of {stop.minutes:g} minutes"
    if stop.barren_rounds is not None and barren >= stop.barren_rounds:
        return f"no survivor in {barren} rounds"
    return None


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
    context: EvolutionContext, round: int, pending: Sequence[StoredCandidate], progress: Progress
) -> dict[str, Verdict]:
    """Verdicts of the rules on single candidates, by candidate."""
    screened = {"instruction"} if context.config.critic.screen else set()
    rules = [rule for rule in context.rules if rule.looks_at not in screened]
    verdicts: dict[str, Verdict] = {}

    async def decide(stored: StoredCandidate) -> Verdict | None:
        candidate = stored.candidate
        scope = Scope(candidate.operator, round, f"{round}.{candidate.id}")
        return stillborn(stored) or await judge(candidate, rules, context.models.scoped(scope))

    async with aclosing(context.dispatcher.map(pending, decide)) as results:
        async for stored, outcome in results:
            if isinstance(outcome, Exception):
                raise outcome
            if outcome is not None:
                verdicts[stored.candidate.id] = outcome
            progress.advance()
    return verdicts


async def _apply_population_rules(
    context: EvolutionContext,
    round: int,
    remaining: list[Candidate],
    earlier: list[Candidate],
    verdicts: dict[str, Verdict],
) -> list[Candidate]:
    rules = [rule for rule in context.rules if isinstance(rule.plugin, PopulationEliminator)]
    if not rules or not remaining:
        return remaining
    models = context.models.scoped(Scope("", round, f"{round}"))
    for rule in rules:
        assert isinstance(rule.plugin, PopulationEliminator)
        try:
            found = await rule.plugin.judge_all(remaining, earlier, models)
            _check(found, remaining)
        except EvoAgentError:
            raise
        except Exception as error:
            raise PluginError(f"rule `{rule.name}`: {type(error).__name__}: {error}") from error
        for candidate, verdict in zip(remaining, found, strict=True):
            if not verdict.kept:
                verdicts[candidate.id] = replace(verdict, rule=rule.name)
        remaining = [candidate for candidate in remaining if candidate.id not in verdicts]
    return remaining


def _check(found: Sequence[object], candidates: Sequence[Candidate]) -> None:
    if len(found) != len(candidates) or not all(isinstance(item, Verdict) for item in found):
        raise TypeError(f"returned {found!r:.80}, expected one Verdict for each of {len(candidates)} candidates")


async def _select(
    context: EvolutionContext,
    round: int,
    remaining: list[Candidate],
    earlier: list[Candidate],
    verdicts: dict[str, Verdict],
) -> None:
    """Add the selector's verdicts, and those of the quota where N survivors are asked for."""
    name = context.config.eliminator.selector.name
    try:
        found = await context.selector.select(remaining, earlier, context.models.scoped(Scope("", round, f"{round}")))
        _check(found, remaining)
    except EvoAgentError:
        raise
    except Exception as error:
        raise PluginError(f"selector `{name}`: {type(error).__name__}: {error}") from error
    left = None if context.config.stop.survivors is None else context.config.stop.survivors - len(earlier)
    kept = _limit(verdicts, left)
    for candidate, verdict in zip(remaining, found, strict=True):
        if verdict.kept and left is not None and kept >= left:
            verdict = over_quota(kept, left)
        elif not verdict.kept:
            verdict = replace(verdict, rule=f"selector:{name}")
        kept += verdict.kept
        verdicts[candidate.id] = verdict


def _limit(verdicts: dict[str, Verdict], left: int | None) -> int:
    """How many a person has kept; those beyond the quota are rejected."""
    kept = 0
    for id, verdict in verdicts.items():
        if verdict.kept and left is not None and kept >= left:
            verdicts[id] = verdict = over_quota(kept, left)
        kept += verdict.kept
    return kept


def over_quota(kept: int, left: int) -> Verdict:
    """The verdict on a good candidate that comes too late."""
    return Verdict(False, QUOTA, float(kept), float(left), "as many survivors as asked for")


async def _measure(context: EvolutionContext, round: int) -> dict[str, float]:
    """What scorers and selectors say of all survivors so far; what one of them raises is logged, and costs nothing."""
    selector = context.config.eliminator.selector.name
    named: list[tuple[str, PopulationScorer | Selector]] = [(selector, context.selector)]
    named += [(item.name, item.plugin) for item in context.scorers if isinstance(item.plugin, PopulationScorer)]
    measuring = [(name, plugin) for name, plugin in named if _measures(plugin)]
    if not measuring:
        return {}
    run = context.store.database.run
    survivors = await run(context.store.survivors, context.run_id)
    models = context.models.scoped(Scope("", round, f"{round}"))
    figures: dict[str, float] = {}
    for name, plugin in measuring:
        try:
            found = dict(await plugin.measure(survivors, models))
            figures |= {f"{name}.{key}"[:160]: float(value) for key, value in found.items() if math.isfinite(value)}
        except EvoAgentError:
            raise
        except Exception:
            logger.exception("`%s` could not measure round %d", name, round)
    await context.dispatcher.flush()
    await run(context.store.save_figures, context.run_id, round, figures)
    return figures


def _measures(plugin: PopulationScorer | Selector) -> bool:
    base = Selector if isinstance(plugin, Selector) else PopulationScorer
    return type(plugin).measure is not base.measure
