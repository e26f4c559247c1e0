"""Draws: different members, the same for the same call, and nothing but the call decides them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoagent.ledger.corpora import CorpusStore
from evoagent.ledger.database import Database
from evoagent.models.pools import Corpora, Pool, Rows, draw
from evoagent.models.requests import Scope
from evoagent.models.roles import Models
from evoagent.records import Instruction
from evoagent.testing import SEEDS, scripted_models
from evoagent.testing.scripted import rows_of

MEMBERS = [Instruction(f"m{number}", f"Describe thing {number}.") for number in range(20)]


@given(st.text(), st.integers(0, 40), st.integers(0, 50))
def test_a_draw_is_of_different_numbers(key: str, size: int, count: int) -> None:
    found = draw(key, size, count)
    assert len(found) == len(set(found)) == min(size, count)
    assert all(0 <= number < size for number in found)
    assert draw(key, size, count) == found
    assert draw(key, size, count // 2) == found[: count // 2], "a smaller draw is the start of a larger one"


def test_draws_are_the_same_on_every_machine_and_fair() -> None:
    assert draw("a", 1_000_000, 3) == [34_589, 788_208, 615_832]
    drawn = Counter(number for key in range(3000) for number in draw(str(key), 10, 3))
    assert all(800 < drawn[number] < 1000 for number in range(10))


async def test_a_pool_gives_different_members_and_never_the_parent() -> None:
    pool = Pool(rows_of(MEMBERS), "call", ["m3"])
    assert len(pool) == 19
    drawn = [await pool.sample(19), await pool.sample(4), await pool.sample(4)]
    assert {row.id for row in drawn[0]} == {row.id for row in MEMBERS} - {"m3"}
    assert drawn[1] != drawn[2], "each draw of a call is its own"
    again = Pool(rows_of(MEMBERS), "call", ["m3"])
    assert [await again.sample(19), await again.sample(4), await again.sample(4)] == drawn
    assert await Pool(rows_of(MEMBERS), "another call", ["m3"]).sample(4) != drawn[1]


async def test_a_pool_that_is_too_small_gives_all_it_has() -> None:
    pool = Pool(rows_of(MEMBERS[:3]), "call", ["m1"])
    assert {row.id for row in await pool.sample(5)} == {"m0", "m2"}
    assert await pool.sample(0) == []
    with pytest.raises(ValueError, match="found -1, expected a number from 0"):
        await pool.sample(-1)


async def test_one_read_a_draw() -> None:
    asked: list[Sequence[int]] = []

    async def read(positions: Sequence[int]) -> list[Instruction]:
        asked.append(positions)
        return [MEMBERS[position] for position in positions]

    await Pool(Rows(20, read), "call", ["m1"]).sample(6)
    assert len(asked) == 1


def test_an_unknown_corpus_is_answered_with_those_there_are() -> None:
    with pytest.raises(LookupError, match="found no `querys`, expected one of facts, queries"):
        Corpora({"queries": Pool(rows_of([]), ""), "facts": Pool(rows_of([]), "")})["querys"]
    with pytest.raises(LookupError, match="found no `queries`, none is configured"):
        Corpora()["queries"]


async def test_what_decides_a_draw() -> None:
    async def drawn(seed: int, scope: Scope) -> list[str]:
        models: Models = scripted_models(seed=seed, pool=MEMBERS, corpora={"queries": MEMBERS}).scoped(scope)
        rows = [*await models.pool.sample(5), *await models.corpora["queries"].sample(5)]
        return [row.id for row in rows]

    base = Scope("deepening", 1, "1.0", ("m1",))
    first = await drawn(0, base)
    assert await drawn(0, base) == first
    assert first[:5] != first[5:]
    others = [
        await drawn(1, base),
        await drawn(0, Scope("breadth", 1, "1.0", ("m1",))),
        await drawn(0, Scope("deepening", 2, "2.0", ("m1",))),
        await drawn(0, Scope("deepening", 1, "1.1", ("m1",))),
        await drawn(0, Scope("deepening", 1, "1.0", ("m2",))),
    ]
    assert len({tuple(names) for names in [first, *others]}) == 6


async def test_scorers_and_rules_have_no_pool() -> None:
    models = scripted_models()
    assert len(models.pool) == 0
    assert await models.pool.sample(3) == []
    models.close()


def test_a_corpus_in_the_ledger(tmp_path: Path) -> None:
    database = Database(tmp_path / "ledger.db")
    store = CorpusStore(database)
    assert store.size("v1") is None
    rows = [Instruction(f"r{n}", f"Ask {n}.", data={"topic": n}) for n in range(1234)]
    store.add("v1", iter(rows))
    store.add("v2", SEEDS)
    assert (store.size("v1"), store.size("v2")) == (1234, len(SEEDS))
    positions = draw("key", 1234, 1100)
    found = store.at("v1", positions)
    assert [(row.id, row.instruction, row.data) for row in found] == [
        (f"r{n}", f"Ask {n}.", {"topic": n}) for n in positions
    ]
    assert [(row.instruction, row.output) for row in store.at("v2", [1, 0])] == [
        (seed.instruction, seed.output) for seed in (SEEDS[1], SEEDS[0])
    ]

    def torn() -> object:
        yield rows[0]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        store.add("v3", torn())  # type: ignore[arg-type]
    assert store.size("v3") is None
    store.add("v3", rows[:2])
    assert store.size("v3") == 2
    database.close()
