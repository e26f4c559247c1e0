"""Plugins: found, told apart, isolated from each other, and made with checked parameters."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field, model_validator

import evoagent
from evoagent import EngineSpec, OperatorSpec, ScorerSpec, hookimpl
from evoagent.config.model import PluginUse, Strict
from evoagent.config.resources import prompts_dir
from evoagent.errors import ConfigError, PluginError
from evoagent.events import RoundFinished, RunFinished, RunStarted
from evoagent.plugins.discovery import Source
from evoagent.plugins.manager import PluginManager
from evoagent.plugins.project import PromptFolder

GOOD = """
from evoagent import OperatorSpec, hookimpl

class Op:
    async def evolve(self, parent, models): ...

@hookimpl
def evoagent_operators():
    yield OperatorSpec(name="{name}", factory=Op, summary="works")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Put a distribution with one module and one entry point on the path, as an installer would."""
    monkeypatch.syspath_prepend(str(tmp_path))
    modules: list[str] = []

    def write(distribution: str, code: str, version: str = "1.0") -> None:
        module = distribution.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[evoagent]\n{distribution}-entry = {module}\n")
        modules.append(module)

    yield write
    for module in modules:
        sys.modules.pop(module, None)


def statuses(manager: PluginManager) -> dict[str, str]:
    strangers = [record for record in manager.records() if record.distribution != "evoagent"]
    return {f"{record.name} ({record.distribution} {record.version})": record.status for record in strangers}


def test_an_installed_plugin_is_found_with_its_distribution(install: Any) -> None:
    install("evo-haiku", GOOD.format(name="haiku"), version="0.3")
    manager = PluginManager().load()
    assert manager.get("operator", "haiku").summary == "works"
    assert statuses(manager) == {"haiku (evo-haiku 0.3)": "ok"}


BROKEN = {
    "import error": ("import no_such_module_here", "does not import: ModuleNotFoundError: No module named"),
    "exits on import": ("import sys; sys.exit(3)", "does not import: SystemExit: 3"),
    "wrong hook": (
        "from evoagent import hookimpl\n@hookimpl\ndef evoagent_operator():\n    yield 1",
        "unknown hook `evoagent_operator`; did you mean `evoagent_operators`?",
    ),
    "wrong signature": (
        "from evoagent import hookimpl\n@hookimpl\ndef evoagent_operators(registry):\n    yield 1",
        "PluginValidationError",
    ),
    "no mark": ("def evoagent_operators():\n    yield 1", "`evoagent_operators` is not marked with @hookimpl"),
    "no hook": ("x = 1", "it implements no hook; expected one of evoagent_engines"),
    "raises": (
        "from evoagent import hookimpl\n@hookimpl\ndef evoagent_operators():\n    raise ValueError('boom')\n    yield",
        "evoagent_operators raised ValueError: boom",
    ),
    "rubbish": (
        "from evoagent import hookimpl\n@hookimpl\ndef evoagent_operators():\n    yield 'haiku'",
        "evoagent_operators: yielded a str, expected a subclass of `Operator` or an OperatorSpec",
    ),
    "nothing": (
        "from evoagent import hookimpl\n@hookimpl\ndef evoagent_operators():\n    return None",
        "evoagent_operators returned a NoneType, expected it to yield classes or specs",
    ),
    "wrong kind": (
        "from evoagent import hookimpl, ScorerSpec\n@hookimpl\ndef evoagent_operators():\n"
        "    yield ScorerSpec(name='x', factory=int)",
        "yielded a ScorerSpec, expected a subclass of `Operator` or an OperatorSpec",
    ),
    "other API": (
        "from evoagent import hookimpl, OperatorSpec\n@hookimpl\ndef evoagent_operators():\n"
        "    yield OperatorSpec(name='x', factory=int, api_version=2)",
        "made for plugin API 2, this evoagent has 1",
    ),
    "bad name": (
        "from evoagent import hookimpl, OperatorSpec\n@hookimpl\ndef evoagent_operators():\n"
        "    yield OperatorSpec(name='No Good', factory=int)",
        "found name 'No Good', expected lower-case letters",
    ),
    "bad factory": (
        "from evoagent import hookimpl, OperatorSpec\n@hookimpl\ndef evoagent_operators():\n"
        "    yield OperatorSpec(name='x', factory=3)",
        "found factory 3, expected a callable",
    ),
    "bad config": (
        "from evoagent import hookimpl, OperatorSpec\n@hookimpl\ndef evoagent_operators():\n"
        "    yield OperatorSpec(name='x', factory=int, config=dict)",
        "expected a pydantic model class",
    ),
    "bad needs": (
        "from evoagent import hookimpl, OperatorSpec\n@hookimpl\ndef evoagent_operators():\n"
        "    yield OperatorSpec(name='x', factory=int, needs=('evolver.shout',))",
        "found needs ('evolver.shout',), expected a tuple of roles with a verb",
    ),
    "aborts on import": ("raise GeneratorExit('no')", "does not import: GeneratorExit: no"),
    "syntax error": ("def f(:\n    pass", "does not import: SyntaxError"),
    "exits": (
        "from evoagent import hookimpl\n@hookimpl\ndef evoagent_operators():\n    raise SystemExit(4)\n    yield",
        "evoagent_operators raised SystemExit: 4",
    ),
    "bad parents": (
        "from evoagent import hookimpl, OperatorSpec\n@hookimpl\ndef evoagent_operators():\n"
        "    yield OperatorSpec(name='x', factory=int, parents='two')",
        "found parents 'two', expected a whole number from 1 to 16",
    ),
    "bad family": (
        "from evoagent import hookimpl, OperatorSpec\n@hookimpl\ndef evoagent_operators():\n"
        "    yield OperatorSpec(name='x', factory=int, family=None)",
        "found family None, expected a short name",
    ),
    "bad looks_at": (
        "from evoagent import hookimpl, RuleSpec\n@hookimpl\ndef evoagent_rules():\n"
        "    yield RuleSpec(name='x', factory=int, looks_at='everything')",
        "found looks_at 'everything', expected 'instruction', 'response' or 'population'",
    ),
    "bad verbs": (
        "from evoagent import hookimpl, EngineSpec\n@hookimpl\ndef evoagent_engines():\n"
        "    yield EngineSpec(name='x', factory=int, verbs={'shout'})",
        "found verbs {'shout'}, expected a set of 'generate', ",
    ),
    "bad suffix": (
        "from evoagent import hookimpl, ExporterSpec\n@hookimpl\ndef evoagent_exporters():\n"
        "    yield ExporterSpec(name='x', factory=int, suffix='/../../x')",
        "found suffix '/../../x', expected one such as '.jsonl'",
    ),
    "hostile": (
        "from evoagent import hookimpl\n"
        "class Hostile:\n    def __repr__(self):\n        raise RuntimeError\n"
        "@hookimpl\ndef evoagent_operators():\n    yield Hostile()",
        "evoagent_operators: yielded a Hostile, expected a subclass of `Operator`",
    ),
    "wrapper": (
        "import pluggy\n"
        "@pluggy.HookimplMarker('evoagent')(wrapper=True)\ndef evoagent_operators():\n    return (yield)",
        "`evoagent_operators` is a hook wrapper",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_recorded_and_the_others_go_on(case: str, install: Any) -> None:
    code, expected = BROKEN[case]
    install("a-good", GOOD.format(name="first"))
    install("broken", code, version="2.1")
    install("z-good", GOOD.format(name="last"))
    manager = PluginManager().load()
    assert manager.get("operator", "first")
    assert manager.get("operator", "last")
    [record] = [record for record in manager.records() if record.distribution == "broken"]
    assert record.version == "2.1"
    assert expected in record.status


def test_what_a_hook_yields_before_it_raises_is_kept(install: Any) -> None:
    install("half", GOOD.format(name="early") + "    raise RuntimeError('late')\n")
    manager = PluginManager().load()
    assert manager.get("operator", "early")
    assert statuses(manager)["half-entry (half 1.0)"] == "evoagent_operators raised RuntimeError: late"


def test_a_duplicate_name_goes_to_the_first_and_the_second_is_told(install: Any) -> None:
    install("b-second", GOOD.format(name="twin"))
    install("a-first", GOOD.format(name="twin"))
    manager = PluginManager().load()
    assert statuses(manager) == {
        "twin (a-first 1.0)": "ok",
        "twin (b-second 1.0)": "the name is taken by operator `twin` of a-first 1.0",
    }


def test_a_built_in_name_cannot_be_taken(install: Any) -> None:
    hook = "@hookimpl\ndef evoagent_scorers():\n    yield ScorerSpec(name='ifd', factory=int)"
    install("thief", f"from evoagent import *\n{hook}")
    manager = PluginManager().load()
    assert "the name is taken by scorer `ifd` of evoagent" in statuses(manager)["ifd (thief 1.0)"]
    assert manager.source(manager.get("scorer", "ifd")).distribution == "evoagent"


@pytest.mark.parametrize("value", ["all", "evo-haiku", "evo_haiku", "other, evo-haiku-entry"])
def test_plugins_can_be_turned_off(value: str, install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    install("evo-haiku", GOOD.format(name="haiku"))
    monkeypatch.setenv("EVOAGENT_DISABLE_PLUGINS", value)
    manager = PluginManager().load()
    assert statuses(manager) == {"evo-haiku-entry (evo-haiku 1.0)": "disabled by EVOAGENT_DISABLE_PLUGINS"}
    assert manager.get("scorer", "ifd")
    with pytest.raises(PluginError, match=r"evo-haiku-entry of evo-haiku 1\.0 might have brought it: disabled by"):
        manager.get("operator", "haiku")


class Words:
    def __init__(self, config: WordsConfig) -> None:
        self.config = config

    async def score(self, candidate: object, models: object) -> None: ...


class Inner(Strict):
    depth: int = 1


class WordsConfig(Strict):
    least: int = Field(1, ge=1)
    share: float = Field(0.5, gt=0, le=1)
    mode: str = Field("all", pattern="^(all|some)$")
    inner: Inner = Inner()


class Explosive(BaseModel):
    @model_validator(mode="before")
    @classmethod
    def _explode(cls, values: Any) -> Any:
        raise KeyError("stranger")


def manager_with(*specs: Any) -> PluginManager:
    """A manager with the scorers `specs` only."""

    class Plugin:
        @hookimpl
        def evoagent_scorers(self) -> Iterator[Any]:
            yield from specs

    manager = PluginManager()
    manager.register(Plugin(), Source("words", "evo-words", "1.2"))
    return manager


WORDS = ScorerSpec(name="words", factory=Words, config=WordsConfig, needs=("scorer.loss",))


def test_parameters_reach_the_plugin() -> None:
    plugin = manager_with(WORDS).build("scorer", PluginUse(name="words", params={"least": 3}))
    assert plugin.config == WordsConfig.model_validate({"least": 3})


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"leest": 2}, ["scorer `words`: leest: unknown key; did you mean `least`?"]),
        ({"least": 0}, ["scorer `words`: least: found 0, expected a number of at least 1"]),
        ({"share": 0}, ["scorer `words`: share: found 0, expected a number above 0.0"]),
        ({"share": 1.5}, ["scorer `words`: share: found 1.5, expected a number of at most 1.0"]),
        ({"least": "many"}, ["scorer `words`: least: found 'many', expected an integer"]),
        ({"mode": "none"}, ["scorer `words`: mode: found 'none', expected a text that matches ^(all|some)$"]),
        ({"inner": {"deep": 1}}, ["scorer `words`: inner.deep: unknown key; did you mean `depth`?"]),
        ({"inner": [1]}, ["scorer `words`: inner: found a list, expected a mapping of keys to values"]),
        (
            {"least": None, "sharing": 1},
            ["scorer `words`: least: found null, expected an integer", "scorer `words`: sharing: unknown key"],
        ),
    ],
)
def test_wrong_parameters_name_key_found_and_expected(params: dict[str, Any], expected: list[str]) -> None:
    with pytest.raises(PluginError) as error:
        manager_with(WORDS).build("scorer", PluginUse(name="words", params=params))
    lines = str(error.value).splitlines()
    assert len(lines) == len(expected)
    assert all(line.startswith(fragment) for line, fragment in zip(lines, expected, strict=True))


@pytest.mark.parametrize(
    ("spec", "params", "expected"),
    [
        (ScorerSpec(name="bare", factory=Words), {"x": 1}, "scorer `bare`: x: unknown key; `bare` takes no parameters"),
        (ScorerSpec(name="bad", factory=Words), {}, "scorer `bad` of evo-words 1.2 cannot be made: TypeError"),
        (ScorerSpec(name="odd", factory=object), {}, "found an object, expected an object with `score`"),
        (ScorerSpec(name="pop", factory=Words, config=WordsConfig, population=True), {}, "with `score_all`"),
        (ScorerSpec(name="boom", factory=Words, config=Explosive), {"x": 1}, "cannot be checked: KeyError"),
    ],
)
def test_a_factory_that_fails_is_told_with_its_distribution(spec: Any, params: dict[str, Any], expected: str) -> None:
    with pytest.raises(PluginError) as error:
        manager_with(spec).build("scorer", PluginUse(name=spec.name, params=params))
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("scorer", "word", "scorer `word` is not known; did you mean `words`?"),
        ("scorer", "zzz", "scorer `zzz` is not known; expected one of words"),
        ("selector", "words", "selector `words` is not known\n  `words` is the name of a scorer"),
    ],
)
def test_an_unknown_name_gets_the_closest(kind: str, name: str, expected: str) -> None:
    with pytest.raises(PluginError) as error:
        manager_with(WORDS).get(kind, name)
    assert str(error.value) == expected


def test_an_unusable_plugin_that_is_named_says_why(install: Any) -> None:
    install("evo-next", BROKEN["other API"][0].replace("'x'", "'next'"))
    with pytest.raises(PluginError, match=r"next of evo-next 1\.0 cannot be used: made for plugin API 2"):
        PluginManager().load().get("operator", "next")


def test_a_broken_hook_is_no_suspect_for_another_kind(install: Any) -> None:
    install("half", GOOD.format(name="early") + "    raise RuntimeError('late')\n")
    manager = PluginManager().load()
    with pytest.raises(PluginError, match=r"half-entry of half 1\.0 might have brought it: evoagent_operators raised"):
        manager.get("operator", "late")
    with pytest.raises(PluginError) as error:
        manager.get("scorer", "late")
    assert "half" not in str(error.value)


def test_observers_are_told_and_cannot_break_a_run(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Any] = []

    class Raises:
        @hookimpl
        def evoagent_run_started(self, event: Any) -> None:
            raise RuntimeError("observer down")

    class Listens:
        @hookimpl
        def evoagent_run_started(self, event: Any) -> None:
            told.append(event)

        @hookimpl
        def evoagent_round_finished(self) -> None:
            told.append("round")

        @hookimpl
        def evoagent_run_finished(self, event: Any) -> None:
            told.append(event.summary)

    manager = PluginManager()
    manager.register(Raises(), Source("raises", "bad", "1"))
    manager.register(Listens(), Source("listens", "good", "1"))
    started = RunStarted("r", "runs/r", False)
    with caplog.at_level(logging.ERROR):
        for event in (started, RoundFinished(1, 2, 1), RunFinished({"survivors": 1})):
            manager.notify(event)
    assert told == [started, "round", {"survivors": 1}]
    assert "plugin bad 1: evoagent_run_started raised" in caplog.text


def test_an_observer_that_exits_hangs_or_is_async_keeps_nobody(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    forever = threading.Event()

    class Exits:
        @hookimpl
        def evoagent_round_finished(self, event: Any) -> None:
            raise SystemExit(3)

    class Hangs:
        @hookimpl
        def evoagent_round_finished(self, event: Any) -> None:
            told.append("hangs")
            forever.wait()

    class Waits:
        @hookimpl
        async def evoagent_round_finished(self, event: Any) -> None:
            told.append("never")

    class Listens:
        @hookimpl
        def evoagent_round_finished(self, event: Any) -> None:
            told.append("listens")

    manager = PluginManager()
    manager.observer_seconds = 0.2
    for observer in (Exits(), Hangs(), Waits(), Listens()):
        name = type(observer).__name__.lower()
        manager.register(observer, Source(name, name, "1"))
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            manager.notify(RoundFinished(1, 2, 1))
    forever.set()
    assert told == ["hangs", "listens", "listens"], "who did not return is not told again"
    assert "plugin exits 1: evoagent_round_finished raised" in caplog.text
    assert "plugin hangs 1: evoagent_round_finished has not returned for 0.2 s" in caplog.text
    assert "plugin waits 1: evoagent_round_finished is async, and is not run" in caplog.text


def test_what_a_plugin_prints_while_it_loads_is_no_data(install: Any, capsys: pytest.CaptureFixture[str]) -> None:
    install("loud", "print('imported')\n" + GOOD.format(name="loud") + "    print('hooked')\n")
    manager = PluginManager().load()
    manager.build("operator", PluginUse(name="loud"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "imported\nhooked\n"


def test_the_owner_of_a_module_is_the_distribution_that_brought_it(install: Any) -> None:
    install("evo-haiku", GOOD.format(name="haiku"), version="0.3")
    manager = PluginManager().load()
    assert manager.owner("evo_haiku") == manager.owner("evo_haiku.deep.inside") == "evo-haiku 0.3"
    assert manager.owner("evo_haiku_other") == manager.owner("evoagent.operators.prompt") == manager.owner("json") == ""
    assert manager.label(manager.get("operator", "haiku")) == "evo-haiku 0.3"
    assert manager.label(manager.get("scorer", "ifd")) == ""


class Bare:
    """An engine that is not quite one."""

    def __init__(self, **fields: Any) -> None:
        self.identity, self.capabilities, self.lanes = "bare", {"generate"}, {}
        self.__dict__.update(fields)

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def generate(self, requests: Any) -> None: ...


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"identity": None}, "found identity None, expected a text"),
        ({"capabilities": {"generate", "loss"}}, "expected a set of the verbs that it has"),
        ({"lanes": None}, "found lanes None, expected a Lane for each verb"),
        ({"lanes": {"generate": 3}}, "expected a Lane for each verb"),
        ({"close": None}, "expected an object with `close`"),
    ],
)
def test_an_engine_is_looked_at_before_a_run_relies_on_it(fields: dict[str, Any], expected: str) -> None:
    class Plugin:
        @hookimpl
        def evoagent_engines(self) -> Iterator[Any]:
            yield EngineSpec(name="bare", factory=lambda *_: Bare(**fields))

    manager = PluginManager()
    manager.register(Plugin(), Source("bare", "evo-bare", "1.2"))
    with pytest.raises(PluginError) as error:
        manager.build("engine", PluginUse(name="bare"))
    assert str(error.value).startswith("engine `bare` of evo-bare 1.2: ")
    assert expected in str(error.value)


def test_a_project_folder_of_prompts_brings_operators(tmp_path: Path) -> None:
    shipped = (prompts_dir() / "constraints.md").read_text()
    (tmp_path / "mine.md").write_text(shipped.replace("name: constraints", "name: mine"))
    manager = PluginManager().load()
    manager.add(PromptFolder(tmp_path), "prompts")
    assert manager.build("operator", PluginUse(name="mine"))
    manager.forget_project()
    with pytest.raises(PluginError):
        manager.get("operator", "mine")
    (tmp_path / "twin.md").write_text(shipped)
    with pytest.raises(ConfigError, match="constraints: the name is taken by operator `constraints` of evoagent"):
        manager.add(PromptFolder(tmp_path), "prompts")


BUILT_IN = {
    "operator": {"constraints", "deepening", "concretising", "reasoning", "complicate-input", "breadth"},
    "scorer": {"ifd", "ifd_ppl", "ic_ifd", "instruction_loss", "difficulty", "embedding_diversity", "length"},
    "rule": {
        "extracted",
        "unchanged",
        "truncated",
        "length_ratio",
        "language",
        "template_leak",
        "repetition",
        "not_an_instruction",
        "drift",
        "no_information_gain",
        "refusal",
        "empty_response",
        "near_duplicate",
        "relevance",
        "missing_input",
    },
    "selector": {"all", "threshold", "top"},
    "engine": {"vllm", "transformers", "openai", "sentence-transformers", "scripted"},
    "exporter": {"alpaca", "sharegpt", "messages", "parquet", "preference"},
}


@pytest.mark.parametrize("kind", BUILT_IN)
def test_the_built_in_plugins_come_by_the_same_path(kind: str) -> None:
    manager = PluginManager().load()
    assert [record for record in manager.records() if record.distribution == "evoagent" and record.status != "ok"] == []
    specs = manager.specs(kind)
    assert {spec.name for spec in specs} == BUILT_IN[kind], "README and docs list them too"
    assert [spec.name for spec in specs] == sorted(spec.name for spec in specs)
    assert all(spec.summary for spec in specs)


@pytest.mark.parametrize("kind", ["operator", "scorer", "rule", "selector", "exporter"])
def test_every_built_in_plugin_can_be_made(kind: str) -> None:
    manager = PluginManager().load()
    for spec in manager.specs(kind):
        required = {"threshold": {"by": "ifd", "min": 0.5}, "top": {"by": "ifd", "share": 0.25}}
        assert manager.create(spec, required.get(spec.name, {})) is not None


def test_listing_imports_no_heavy_library() -> None:
    code = (
        "import sys, json; from evoagent.plugins.manager import PluginManager; PluginManager().load().records();"
        "heavy = 'torch transformers vllm sentence_transformers langgraph sklearn sqlalchemy datasets pyarrow aiohttp "
        "faiss scipy rouge_score'.split();"
        "print(json.dumps([name for name in heavy if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_the_public_names_are_all_there() -> None:
    assert all(getattr(evoagent, name) is not None for name in evoagent.__all__)
    assert set(evoagent._HOME) | {"__version__"} == set(evoagent.__all__)
    assert evoagent.OperatorSpec is OperatorSpec
    with pytest.raises(AttributeError, match="no attribute 'Operater'"):
        evoagent.Operater  # noqa: B018
