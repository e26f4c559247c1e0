"""Where a row came from: the line back to its seed, with everything that was rejected on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evoagent.config.model import ONLY_STAGE
from evoagent.errors import UserError
from evoagent.ledger.rows import RunRecord, StoredCandidate
from evoagent.ledger.store import Store
from evoagent.records import Instruction, Verdict, join_prompt
from evoagent.reports.exporting import reading
from evoagent.text import shortened

RESPONSE_CHARACTERS = 160
TEXT_CHARACTERS = 2000
LONGEST_LINE = 1000  # generations: a guard against a ledger that was tampered with


def trace(directory: Path, id: str | None, row: int | None) -> dict[str, Any]:
    """The lineage of a row, named by its id (or enough of its start) or by its number in the dataset, from 1.

    Returns:
        {"id", "run", "seed": {...}, "steps": [{"parent_id", "kept": candidate or None, "others": [candidates]}, ...]},
        the steps in order of round. A candidate has id, stage, round, operator, instruction, input, response, scores,
        verdict, `responses`: all of them where there were several, and `mates`: the further parents of a crossover.

    Raises:
        UserError: no such run or row.
    """
    with reading(directory) as (store, record):
        wanted = _identify(store, record, directory, id, row)
        line = _line(store, record, wanted)
        seed = line[0]
        assert isinstance(seed, Instruction)
        steps = []
        for position, member in enumerate(line):
            member_id = member.id if isinstance(member, Instruction) else member[0].candidate.id
            following = line[position + 1] if position + 1 < len(line) else None
            next_id = following[0].candidate.id if following and not isinstance(following, Instruction) else None
            children = store.results.children(record.id, member_id)
            if children:
                several = store.results.responses(record.id, [stored.candidate.id for stored, _ in children])
                shown = [
                    _describe(stored, verdict, several.get(stored.candidate.id, [])) for stored, verdict in children
                ]
                kept = next((item for item in shown if item["id"] == next_id), None)
                steps.append({"parent_id": member_id, "kept": kept, "others": [i for i in shown if i["id"] != next_id]})
    return {
        "id": wanted,
        "run": str(directory),
        "seed": {"id": seed.id, "instruction": seed.instruction, "input": seed.input, "output": seed.output},
        "steps": steps,
    }


def _identify(store: Store, record: RunRecord, directory: Path, id: str | None, row: int | None) -> str:
    if (id is None) == (row is None):
        raise UserError("expected either an ID or --row NUMBER")
    if row is not None:
        found = store.results.dataset_id(record.id, record.last_stage, row)
        if found is None:
            raise UserError(f"--row {row}: the dataset of {directory} has fewer rows")
        return found
    assert id is not None
    if not id.isalnum():
        raise UserError(f"{id!r}: expected an id of hexadecimal digits, as in the dataset's column `id`")
    matches = store.results.ids_beginning_with(record.id, id)
    if not matches:
        raise UserError(f"{id}: no row of {directory} has this id")
    if len(matches) > 1:
        raise UserError(f"{id}: fits several rows ({', '.join(matches)}, …); give more of it")
    return matches[0]


Member = Instruction | tuple[StoredCandidate, Verdict | None]


def _line(store: Store, record: RunRecord, id: str) -> list[Member]:
    """From the seed down to `id`, by first parents."""
    line: list[Member] = []
    while len(line) < LONGEST_LINE:
        found = store.results.find(record.id, id)
        if found is None:
            raise UserError(f"{id}: is named as a parent, but is not in the ledger")
        line.append(found)
        if isinstance(found, Instruction):
            break
        id = found[0].candidate.parent.id
    return line[::-1]


def _describe(
    stored: StoredCandidate, verdict: Verdict | None, responses: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    candidate = stored.candidate
    return {
        "id": candidate.id,
        "round": candidate.round,
        "stage": candidate.stage,
        "operator": candidate.operator,
        "mates": [
            {"id": mate.id, "instruction": mate.instruction, "input": mate.input} for mate in candidate.parents[1:]
        ],
        "instruction": candidate.instruction,
        "input": candidate.input,
        "response": candidate.response,
        "responses": list(responses),
        "scores": {name: score.value for name, score in candidate.scores.items()},
        "data": dict(candidate.data),
        "score_reasons": {name: score.reason for name, score in candidate.scores.items() if score.value is None},
        "verdict": None
        if verdict is None
        else {
            "kept": verdict.kept,
            "rule": verdict.rule or None,
            "figure": verdict.figure,
            "threshold": verdict.threshold,
            "detail": verdict.detail or None,
        },
    }


def render(found: dict[str, Any]) -> str:
    """The lineage for a reader."""
    seed = found["seed"]
    kind = "seed" if seed["instruction"] else "document"
    lines = [f"{kind} {seed['id']}", _indent(seed["instruction"], seed["input"])]
    for step in found["steps"]:
        for item in step["others"]:
            kept = item["verdict"] is not None and item["verdict"]["kept"]
            lines += ["", f"  {'+' if kept else 'x'} {_title(item)}"]
            lines += [_indent(item["instruction"] or "(nothing)", item["input"], 4), *_response(item, 4)]
        if step["kept"]:
            item = step["kept"]
            lines += ["", f"-> {_title(item)}", _indent(item["instruction"], item["input"])]
            lines += _response(item, 3)
            for mate in item["mates"]:
                lines += [f"   with {mate['id']}", _indent(mate["instruction"], mate["input"], 5)]
    return "\n".join(lines)


def _title(item: dict[str, Any]) -> str:
    verdict = item["verdict"]
    if verdict is None:
        state = "undecided"
    elif verdict["kept"]:
        state = "kept"
    else:
        figures = [f"{verdict[key]:.3g}" for key in ("figure", "threshold") if verdict[key] is not None]
        state = f"rejected by {verdict['rule']}" + (f" ({' against '.join(figures)})" if figures else "")
        state += f": {verdict['detail']}" if verdict["detail"] else ""
    reasons = item["score_reasons"]
    scores = ", ".join(
        f"no {name} ({' '.join(str(reasons.get(name)).split())[:80]})" if value is None else f"{name} {value:.3f}"
        for name, value in item["scores"].items()
    )
    stage = "" if item["stage"] == ONLY_STAGE else f"{item['stage']}, "
    return f"{stage}round {item['round']} {item['operator']} {item['id']} [{state}]" + (f" {scores}" if scores else "")


def _response(item: dict[str, Any], by: int) -> list[str]:
    """The response on one line, so that a rule on responses can be followed."""
    text = " ".join(item["response"].split())
    if not text:
        return []
    several = f" (the best of {len(item['responses'])})" if item["responses"] else ""
    return [" " * by + f"answered{several}: {shortened(text, RESPONSE_CHARACTERS)}"]


def _indent(instruction: str, input: str, by: int = 3) -> str:
    text = shortened(join_prompt(instruction, input), TEXT_CHARACTERS)
    return "\n".join(" " * by + line for line in text.splitlines()[:12])
