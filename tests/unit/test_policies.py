"""The policies of the loop, each alone: when a stage ends, who is combined, how many may survive."""

from __future__ import annotations

from itertools import islice

import pytest

from evoagent.config.model import StopConfig
from evoagent.graph.policies.mating import DrawnMates
from evoagent.graph.policies.quota import Places, Unlimited
from evoagent.graph.policies.stopping import Standing, budgets, first_reason, stops

BUSY = Standing(rounds=3, candidates=100, survivors=40, barren=0, tokens=5000, seconds=60.0)


@pytest.mark.parametrize(
    ("stop", "standing", "reason"),
    [
        ({"rounds": 3}, BUSY, "3 rounds"),
        ({"rounds": 4}, BUSY, None),
        ({"rounds": 3, "survivors": 40}, BUSY, "40 survivors"),
        ({"rounds": 9, "candidates": 100}, BUSY, "budget of 100 candidates"),
        ({"rounds": 9, "tokens": 5000}, BUSY, "budget of 5000 tokens"),
        ({"rounds": 9, "tokens": 5001, "minutes": 1}, BUSY, "budget of 1 minutes"),
        ({"rounds": 9}, Standing(rounds=2, barren=2), "no survivor in 2 rounds"),
        ({"rounds": 9, "barren_rounds": None}, Standing(rounds=2, barren=2), None),
    ],
)
def test_the_first_policy_that_ends_a_stage_says_why(
    stop: dict[str, float], standing: Standing, reason: str | None
) -> None:
    assert first_reason(stops(StopConfig.model_validate(stop)), standing) == reason


def test_a_budget_of_candidates_is_spent_when_a_call_does_not_fit() -> None:
    policies = stops(StopConfig(rounds=9, candidates=20), call=3)
    assert first_reason(policies, Standing(candidates=17)) is None
    assert first_reason(policies, Standing(candidates=18)) == "budget of 20 candidates"


def test_tokens_and_minutes_also_end_a_round_in_its_middle() -> None:
    config = StopConfig(rounds=1, candidates=1, tokens=10, minutes=1)
    assert first_reason(budgets(config), Standing(rounds=1, candidates=1)) is None
    assert first_reason(budgets(config), Standing(tokens=10)) == "budget of 10 tokens"


def test_mates_are_the_same_in_every_process_and_others_for_every_call() -> None:
    def drawn(seed: int, *call: object) -> list[int]:
        return list(islice(DrawnMates(seed).propose(*call, 1000), 5))  # type: ignore[arg-type]

    first = drawn(0, "parent", "merge", 1, 0)
    assert first == drawn(0, "parent", "merge", 1, 0) == [843, 806, 381, 888, 539]
    others = [drawn(1, "parent", "merge", 1, 0), drawn(0, "other", "merge", 1, 0), drawn(0, "parent", "merge", 1, 1)]
    assert all(other != first for other in others)


def test_a_quota_lets_as_many_through_as_it_has_places() -> None:
    assert Unlimited().over(10**6) is None
    quota = Places(2)
    assert [quota.over(kept) is None for kept in range(4)] == [True, True, False, False]
    over = quota.over(2)
    assert over is not None
    assert (over.kept, over.rule, over.figure, over.threshold) == (False, "quota", 2.0, 2.0)
    assert Places(-3).over(0) is not None
