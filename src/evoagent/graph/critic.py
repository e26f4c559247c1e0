"""critic: has every candidate answered and scored.

Candidates that a rule rejects for their text alone are spared the responder and the scorers (`critic.screen`).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence, Set
from contextlib import aclosing
from dataclasses import replace

import numpy as np
from langgraph.runtime import Runtime

from evoagent.errors import RequestError
from evoagent.failures import explain
from evoagent.graph.context import EvolutionContext
from evoagent.graph.populations import score_all
from evoagent.graph.previews import preview
from evoagent.graph.progress import Batcher, Progress, undecided
from evoagent.graph.ranks import rank
from evoagent.graph.rules import judge, stillborn
from evoagent.graph.scores import score
from evoagent.graph.state import EvolutionState
from evoagent.ledger.rows import Critique, Response, StoredCandidate
from evoagent.models.requests import Completion, Scope
from evoagent.models.roles import Models
from evoagent.plugins.loaded import LoadedRule
from evoagent.plugins.returned import ERROR
from evoagent.records import Candidate, Score, Verdict


async def critic(state: EvolutionState, runtime: Runtime[EvolutionContext]) -> EvolutionState:
    """Answer and score the round's candidates and record it."""
    context, round = runtime.context, state["round"]
    await context.enter(state)
    run = context.store.database.run
    await context.prepare_rules()
    total = await run(context.store.candidates.count, context.run_id, round, undecided=True)
    progress = Progress(runtime, "critic", round, total)
    screening = (
        [rule for rule in context.rules if rule.looks_at == "instruction"] if context.stage.config.critic.screen else []
    )

    await criticise(context, round, _uncriticised(context, round, progress), screening, progress.advance)
    await _score_population(context, round)
    progress.finish()
    return {"previews": await preview(context, round)}


async def _uncriticised(context: EvolutionContext, round: int, progress: Progress) -> AsyncIterator[StoredCandidate]:
    """Those that a killed process has not come to: who was answered keeps its responses, scores and ranks together."""
    async for stored in undecided(context, round):
        if stored.criticised:
            progress.advance()
        else:
            yield stored


async def criticise_edits(context: EvolutionContext, round: int, written: Sequence[StoredCandidate]) -> None:
    """As `critic`, for what a person has written: no rule screens it, and it is scored among its siblings."""
    await criticise(context, round, written)
    await _score_population(context, round, {stored.candidate.id for stored in written})


async def criticise(
    context: EvolutionContext,
    round: int,
    candidates: AsyncIterator[StoredCandidate] | Sequence[StoredCandidate],
    screening: Sequence[LoadedRule] = (),
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Answer and score `candidates` and record it."""
    run = context.store.database.run

    async def ask(stored: StoredCandidate) -> Critique:
        return await _criticise(stored, context, screening)

    async def write(rows: list[Critique]) -> None:
        await context.save_seconds()
        await run(context.store.candidates.save_critiques, context.run_id, round, rows)

    async with Batcher[Critique](write) as batch:
        async with aclosing(context.calls.map(candidates, ask)) as results:
            async for stored, outcome in results:
                if isinstance(outcome, Exception):
                    outcome = Critique(stored.candidate.id, verdict=Verdict(False, ERROR, detail=explain(outcome)))
                await batch.add(outcome)
                advance()
        await context.dispatcher.flush()
        await context.save_seconds()


async def _criticise(stored: StoredCandidate, context: EvolutionContext, screening: Sequence[LoadedRule]) -> Critique:
    candidate = stored.candidate
    models = context.models.scoped(Scope(candidate.operator, candidate.round, f"{candidate.round}.{candidate.id}"))
    verdict = stillborn(stored) or await judge(candidate, screening, models, context)
    if verdict is not None:
        return Critique(candidate.id, verdict=verdict)
    if stored.brings_response:
        answered, responder = [candidate], stored.responder
    else:
        answered = await _answer(candidate, models, context)
        responder = context.dispatcher.identity("responder") if answered else None
        answered = answered or [candidate]  # nobody is asked for a response
    scored = [await _score(item, models, context) for item in answered]
    ranks = await rank(scored, models, context)
    best = max(range(len(scored)), key=lambda number: (-math.inf if ranks[number] is None else ranks[number], -number))
    kept = scored[best]
    responses = [
        Response(
            response=item.response,
            finish_reason=item.response_finish_reason,
            responder=responder or "",
            scores={name: found.value for name, found in item.scores.items()},
            rank=ranks[number],
            kept=number == best,
        )
        for number, item in enumerate(scored)
    ]
    return Critique(
        candidate.id,
        kept.response,
        kept.response_finish_reason,
        responder,
        kept.scores,
        kept.data,
        responses=responses if len(responses) > 1 else (),
    )


async def _answer(candidate: Candidate, models: Models, context: EvolutionContext) -> list[Candidate]:
    """The candidate with each of its responses; a response that could not be had is missing, unless all are."""
    wanted = context.stage.config.critic.responses
    asked = (models.responder.generate(candidate.prompt_text) for _ in range(wanted))
    found = await asyncio.gather(*asked, return_exceptions=wanted > 1)
    answers = [answer for answer in found if isinstance(answer, Completion)]
    for error in found:
        if isinstance(error, BaseException) and not (isinstance(error, RequestError) and answers):
            raise error
    return [
        replace(candidate, response=answer.text.strip(), response_finish_reason=answer.finish_reason)
        for answer in answers
    ]


async def _score(candidate: Candidate, models: Models, context: EvolutionContext) -> Candidate:
    scores: dict[str, Score] = {}
    for scorer in context.scorers:
        if not scorer.population:
            found = await score(scorer, candidate, models, context.calls, context.failures)
            scores[scorer.name] = found
            candidate = replace(candidate, data={**candidate.data, **found.data})
    return replace(candidate, scores=scores)


async def _score_population(context: EvolutionContext, round: int, only: Set[str] | None = None) -> None:
    scorers = [scorer for scorer in context.scorers if scorer.population]
    if not scorers:
        return
    candidates = await context.populations.undecided(round)
    if not len(candidates) or (only is not None and not np.isin(candidates.ids, list(only)).any()):
        return
    survivors = await context.populations.survivors(context.since)
    models = context.models.scoped(Scope("", round, f"{round}"))
    run = context.store.database.run
    for scorer in scorers:
        ids = iter(candidates.ids)
        scores = await score_all(scorer, candidates, survivors, models, context.calls, context.failures)
        for page in scores:
            rows = {str(id): {scorer.name: item} for item, id in zip(page, ids, strict=False)}
            wanted = {id: row for id, row in rows.items() if only is None or id in only}
            await run(context.store.candidates.save_scores, context.run_id, wanted)
    await context.dispatcher.flush()
