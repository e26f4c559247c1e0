"""Which operator is called on which parent."""

from __future__ import annotations

from collections import Counter

from evoagent.operators.schedule import choose

NAMES = ["constraints", "deepening", "breadth"]


def test_rotation_gives_every_parent_every_operator_in_turn() -> None:
    first = [choose("rotation", NAMES, i, 1, 0, f"p{i}") for i in range(4)]
    assert first == [["deepening"], ["breadth"], ["constraints"], ["deepening"]]
    assert [choose("rotation", NAMES, 0, r, 0, "p0")[0] for r in (1, 2, 3)] == ["deepening", "breadth", "constraints"]


def test_random_depends_on_seed_parent_and_round_alone() -> None:
    def draw(seed: int, round: int) -> list[str]:
        return [choose("random", NAMES, i, round, seed, f"p{i}")[0] for i in range(300)]

    assert draw(0, 1) == draw(0, 1)
    assert draw(0, 1) != draw(1, 1) != draw(0, 2)
    assert all(count > 60 for count in Counter(draw(0, 1)).values())
    assert choose("random", NAMES, 0, 1, 0, "p") == choose("random", NAMES, 9, 1, 0, "p")


def test_all_calls_every_operator() -> None:
    assert choose("all", NAMES, 5, 2, 0, "p") == NAMES
