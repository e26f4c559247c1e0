"""What decides an operator's output has changed between two runs of a directory: nothing old is taken for new."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from evoagent.errors import EngineError, UserError
from evoagent.events import Event, Notice
from evoagent.models.engines.scripted import ScriptedEngine
from evoagent.plugins.manager import PluginManager
from evoagent.runs.config_file import load_config
from evoagent.runs.driving import run_graph
from evoagent.runs.opening import open_run

from .conftest import Mortal

PROMPT = """---
name: {name}
family: depth
method: asks for more
---
Rewrite {word}: {{{{ instruction }}}}
"""

MODULE = """
import evoagent
from evoagent import Evolution, Operator

class Mine(Operator):
    "mine"
    name = "mine"
    needs = ("evolver.generate",)
    async def evolve(self, parent, models):
        draft = await models.evolver.generate(parent.instruction)
        return Evolution(draft.text + " {word}")

@evoagent.hookimpl
def evoagent_operators():
    yield Mine
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Mortal, "left", 1_000_000)
    monkeypatch.setattr(sys, "path", list(sys.path))  # where the module lies is added to it
    (tmp_path / "prompts").mkdir()
    write(tmp_path, "harder")
    rows = [{"instruction": f"Describe thing {n}.", "output": f"Thing {n} is blue."} for n in range(30)]
    (tmp_path / "seeds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def write(folder: Path, word: str) -> None:
    (folder / "prompts" / "ask.md").write_text(PROMPT.format(name="ask", word=word))
    (folder / "mine.py").write_text(MODULE.format(word=word))
    sys.modules.pop("mine", None)


Run = Callable[..., Any]


@pytest.fixture
def run(folder: Path) -> Run:
    async def start(out: str, operator: str, told: list[str] | None = None, person: Any = None, **more: Any) -> bytes:
        options = {"script": f"{Mortal.__module__}:Mortal", "batch": 4}
        values = {
            "seeds": {"path": "seeds.jsonl"},
            "models": {
                "evolver": {"engine": "scripted", "model": "toy", "options": options, "sampling": {"temperature": 0.7}}
            },
            "evolver": {"operators": [operator], "prompts": "prompts", "style": "plain"},
            "eliminator": {"rules": ["extracted"]},
            "stop": {"rounds": 2},
            "plugins": ["mine"],
            "window": 8,
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(values | more))
        manager = PluginManager().load()
        loaded = load_config(folder / "config.yaml", {}, manager)

        def listen(event: Event) -> None:
            if isinstance(event, Notice) and told is not None:
                told.append(event.message)

        async with open_run(loaded.config, loaded.base, folder / out, manager, listen=listen) as context:
            await run_graph(context, person)
        return (folder / out / "dataset" / "train.jsonl").read_bytes()

    return start


def versions(directory: Path) -> set[str]:
    """Of the candidates of the newest run."""
    with closing(sqlite3.connect(directory / "ledger.db")) as ledger:
        newest = "select id from runs order by number desc limit 1"
        return {version for (version,) in ledger.execute(f"select version from candidates where run_id = ({newest})")}


@pytest.mark.parametrize("operator", ["ask", "mine"])
@pytest.mark.parametrize("answered", [17, 75])
async def test_edited_between_kill_and_resume(folder: Path, run: Run, operator: str, answered: int) -> None:
    Mortal.left = answered
    with pytest.raises(EngineError):
        await run("run", operator)
    old = versions(folder / "run")
    Mortal.left = 1_000_000
    write(folder, "rarer")
    told: list[str] = []
    resumed = await run("run", operator, told)
    assert [f"operator {operator}" in line for line in told if "changed since the run before" in line] == [True]
    new = versions(folder / "run")
    assert len(old) == len(new) == 1
    assert old != new, "no candidate of this run is of the old version"
    assert resumed == await run("fresh", operator), "the dataset of a run that knows the new version only"
    assert new.pop() in (folder / "run" / "dataset" / "README.md").read_text()


@pytest.mark.parametrize("kind", ["beside", "package", "data", "factory"])
async def test_what_the_module_uses_is_edited(folder: Path, run: Run, kind: str) -> None:
    """A helper beside a module, one elsewhere in its package, a text that it reads, a class of evoagent's own."""
    module = MODULE.replace('" {word}"', '" " + word.WORD')
    if kind == "beside":
        name, edited, before = "mine", "word.py", "WORD = 'old'"
        (folder / "mine.py").write_text("import word\n" + module)
    elif kind == "factory":
        name, edited = "mine", "mine.py"
        text = (
            "import evoagent\nfrom evoagent import OperatorSpec\nfrom evoagent.operators.prompt import PromptOperator\n"
            "from evoagent.prompts.prompt_file import load_prompt_file\nfrom pathlib import Path\n"
            "FILE = Path(__file__).parent / 'prompts' / 'ask.md'\n"
            "@evoagent.hookimpl\ndef evoagent_operators():\n"
            "    made = lambda: PromptOperator(load_prompt_file(FILE))\n"
            "    yield OperatorSpec(name='mine', factory=made, summary='{}')\n"
        )
        before = text.format("old")
    else:
        name, edited = "pk.ops.mine", "pk/util.py" if kind == "package" else "pk/word.tmpl"
        (folder / "pk" / "ops").mkdir(parents=True)
        for place in ("pk", "pk/ops"):
            (folder / place / "__init__.py").write_text("")
        read = "from types import SimpleNamespace\nfrom pathlib import Path\n"
        read += "word = SimpleNamespace(WORD=(Path(__file__).parents[1] / 'word.tmpl').read_text())\n"
        (folder / "pk" / "ops" / "mine.py").write_text(
            ("import pk.util as word\n" if kind == "package" else read) + module
        )
        before = "WORD = 'old'" if kind == "package" else "old"

    def forget() -> None:
        for loaded in [each for each in sys.modules if each in ("mine", "word") or each.partition(".")[0] == "pk"]:
            del sys.modules[loaded]

    forget()
    (folder / edited).write_text(before)
    Mortal.left = 45
    with pytest.raises(EngineError):
        await run("run", "mine", plugins=[name])
    old = versions(folder / "run")
    Mortal.left = 1_000_000
    forget()
    (folder / edited).write_text(before.replace("old", "newer"))
    told: list[str] = []
    resumed = await run("run", "mine", told, plugins=[name])
    assert any("operator mine" in line for line in told)
    assert not versions(folder / "run") & old
    assert resumed == await run("fresh", "mine", plugins=[name])
    forget()


async def test_old_code_in_this_process_keeps_its_old_version(folder: Path, run: Run) -> None:
    await run("run", "mine")
    old = versions(folder / "run")
    (folder / "mine.py").write_text(MODULE.format(word="rarer"))  # not imported anew
    await run("again", "mine")
    assert versions(folder / "again") == old


async def test_another_spelling_of_a_folder_is_no_change(folder: Path, run: Run) -> None:
    first = await run("run", "ask")
    told: list[str] = []
    evolver = {"operators": ["ask"], "prompts": "./prompts", "style": "plain"}
    assert await run("run", "ask", told, evolver=evolver) == first
    assert not [line for line in told if "changed" in line]


async def test_nothing_changed_goes_on(folder: Path, run: Run) -> None:
    Mortal.left = 17
    with pytest.raises(EngineError):
        await run("run", "ask")
    Mortal.left = 1_000_000
    told: list[str] = []
    assert await run("run", "ask", told) == await run("fresh", "ask")
    assert not [line for line in told if "changed" in line]
    with closing(sqlite3.connect(folder / "run" / "ledger.db")) as ledger:
        assert ledger.execute("select count(*) from runs").fetchone() == (1,)


async def test_other_parameters_of_the_model_folder(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def revised(revision: str) -> None:
        original = ScriptedEngine.__init__

        def init(self: ScriptedEngine, *args: Any) -> None:
            original(self, *args)
            self.identity = f"toy@{revision}:scripted"

        monkeypatch.setattr(ScriptedEngine, "__init__", init)

    revised("one")
    Mortal.left = 17
    with pytest.raises(EngineError):
        await run("run", "ask")
    with closing(sqlite3.connect(folder / "run" / "ledger.db")) as ledger:
        old = {id for (id,) in ledger.execute("select id from candidates")}
    revised("two")
    Mortal.left = 1_000_000
    told: list[str] = []
    resumed = await run("run", "ask", told)
    assert any("models.evolver" in line for line in told)
    ids = {json.loads(line)["id"] for line in resumed.splitlines()}
    assert ids
    assert not ids & old
    assert resumed == await run("fresh", "ask")


async def test_a_review_holds_for_what_was_shown(folder: Path, run: Run) -> None:
    shown: list[str] = []

    def keep(question: dict[str, Any]) -> Any:
        shown.extend(item["evolved"] for item in question["candidates"])
        return {item["id"]: "keep" for item in question["candidates"]}

    more = {"review": True, "critic": {"screen": False}, "stop": {"rounds": 1}}
    await run("run", "mine", person=keep, **more)
    first = len(shown)
    assert first == 30
    await run("run", "mine", person=keep, **more)
    assert len(shown) == first, "nobody is asked the same twice"
    write(folder, "rarer")
    await run("run", "mine", person=keep, **more)
    assert len(shown) == 2 * first, "another text is another question"
    assert all(text.endswith("rarer") for text in shown[first:])
    with pytest.raises(UserError, match="belongs to another run"):
        await run("run", "ask", person=keep, **more)
