"""What goes into the ledger's tables and comes out of them, and the translation to and from rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import RowMapping

from evoagent.config.model import ONLY_STAGE
from evoagent.records import Candidate, Instruction, Score, Verdict


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One pass over the seeds under one configuration."""

    id: str
    number: int
    status: str
    decisions: str
    config: dict[str, Any]
    versions: dict[str, str]
    seconds: float
    stop_reason: str | None
    summary: dict[str, Any] | None

    @property
    def last_stage(self) -> str:
        """The stage whose survivors are the dataset."""
        stages = self.config.get("stages")
        return str(stages[-1]["name"]) if stages else ONLY_STAGE


@dataclass(frozen=True, slots=True)
class NewCandidate:
    """A candidate as the evolver writes it, with what the ledger keeps beside it."""

    candidate: Candidate
    position: int
    model: str
    raw: str = ""
    reason: str | None = None
    error: str | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """One of several responses of a candidate.

    Attributes:
        scores: value or None, by scorer.
        rank: how good the response selector finds it, higher is better; None for not at all.
        kept: it is the candidate's response.
    """

    response: str
    finish_reason: str
    responder: str
    scores: Mapping[str, float | None]
    rank: float | None
    kept: bool


@dataclass(frozen=True, slots=True)
class Critique:
    """What the critic adds to a candidate. `verdict` is set if screening has rejected it already.

    Attributes:
        responses: all of them, in the order in which they were drawn, where it has several.
        data: all that is attached to the candidate by then.
    """

    candidate_id: str
    response: str | None = None
    response_finish_reason: str | None = None
    responder: str | None = None
    scores: Mapping[str, Score] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    verdict: Verdict | None = None
    responses: Sequence[Response] = ()


@dataclass(frozen=True, slots=True)
class StoredCandidate:
    """A candidate as read back, with its place in the round.

    Attributes:
        criticised: the critic has recorded its response and its scores.
    """

    candidate: Candidate
    position: int
    reason: str | None
    error: str | None
    responder: str | None = None
    criticised: bool = False

    @property
    def brings_response(self) -> bool:
        """Whether its operator has answered it too."""
        return self.responder == own_responder(self.candidate.operator)


@dataclass(frozen=True, slots=True)
class Totals:
    """A run's balance so far: candidates = survivors + the sum over `rejected` + `undecided`."""

    candidates: int
    survivors: int
    rejected: dict[str, int]

    @property
    def undecided(self) -> int:
        """Candidates without a verdict: 0 between rounds."""
        return self.candidates - self.survivors - sum(self.rejected.values())


def own_responder(operator: str) -> str:
    """The responder of a candidate whose operator brought the response."""
    return f"operator {operator}"


def instruction_row(run_id: str, item: Instruction, position: int) -> dict[str, Any]:
    """A row of the table of instructions."""
    return {
        "run_id": run_id,
        "id": item.id,
        "round": item.round,
        "position": position,
        "stage": item.stage,
        "operator": item.operator,
        "seed_id": item.seed_id or item.id,
        "parent_ids": list(item.parent_ids),
        "instruction": item.instruction,
        "input": item.input,
        "output": item.output,
        "data": dict(item.data),
    }


def instruction(row: RowMapping) -> Instruction:
    """The inverse of `instruction_row`."""
    return Instruction(
        id=row["id"],
        instruction=row["instruction"],
        input=row["input"],
        output=row["output"],
        parent_ids=tuple(row["parent_ids"]),
        seed_id=row["seed_id"],
        round=row["round"],
        stage=row["stage"],
        operator=row["operator"],
        data=row["data"],
    )


def candidate_row(run_id: str, new: NewCandidate) -> dict[str, Any]:
    """A row of the table of candidates, as the evolver writes it."""
    item = new.candidate
    parents = item.parents or (item.parent,)
    return {
        "run_id": run_id,
        "id": item.id,
        "round": item.round,
        "position": new.position,
        "stage": item.stage,
        "operator": item.operator,
        "family": item.family,
        "seed_id": item.parent.seed_id or item.parent.id,
        "parent_id": item.parent.id,
        "parent_ids": [parent.id for parent in parents],
        "instruction": item.instruction,
        "input": item.input,
        "data": dict(item.data),
        "raw": new.raw,
        "reason": new.reason,
        "error": new.error,
        "finish_reason": item.finish_reason,
        "version": new.version,
        "model": new.model,
        "response": item.response or None,
        "response_finish_reason": "stop" if item.response else None,
        "responder": own_responder(item.operator) if item.response else None,
    }


def stored(row: RowMapping, parents: Mapping[str, Instruction], scores: Mapping[str, Score]) -> StoredCandidate:
    """A candidate from its row, its parents by id and its scores by scorer."""
    lineage = tuple(parents[id] for id in row["parent_ids"])
    candidate = Candidate(
        id=row["id"],
        instruction=row["instruction"],
        parent=lineage[0],
        operator=row["operator"],
        round=row["round"],
        stage=row["stage"],
        input=row["input"],
        response=row["response"] or "",
        finish_reason=row["finish_reason"],
        response_finish_reason=row["response_finish_reason"] or "stop",
        family=row["family"],
        parents=lineage,
        scores=scores,
        data=row["data"],
    )
    brought = row["responder"] == own_responder(row["operator"])
    criticised = bool(scores) or (row["response"] is not None and not brought)
    return StoredCandidate(candidate, row["position"], row["reason"], row["error"], row["responder"], criticised)


def response_rows(run_id: str, candidate_id: str, responses: Sequence[Response]) -> list[dict[str, Any]]:
    """Rows of the table of responses."""
    return [
        {
            "run_id": run_id,
            "candidate_id": candidate_id,
            "number": number,
            "response": item.response,
            "finish_reason": item.finish_reason,
            "responder": item.responder,
            "scores": dict(item.scores),
            "rank": item.rank,
            "kept": item.kept,
        }
        for number, item in enumerate(responses)
    ]


def score_rows(run_id: str, candidate_id: str, scores: Mapping[str, Score]) -> list[dict[str, Any]]:
    """Rows of the table of scores."""
    return [
        {
            "run_id": run_id,
            "candidate_id": candidate_id,
            "scorer": name,
            "value": score.value,
            "reason": score.reason,
            "details": dict(score.details),
        }
        for name, score in scores.items()
    ]
