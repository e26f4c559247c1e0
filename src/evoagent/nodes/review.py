"""A person's decisions before the eliminator's: keep, reject with a reason, edit, or leave it to the rules.

The graph stops with LangGraph's `interrupt`; whoever resumes it answers. Decisions go into the ledger by candidate, so
a later run over the same directory does not ask again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

from langgraph.types import interrupt
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from evoagent.config import Strict
from evoagent.errors import UserError
from evoagent.ledger.rows import NewCandidate, StoredCandidate
from evoagent.records import Candidate, Verdict, content_id
from evoagent.state import EvolutionContext
from evoagent.validation import explain

RULE = "review"  # the rule of a person's verdicts, and the operator of an instruction that a person has edited
PERSON = "a person"
SHOWN_CHARACTERS = 1500  # of a text in the question: it is written to every checkpoint
MAX_CHARACTERS = 20_000

HOW = (
    'Answer with a decision by id: "keep"; "pass", which leaves it to the rules; {"decision": "reject", "reason": '
    '"..."}; {"decision": "edit", "instruction": "..."}. What is left out beside others passes. '
    'The answer "rest" leaves everything that is still to come to the rules.'
)


class Decision(Strict):
    """What a person says of one candidate. "pass" leaves it to the rules."""

    decision: Literal["keep", "reject", "edit", "pass"]
    reason: str = Field("", max_length=2000)
    instruction: str | None = Field(None, max_length=MAX_CHARACTERS)
    input: str | None = Field(None, max_length=MAX_CHARACTERS)

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"decision": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _complete(self) -> Decision:
        if self.decision == "edit" and not (self.instruction or "").strip():
            raise ValueError("an edit needs an `instruction`")
        if self.decision != "edit" and (self.instruction is not None or self.input is not None):
            raise ValueError("`instruction` and `input` belong to an edit")
        return self


_DECISIONS: TypeAdapter[dict[str, Decision]] = TypeAdapter(dict[str, Decision])
PASS = Decision(decision="pass")


async def review(
    context: EvolutionContext, round: int, pending: Sequence[StoredCandidate], given: Mapping[str, Any]
) -> dict[str, Decision]:
    """Decisions by candidate: those `given` in the state, those of earlier runs, and those that are asked for now.

    Raises:
        UserError: what is `given` are no decisions on candidates of this round.
    """
    store, run = context.store, context.store.database.run
    ids = {stored.candidate.id for stored in pending if stored.candidate.operator != RULE}
    found = {row["candidate_id"]: _from_row(row) for row in await run(store.reviews, sorted(ids))}
    new, problems = _parse(given, ids)
    if problems:
        raise UserError(f"review: {'; '.join(problems)}")
    new = {id: decision for id, decision in new.items() if id not in found}
    if context.config.review:
        open_ids = ids - found.keys() - new.keys()
        new |= _ask([item for item in pending if item.candidate.id in open_ids], round, context.review_page)
    if new:
        await run(store.save_reviews, [_row(id, decision) for id, decision in new.items()])
    return found | new


def _ask(pending: Sequence[StoredCandidate], round: int, page: int) -> dict[str, Decision]:
    # Each resumption runs the node again from its start, with the answers so far in their order: so the questions may
    # depend on nothing but `pending` and those answers, and nothing is written before the last of them.
    ids = {item.candidate.id for item in pending}
    decisions: dict[str, Decision] = {}
    problems: list[str] = []
    while left := [item for item in pending if item.candidate.id not in decisions]:
        shown = left[:page]
        answer = interrupt(_question(shown, round, len(pending) - len(left), len(pending), problems))
        if answer == "rest":
            return decisions | {item.candidate.id: PASS for item in left}
        found, problems = _parse(answer, ids)
        named = found.keys() & {item.candidate.id for item in shown}
        if not problems and not named:
            # Also what happens when the graph is invoked without an answer: LangGraph hands out the last one again.
            problems = ["the answer names none of the candidates shown"]
        if not problems:
            decisions |= {item.candidate.id: PASS for item in shown} | found
    return decisions


def _question(
    shown: Sequence[StoredCandidate], round: int, start: int, total: int, problems: list[str]
) -> dict[str, Any]:
    question: dict[str, Any] = {
        "round": round,
        "from": start + 1,
        "to": start + len(shown),
        "of": total,
        "how": HOW,
        "candidates": [_shown(item.candidate) for item in shown],
    }
    return question | ({"problems": problems} if problems else {})


def _shown(candidate: Candidate) -> dict[str, Any]:
    texts = {
        "parent": candidate.parent.instruction,
        "evolved": candidate.instruction,
        "input": candidate.input,
        "response": candidate.response,
    }
    scores = {name: score.value for name, score in candidate.scores.items()}
    cut = {
        name: text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + " …" for name, text in texts.items()
    }
    return {"id": candidate.id, "operator": candidate.operator, **cut, "scores": scores}


def _parse(answer: Any, ids: set[str]) -> tuple[dict[str, Decision], list[str]]:
    """Decisions on `ids` from what a person sent, and what is wrong with it."""
    if not isinstance(answer, Mapping):
        return {}, [f"found {answer!r:.80}, expected decisions by id"]
    strangers = [f"{id!r:.40} is the id of no candidate shown" for id in answer if id not in ids]
    try:
        return _DECISIONS.validate_python(dict(answer)), strangers
    except ValidationError as error:
        return {}, strangers + [str(problem) for problem in explain(error, Decision)]


def _from_row(row: Mapping[str, Any]) -> Decision:
    names = ("decision", "reason", "instruction", "input")
    return Decision(**{name: row[name] for name in names})


def _row(id: str, decision: Decision) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return {"candidate_id": id, **decision.model_dump(), "at": at}


def verdicts(decisions: Mapping[str, Decision], pending: Iterable[StoredCandidate]) -> dict[str, Verdict]:
    """The verdicts that follow from `decisions`, and those on what a person has written."""
    found: dict[str, Verdict] = {}
    for stored in pending:
        id = stored.candidate.id
        decision = decisions.get(id, PASS)
        if stored.candidate.operator == RULE or decision.decision == "keep":
            found[id] = Verdict(True, RULE, detail=decision.reason)
        elif decision.decision == "reject":
            found[id] = Verdict(False, RULE, detail=decision.reason or "rejected by a person")
        elif decision.decision == "edit":
            found[id] = Verdict(False, RULE, detail=f"edited: {_edited_id(stored.candidate, decision)} took its place")
    return found


def edits(decisions: Mapping[str, Decision], pending: Sequence[StoredCandidate]) -> list[NewCandidate]:
    """New candidates with the texts that a person wrote; the originals are rejected and stay on the record."""
    made: list[NewCandidate] = []
    place = max((item.position for item in pending), default=0) + 1
    there = {item.candidate.id for item in pending}
    for stored in pending:
        original = stored.candidate
        decision = decisions.get(original.id, PASS)
        if decision.decision != "edit" or (id := _edited_id(original, decision)) in there:
            continue
        assert decision.instruction is not None
        candidate = replace(
            original,
            id=id,
            instruction=decision.instruction.strip(),
            input=original.input if decision.input is None else decision.input,
            operator=RULE,
            response="",
            finish_reason="stop",
            response_finish_reason="stop",
            scores={},
        )
        made.append(NewCandidate(candidate, place + len(made), PERSON, raw=original.instruction))
    return made


def _edited_id(original: Candidate, decision: Decision) -> str:
    return content_id(RULE, original.id, decision.instruction, decision.input)
