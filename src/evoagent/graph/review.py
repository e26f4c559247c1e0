"""A person's decisions before the eliminator's: keep, reject with a reason, edit, or leave it to the rules.

The graph stops with LangGraph's `interrupt`; whoever resumes it answers. Decisions go into the ledger by what was
shown, so a later run over the same directory does not ask again, unless a candidate's texts have changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

from langgraph.types import interrupt
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from evoagent.config.model import Strict
from evoagent.config.problems import problems_of
from evoagent.errors import UserError
from evoagent.graph.context import EvolutionContext
from evoagent.ledger.rows import NewCandidate, StoredCandidate
from evoagent.records import Candidate, Verdict, content_id
from evoagent.text import shortened

RULE = "review"  # the rule of a person's verdicts, and the operator of an instruction that a person has edited
PERSON = "a person"
SHOWN_CHARACTERS = 1500  # of a text in the question: it is written to every checkpoint
PAGE_CHARACTERS = 20_000  # of a whole question
PROBLEMS = 5  # told of one answer
MAX_CHARACTERS = 20_000

HOW = (
    'Answer with a decision by id: "keep"; "pass", which leaves it to the rules; {"decision": "reject", "reason": '
    '"..."}; {"decision": "edit", "instruction": "..."}. So {"ID": "keep", "OTHER ID": {"decision": "reject", '
    '"reason": "dull"}}. What is left out beside others passes. '
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
    keys = {stored.candidate.id: _key(stored.candidate) for stored in pending if stored.candidate.operator != RULE}
    ids = keys.keys()
    rows = await run(store.runs.reviews, sorted(keys.values()))
    known = {id: _from_row(rows[key]) for id, key in keys.items() if key in rows}

    async def save(decisions: Mapping[str, Decision]) -> None:
        new = {id: decision for id, decision in decisions.items() if id not in known}
        known.update(new)
        await run(store.runs.save_reviews, [_row(keys[id], decision) for id, decision in new.items()])

    given_decisions, problems = _parse(given, ids)
    if problems:
        raise UserError(f"review: {'; '.join(problems)}")
    await save(given_decisions)
    while context.config.review and (left := _open(pending, ids - known.keys())):
        shown = _page(left, context.review_page)
        # Each resumption runs the node again from its start, and hands out the answers so far in their order: they
        # name candidates that are decided by then, and change nothing.
        answer = interrupt(_question(shown, round, len(ids) - len(left), len(ids), problems))
        if answer == "rest":
            await save({item.candidate.id: PASS for item in left})
            break
        found, problems = _parse(answer, ids)
        if not problems and found.keys() & {item.candidate.id for item in shown}:
            await save({**{item.candidate.id: PASS for item in shown}, **found})
    return known


def _open(pending: Sequence[StoredCandidate], ids: Set[str]) -> list[StoredCandidate]:
    return [item for item in pending if item.candidate.id in ids]


def _page(left: Sequence[StoredCandidate], most: int) -> Sequence[StoredCandidate]:
    """The next candidates to ask about: as many as `most`, and as their texts leave the checkpoint small."""
    size = 0
    for number, item in enumerate(left[:most]):
        size += sum(len(text) for text in _texts(item.candidate).values())
        if number and size > PAGE_CHARACTERS:
            return left[:number]
    return left[:most]


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
    return {"problems": problems, **question} if problems else question


def _shown(candidate: Candidate) -> dict[str, Any]:
    scores = {name: score.value for name, score in candidate.scores.items()}
    return {"id": candidate.id, "operator": candidate.operator, **_texts(candidate), "scores": scores}


def _texts(candidate: Candidate) -> dict[str, str]:
    texts = {
        "parent": candidate.parent.instruction or candidate.parent.input,
        "evolved": candidate.instruction,
        "input": candidate.input,
        "response": candidate.response,
    }
    return {name: shortened(text, SHOWN_CHARACTERS) for name, text in texts.items()}


def _parse(answer: Any, ids: Set[str]) -> tuple[dict[str, Decision], list[str]]:
    """Decisions on `ids` from what a person sent, and what is wrong with it."""
    if not isinstance(answer, Mapping):
        return {}, [f'found {answer!r:.80}, expected decisions by id, or "rest"']
    problems = [f"{id!r:.40} is the id of no candidate of this round" for id in answer if id not in ids]
    found: dict[str, Decision] = {}
    try:
        found = _DECISIONS.validate_python(dict(answer))
    except ValidationError as error:
        problems += [str(problem) for problem in problems_of(error, Decision)]
    more = len(problems) - PROBLEMS
    return found, problems[:PROBLEMS] + ([f"… and {more} more"] if more > 0 else [])


def _from_row(row: Mapping[str, Any]) -> Decision:
    names = ("decision", "reason", "instruction", "input")
    return Decision(**{name: row[name] for name in names})


def _key(candidate: Candidate) -> str:
    """What a decision is remembered by: all that a person was shown of the candidate."""
    return content_id("review", candidate.id, candidate.instruction, candidate.input, candidate.response)


def _row(key: str, decision: Decision) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return {"key": key, **decision.model_dump(), "at": at}


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
        elif decision.decision == "edit" and not _changes(stored.candidate, decision):
            found[id] = Verdict(True, RULE, detail=decision.reason)
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
        if not _changes(original, decision) or (id := _edited_id(original, decision)) in there:
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


def _changes(original: Candidate, decision: Decision) -> bool:
    """Whether an edit says anything new; one that does not keeps the candidate."""
    if decision.decision != "edit" or decision.instruction is None:
        return False
    same_input = decision.input is None or decision.input == original.input
    return decision.instruction.strip() != original.instruction or not same_input


def _edited_id(original: Candidate, decision: Decision) -> str:
    return content_id(RULE, original.id, decision.instruction, decision.input)
