"""What a checkpoint holds, and what it must not.

`EvolutionState` is written whole at every step, so it holds counters and a handful of previews and nothing that grows
with the population: that is in the ledger. `EvolutionContext` holds what cannot be written at all.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict  # pydantic describes no other before Python 3.12


class EvolutionState(TypedDict, total=False):
    """The state of one run, as LangGraph checkpoints it. A few thousand bytes, however large the population."""

    run_id: Annotated[str, Field(description="The run in the ledger.")]
    stage: Annotated[str, Field(description="The stage in progress; at the end, the last one.")]
    since: Annotated[int, Field(description="The first round of the stage.")]
    round: Annotated[
        int, Field(description="The round in progress, from 1, counted through all stages; at the end, the last one.")
    ]
    population: Annotated[int, Field(description="Members of the population at the start of this round.")]
    candidates: Annotated[int, Field(description="Candidates of the stage so far.")]
    survivors: Annotated[int, Field(description="Survivors of the stage so far.")]
    rejected: Annotated[dict[str, int], Field(description="Rejections of the stage so far, by rule.")]
    visited: Annotated[int, Field(description="Parents that operators of the stage have been asked about.")]
    barren: Annotated[int, Field(description="Rounds in a row without a survivor.")]
    tokens_before: Annotated[int, Field(description="Tokens that the run had paid for when the stage began.")]
    seconds_before: Annotated[float, Field(description="Seconds that the run had taken when the stage began.")]
    then: Annotated[str, Field(description="The node that comes after the eliminator.")]
    stop_reason: Annotated[str | None, Field(description="Why the run ends; null while it goes on.")]
    last_round: Annotated[
        dict[str, Any], Field(description="The last round: its number, candidates, survivors, and rejections by rule.")
    ]
    previews: Annotated[
        list[dict[str, str]], Field(description="A few rows of the last round: operator, parent, evolved, verdict.")
    ]
    figures: Annotated[
        dict[str, float], Field(description="What plugins measured of all survivors so far, as PLUGIN.FIGURE.")
    ]
    review: Annotated[
        dict[str, Any],
        Field(
            description="A person's decisions on this round's candidates, by id, for whoever stops the graph before "
            'the eliminator: "keep", {"decision": "reject", "reason": "..."} or '
            '{"decision": "edit", "instruction": "..."}.'
        ),
    ]
    summary: Annotated[dict[str, Any], Field(description="The run's summary, once it has finished.")]
