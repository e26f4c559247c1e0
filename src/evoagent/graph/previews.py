"""A handful of rows of a round for whoever looks at the state: parent, evolved, scores, verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from evoagent.graph.context import EvolutionContext
from evoagent.ledger.database import PAGE
from evoagent.ledger.rows import StoredCandidate
from evoagent.records import Candidate, Verdict
from evoagent.text import shortened

KEPT, OTHERS = 3, 2
CHARACTERS = 300  # of a text


async def preview(context: EvolutionContext, round: int) -> list[dict[str, str]]:
    """Rows of different parents, as far as the round has got: survivors first, then some that were rejected."""
    run = context.store.database.run
    page = await run(context.store.candidates.page, context.run_id, round, -1, PAGE)
    verdicts = await run(context.store.results.verdicts, context.run_id, [stored.candidate.id for stored in page])
    lost = {id for id, verdict in verdicts.items() if not verdict.kept}
    alive = [stored for stored in page if stored.candidate.id not in lost]
    dead = [stored for stored in page if stored.candidate.id in lost]
    shown = _varied(alive)[: KEPT + OTHERS - min(OTHERS, len(dead))]
    shown += _varied(dead)[: KEPT + OTHERS - len(shown)]
    return [_row(stored.candidate, verdicts) for stored in shown]


def _varied(rows: Iterable[StoredCandidate]) -> list[StoredCandidate]:
    """`rows` with the first of each parent in front."""
    seen: dict[str, int] = {}
    keyed = []
    for stored in rows:
        rank = seen[stored.candidate.parent.id] = seen.get(stored.candidate.parent.id, -1) + 1
        keyed.append((rank, stored))
    return [stored for _, stored in sorted(keyed, key=lambda item: item[0])]


def _row(candidate: Candidate, verdicts: Mapping[str, Verdict]) -> dict[str, str]:
    scores = ", ".join(f"{n} {s.value:.3g}" for n, s in sorted(candidate.scores.items()) if s.value is not None)
    row = {
        "operator": candidate.operator,
        "parent": shortened(candidate.parent.prompt_text, CHARACTERS),
        "evolved": shortened(candidate.prompt_text, CHARACTERS),
    }
    if scores:
        row["scores"] = scores
    if candidate.id in verdicts:
        row["verdict"] = describe(verdicts[candidate.id])
    return row


def describe(verdict: Verdict) -> str:
    """A verdict in a few words: "kept", or the rule with its figure and threshold."""
    if verdict.kept:
        return "kept" + (f" by {verdict.rule}" if verdict.rule == "review" else "")
    figure = "" if verdict.figure is None else f" {verdict.figure:.3g}"
    limit = "" if verdict.threshold is None else f" (threshold {verdict.threshold:.3g})"
    return f"rejected: {verdict.rule}{figure}{limit}"
