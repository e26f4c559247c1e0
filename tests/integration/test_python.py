"""From Python: the same runs and scorings as from the command line, in scripts, in event loops and in notebooks."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import evoagent
from evoagent.cli.app import main
from evoagent.config.model import RunConfig
from evoagent.config.resources import configs_dir
from evoagent.events import Event, NodeStarted, RoundFinished, RunStarted
from evoagent.models.requests import GenerateRequest
from evoagent.runs.rows import dump_rows
from evoagent.testing import Script

SEEDS = [{"instruction": f"Describe thing {n}.", "output": f"Thing {n} is blue."} for n in range(6)]
DATA = [
    {"instruction": "Name three rivers.", "output": "Rhine, Nile, Amazon.", "source": "a"},
    {"instruction": "Name a colour.", "output": "", "source": "b"},
    {"instruction": "", "output": "nothing asked", "source": "c"},
]
SCRIPTED: dict[str, Any] = {"engine": "scripted", "model": "toy"}
CONFIG: dict[str, Any] = {
    "name": "toy",
    "models": {"evolver": SCRIPTED | {"sampling": {"temperature": 0.7}}},
    "evolver": {"operators": ["constraints", "deepening"], "style": "plain"},
    "critic": {"scorers": ["length", "ic_ifd"]},
    "stop": {"rounds": 2},
}
README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a configuration and its seeds."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seeds.jsonl").write_text(dump_rows(SEEDS))
    values = CONFIG | {"seeds": {"path": "seeds.jsonl"}}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return tmp_path


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs a command in this process."""

    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["evoagent", *arguments])
        with pytest.raises(SystemExit, match="0"):
            main()

    return run


def dataset(folder: str | Path) -> bytes:
    return (Path(folder) / "dataset" / "train.jsonl").read_bytes()


def test_the_same_dataset_as_the_command(command: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    command("run", "toy.yaml", "--out", "command", "--json", "--limit", "5", "--set", "evolver.samples=2")
    summary = json.loads(capsys.readouterr().out)
    events: list[Event] = []
    run = evoagent.run("toy.yaml", out="python", limit=5, overrides={"evolver.samples": 2}, listen=events.append)
    assert dataset("python") == dataset("command")
    assert run.directory == Path("python").absolute()
    assert run.summary.keys() == summary.keys()
    times = {"run", "seconds"}
    assert {k: v for k, v in run.summary.items() if k not in times} == {
        k: v for k, v in summary.items() if k not in times
    }
    assert list(run.rows()) == [json.loads(line) for line in dataset("command").splitlines()]
    assert run.failure is None
    assert repr(run) == f"<Run {run.directory}: {summary['survivors']} of {summary['candidates']} candidates survive>"
    assert isinstance(events[0], RunStarted)
    assert [event.round for event in events if isinstance(event, RoundFinished)] == [1, 2]
    printed = capsys.readouterr()
    assert printed.out + printed.err == "", "nothing is printed unasked"


def test_a_configuration_in_every_form() -> None:
    values = CONFIG | {"seeds": {"path": Path("seeds.jsonl")}}
    whole = evoagent.run("toy.yaml", out="file").directory
    for name, config in {"path": Path("toy.yaml"), "mapping": values}.items():
        assert dataset(evoagent.run(config, out=name).directory) == dataset(whole)
    config = RunConfig.model_validate(CONFIG | {"seeds": {"path": "seeds.jsonl"}})
    texts = evoagent.run(config, overrides=["stop.rounds=1"])
    assert texts.directory == Path("runs/toy").absolute(), "paths start from the current folder"
    assert texts.summary["rounds"] == 1
    assert values["seeds"] == {"path": Path("seeds.jsonl")}, "what the caller has is left alone"


GRADES = """
import evoagent
from evoagent import Score, Scorer, ScorerSpec

class Graded(Scorer):
    async def score(self, candidate, models):
        choice = await models["second"].choose(candidate.prompt_text, ("good", "bad"))
        return Score(choice.probabilities["good"])

@evoagent.hookimpl
def evoagent_scorers():
    yield ScorerSpec(name="graded", factory=Graded, summary="a second model's view", needs=("second.choose",))
"""


def test_a_role_of_any_name_is_seen_wherever_roles_are(
    project: Path, command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "grades.py").write_text(GRADES)
    given: dict[str, Any] = {"plugins": ["grades"], "critic": {"scorers": ["graded"]}, "seeds": {"path": "seeds.jsonl"}}
    values = CONFIG | given
    with pytest.raises(
        evoagent.ConfigError, match=r"scorer `graded` needs second\.choose, but `models\.second` is not"
    ):
        evoagent.run(values)
    values = values | {"models": CONFIG["models"] | {"second": SCRIPTED | {"model": "other-toy"}}}
    (project / "toy.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    command("validate", "toy.yaml", "--json")
    assert json.loads(capsys.readouterr().out)["models"]["second"]["model"] == "other-toy"
    command("run", "toy.yaml", "--dry-run", "--json")
    assert json.loads(capsys.readouterr().out)["models"]["second"] == "other-toy:scripted"
    run = evoagent.run("toy.yaml", out="out")
    assert run.summary["tokens"]["second"]["prompt"] > 0
    assert "| second | other-toy | scripted |" in (project / "out" / "dataset" / "README.md").read_text()
    assert all(0 < row["scores"]["graded"] < 1 for row in run.rows())
    more = {"critic.scorers": ["graded", "length"]}
    again = evoagent.run(RunConfig.model_validate(values), out="out", overrides=more)
    assert again.summary["requests"]["sent"] == 0, "a choice comes from the log"


def test_a_mapping_names_plugins_beside_it(project: Path) -> None:
    (project / "prompts").mkdir()
    text = next((configs_dir().parent / "prompts").glob("constraints.md")).read_text()
    (project / "prompts" / "mine.md").write_text(text.replace("name: constraints", "name: mine"))
    evolver = {"operators": ["mine"], "prompts": "prompts"}
    run = evoagent.run(CONFIG | {"evolver": evolver, "stop": {"rounds": 1}}, seeds=SEEDS)
    assert {row["operator"] for row in run.rows()} == {"mine"}


def test_seeds_in_memory(command: Callable[..., None]) -> None:
    whole = evoagent.run("toy.yaml", out="file").directory
    run = evoagent.run(CONFIG, seeds=iter(SEEDS), out="memory")
    assert dataset(run.directory) == dataset(whole)
    assert (run.directory / "seeds.jsonl").read_text() == dump_rows(SEEDS)
    again = evoagent.run(CONFIG, seeds=SEEDS, out="memory")
    assert again.summary["requests"] == {"sent": 0, "cached": run.summary["requests"]["sent"], "retried": 0}
    command("run", "memory/config.yaml", "--out", "memory")  # what the run keeps of them is a file like any other
    assert dataset(run.directory) == dataset(whole)
    with pytest.raises(evoagent.UserError, match="belongs to a run over other seeds"):
        evoagent.run(CONFIG, seeds=SEEDS[1:], out="memory")
    assert (run.directory / "seeds.jsonl").read_text() == dump_rows(SEEDS)


def test_seeds_in_memory_of_any_form() -> None:
    turns = [{"role": "user", "content": "Name a tree."}, {"role": "assistant", "content": "Oak.\u2028"}]
    run = evoagent.run(CONFIG, seeds=[{"messages": turns}] * 3, rounds=1, out="turns")
    assert run.summary["candidates"] == 3
    nan = float("nan")
    frame = [{"question": text, "answer": nan} for text in ("Name a \ud800 river.", "Who?", "What?", "Why?")]
    run = evoagent.run(CONFIG, seeds=frame, rounds=1, out="frame", overrides={"seeds.max_bad": 0.5})
    assert run.summary["candidates"] == 3, "a broken row is skipped"


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "config": ({"config": "quikstart"}, "did you mean `quickstart`"),
    "type": ({"config": 7}, "config: found 7, expected a path"),
    "key": ({"config": CONFIG | {"stopp": {}}}, "config: stopp: unknown key; did you mean `stop`"),
    "plugin": ({"config": CONFIG | {"critic": {"scorers": ["icifd"]}}}, "critic.scorers.0: .*ic_ifd"),
    "need": ({"config": CONFIG | {"eliminator": {"rules": ["drift"]}}}, "`models.embedder` is not given"),
    "limit": ({"limit": 0}, "overrides seeds.limit: found 0, expected a number of at least 1"),
    "override": ({"overrides": ["stop.rounds"]}, "expected KEY=VALUE"),
    "resume": ({"resume": "yes"}, "resume: found 'yes', expected one of auto, never, always"),
    "nothing to resume": ({"resume": "always"}, "holds no run to resume"),
    "no such seeds": ({"seeds": "nowhere.jsonl"}, r"nowhere\.jsonl: no such file"),
    "no seeds": ({"seeds": []}, "^seeds: is empty"),
    "no instruction": ({"seeds": [{"title": "x"}]}, "^seeds: no column for the instruction"),
    "texts": ({"seeds": ["Name a river."]}, "^seeds: 1 of 1 rows cannot be used.* line 1: is not an object"),
    "out": ({"out": "toy.yaml"}, "found a file, expected a run directory"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=list(WRONG))
def test_what_is_wrong_is_raised(arguments: dict[str, Any], message: str, project: Path) -> None:
    before = sorted(project.rglob("*"))
    seeds = {} if arguments.get("config", "").__class__ is str else {"seeds": SEEDS}
    with pytest.raises(evoagent.UserError, match=message):
        evoagent.run(**({"config": "toy.yaml"} | seeds | arguments))
    assert sorted(project.rglob("*")) == before, "nothing is written"


class Mortal(Script):
    """Dies in its fifteenth answer, once."""

    answers = 0

    def generate(self, request: GenerateRequest) -> str:
        Mortal.answers += 1
        if Mortal.answers == 15:
            raise evoagent.EngineError("the engine has died")
        return super().generate(request)


def test_the_same_call_goes_on_after_an_engine_has_died() -> None:
    def config(script: type[Script]) -> dict[str, Any]:
        options = {"script": f"{script.__module__}:{script.__name__}", "batch": 2}
        return CONFIG | {"models": {"evolver": SCRIPTED | {"options": options, "sampling": {"temperature": 0.7}}}}

    Mortal.answers = 0
    with pytest.raises(evoagent.EngineError, match="the engine has died"):
        evoagent.run(config(Mortal), seeds=SEEDS)
    resumed = evoagent.run(config(Mortal), seeds=SEEDS)
    Mortal.answers = 100
    whole = evoagent.run(config(Mortal), seeds=SEEDS, out="whole")
    assert dataset(resumed.directory) == dataset(whole.directory)
    assert resumed.summary["requests"]["sent"] == whole.summary["requests"]["sent"], "nothing is asked twice"


class Refuses(Script):
    """As a server that answers every request with status 400."""

    def generate(self, request: GenerateRequest) -> str:
        raise evoagent.RequestError("the server answered 400")


def test_a_run_of_which_nothing_came_says_why() -> None:
    role = SCRIPTED | {"options": {"script": f"{__name__}:Refuses"}}
    run = evoagent.run(CONFIG | {"models": {"evolver": role}}, seeds=SEEDS, rounds=1)
    assert list(run.rows()) == []
    assert run.failure is not None
    assert "the server answered 400" in run.failure
    assert run.failure in repr(run)


def test_a_reviewer_decides() -> None:
    asked: list[str] = []

    def review(question: dict[str, Any]) -> Any:
        (candidate,) = question["candidates"]
        asked.append(candidate["id"])
        return {candidate["id"]: "keep" if len(asked) % 2 else {"decision": "reject", "reason": "dull"}}

    run = evoagent.run(CONFIG, seeds=SEEDS, rounds=1, review=review)
    assert len(asked) == 6
    assert (run.summary["survivors"], run.summary["rejected"]) == (3, {"review": 3})


# -- event loops --------------------------------------------------------------------------------------------------


async def test_both_work_where_a_loop_runs() -> None:
    threads: set[threading.Thread] = set()
    blocking = evoagent.run(CONFIG, seeds=SEEDS, out="a", listen=lambda event: threads.add(threading.current_thread()))
    assert threading.main_thread() not in threads
    awaited, beside = await asyncio.gather(
        evoagent.arun(CONFIG, seeds=SEEDS, out="b"), evoagent.arun(CONFIG, seeds=SEEDS, out="c")
    )
    assert dataset(blocking.directory) == dataset(awaited.directory) == dataset(beside.directory)
    rows = evoagent.score(DATA, ["length"], **SCRIPTED)
    assert rows == await evoagent.ascore(DATA, ["length"], **SCRIPTED)
    with pytest.raises(evoagent.ConfigError):
        evoagent.run("quikstart")


async def test_a_cancelled_run_goes_on() -> None:
    whole = await evoagent.arun(CONFIG, seeds=SEEDS, out="whole")
    task: asyncio.Task[evoagent.Run]

    def stop(event: Event) -> None:
        if isinstance(event, NodeStarted) and event.node == "critic":
            task.cancel()

    task = asyncio.create_task(evoagent.arun(CONFIG, seeds=SEEDS, listen=stop))
    with pytest.raises(asyncio.CancelledError):
        await task
    run = await evoagent.arun(CONFIG, seeds=SEEDS, resume="always")
    assert dataset(run.directory) == dataset(whole.directory)


INTERRUPTED = """
import asyncio, evoagent
config, seeds = {config!r}, {seeds!r}
config["models"]["evolver"]["options"] = {{"batch": 1, "delay": 0.1}}

def call():
    try:
        evoagent.run(config, seeds=seeds, out="run", listen=lambda event: print(type(event).__name__, flush=True))
    except KeyboardInterrupt:
        print("interrupted", flush=True)

async def cell():
    call()

{call}
"""


@pytest.mark.parametrize("call", ["call()", "asyncio.run(cell())"])
def test_ctrl_c_keeps_what_is_done(call: str) -> None:
    script = INTERRUPTED.format(config=CONFIG, seeds=SEEDS, call=call)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = iter(process.stdout)
        assert "NodeProgress\n" in lines
        process.send_signal(signal.SIGINT)
        assert list(lines)[-1] == "interrupted\n"
    assert process.returncode == 0
    whole = evoagent.run(CONFIG, seeds=SEEDS, out="whole")
    run = evoagent.run(CONFIG, seeds=SEEDS, out="run", resume="always")
    assert dataset(run.directory) == dataset(whole.directory)
    assert run.summary["requests"] == whole.summary["requests"], "nothing is asked twice"


def test_killed_with_seeds_in_memory() -> None:
    script = INTERRUPTED.format(config=CONFIG, seeds=SEEDS, call="call()")
    whole = evoagent.run(CONFIG, seeds=SEEDS, out="whole")
    for seconds in (0.0, 0.1, 0.4):
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "RunStarted\n"
            time.sleep(seconds)
            process.kill()
    run = evoagent.run(CONFIG, seeds=SEEDS, out="run", resume="always")
    assert dataset(run.directory) == dataset(whole.directory)


# -- score --------------------------------------------------------------------------------------------------------


def test_the_same_scores_as_the_command(command: Callable[..., None], project: Path) -> None:
    (project / "data.jsonl").write_text(dump_rows(DATA))
    options = ("--scorer", "ic_ifd", "--scorer", "length", "--engine", "scripted", "--model", "toy")
    command("score", "data.jsonl", *options, "--out", "command.jsonl")
    expected = [json.loads(line) for line in Path("command.jsonl").read_text().splitlines()]
    scorers = ["ic_ifd", {"length": {}}]
    assert evoagent.score("data.jsonl", scorers, **SCRIPTED) == expected
    assert evoagent.score(iter(DATA), scorers, **SCRIPTED) == expected
    assert expected[1]["score_reasons"].keys() == {"ic_ifd"}
    scored = evoagent.score(DATA, scorers, out="python.jsonl", **SCRIPTED)
    assert Path("python.jsonl").read_bytes() == Path("command.jsonl").read_bytes()
    assert (scored.path, scored.rows, scored.broken, scored.sent) == (Path("python.jsonl"), 3, [], 2)
    assert scored.missing == {"ic_ifd": 2, "length": 1}
    assert evoagent.score(DATA, scorers, out="python.jsonl", **SCRIPTED).cached == 2


WRONG_SCORES: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "scorer": (DATA, ["ic_idf"], {}, "ic_ifd"),
    "scorers": (DATA, "length", {}, "scorers: expected names, .*; found 'length'"),
    "engine": (DATA, ["ic_ifd"], {"engine": "sentence-transformers"}, "the scorers need scorer.loss"),
    "dtype": (DATA, ["length"], {"dtype": "int8"}, "dtype: found 'int8'"),
    "file": ("nowhere.jsonl", ["length"], {}, "nowhere.jsonl: no such file"),
    "no rows": ([], ["length"], {}, "^data: is empty"),
    "folder": (DATA, ["length"], {"out": "."}, "found a folder, expected the name of a file"),
    "input": ("seeds.jsonl", ["length"], {"out": "seeds.jsonl"}, "is read, and would be replaced"),
}


@pytest.mark.parametrize(("data", "scorers", "options", "message"), WRONG_SCORES.values(), ids=list(WRONG_SCORES))
def test_what_is_wrong_with_a_scoring_is_raised(data: Any, scorers: Any, options: Any, message: str) -> None:
    with pytest.raises(evoagent.UserError, match=message):
        evoagent.score(data, scorers, **(SCRIPTED | options))


# -- documentation ------------------------------------------------------------------------------------------------


def test_the_readmes_passage(project: Path) -> None:
    text = README.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text[text.index("## From Python") :].partition("\n## ")[0], re.DOTALL)
    (project / "quickstart.yaml").write_text((project / "toy.yaml").read_text())
    code = code.replace('"quickstart"', '"quickstart.yaml"').replace('["ic_ifd"]', '["ic_ifd"], engine="scripted"')
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_import_stays_light() -> None:
    code = (
        "import sys, evoagent; evoagent.RunConfig; dir(evoagent)\n"
        "heavy = {'torch', 'vllm', 'langgraph', 'sqlalchemy', 'transformers', 'pyarrow'}\n"
        "print(*heavy & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
