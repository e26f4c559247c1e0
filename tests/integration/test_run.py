"""Numbered promises of a run, checked against what lies on disk by means other than evoagent's own."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from evoagent.config.model import RunConfig
from evoagent.errors import EngineError, UserError
from evoagent.events import Event, RoundFinished
from evoagent.reports.lineage import render, trace

from .conftest import Mortal, mortal, read_dataset, texts

Make = Callable[..., RunConfig]
Run = Callable[..., Any]
Interrupt = Callable[..., Any]


def query(directory: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(directory / "ledger.db")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


async def test_figures_of_the_dataset_each_round(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    events: list[Event] = []
    await run_toy(toy_config(critic={"scorers": ["counted"]}), events=events)
    shown = [event.figures for event in events if isinstance(event, RoundFinished)]
    survivors = query(tmp_path / "run", "select round, count(*) from verdicts where kept group by round")
    sizes = [sum(number for of, number in survivors if of <= round) for round in (1, 2, 3)]
    assert shown == [{"counted.size": size} for size in sizes], "what is not finite is left out"
    assert query(tmp_path / "run", "select value from figures order by round") == [(size,) for size in sizes]
    assert f"| 3 | {sizes[2]} |" in (tmp_path / "run" / "dataset" / "README.md").read_text()


async def test_an_operator_may_bring_the_answer(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    config = toy_config(evolver={"operators": ["answered"]}, stop={"rounds": 1})
    summary = await run_toy(config)
    rows = read_dataset(tmp_path / "run")
    assert rows, "the toy rule keeps some"
    assert all(row["output"].endswith("is blue. That is all.") for row in rows)
    assert {row["responder"] for row in rows} == {"operator answered"}
    assert summary["requests"]["sent"] == 0, "nobody asked the responder"


async def test_two_parents(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    config = toy_config(evolver={"operators": ["merge"]}, eliminator={"rules": []}, stop={"rounds": 2})
    await run_toy(config)
    rows = read_dataset(tmp_path / "run")
    texts_by_id = dict(query(tmp_path / "run", "select id, instruction from instructions"))
    assert len(rows) == 24
    for row in rows:
        first, second = row["parent_ids"]
        assert first != second
        assert row["instruction"] == f"{texts_by_id[first]} Then: {texts_by_id[second]} Use 2 words."
    assert len({row["parent_ids"][1] for row in rows if row["round"] == 1}) > 3, "mates are drawn from everybody"
    shown = trace(tmp_path / "run", rows[0]["id"], None)
    assert shown["steps"][0]["kept"]["mates"][0]["id"] == rows[0]["parent_ids"][1]
    assert texts_by_id[rows[0]["parent_ids"][1]] in render(shown)


async def test_two_parents_need_two(toy_config: Make, run_toy: Run) -> None:
    with pytest.raises(UserError, match="combines 2 parents, but the population has 1"):
        await run_toy(toy_config(seeds=1, evolver={"operators": ["merge"]}))


async def test_every_candidate_is_accounted_for(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    events: list[Event] = []
    summary = await run_toy(toy_config(seeds=20), events=events)
    directory = tmp_path / "run"
    verdicts = query(directory, "select candidate_id, kept, rule from verdicts")
    candidates = {id for (id,) in query(directory, "select id from candidates")}
    assert summary["candidates"] == len(candidates) == 60
    assert {id for id, _, _ in verdicts} == candidates
    assert len(verdicts) == len(candidates)
    assert summary["survivors"] == sum(kept for _, kept, _ in verdicts) == len(read_dataset(directory))
    assert summary["rejected"] == dict(Counter(rule for _, kept, rule in verdicts if not kept))
    assert summary["candidates"] == summary["survivors"] + sum(summary["rejected"].values())
    rounds = [event for event in events if isinstance(event, RoundFinished)]
    assert [event.round for event in rounds] == [1, 2, 3]
    assert all(event.candidates == event.survivors + sum(event.rejected.values()) == 20 for event in rounds)
    assert 0 < summary["survivors"] < 60, "the toy rules must both keep and reject"


async def test_each_row_has_its_parents_operator_and_models(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    await run_toy(toy_config())
    rows = read_dataset(tmp_path / "run")
    seeds = {id for (id,) in query(tmp_path / "run", "select id from instructions where round = 0")}
    known = seeds | {row["id"] for row in rows}
    for row in rows:
        assert set(row) == {
            *("id", "parent_ids", "seed_id", "round", "operator", "instruction"),
            *("input", "output", "scores", "data", "model", "responder"),
        }
        assert row["seed_id"] in seeds
        assert set(row["parent_ids"]) <= known
        assert row["operator"] in {"ask", "twice"}
        assert row["output"]
        assert row["scores"]["digits"] >= 0
        assert row["model"] == row["responder"] == "toy:scripted"


async def test_rejected_candidates_give_their_parents_back(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    await run_toy(toy_config())
    survived = dict(query(tmp_path / "run", "select candidate_id, kept from verdicts"))
    made = query(tmp_path / "run", "select id, parent_id, round from candidates")
    for number in (1, 2):
        expected = sorted(id if survived[id] else parent for id, parent, round in made if round == number)
        assert sorted(parent for _, parent, round in made if round == number + 1) == expected


async def test_operators_rotate(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    await run_toy(toy_config())
    found = query(tmp_path / "run", "select c.round, c.position, c.operator from candidates c")
    for number in (1, 2, 3):
        operators = [operator for round, _, operator in sorted(found) if round == number]
        other = ["ask", "twice"] if operators[0] == "ask" else ["twice", "ask"]
        assert operators == other * 6
    firsts = [min(row for row in found if row[0] == number)[2] for number in (1, 2, 3)]
    assert firsts[0] != firsts[1] != firsts[2]


async def test_same_configuration_same_bytes(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    await run_toy(toy_config(), tmp_path / "a")
    await run_toy(toy_config(window=2), tmp_path / "b")
    await run_toy(toy_config(seed=1), tmp_path / "c")
    a, b, c = ((tmp_path / name / "dataset" / "train.jsonl").read_bytes() for name in "abc")
    assert a == b, "the size of the window changes the speed only"
    assert a != c, "another seed gives other draws"


async def test_a_second_run_asks_nothing_and_gives_the_same(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    first = await run_toy(toy_config())
    dataset = (tmp_path / "run" / "dataset" / "train.jsonl").read_bytes()
    second = await run_toy(toy_config())
    assert first["requests"]["sent"] > 0
    cached = first["requests"]["sent"] + first["requests"]["cached"]
    assert second["requests"] == {"sent": 0, "cached": cached, "retried": 0}
    assert (tmp_path / "run" / "dataset" / "train.jsonl").read_bytes() == dataset
    assert query(tmp_path / "run", "select count(*) from runs") == [(2,)], "nothing is deleted"


@pytest.mark.parametrize("stop", [{"rounds": 9, "tokens": 300}, {"rounds": 9, "minutes": 1e-6}])
async def test_a_budget_is_not_spent_anew_by_the_same_command(
    toy_config: Make, run_toy: Run, tmp_path: Path, stop: dict[str, Any]
) -> None:
    first = await run_toy(toy_config(stop=stop))
    dataset = (tmp_path / "run" / "dataset" / "train.jsonl").read_bytes()
    second = await run_toy(toy_config(stop=stop))
    assert second == first
    assert (tmp_path / "run" / "dataset" / "train.jsonl").read_bytes() == dataset


async def test_a_path_with_any_character_holds_its_own_ledger(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    directory = tmp_path / "what? #1 100%"
    await run_toy(toy_config(), directory)
    assert (directory / "ledger.db").is_file()
    again = await run_toy(toy_config(), directory)
    assert again["requests"]["sent"] == 0


async def test_another_threshold_reuses_all_model_work(toy_config: Make, run_toy: Run) -> None:
    first = await run_toy(toy_config(stop={"rounds": 1}))
    half = {"rules": ["even"], "selector": {"top": {"by": "digits", "share": 0.5}}}
    second = await run_toy(toy_config(stop={"rounds": 1}, eliminator=half))
    assert second["requests"]["sent"] == 0
    assert second["survivors"] == -(-first["survivors"] // 2)
    assert second["rejected"]["selector:top"] == first["survivors"] - second["survivors"]


async def test_more_rounds_go_on_from_what_is_there(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    await run_toy(toy_config(stop={"rounds": 2}))
    more = await run_toy(toy_config(stop={"rounds": 3}))
    await run_toy(toy_config(stop={"rounds": 3}), tmp_path / "whole")
    assert more["requests"]["sent"] > 0
    assert texts(read_dataset(tmp_path / "run")) == texts(read_dataset(tmp_path / "whole"))


@pytest.mark.parametrize("life", [0, 1, 7, 20, 41, 60])
async def test_a_run_whose_engine_dies_goes_on_to_the_same_dataset(
    toy_config: Make, interrupt: Interrupt, tmp_path: Path, life: int
) -> None:
    whole, resumed = await interrupt(toy_config(models={"evolver": mortal()}), life)
    for key in ("rounds", "candidates", "survivors", "rejected"):
        assert resumed[key] == whole[key]
    assert resumed["requests"]["sent"] == whole["requests"]["sent"], "no answer was lost, none was asked for twice"
    assert query(tmp_path / "broken", "select count(*) from runs") == [(1,)]


async def test_exactly_n_survivors(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    summary = await run_toy(toy_config(seeds=6, stop={"rounds": 50, "survivors": 11}))
    assert summary["survivors"] == len(read_dataset(tmp_path / "run")) == 11
    assert summary["stop_reason"] == "11 survivors"
    assert summary["candidates"] == 11 + sum(summary["rejected"].values())


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ({"rounds": None, "candidates": 17}, "budget of 17 candidates"),
        ({"rounds": None, "survivors": 500, "candidates": 30}, "budget of 30 candidates"),
        ({"rounds": 9, "tokens": 300}, "budget of 300 tokens"),
        ({"rounds": 9, "minutes": 1e-6}, "budget of 1e-06 minutes"),
    ],
)
async def test_budgets_end_a_run(toy_config: Make, run_toy: Run, stop: dict[str, Any], reason: str) -> None:
    summary = await run_toy(toy_config(stop=stop))
    assert summary["stop_reason"] == reason
    if "candidates" in stop:
        assert summary["candidates"] == stop["candidates"]


async def test_rounds_without_a_survivor_end_a_run(toy_config: Make, run_toy: Run) -> None:
    rule = {"rules": [], "selector": {"threshold": {"by": "digits", "min": 1e9}}}
    summary = await run_toy(toy_config(eliminator=rule, stop={"rounds": 9, "barren_rounds": 2}))
    assert (summary["rounds"], summary["survivors"]) == (2, 0)
    assert summary["stop_reason"] == "no survivor in 2 rounds"


async def test_what_plugins_do_wrong_is_their_candidates_record(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    config = toy_config(evolver={"operators": ["ask", "raises", "rubbish"]}, stop={"rounds": 1})
    summary = await run_toy(config)
    assert summary["candidates"] == 12
    assert summary["rejected"]["error"] == 8
    details = {detail for (detail,) in query(tmp_path / "run", "select detail from verdicts where rule = 'error'")}
    assert details == {
        "operator `raises` of toys 1.0: ZeroDivisionError: a bug in the operator",
        "operator `rubbish` of toys 1.0: TypeError: returned 'not an evolution', expected an Evolution",
    }


async def test_what_cannot_be_extracted_is_rejected_with_its_reason(
    toy_config: Make, run_toy: Run, tmp_path: Path
) -> None:
    models = {"evolver": {"engine": "scripted", "model": "toy", "sampling": {"temperature": 0.7}}}
    models["evolver"]["options"] = {"script": "tests.integration.conftest:Forgetful"}
    summary = await run_toy(toy_config(seeds=40, models=models, evolver={"operators": ["ask"]}))
    found = query(tmp_path / "run", "select detail from verdicts where rule = 'extracted'")
    assert len(found) == summary["rejected"]["extracted"] > 0
    assert set(found) == {("the model said nothing",)}


async def test_screening_spares_the_responder(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    screened = await run_toy(toy_config(stop={"rounds": 1}), tmp_path / "screened")
    whole = toy_config(stop={"rounds": 1}, critic={"scorers": ["digits"], "screen": False})
    unscreened = await run_toy(whole, tmp_path / "whole")
    for key in ("candidates", "survivors", "rejected"):
        assert screened[key] == unscreened[key]
    assert screened["requests"]["sent"] < unscreened["requests"]["sent"]
    assert query(tmp_path / "whole", "select count(*) from candidates where response is null") == [(0,)]


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ({"seed": 5}, "belongs to another run; it differs in seed"),
        ({"evolver": {"operators": ["ask", "answered"]}}, "it differs in evolver.operators"),
        ({"seeds": 13}, "over other seeds"),
    ],
)
async def test_a_directory_of_another_run_is_left_alone(
    toy_config: Make, run_toy: Run, tmp_path: Path, change: dict[str, Any], fragment: str
) -> None:
    await run_toy(toy_config())
    before = {path: path.read_bytes() for path in sorted((tmp_path / "run" / "dataset").iterdir())}
    with pytest.raises(UserError, match=fragment):
        await run_toy(toy_config(**change))
    assert {path: path.read_bytes() for path in before} == before
    assert query(tmp_path / "run", "select count(*) from runs") == [(1,)]


async def test_an_operator_may_be_taken_out(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    operators = {"operators": ["ask", "raises"]}
    first = await run_toy(toy_config(evolver=operators))
    assert first["rejected"]["error"] == 18
    second = await run_toy(toy_config(evolver={"operators": ["ask"]}))
    assert "error" not in second["rejected"]
    await run_toy(toy_config(evolver={"operators": ["ask"]}), tmp_path / "whole")
    assert texts(read_dataset(tmp_path / "run")) == texts(read_dataset(tmp_path / "whole"))
    assert (await run_toy(toy_config(evolver={"operators": ["ask"]})))["requests"]["sent"] == 0


async def test_seeds_that_changed_under_a_run_are_noticed(toy_config: Make, run_toy: Run) -> None:
    config = toy_config()
    await run_toy(config)
    with Path(config.seeds.path).open("a") as file:
        file.write('{"instruction": "One more.", "output": "x"}\n')
    with pytest.raises(UserError, match="over other seeds"):
        await run_toy(config)


async def test_resume_never_and_always(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run to resume"):
        await run_toy(toy_config(), resume="always")
    assert not (tmp_path / "run").exists(), "nothing half-made is left"
    await run_toy(toy_config())
    with pytest.raises(UserError, match="holds a run already"):
        await run_toy(toy_config(), resume="never")
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "thesis.tex").touch()
    with pytest.raises(UserError, match=r"holds no ledger\.db, so it is no run"):
        await run_toy(toy_config(), strange)
    assert [path.name for path in strange.iterdir()] == ["thesis.tex"]


async def test_lineage_leads_to_the_seed_and_names_the_dead(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    await run_toy(toy_config())
    rows = read_dataset(tmp_path / "run")
    number, last = max(enumerate(rows, 1), key=lambda item: item[1]["round"])
    found = trace(tmp_path / "run", None, number)
    assert found == trace(tmp_path / "run", last["id"][:12], None)
    kept = [step["kept"]["id"] for step in found["steps"] if step["kept"]]
    assert kept[-1] == last["id"]
    assert found["seed"]["id"] == last["seed_id"]
    assert found["seed"]["instruction"].startswith("Describe thing")
    made = dict(query(tmp_path / "run", "select id, parent_id from candidates"))
    chain, id = [], last["id"]
    while id in made:
        chain.insert(0, id)
        id = made[id]
    assert kept == chain
    dead = {item["id"] for step in found["steps"] for item in step["others"]}
    assert dead == {id for id, parent in made.items() if parent in {last["seed_id"], *chain}} - set(chain)
    assert last["instruction"] in render(found)
    with pytest.raises(UserError, match="no row of"):
        trace(tmp_path / "run", "ffffffffffffffff", None)


async def test_the_record_in_the_run_directory(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    await run_toy(toy_config())
    directory = tmp_path / "run"
    names = {path.name for path in directory.iterdir()}
    assert {"config.yaml", "ledger.db", "events.jsonl", "dataset"} <= names
    assert {path.name for path in (directory / "dataset").iterdir()} == {"train.jsonl", "train.parquet", "README.md"}
    events = [json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events if event["event"].startswith("Run")] == ["RunStarted", "RunFinished"]
    resolved = yaml.safe_load((directory / "config.yaml").read_text())
    assert RunConfig.model_validate(resolved) == toy_config(), "the resolved configuration is a configuration again"


@pytest.mark.parametrize("left", [10, 35, 70])
async def test_a_budget_of_tokens_outlives_an_interruption(
    toy_config: Make, run_toy: Run, tmp_path: Path, left: int
) -> None:
    options = {"script": f"{Mortal.__module__}:Mortal", "batch": 2}
    role = {"engine": "scripted", "model": "toy", "options": options, "sampling": {"temperature": 0.7}}
    changes: dict[str, Any] = {
        "models": {"evolver": role},
        "evolver": {"operators": ["ask"]},
        "critic": {"scorers": []},
    }
    config = toy_config(seeds=40, **changes, eliminator={"rules": []}, stop={"rounds": None, "tokens": 300})
    whole = await run_toy(config, tmp_path / "whole")
    assert whole["survivors"] >= 40
    Mortal.left = left
    with pytest.raises(EngineError):
        await run_toy(config, tmp_path / "killed")
    Mortal.left = 1_000_000
    await run_toy(config, tmp_path / "killed")
    assert texts(read_dataset(tmp_path / "killed"))[:40] == texts(read_dataset(tmp_path / "whole"))[:40]


@pytest.mark.parametrize("left", [1_000_000, 90])
async def test_a_budget_of_tokens_is_looked_at_in_between(
    toy_config: Make, run_toy: Run, tmp_path: Path, left: int
) -> None:
    options = {"script": f"{Mortal.__module__}:Mortal", "batch": 2}
    role = {"engine": "scripted", "model": "toy", "options": options, "sampling": {"temperature": 0.7}}
    changes: dict[str, Any] = {
        "models": {"evolver": role},
        "evolver": {"operators": ["ask"]},
        "critic": {"scorers": []},
    }
    stop = {"rounds": 1, "tokens": 500}
    config = toy_config(seeds=1200, **changes, eliminator={"rules": []}, stop=stop, window=8)
    Mortal.left = left
    if left < 1_000_000:
        with pytest.raises(EngineError):
            await run_toy(config, tmp_path / "run")
        Mortal.left = 1_000_000
    summary = await run_toy(config, tmp_path / "run")
    assert 0 < summary["candidates"] <= 192, "of 1,200, in blocks of 64"
