"""Broken plugins, each in a distribution of its own, installed beside a good one: told by name, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from evoagent.cli.app import main

SEEDS = 4

GOOD = """
from evoagent import *

class Good(Operator):
    async def evolve(self, parent, models):
        answer = await models.evolver.generate(parent.prompt_text)
        return Evolution(answer.text)

@hookimpl
def evoagent_operators():
    yield OperatorSpec(name="good", factory=Good, summary="works")
"""


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., None]:
    """Installs a distribution as an installer would: its module, its METADATA, its entry points."""
    folder = tmp_path / "site"
    folder.mkdir()

    def install(distribution: str, code: str, version: str = "1.2") -> None:
        module = distribution.replace("-", "_")
        (folder / f"{module}.py").write_text(textwrap.dedent(code))
        info = folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[evoagent]\n{distribution} = {module}\n")
        (info / "RECORD").write_text(f"{module}.py,,\n{info.name}/METADATA,,\n{info.name}/entry_points.txt,,\n")

    install("good-dist", GOOD)
    return install


@pytest.fixture
def evoagent(tmp_path: Path, site: Callable[..., None]) -> Callable[..., Result]:
    def call(*arguments: str, disable: str = "", timeout: float = 60) -> Result:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "EVOAGENT_DISABLE_PLUGINS": disable}
        done = subprocess.run(
            [sys.executable, "-m", "evoagent", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            timeout=timeout,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def here(
    tmp_path: Path,
    site: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Callable[..., Result]]:
    """As `evoagent`, in this process: quicker, for plugins that leave it whole."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    def call(*arguments: str, disable: str = "") -> Result:
        monkeypatch.setenv("EVOAGENT_DISABLE_PLUGINS", disable)
        monkeypatch.setattr(sys, "argv", ["evoagent", *arguments])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    yield call
    for file in (tmp_path / "site").glob("*.py"):
        sys.modules.pop(file.stem, None)


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., str]:
    def write(**changes: Any) -> str:
        with (tmp_path / "seeds.jsonl").open("w") as file:
            for number in range(SEEDS):
                row = {"instruction": f"Describe thing number {number}.", "output": f"Thing {number} is old."}
                file.write(json.dumps(row) + "\n")
        values: dict[str, Any] = {
            "name": "toy",
            "seeds": {"path": "seeds.jsonl"},
            "models": {"evolver": {"engine": "scripted", "model": "toy", "sampling": {"temperature": 0.7}}},
            "evolver": {"operators": ["good"], "schedule": "all"},
            "stop": {"rounds": 1},
        }
        values |= changes
        (tmp_path / "toy.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        return "toy.yaml"

    return write


def query(directory: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(directory / "ledger.db")) as ledger:
        return ledger.execute(sql).fetchall()


def balanced(result: Result, directory: Path) -> dict[str, Any]:
    """The summary of a run that went on, checked against the ledger."""
    assert result.code == 0, result.err
    summary: dict[str, Any] = json.loads(result.out)
    assert summary["candidates"] == summary["survivors"] + sum(summary["rejected"].values())
    run = "(select id from runs order by number desc limit 1)"
    assert query(directory, f"select count(*) from candidates where run_id = {run}") == [(summary["candidates"],)]
    assert query(directory, f"select count(*) from verdicts where run_id = {run}") == [(summary["candidates"],)]
    rows = (directory / "dataset" / "train.jsonl").read_text().splitlines()
    assert len(rows) == summary["survivors"]
    return summary


HOOK = "from evoagent import *\n@hookimpl\ndef evoagent_operators():\n    "
CLASS = "class Op(Operator):\n    async def evolve(self, parent, models):\n        return Evolution('x')\n"

UNUSABLE = {
    "bad-import": ("import no_such_module_here", "does not import: ModuleNotFoundError"),
    "bad-syntax": ("def f(:\n    pass", "does not import: SyntaxError"),
    "bad-exit": ("import sys\nsys.exit(3)", "does not import: SystemExit: 3"),
    "bad-abort": ("raise GeneratorExit('no')", "does not import: GeneratorExit: no"),
    "bad-hook": (HOOK.replace("operators", "operator") + "yield 1", "unknown hook `evoagent_operator`"),
    "bad-mark": ("def evoagent_operators():\n    yield 1", "is not marked with @hookimpl"),
    "bad-builtin": (HOOK + "yield OperatorSpec(name='deepening', factory=int)", "`deepening` of evoagent"),
    "bad-twin": (HOOK + "yield OperatorSpec(name='twin', factory=int)", "ok"),
    "bad-twin-too": (HOOK + "yield OperatorSpec(name='twin', factory=int)", "taken by operator `twin` of bad-twin 1.2"),
    "bad-api": (HOOK + "yield OperatorSpec(name='old', factory=int, api_version=99)", "made for plugin API 99"),
    "bad-spec": (HOOK + "yield ScorerSpec(name='x', factory=int)", "yielded a ScorerSpec, expected a subclass"),
    "bad-parents": (HOOK + "yield OperatorSpec(name='p', factory=int, parents='two')", "found parents 'two'"),
    "bad-factory": (HOOK + "yield OperatorSpec(name='cannot', factory=lambda: 1 / 0)", "ok"),
    "bad-exits": (HOOK + "yield OperatorSpec(name='exits', factory=lambda: exit(7))", "ok"),
    "bad-rubbish": (HOOK + "yield OperatorSpec(name='rubbish', factory=lambda: 'an operator')", "ok"),
    "bad-loud": ("print('{\"loud\": true}')\n" + GOOD.replace('"good"', '"loud"'), "ok"),
    "bad-raise": (HOOK + "raise ValueError('boom')\n    yield", "evoagent_operators raised ValueError: boom"),
    "bad-quit": (HOOK + "raise SystemExit(4)\n    yield", "evoagent_operators raised SystemExit: 4"),
}


@pytest.fixture
def unusable(site: Callable[..., None]) -> None:
    for distribution, (code, _) in UNUSABLE.items():
        site(distribution, code)


@pytest.mark.usefixtures("unusable")
def test_what_cannot_be_loaded_is_listed_by_distribution_and_costs_nobody_else_anything(
    evoagent: Callable[..., Result], config: Callable[..., str], tmp_path: Path
) -> None:
    listed = evoagent("plugins", "list", "--json")
    assert listed.code == 0, listed.err
    records = [record for record in json.loads(listed.out) if record["distribution"] != "evoagent"]
    by_distribution = {record["distribution"]: record for record in records}
    for distribution, (_, status) in UNUSABLE.items():
        assert status in by_distribution[distribution]["status"]
        assert by_distribution[distribution]["version"] == "1.2"
    assert by_distribution["good-dist"]["status"] == "ok"
    summary = balanced(evoagent("run", config(), "--out", "out", "--json"), tmp_path / "out")
    assert summary["survivors"] == SEEDS


@pytest.mark.usefixtures("unusable")
def test_a_run_that_names_what_cannot_be_used_is_refused_with_its_distribution(
    here: Callable[..., Result], config: Callable[..., str], tmp_path: Path
) -> None:
    unknown = here("run", config(evolver={"operators": ["old", "good", "missing"]}), "--out", "out")
    assert unknown.code == 2
    assert "old of bad-api 1.2 cannot be used: made for plugin API 99" in unknown.err
    assert "bad-abort of bad-abort 1.2 might have brought it: does not import: GeneratorExit" in unknown.err
    for operator, message in {
        "cannot": "operator `cannot` of bad-factory 1.2 cannot be made: ZeroDivisionError",
        "exits": "operator `exits` of bad-exits 1.2 cannot be made: SystemExit: 7",
        "rubbish": "operator `rubbish` of bad-rubbish 1.2: found a str, expected an object with `evolve`",
        "twin": "operator `twin` of bad-twin 1.2: found an int",
    }.items():
        refused = here("run", config(evolver={"operators": ["good", operator]}), "--out", "out")
        assert (refused.code, message in refused.err) == (2, True), refused.err
        assert "Traceback" not in refused.err
    assert not (tmp_path / "out").exists(), "nothing half-made is left"


RAISING = """
import asyncio
from evoagent import *

class Wrong(Exception):
    def __str__(self):
        raise RuntimeError("not even its text")

class Hostile:
    def __repr__(self):
        raise RuntimeError("not even its text")

def operator(action):
    class Op(Operator):
        async def evolve(self, parent, models):
            return await action(parent, models)
    return Op

async def raises(parent, models): raise ZeroDivisionError("a bug")
async def texts(parent, models): raise Wrong
async def exits(parent, models): raise SystemExit(3)
async def closes(parent, models): raise GeneratorExit
async def cancels(parent, models): raise asyncio.CancelledError
async def stops(parent, models): raise StopAsyncIteration
async def engine(parent, models): raise EngineError("not an engine at all")
async def string(parent, models): return "not an evolution"
async def hostile(parent, models): return Hostile()
async def number(parent, models): return Evolution(10 ** 5000)
async def half(parent, models): return Evolution("half \\ud800 a pair")
async def nul(parent, models): return Evolution("a \\0 in it")
async def huge(parent, models): return Evolution("x" * 10_000_000, raw="y" * 10_000_000)
async def raw(parent, models): return Evolution("Name a colour.", raw="\\ud800" * 50, reason="\\udc00")
async def prompt(parent, models): await models.evolver.generate("half \\ud800 a pair")
async def tokens(parent, models): await models.evolver.generate("x", max_tokens="many")
async def role(parent, models): await models.evolver.generate([{"role": "boss", "content": 3}])
async def hides(parent, models):
    try:
        await models.evolver.generate(None)
    except BaseException:
        return None

class Sync(Operator):
    def evolve(self, parent, models):
        return Evolution("at once")

ACTIONS = [raises, texts, exits, closes, cancels, stops, engine, string, hostile, number, half, nul, huge,
           prompt, tokens, role, hides]

@hookimpl
def evoagent_operators():
    for action in ACTIONS:
        yield OperatorSpec(name=action.__name__, factory=operator(action))
    yield OperatorSpec(name="sync", factory=Sync)
    yield OperatorSpec(name="raw", factory=operator(raw))
""".replace("from evoagent import *", "from evoagent import *\nfrom evoagent.errors import EngineError")

SAID = {
    "raises": "ZeroDivisionError: a bug",
    "texts": "Wrong",
    "exits": "SystemExit: 3",
    "closes": "GeneratorExit",
    "cancels": "the plugin let a cancellation escape",
    "stops": "StopAsyncIteration",
    "engine": "EngineError: not an engine at all",
    "string": "TypeError: returned 'not an evolution', expected an Evolution",
    "hostile": "TypeError: returned <Hostile",
    "number": "TypeError: returned an Evolution with instruction",
    "half": "ValueError: returned an Evolution whose instruction holds NUL or half a surrogate pair",
    "nul": "ValueError: returned an Evolution whose instruction holds NUL or half a surrogate pair",
    "prompt": "ValueError: prompt: found half a surrogate pair",
    "tokens": "ValueError: max_tokens: found 'many'",
    "role": "ValueError: prompt: found the role 'boss'",
    "hides": "TypeError: returned None, expected an Evolution",
    "sync": "`evolve` returned Evolution(instruction='at once'",
}


def test_operators_that_raise_or_return_rubbish(
    site: Callable[..., None], here: Callable[..., Result], config: Callable[..., str], tmp_path: Path
) -> None:
    site("evil-dist", RAISING)
    out = tmp_path / "out"
    operators = ["good", *SAID, "huge", "raw"]
    result = here("run", config(evolver={"operators": operators, "schedule": "all"}), "--out", "out", "--json")
    summary = balanced(result, out)
    assert summary["candidates"] == SEEDS * len(operators)
    assert summary["survivors"] == 2 * SEEDS, "`good` and `raw`"
    errors: dict[str, set[str]] = {}
    for operator, error in query(out, "select operator, error from candidates where error is not null"):
        errors.setdefault(operator, set()).add(error)
    assert set(errors) == set(SAID)
    for operator, said in SAID.items():
        assert all(f"operator `{operator}` of evil-dist 1.2: {said}" in error for error in errors[operator])
    assert query(out, "select distinct reason from candidates where operator = 'huge'") == [
        ("10000000 characters, more than 20000",)
    ]
    told = f"operator `raises` of evil-dist 1.2 failed on all {SEEDS} candidates, first: ZeroDivisionError: a bug"
    assert told in result.err
    assert "Traceback" not in result.err
    without = here("run", config(), "--out", "out", "--json", disable="evil-dist")
    again = balanced(without, out)
    assert again["survivors"] == SEEDS
    assert again["requests"]["sent"] == 0, "what the good plugin has asked is kept"


SCORING = """
import asyncio, math
from evoagent import *

class Text(str): pass

def scorer(action):
    class S(Scorer):
        async def score(self, candidate, models):
            return action(candidate)
    return S

def rule(action):
    class R(Rule):
        async def judge(self, candidate, models):
            return action(candidate)
    return R

def raising(candidate): raise ZeroDivisionError("a bug")
def exiting(candidate): raise SystemExit(3)

SCORES = {
    "s-raises": raising, "s-exits": exiting,
    "s-none": lambda c: None, "s-nan": lambda c: Score(math.nan), "s-inf": lambda c: Score(math.inf),
    "s-big": lambda c: Score(10 ** 400), "s-text": lambda c: Score("high"), "s-true": lambda c: Score(True),
    "s-reason": lambda c: Score(None, "\\ud800" * 10_000), "s-object": lambda c: Score(None, object()),
    "s-details": lambda c: Score(1.0, details={"a": object()}),
    "s-nan-details": lambda c: Score(1, details={"a": math.nan}),
    "s-long": lambda c: Score(2 ** 70, details={"a": "x" * 10_000_000}),
    "s-no-details": lambda c: Score(1.0, details=None),
}
VERDICTS = {
    "r-raises": raising, "r-exits": exiting,
    "r-none": lambda c: None, "r-kept": lambda c: Verdict("no"), "r-nan": lambda c: Verdict(False, figure=math.nan),
    "r-big": lambda c: Verdict(False, figure=10 ** 400), "r-text": lambda c: Verdict(False, threshold="3"),
}
KEEPING = {
    "k-detail": lambda c: Verdict(True, detail=object()),
    "k-long": lambda c: Verdict(True, 5, detail="\\0" * 10_000_000),
}

ALL = {
    "p-raises": raising, "p-short": lambda c: [Score(1.0)], "p-none": lambda c: None,
    "p-clears": lambda c: c.ids.sort() or [], "p-mixed": lambda c: [Score(1.0), 2.0, None, Score(4.0)],
}

def population(action):
    return lambda: Population(action)

@hookimpl
def evoagent_scorers():
    for name, action in SCORES.items():
        yield ScorerSpec(name=name, factory=scorer(action))
    for name, action in ALL.items():
        yield ScorerSpec(name=name, factory=population(action), population=True)
    for name, count in {"y-few": 1, "y-many": 9, "y-raises": 0}.items():
        yield ScorerSpec(name=name, factory=lambda count=count: Yields(count), population=True)

class Yields(PopulationScorer):
    def __init__(self, count): self.count = count
    async def score_all(self, candidates, survivors, models):
        for number in range(self.count or 2): yield Score(float(number))
        if not self.count: raise ZeroDivisionError("a bug")

class Population(PopulationScorer):
    def __init__(self, action): self.action = action
    async def score_all(self, candidates, survivors, models): return self.action(candidates)
    async def measure(self, survivors, models):
        if self.action is raising: raise RuntimeError("nothing to measure")
        return {"fine": 1, "nan": math.nan, "big": 10 ** 400, 3: 4, "text": "x", "half \\ud800\\n|": 2.0}

@hookimpl
def evoagent_rules():
    for name, action in {**VERDICTS, **KEEPING}.items():
        yield RuleSpec(name=name, factory=rule(action))
"""


def test_scorers_that_raise_or_return_rubbish(
    site: Callable[..., None], here: Callable[..., Result], config: Callable[..., str], tmp_path: Path
) -> None:
    site("evil-dist", SCORING)
    out = tmp_path / "out"
    missing = {
        "s-raises": "scorer `s-raises` of evil-dist 1.2: ZeroDivisionError: a bug",
        "s-exits": "scorer `s-exits` of evil-dist 1.2: SystemExit: 3",
        "s-none": "scorer `s-none` of evil-dist 1.2: the scorer returned None, expected a Score",
        "s-nan": "scorer `s-nan` of evil-dist 1.2: the scorer returned the value nan, expected a finite number",
        "s-inf": "value inf",
        "s-big": "scorer `s-big` of evil-dist 1.2: the scorer returned the value",
        "s-text": "value 'high'",
        "s-true": "value True",
        "s-reason": "\ufffd",
        "s-object": "<object object",
        "p-raises": "scorer `p-raises` of evil-dist 1.2: ZeroDivisionError: a bug",
        "p-short": "scorer `p-short` of evil-dist 1.2: gave 1 scores for 4 candidates",
        "p-none": "scorer `p-none` of evil-dist 1.2: returned None, expected a list of one Score",
        "y-few": "scorer `y-few` of evil-dist 1.2: gave 1 scores for 4 candidates",
        "y-many": "scorer `y-many` of evil-dist 1.2: gave more than one Score for each of 4 candidates",
        "y-raises": "scorer `y-raises` of evil-dist 1.2: ZeroDivisionError: a bug",
        "p-clears": "scorer `p-clears` of evil-dist 1.2: ValueError: sort array is read-only",
    }
    found = {"s-details": 1.0, "s-nan-details": 1.0, "s-long": 2.0**70, "s-no-details": 1.0}
    scorers = ["length", *missing, *found, "p-mixed"]
    rules = {"rules": ["k-detail", "k-long"]}
    result = here("run", config(critic={"scorers": scorers}, eliminator=rules), "--out", "out", "--json")
    assert balanced(result, out)["survivors"] == SEEDS
    scores: dict[str, list[tuple[Any, Any]]] = {}
    for name, value, reason in query(out, "select scorer, value, reason from scores order by rowid"):
        scores.setdefault(name, []).append((value, reason))
    assert all(len(rows) == SEEDS for rows in scores.values())
    for name, said in missing.items():
        assert all(value is None and said in reason for value, reason in scores[name]), scores[name]
    for name, value in found.items():
        assert all(row[0] == value and "its details cannot be stored" in row[1] for row in scores[name])
    assert sorted(value or 0 for value, _ in scores["p-mixed"]) == [0, 0, 1, 4]
    assert all(value for value, _ in scores["length"]), "the good scorer has scored"
    figures = {name for (name,) in query(out, "select name from figures")}
    measuring, named = ("p-short", "p-none", "p-clears", "p-mixed"), ("fine", "half \ufffd |")
    assert figures == {f"{name}.{figure}" for name in measuring for figure in named}
    assert "`measure` of scorer `p-raises` of evil-dist 1.2 failed" in result.err
    assert "scorer `s-raises` of evil-dist 1.2 failed on all 4 candidates" in result.err


def test_rules_that_raise_or_return_rubbish_reject_with_their_name(
    site: Callable[..., None], here: Callable[..., Result], config: Callable[..., str], tmp_path: Path
) -> None:
    site("evil-dist", SCORING)
    out = tmp_path / "out"
    for rule, said in {
        "r-raises": "ZeroDivisionError: a bug",
        "r-exits": "SystemExit: 3",
        "r-kept": "TypeError: returned a Verdict with kept 'no', expected True or False",
        "r-big": "returned a Verdict with figure",
    }.items():
        result = here("run", config(eliminator={"rules": ["k-long", rule]}), "--out", "out", "--json")
        assert balanced(result, out)["rejected"] == {"error": SEEDS}
        details = query(out, "select distinct detail from verdicts order by rowid desc limit 1")
        assert details[0][0].startswith(f"rule `{rule}` of evil-dist 1.2: ")
        assert said in details[0][0]
        assert f"rule `{rule}` of evil-dist 1.2 failed on all 4 candidates, first: " in result.err
    again = balanced(here("run", config(), "--out", "out", "--json", disable="evil-dist"), out)
    assert (again["survivors"], again["requests"]["sent"]) == (SEEDS, 0)


BLOCKING = """
import asyncio, time
from evoagent import *

def operator(action):
    class Op(Operator):
        async def evolve(self, parent, models):
            answer = await models.evolver.generate(parent.prompt_text)
            await action()
            return Evolution(answer.text)
    return Op

async def blocks():
    time.sleep(6)

async def sleeps():
    time.sleep(1e6)

async def waits():
    await asyncio.sleep(1e9)

async def lost():
    await asyncio.get_running_loop().create_future()

async def busy():
    while True:
        await asyncio.sleep(0)

async def thread():
    await asyncio.to_thread(time.sleep, 1e6)

async def prints():
    print("{'not': 'data'}")

@hookimpl
def evoagent_operators():
    for action in (blocks, sleeps, waits, lost, busy, thread, prints):
        yield OperatorSpec(name=action.__name__, factory=operator(action))
"""


def errors_of(directory: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for operator, error in query(directory, "select operator, error from candidates where error is not null"):
        found.setdefault(operator, set()).add(error)
    return found


def test_an_operator_that_blocks_is_named_with_file_and_line(
    site: Callable[..., None], evoagent: Callable[..., Result], config: Callable[..., str], tmp_path: Path
) -> None:
    site("evil-dist", BLOCKING)
    seeds = {"path": "seeds.jsonl", "limit": 1}
    changes = {"evolver": {"operators": ["good", "blocks", "prints"], "schedule": "all"}, "seeds": seeds}
    result = evoagent("run", config(**changes), "--out", "out", "--json")
    assert balanced(result, tmp_path / "out")["survivors"] == 3
    assert "evil-dist 1.2 has blocked the event loop for 5 s in blocks (evil_dist.py:" in result.err
    assert "{'not': 'data'}" in result.err


def test_ctrl_c_twice_leaves_although_a_plugin_blocks(
    site: Callable[..., None], config: Callable[..., str], tmp_path: Path
) -> None:
    site("evil-dist", BLOCKING)
    command = [sys.executable, "-m", "evoagent", "run", config(evolver={"operators": ["sleeps"]}), "--out", "out"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "has blocked the event loop" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130


def test_operators_that_wait_for_ever_are_cancelled(
    site: Callable[..., None], evoagent: Callable[..., Result], config: Callable[..., str], tmp_path: Path
) -> None:
    site("evil-dist", BLOCKING)
    out = tmp_path / "out"
    names = ["waits", "lost", "busy", "thread"]
    changes = {"evolver": {"operators": ["good", *names], "schedule": "all"}, "plugin_seconds": 1}
    result = evoagent("run", config(**changes), "--out", "out", "--json")
    assert balanced(result, out)["survivors"] == SEEDS
    for name in names:
        [error] = errors_of(out)[name]
        assert error.startswith(f"operator `{name}` of evil-dist 1.2: has waited 1 s for something that is no model")
    again = balanced(evoagent("run", config(), "--out", "out", "--json", disable="evil-dist"), out)
    assert (again["survivors"], again["requests"]["sent"]) == (SEEDS, 0)


WHOLE = """
import asyncio, time
from evoagent import *
from evoagent.models.engines.base import Engine, Lane
from evoagent.models.requests import Completion

def hangs(): return asyncio.sleep(1e9)
async def raises(): raise ZeroDivisionError("a bug")
async def nothing(): return None
async def cancels(): raise asyncio.CancelledError
async def exits(): raise SystemExit(3)
async def empty(): return []

class Prepared(Rule):
    async def prepare(self, seeds, models): await raises()
    async def judge(self, candidate, models): return Verdict(True)

def rule(action):
    class Rule(PopulationRule):
        async def judge_all(self, candidates, survivors, models):
            return await action()
    return Rule

def selector(action):
    class Select(Selector):
        async def select(self, candidates, survivors, models):
            return await action()
        async def measure(self, survivors, models):
            return await action()
    return Select

def engine(action, at="generate"):
    class Made(Engine):
        identity, capabilities, lanes = "made", frozenset({"generate"}), {"generate": Lane(4, 1)}
        def __init__(self, model, source, config): pass
        async def start(self):
            if at == "start": await action()
        async def close(self):
            if at == "close": await action()
        async def generate(self, requests):
            if at == "generate": return await action()
            return [Completion("Name a colour.") for _ in requests]
    return Made

ACTIONS = [hangs, raises, nothing, cancels, exits, empty]

@hookimpl
def evoagent_rules():
    yield RuleSpec(name="prepared", factory=Prepared)
    for action in ACTIONS:
        yield RuleSpec(name="all-" + action.__name__, factory=rule(action), looks_at="population")

@hookimpl
def evoagent_selectors():
    for action in ACTIONS:
        yield SelectorSpec(name="select-" + action.__name__, factory=selector(action))

@hookimpl
def evoagent_engines():
    verbs = frozenset({"generate"})
    for action in ACTIONS:
        yield EngineSpec(name="engine-" + action.__name__, factory=engine(action), verbs=verbs, remote=True)
        yield EngineSpec(name="start-" + action.__name__, factory=engine(action, "start"), verbs=verbs, remote=True)
        yield EngineSpec(name="close-" + action.__name__, factory=engine(action, "close"), verbs=verbs, remote=True)
    yield EngineSpec(name="no-lanes", factory=Engine, verbs=verbs, remote=True)

def bad_row(row): return {"a": object()}
def bad_type(row): return None
def bad_exit(row): raise SystemExit(3)
def fine(row): print("printed"); return {"text": row["instruction"]}

@hookimpl
def evoagent_exporters():
    for convert in (bad_row, bad_type, bad_exit, fine):
        yield ExporterSpec(name=convert.__name__.replace("_", "-"), factory=lambda convert=convert: convert)

@hookimpl
def evoagent_run_started(event): raise RuntimeError("observer down")

@hookimpl
def evoagent_round_finished(event): time.sleep(1e6)

@hookimpl
def evoagent_run_finished(event): raise SystemExit(3)
"""

REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "prepare": ({"eliminator": {"rules": ["prepared"]}}, 2, "rule `prepared` of evil-dist 1.2: ZeroDivisionError"),
    **{
        f"rule {name}": ({"eliminator": {"rules": [f"all-{name}"]}}, 2, f"rule `all-{name}` of evil-dist 1.2{said}")
        for name, said in {
            "hangs": ": has waited 1 s",
            "nothing": ": returned None, expected a list",
            "cancels": ": the plugin let a cancellation escape",
            "empty": ": gave 0 verdicts for 4 candidates",
        }.items()
    },
    **{
        f"selector {name}": (
            {"eliminator": {"selector": f"select-{name}"}},
            2,
            f"selector `select-{name}` of evil-dist 1.2{said}",
        )
        for name, said in {"raises": ": ZeroDivisionError: a bug", "exits": ": SystemExit: 3"}.items()
    },
    **{
        f"engine {name}": (
            {"models": {"evolver": {"engine": name, "model": "x"}}},
            code,
            f"engine `{name}` of evil-dist 1.2{said}",
        )
        for name, code, said in (
            ("engine-raises", 1, " (made): generate failed: ZeroDivisionError: a bug"),
            ("engine-nothing", 1, " (made): generate answered with None, expected a list"),
            ("engine-exits", 1, " (made): generate failed: SystemExit: 3"),
            ("engine-empty", 1, " (made): 0 answers to 4 requests"),
            ("start-raises", 1, " (made): does not start: ZeroDivisionError: a bug"),
            ("start-exits", 1, " (made): does not start: SystemExit: 3"),
            ("no-lanes", 2, ": found identity '', expected a text"),
        )
    },
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_whole_run_needs_ends_it_by_name(
    case: str, site: Callable[..., None], here: Callable[..., Result], config: Callable[..., str], tmp_path: Path
) -> None:
    site("evil-dist", WHOLE.replace("time.sleep(1e6)", "pass"))
    changes, code, message = REFUSED[case]
    result = here("run", config(plugin_seconds=1, **changes), "--out", "out", "--json")
    assert f"error: {message}" in result.err
    assert result.code == code
    assert result.out == ""
    if "models" not in changes:
        again = balanced(here("run", config(), "--out", "out", "--json", disable="evil-dist"), tmp_path / "out")
        assert again["survivors"] == SEEDS
        assert again["requests"]["sent"] == 0 or case == "prepare", "what was answered before is not asked again"


def test_observers_engines_that_do_not_close_and_exporters(
    site: Callable[..., None], evoagent: Callable[..., Result], config: Callable[..., str], tmp_path: Path
) -> None:
    site("evil-dist", WHOLE)
    models = {"evolver": {"engine": "close-exits", "model": "x"}}
    result = evoagent("run", config(plugin_seconds=1, models=models), "--out", "out", "--json")
    summary = balanced(result, tmp_path / "out")
    assert summary["survivors"] == SEEDS
    assert "plugin evil-dist 1.2: evoagent_run_started raised" in result.err
    assert "plugin evil-dist 1.2: evoagent_round_finished has not returned for 1 s" in result.err
    assert "engine `close-exits` of evil-dist 1.2 (made) did not close: SystemExit: 3" in result.err
    bad = {"bad-row": "TypeError", "bad-type": "returned None, expected a mapping", "bad-exit": "SystemExit: 3"}
    for name, said in bad.items():
        refused = evoagent("export", "out", "--format", name, "--out", f"{name}.jsonl")
        assert refused.code == 2
        assert f"error: exporter `{name}` of evil-dist 1.2, row " in refused.err
        assert said in refused.err
        assert not (tmp_path / f"{name}.jsonl").exists()
    fine = evoagent("export", "out", "--format", "fine", "--out", "fine.jsonl")
    assert (fine.code, fine.out) == (0, "fine.jsonl\n"), fine.err


def test_a_plugin_that_is_slow_to_load_is_told_of(site: Callable[..., None], evoagent: Callable[..., Result]) -> None:
    site("slow-dist", "import time\ntime.sleep(4)\n" + GOOD.replace('"good"', '"slow"'))
    listed = evoagent("plugins", "list", "--json")
    assert {record["name"] for record in json.loads(listed.out)} >= {"good", "slow"}
    assert "slow-dist 1.2 has been loading for 3 s; EVOAGENT_DISABLE_PLUGINS=slow-dist leaves it out" in listed.err
    assert "slow-dist 1.2 took 4." in listed.err
