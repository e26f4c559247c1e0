"""Whatever plugins return, each candidate has its verdict, the ledger its row and the dataset its form."""

from __future__ import annotations

import json
import math
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from itertools import cycle
from pathlib import Path
from typing import Any

import pyarrow.parquet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evoagent import (
    Evolution,
    Operator,
    OperatorSpec,
    PopulationScorer,
    Rule,
    RuleSpec,
    Score,
    Scorer,
    ScorerSpec,
    Selector,
    SelectorSpec,
    Verdict,
    hookimpl,
)
from evoagent.config.model import RunConfig
from evoagent.errors import PluginError
from evoagent.plugins.discovery import Source
from evoagent.plugins.manager import PluginManager
from evoagent.runs.driving import run_graph
from evoagent.runs.opening import open_run


class Hostile:
    """Has nothing that one can look at."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")

    def __len__(self) -> int:
        raise RuntimeError("no length")

    def __float__(self) -> float:
        raise RuntimeError("no number")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no likeness")

    __hash__ = None  # type: ignore[assignment]


class Text(str):
    """A text with a mind of its own."""

    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def strip(self, *_: Any) -> str:
        raise RuntimeError("nothing to strip")

    def __getitem__(self, key: Any) -> str:
        raise RuntimeError("no part")


class Wrong(Exception):
    """Cannot say what is wrong."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


texts = st.one_of(
    st.text(max_size=40),
    st.text(st.characters(categories=["Cs", "Cc", "Ll"]), max_size=20),
    st.sampled_from(["", "\0", "\ud83d", "a\u2028b", "x" * 30_000, "\x1b[31m" * 3000, Text("text"), "Name a colour."]),
)
numbers = st.one_of(
    st.floats(), st.integers(), st.sampled_from([10**400, -(10**5000), True, math.nan, math.inf, 2**70, 1e308, 0.5])
)
things = st.one_of(
    st.none(), texts, numbers, st.binary(max_size=5), st.builds(Hostile), st.lists(st.integers(), max_size=3)
)
details = st.one_of(
    things,
    st.dictionaries(st.one_of(texts, st.integers()), things, max_size=3),
    st.just({"a": {"b": [1.5, None, "c"]}}),
    st.just({"long": "x" * 100_000}),
)
raised = st.sampled_from(
    [ZeroDivisionError("bug"), Wrong(), SystemExit(3), GeneratorExit(), RecursionError(), Wrong("x")]
)
fields = st.fixed_dictionaries(
    {"instruction": st.one_of(texts, things)},
    optional={name: st.one_of(texts, things) for name in ("input", "reason", "raw", "response", "truncated")},
)
evolutions = st.one_of(raised, things, st.builds(lambda values: Evolution(**values), fields))
scores = st.one_of(
    raised, things, st.builds(Score, st.one_of(numbers, things), reason=st.one_of(texts, things), details=details)
)
verdicts = st.one_of(
    raised,
    things,
    st.builds(
        Verdict,
        st.one_of(st.booleans(), things),
        st.one_of(texts, things),
        figure=st.one_of(numbers, things),
        threshold=st.one_of(numbers, things),
        detail=st.one_of(texts, things),
    ),
)
measured = st.one_of(raised, things, st.dictionaries(st.one_of(texts, st.integers()), things, max_size=4))


def some(strategy: st.SearchStrategy[Any], *good: Any) -> st.SearchStrategy[list[Any]]:
    """Values of which about half are as they should be: else hardly a candidate would survive."""
    return st.lists(st.one_of(strategy, st.sampled_from(good)), min_size=4, max_size=12)


def answer(source: Iterator[Any]) -> Any:
    found = next(source)
    if isinstance(found, BaseException):
        raise found
    return found


class Strange:
    """A distribution whose plugins return what was drawn."""

    def __init__(self, drawn: dict[str, list[Any]]) -> None:
        self.drawn = {kind: cycle(values) for kind, values in drawn.items()}

    @hookimpl
    def evoagent_operators(self) -> Iterator[OperatorSpec]:
        drawn = self.drawn

        class Op(Operator):
            async def evolve(self, parent: Any, models: Any) -> Any:
                return answer(drawn["evolution"])

        class Fine(Operator):
            async def evolve(self, parent: Any, models: Any) -> Evolution:
                return Evolution(f"{parent.instruction} In ten words.", response="Yes.")

        yield OperatorSpec(name="strange", factory=Op)
        yield OperatorSpec(name="fine", factory=Fine)

    @hookimpl
    def evoagent_scorers(self) -> Iterator[ScorerSpec]:
        drawn = self.drawn

        class One(Scorer):
            async def score(self, candidate: Any, models: Any) -> Any:
                return answer(drawn["score"])

        class All(PopulationScorer):
            async def score_all(self, candidates: Any, survivors: Any, models: Any) -> Any:
                async for _ in candidates:
                    yield next(drawn["score"])

            async def measure(self, survivors: Any, models: Any) -> Any:
                return answer(drawn["measure"])

        yield ScorerSpec(name="one", factory=One)
        yield ScorerSpec(name="all", factory=All, population=True)

    @hookimpl
    def evoagent_rules(self) -> Iterator[RuleSpec]:
        drawn = self.drawn

        class Rule(Rule):
            async def judge(self, candidate: Any, models: Any) -> Any:
                return answer(drawn["verdict"])

        yield RuleSpec(name="rule", factory=Rule)

    @hookimpl
    def evoagent_selectors(self) -> Iterator[SelectorSpec]:
        drawn = self.drawn

        class Select(Selector):
            async def select(self, candidates: Any, survivors: Any, models: Any) -> Any:
                return [next(drawn["verdict"]) async for _ in candidates]

        yield SelectorSpec(name="select", factory=Select)


drawings = st.fixed_dictionaries(
    {
        "evolution": some(evolutions, Evolution("Name a colour.")),
        "score": some(scores, Score(0.5, details={"a": [1, "b"]})),
        "verdict": st.one_of(some(verdicts, Verdict(True)), st.just([Verdict(True)])),
        "measure": some(measured, {"figure": 1.5}),
    }
)


@given(drawn=drawings)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
async def test_rubbish_ends_in_a_balance(drawn: dict[str, list[Any]]) -> None:
    manager = PluginManager().load()
    manager.register(Strange(drawn), Source("strange", "strange-dist", "1.0"))
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        seeds = "".join(json.dumps({"instruction": f"Name {n} things.", "output": "x"}) + "\n" for n in range(6))
        (base / "seeds.jsonl").write_text(seeds)
        config = RunConfig.model_validate(
            {
                "seeds": {"path": str(base / "seeds.jsonl")},
                "models": {"evolver": {"engine": "scripted", "model": "toy"}},
                "evolver": {"operators": ["strange", "fine"], "schedule": "all"},
                "critic": {"scorers": ["one", "all", "length"]},
                "eliminator": {"rules": ["rule"], "selector": "select"},
                "stop": {"rounds": 2},
            }
        )
        out = base / "out"
        try:
            async with open_run(config, base, out, manager) as context:
                summary = await run_graph(context)
        except PluginError as error:
            assert "of strange-dist 1.0" in str(error)  # noqa: PT017 - it may also go on
            return
        assert summary["candidates"] == summary["survivors"] + sum(summary["rejected"].values())
        rows = [json.loads(line) for line in (out / "dataset" / "train.jsonl").read_bytes().splitlines()]
        assert len(rows) == summary["survivors"]
        assert pyarrow.parquet.read_table(out / "dataset" / "train.parquet").num_rows == len(rows)
        for row in rows:
            assert row["instruction"]
            assert all(value is None or math.isfinite(value) for value in row["scores"].values())
        (out / "dataset" / "README.md").read_text(encoding="utf-8")
        for line in (out / "events.jsonl").read_text(encoding="utf-8").splitlines():
            json.loads(line)
        with closing(sqlite3.connect(out / "ledger.db")) as ledger:
            assert ledger.execute("select count(*) from verdicts").fetchone() == (summary["candidates"],)
            rules = {rule for (rule,) in ledger.execute("select distinct rule from verdicts where not kept")}
        assert rules <= {"error", "extracted", "rule", "selector:select"}
