"""Which operator is called on which parent."""

from __future__ import annotations

from collections import Counter

from evoagent.graph.policies.schedule import schedule

NAMES = ["constraints", "deepening", "breadth"]


def test_rotation_gives_every_parent_every_operator_in_turn() -> None:
    first = [schedule("rotation", NAMES, 0).choose(i, 1, f"p{i}") for i in range(4)]
    assert first == [["deepening"], ["breadth"], ["constraints"], ["deepening"]]
    assert [schedule("rotation", NAMES, 0).choose(0, r, "p0")[0] for r in (1, 2, 3)] == [
        "deepening",
        "breadth",
        "constraints",
    ]


def test_random_depends_on_seed_parent_and_round_alone() -> None:
    def draw(seed: int, round: int) -> list[str]:
        return [schedule("random", NAMES, seed).choose(i, round, f"p{i}")[0] for i in range(300)]

    assert draw(0, 1) == draw(0, 1)
    assert draw(0, 1) != draw(1, 1) != draw(0, 2)
    assert all(count > 60 for count in Counter(draw(0, 1)).values())
    assert schedule("random", NAMES, 0).choose(0, 1, "p") == schedule("random", NAMES, 0).choose(9, 1, "p")


def test_all_calls_every_operator() -> None:
    assert schedule("all", NAMES, 0).choose(5, 2, "p") == NAMES
