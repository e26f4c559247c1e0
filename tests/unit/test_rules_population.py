"""`near_duplicate`: who is kept of those that are alike."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from evoagent.population import neighbours
from evoagent.population.base import Population
from evoagent.records import Candidate, Instruction, Score, Verdict
from evoagent.rules import near_duplicate
from evoagent.rules.near_duplicate import NearDuplicate, NearDuplicateConfig


def candidate(name: str, text: str, score: float | None = None, parent: str = "seed") -> Candidate:
    return Candidate(
        id=name,
        instruction=text,
        parent=Instruction(id=parent, instruction=parent),
        operator="deepening",
        round=1,
        scores={"ic_ifd": Score(score, None if score is not None else "no response")},
    )


def embedder(directions: dict[str, float]) -> SimpleNamespace:
    """Texts as angles in degrees."""

    async def embed(text: str) -> NDArray[np.float32]:
        angle = np.radians(directions[text])
        return np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)

    return SimpleNamespace(embedder=SimpleNamespace(embed=embed))


async def judge(
    candidates: Sequence[Candidate], survivors: Sequence[Candidate], angles: dict[str, float], **config: object
) -> list[Verdict]:
    rule = NearDuplicate(NearDuplicateConfig(**config))  # type: ignore[arg-type]
    models = embedder(angles)
    return [
        found
        async for found in rule.judge_all(Population.of(candidates), Population.of(survivors), models)  # type: ignore[arg-type]
    ]


async def test_of_two_twins_the_better_is_kept() -> None:
    first, second = await judge([candidate("a", "x", 0.2), candidate("b", "y", 0.7)], [], {"x": 0, "y": 5})
    assert second.kept
    assert (first.kept, first.rule, first.threshold) == (False, "near_duplicate", 0.9)
    assert first.figure == pytest.approx(np.cos(np.radians(5)))
    assert "b" in first.detail


async def test_direction_turns_the_choice_round() -> None:
    pair = [candidate("a", "x", 0.2), candidate("b", "y", 0.7)]
    first, second = await judge(pair, [], {"x": 0, "y": 5}, direction="ascending")
    assert (first.kept, second.kept) == (True, False)


async def test_ties_go_by_id_and_missing_scores_lose() -> None:
    three = [candidate("c", "x"), candidate("b", "x", 0.5), candidate("a", "x", 0.5)]
    assert [found.kept for found in await judge(three, [], {"x": 0})] == [False, False, True]


async def test_only_those_that_are_kept_bar_others() -> None:
    # b duplicates a and falls; c is like b alone, so it stays.
    row = [candidate("a", "x", 3), candidate("b", "y", 2), candidate("c", "z", 1)]
    assert [found.kept for found in await judge(row, [], {"x": 0, "y": 20, "z": 40})] == [True, False, True]


async def test_survivors_count_as_kept() -> None:
    (found,) = await judge([candidate("a", "x", 9)], [candidate("old", "y", 0.1)], {"x": 0, "y": 1})
    assert not found.kept
    assert "old" in found.detail


async def test_own_ancestors_do_not_count() -> None:
    survivors = [candidate("g", "x"), candidate("q", "x", parent="g")]
    child = candidate("c", "x", parent="q")
    assert (await judge([child], survivors, {"x": 0}))[0].kept
    assert not (await judge([candidate("d", "x")], survivors, {"x": 0}))[0].kept


async def test_nobody_is_no_problem() -> None:
    assert await judge([], [], {}) == []
    assert await judge([], [candidate("old", "y")], {"y": 0}) == []


async def test_blocks_give_what_one_by_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    angles = {str(number): float(angle) for number, angle in enumerate(random.uniform(0, 360, 300))}
    members = [candidate(f"m{name}", name, float(random.integers(5)), f"m{random.integers(60)}") for name in angles]
    survivors, candidates = members[:60], members[60:]
    monkeypatch.setattr(near_duplicate, "QUERIES", 7)
    monkeypatch.setattr(neighbours, "BLOCK", 200)
    found = await judge(candidates, survivors, angles, max_similarity=0.999)

    def alike(one: Candidate, other: Candidate) -> bool:
        return np.cos(np.radians(angles[one.instruction] - angles[other.instruction])) >= 0.999

    by_id = {member.id: member for member in survivors}
    kept = list(survivors)
    expected: set[str] = set()
    for member in sorted(candidates, key=lambda each: (-(each.scores["ic_ifd"].value or 0), each.id)):
        line, name = set(), member.parent.id
        while name in by_id and name not in line:
            line.add(name)
            name = by_id[name].parent.id
        if not any(alike(member, other) for other in kept if other.id not in line):
            kept.append(member)
            expected.add(member.id)
    assert {member.id for member, verdict in zip(candidates, found, strict=True) if verdict.kept} == expected
    assert 0 < len(expected) < len(candidates)
