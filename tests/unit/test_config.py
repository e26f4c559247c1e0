"""Configuration files: overrides, line numbers, every error at once, and the projects that `init` writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import ValidationError
from typer.testing import CliRunner

from evoagent import EngineSpec, OperatorSpec, ScorerSpec, SelectorSpec, hookimpl
from evoagent.cli.init import init, write_project
from evoagent.cli.validate import validate
from evoagent.config.identity import decisions, fingerprint
from evoagent.config.model import NO_ROLES, ROLES, Strict
from evoagent.config.problems import problems_of
from evoagent.config.resources import configs_dir
from evoagent.errors import ConfigError, UserError
from evoagent.models.engines.openai import OpenAIOptions
from evoagent.models.roles import Models
from evoagent.plugins.discovery import Source
from evoagent.plugins.manager import PluginManager
from evoagent.runs.config_file import load_config, scenarios

BASE = """\
seeds: {path: seeds.jsonl}
models:
  evolver: {engine: talker, model: m}
evolver:
  operators:
    - deepening
    - constraints: {words: 5}
critic:
  scorers: [length]
"""


class OperatorConfig(Strict):
    words: int = 10


class EngineConfig(Strict):
    device: str = "cpu"


class Toys:
    """Light stand-ins for the built-in plugins."""

    @hookimpl
    def evoagent_operators(self) -> Iterator[OperatorSpec]:
        for name in ("deepening", "constraints", "breadth"):
            yield OperatorSpec(name=name, factory=object, config=OperatorConfig, needs=("evolver.generate",))

    @hookimpl
    def evoagent_scorers(self) -> Iterator[ScorerSpec]:
        yield ScorerSpec(name="length", factory=object)
        yield ScorerSpec(name="ic_ifd", factory=object, needs=("scorer.loss",))
        yield ScorerSpec(name="diversity", factory=object, needs=("embedder.embed",))
        yield ScorerSpec(name="second-view", factory=object, needs=("second.choose",))

    @hookimpl
    def evoagent_selectors(self) -> Iterator[SelectorSpec]:
        yield SelectorSpec(name="all", factory=object)

    @hookimpl
    def evoagent_engines(self) -> Iterator[EngineSpec]:
        yield EngineSpec(name="talker", factory=object, verbs=frozenset({"generate"}), config=EngineConfig)
        yield EngineSpec(
            name="server",
            factory=object,
            config=EngineConfig,
            verbs=frozenset({"generate"}),
            verbs_of=lambda options: frozenset({"generate", "loss"} if options.device == "gpu" else {"generate"}),
        )
        yield EngineSpec(name="embeds", factory=object, verbs=frozenset({"embed"}))


@pytest.fixture
def manager() -> PluginManager:
    manager = PluginManager()
    manager.register(Toys(), Source("toys", "toys", "1.0"))
    return manager


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "run.yaml"
    path.write_text(BASE)
    return Path("run.yaml")


def errors(source: str | Path, manager: PluginManager, overrides: Any = ()) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load_config(source, overrides, manager)
    assert error.value.exit_code == 2
    return str(error.value).splitlines()


def test_a_file_loads_with_its_folder_as_base(file: Path, manager: PluginManager) -> None:
    loaded = load_config(file, (), manager)
    assert loaded.config.evolver.operators[1].params == {"words": 5}
    assert loaded.base == Path.cwd()
    assert loaded.text == BASE
    assert loaded.output_dir == Path.cwd() / "runs"


@pytest.mark.parametrize(
    ("overrides", "path", "expected"),
    [
        (["stop.rounds=7"], "stop.rounds", 7),
        (["stop.minutes=null", "stop.rounds=1"], "stop.minutes", None),
        (["name=abc"], "name", "abc"),
        (["evolver.operators.0=breadth"], "evolver.operators.0.name", "breadth"),
        (["evolver.operators.2=breadth"], "evolver.operators.2.name", "breadth"),
        (["evolver.operators=[breadth]"], "evolver.operators.0.name", "breadth"),
        (["evolver.operators.1.constraints.words=9"], "evolver.operators.1.params", {"words": 9}),
        (["evolver.operators.constraints.constraints.words=9"], "evolver.operators.1.params", {"words": 9}),
        (["evolver.operators.0.deepening.words=3"], "evolver.operators.0.params", {"words": 3}),
        (["models.evolver.sampling.temperature=0.3"], "models.evolver.sampling.temperature", 0.3),
        (["models.judge.sampling.max_tokens=8"], "models.judge.use", "evolver"),
        (["models.judge=responder", "models.judge.sampling.max_tokens=8"], "models.judge.use", "responder"),
        (["models.second=judge"], "models.second.use", "judge"),
        (["models.second.sampling.max_tokens=8"], "models.second.use", "evolver"),
        (["models.second.engine=talker", "models.second.model=big"], "models.second.model", "big"),
        (["seeds.path=a=b.jsonl"], "seeds.path", "a=b.jsonl"),
        (["stop.survivors="], "stop.survivors", None),
        ({"seeds.limit": 4, "stop.rounds": 1}, "seeds.limit", 4),
        (["stages=[{name: a}, {name: b}]", "stages.b.stop.rounds=4"], "stages.1.stop.rounds", 4),
        (["stages=[{name: a}]", "stages.1.name=b"], "stages.1.name", "b"),
    ],
)
def test_overrides_reach_their_key(
    file: Path, manager: PluginManager, overrides: Any, path: str, expected: Any
) -> None:
    found: Any = load_config(file, overrides, manager).config.model_dump()
    for step in path.split("."):
        found = found[int(step) if step.isdecimal() else step]
    assert found == expected


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["stop.rounds"], "--set stop.rounds: expected KEY=VALUE such as stop.rounds=2"),
        (["=3"], "--set found an empty key, expected KEY=VALUE"),
        (["stop..rounds=3"], "--set stop..rounds: found an empty key"),
        (["stop.round=3"], "--set stop.round: unknown key; did you mean `rounds`?"),
        (["evolver.sample=3"], "--set evolver.sample: unknown key; did you mean `samples`?"),
        (["evolver.samples=0"], "--set evolver.samples: found 0, expected a number of at least 1"),
        (["evolver.operators.0=deepenin"], "--set evolver.operators.0: operator `deepenin` is not known; did you mean"),
        (["evolver.operators.7=breadth"], "--set evolver.operators.7: `7` is not in the list of 2"),
        (["evolver.operators.0.deepening.word=1"], "--set evolver.operators.0.deepening.word: unknown key; did you"),
        (
            ["stages=[{name: a}]", "stages.name.stop.rounds=3"],
            "--set stages.name.stop.rounds: `name` is not in the list",
        ),
        (["seed.x=1"], "--set seed: found a mapping, expected an integer"),
        (["seeds.path.x=1"], "--set seeds.path.x: found 'seeds.jsonl' where `x` should go, expected a mapping"),
        (["stop.rounds=[1"], "--set stop.rounds: column 3: not valid YAML"),
        ({"stop.round": 3}, "overrides stop.round: unknown key; did you mean `rounds`?"),
    ],
)
def test_wrong_overrides_are_told(file: Path, manager: PluginManager, overrides: Any, expected: str) -> None:
    [line] = errors(file, manager, overrides)
    assert line.startswith(expected)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "  operators:",
            "  operatorz:",
            ["4: evolver.operators: missing", "5: evolver.operatorz: unknown key; did you mean `operators`?"],
        ),
        (
            "- deepening",
            "- deepenin",
            ["6: evolver.operators.0: operator `deepenin` is not known; did you mean `deepening`?"],
        ),
        ("words: 5", "word: 5", ["7: evolver.operators.1.constraints.word: unknown key; did you mean `words`?"]),
        ("words: 5", "words: many", ["7: evolver.operators.1.constraints.words: found 'many', expected an integer"]),
        ("constraints: {words: 5}", "deepening", ["7: evolver.operators.1: operator `deepening` is given twice"]),
        ("- deepening", "- 3", ["6: evolver.operators.0: expected a plugin's name, or one `name: {parameter: value}`"]),
        (
            "engine: talker",
            "engine: talkr",
            ["3: models.evolver.engine: engine `talkr` is not known; did you mean `talker`?"],
        ),
        (
            "model: m}",
            "model: m, options: {devise: gpu}}",
            ["3: models.evolver.options.devise: unknown key; did you mean `device`?"],
        ),
        ("engine: talker, ", "", ["3: models.evolver: expected `engine` and `model`, or `use`"]),
        (
            "[length]",
            "[ic_ifd]",
            ["9: critic.scorers.0: scorer `ic_ifd` needs scorer.loss, but engine `talker` has only generate"],
        ),
        (
            "[length]",
            "[diversity]",
            ["9: critic.scorers.0: scorer `diversity` needs embedder.embed, but `models.embedder` is not given"],
        ),
        (
            "engine: talker",
            "engine: embeds",
            [
                "2: models.responder: the critic needs responder.generate, but engine `embeds` has only embed",
                "6: evolver.operators.0: operator `deepening` needs evolver.generate, but engine `embeds`",
                "7: evolver.operators.1: operator `constraints` needs evolver.generate",
            ],
        ),
        (
            "seeds: {path",
            "seed: -1\nseeds: {limit: 0, path",
            [
                "1: seed: found -1, expected a number of at least 0",
                "2: seeds.limit: found 0, expected a number of at least 1",
            ],
        ),
        ("seeds:", "seedz:", ["1: seeds: missing", "1: seedz: unknown key; did you mean `seed` or `seeds`?"]),
        ("critic:", "seed: 1\nseed: 2\ncritic:", ["9: key `seed` is given twice, first in line 8"]),
        ("scorers:", "on: 1\n  scorers:", ["9: found key on, which YAML reads as bool, expected a text"]),
        ("critic:", "stop: {minutes: .inf}\ncritic:", ["8: found .inf, expected a finite number"]),
        (
            "critic:",
            "stop: {rounds: null}\ncritic:",
            ["8: stop: expected at least one bound: rounds, candidates, tokens or minutes"],
        ),
        ("critic:", "name: 2024-01-01\ncritic:", ["8: name: found 2024-01-01, expected a text"]),
        (
            "critic:",
            "output: !!python/object/apply:os.system [ls]\ncritic:",
            ["8: column 9: not valid YAML: could not determine a constructor"],
        ),
        ("[length]", "[length", ["10: column 1: not valid YAML"]),
        ("critic:", "\tcritic:", ["8: column 1: not valid YAML"]),
        (
            "critic:",
            "plugins: [no_such_module_x]\ncritic:",
            ["8: plugins.0: module `no_such_module_x` does not import"],
        ),
        ("operators:", "prompts: nowhere\n  operators:", ["5: evolver.prompts: "]),
    ],
)
def test_errors_name_file_line_key_found_and_expected(
    file: Path, manager: PluginManager, old: str, new: str, expected: list[str]
) -> None:
    assert BASE.count(old) == 1
    file.write_text(BASE.replace(old, new))
    lines = errors(file, manager)
    assert len(lines) == len(expected), lines
    assert all(line.startswith(f"run.yaml:{fragment}") for line, fragment in zip(lines, expected, strict=True)), lines


def test_what_an_engine_can_do_may_depend_on_its_options(file: Path, manager: PluginManager) -> None:
    file.write_text(BASE.replace("[length]", "[ic_ifd]").replace("talker", "server"))
    [line] = errors(file, manager)
    assert line.endswith("scorer `ic_ifd` needs scorer.loss, but engine `server` has only generate")
    assert load_config(file, ["models.evolver.options.device=gpu"], manager)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("eliminator.selector={top: {by: ic_idf, share: 0.5}}", "`ic_idf` is not among critic.scorers; did you mean"),
        ("eliminator.rules.14.near_duplicate.by=lenght", "`lenght` is not among critic.scorers; expected one of"),
    ],
)
def test_a_score_that_nothing_computes_is_refused(override: str, expected: str) -> None:
    [line] = errors("quickstart", PluginManager().load(), [override])
    assert expected in line


def test_all_errors_come_at_once(file: Path, manager: PluginManager) -> None:
    file.write_text(BASE.replace("deepening", "deepenin").replace("words: 5", "words: x").replace("path:", "pat:"))
    lines = errors(file, manager, ["stop.round=1"])
    places = [line.split(": ")[0] for line in lines]
    assert places == ["--set stop.round", "run.yaml:1", "run.yaml:1", "run.yaml:6", "run.yaml:7"]


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "run.yaml: is empty, expected a configuration"),
        (b" \n\n", "run.yaml: is empty, expected a configuration"),
        (b"# nothing\n", "run.yaml:1: found nothing, expected YAML"),
        (b"PK\x03\x04\0\0", "run.yaml: is a binary file, expected YAML"),
        (b"seed: 1\nname: \xff\xfe", "run.yaml:2: found bytes that are not UTF-8"),
        (b"- a\n- b\n", "run.yaml:1: expected keys and values such as `seed: 0`"),
        (b"just text", "run.yaml:1: expected keys and values such as `seed: 0`"),
        (b"password: hunter2\ntoken: abc\n", "run.yaml:1: expected keys and values such as `seed: 0`"),
        (b"seed: 1\n---\nseed: 2\n", "run.yaml:2: column 1: not valid YAML: but found another document"),
        (b"? [a, b]\n: 1\n", "run.yaml:1: found a list or mapping as a key"),
        (b"a: " + b"[" * 3000, "run.yaml:1: "),
        (b"a: &x [*x]\n", "run.yaml:1: found more than 40 levels"),
        (BOMB.encode(), "found more than 20000 values, aliases counted each time"),
        (b"x: " + b"y" * 300_000, "run.yaml:1: found 300003 characters, expected at most 262144"),
        (b"seed: " + b"9" * 5000, "run.yaml:1: not valid YAML: Exceeds the limit"),
    ],
)
def test_files_that_are_no_configuration(file: Path, manager: PluginManager, content: bytes, expected: str) -> None:
    file.write_bytes(content)
    [line] = errors(file, manager)
    assert expected in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('output: {dir: "a\\0b"}', "run.yaml:10: output.dir: found NUL or half a surrogate pair, expected a path"),
        ('output: {dir: "a\\ud800"}', "run.yaml:10: output.dir: found NUL or half a surrogate pair, expected a path"),
        ("output: {dir: ~nosuchuser/x}", "run.yaml:10: output.dir: found '~nosuchuser/x': there is no home folder"),
    ],
)
def test_paths_that_cannot_be(file: Path, manager: PluginManager, text: str, expected: str) -> None:
    file.write_text(BASE + text)
    [line] = errors(file, manager)
    assert line.startswith(expected)


def test_paths_that_are_no_file(file: Path, manager: PluginManager) -> None:
    Path("project").mkdir()
    assert errors("project", manager) == ["project: found a folder, expected a configuration file"]
    Path("project/config.yaml").write_text(BASE)
    assert errors("project", manager)[0].endswith("did you mean project/config.yaml?")
    assert errors("no.yaml", manager)[0].startswith("no.yaml: no such file or directory, and not the name of a shipped")
    assert errors("quickstrat", manager)[0].endswith("did you mean `quickstart`?")
    assert "x" * 400 in errors("x" * 400, manager)[0]
    assert errors("/dev/null", manager) == [
        "/dev/null: found something that is no regular file, expected a configuration file"
    ]


def test_anchors_share_text_but_not_values(file: Path, manager: PluginManager) -> None:
    file.write_text(
        BASE.replace(
            "{engine: talker, model: m}",
            "&m {engine: talker, model: m}\n  judge: {<<: *m}\n  embedder: {engine: embeds, model: e}",
        )
    )
    config = load_config(file, ["models.judge.model=other"], manager).config
    assert (config.models.evolver.model, config.models.judge.model) == ("m", "other")


NAMED = BASE.replace(
    "model: m}",
    "model: m, sampling: {temperature: 0.9, max_tokens: 7}}\n  second: {engine: server, model: big}\n"
    "  small-2: {use: second, sampling: {temperature: 0.2}}\n  third: evolver",
)


def test_roles_have_any_names_and_share_models(file: Path, manager: PluginManager) -> None:
    file.write_text(NAMED)
    models = load_config(file, (), manager).config.models
    assert models.roles == ("evolver", "responder", "judge", "scorer", "embedder", "second", "small-2", "third")
    found: list[Any] = [models.resolve(role) for role in ("second", "small-2", "third")]
    assert [each.model for each in found] == ["big", "big", "m"]
    assert [each.sampling.temperature for each in found] == [0.0, 0.2, 0.0]
    assert found[2].sampling.max_tokens == 7
    assert models.resolve("fourth") is None


def test_named_roles_are_part_of_what_a_run_is_but_for_their_options(file: Path, manager: PluginManager) -> None:
    file.write_text(NAMED)
    marks = [
        (fingerprint(config), decisions(config, {}))
        for overrides in ((), ["models.second.options.device=gpu"], ["models.second.model=other"], ["models.x=judge"])
        for config in [load_config(file, overrides, manager).config]
    ]
    assert marks[0] == marks[1]
    assert len({mark for mark, _ in marks}) == len({mark for _, mark in marks}) == 3


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("third", "Third", "2: models: found the role 'Third', expected a name of lower-case letters"),
        ("third", "draw", "2: models: found the role 'draw', expected a name"),
        ("third", "judgee", "6: models.judgee: no plugin asks for this role; did you mean `judge`?"),
        (
            "use: second",
            "use: secnd",
            "2: models: small-2: `use: secnd` is no role; expected one of evolver, responder",
        ),
        ("third: evolver", "third: third", "2: models: third: `use` goes round in a circle"),
        ("third: evolver", "third: embedder", "2: models: third: `use: embedder` names a role that has no model"),
        ("third: evolver", "third: {engine: talkr, model: m}", "6: models.third.engine: engine `talkr` is not known"),
        ("third: evolver", "third: {engine: talker}", "6: models.third: expected `engine` and `model`, or `use`"),
        ("third: evolver", "third:", "6: models.third: found null, expected a mapping"),
        (
            "engine: server, model: big",
            "engine: server, model: big, options: {devise: gpu}",
            "4: models.second.options.devise: unknown key; did you mean `device`?",
        ),
        (
            "[length]",
            "[second-view]",
            "12: critic.scorers.0: scorer `second-view` needs second.choose, but engine `server` has only generate",
        ),
    ],
)
def test_a_role_that_is_wrong_is_told_with_its_line(
    file: Path, manager: PluginManager, old: str, new: str, expected: str
) -> None:
    assert NAMED.count(old) == 1
    file.write_text(NAMED.replace(old, new))
    [line] = errors(file, manager)
    assert line.startswith(f"run.yaml:{expected}")


def test_a_need_is_met_by_a_role_of_its_name_and_by_losses(file: Path, manager: PluginManager) -> None:
    overrides = ["critic.scorers=[second-view]", "models.scond=judge"]
    [line] = errors(file, manager, overrides)
    assert line.endswith(
        "scorer `second-view` needs second.choose, but `models.second` is not given; did you mean `scond`?"
    )
    assert load_config(file, [*overrides, "models.second={engine: server, model: m, options: {device: gpu}}"], manager)


def test_what_models_has_beside_its_roles_is_no_role() -> None:
    assert {name for name in vars(Models) if not name.startswith("_")} == {*ROLES, *NO_ROLES}


@pytest.mark.parametrize("name", ["quickstart", "evol-instruct"])
def test_shipped_scenarios_are_valid_and_every_key_is_commented(name: str) -> None:
    loaded = load_config(name)
    assert loaded.shipped
    assert loaded.config.name == name
    assert loaded.output_dir == Path.cwd() / "runs"
    assert (loaded.base / loaded.config.seeds.path).is_file()
    keys = [line for line in loaded.text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    bare = [line for line in keys if " # " not in line]
    assert bare == []


def test_shipped_scenarios_are_listed() -> None:
    assert {"quickstart", "evol-instruct"} <= set(scenarios())


APP = typer.Typer()
APP.command()(init)
APP.command()(validate)


def test_init_writes_a_project_that_is_valid(tmp_path: Path) -> None:
    done = CliRunner().invoke(APP, ["init", str(tmp_path / "sub" / "my project")])
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    folder = tmp_path / "sub" / "my project"
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == [
        ".gitignore",
        "README.md",
        "config.yaml",
        "langgraph.json",
        "prompts/my-constraints.md",
        "seeds/seeds.jsonl",
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["my project"]
    loaded = load_config(folder / "config.yaml")
    assert loaded.config.name == "my-project"
    assert "my-constraints" in [use.name for use in loaded.config.evolver.operators]
    shipped = configs_dir() / "seeds" / "quickstart.jsonl"
    assert (loaded.base / loaded.config.seeds.path).read_text() == shipped.read_text()


def test_init_takes_an_empty_folder_and_refuses_others(tmp_path: Path) -> None:
    empty, full, plain = tmp_path / "empty", tmp_path / "full", tmp_path / "plain"
    empty.mkdir()
    full.mkdir()
    (full / "thesis.tex").write_text("years of work")
    plain.write_text("x")
    inode = empty.stat().st_ino
    write_project(empty)
    assert empty.stat().st_ino == inode
    assert (empty / "config.yaml").is_file()
    assert not list(empty.glob(".evoagent-*"))
    with pytest.raises(UserError, match=r"full: found a folder that holds thesis\.tex, expected a new or empty folder"):
        write_project(full)
    assert [path.name for path in full.iterdir()] == ["thesis.tex"]
    with pytest.raises(UserError, match="plain: found a file, expected a new or empty folder"):
        write_project(plain)


@pytest.mark.parametrize("exists", [True, False])
def test_init_leaves_nothing_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool) -> None:
    folder = tmp_path / "new"
    if exists:
        folder.mkdir()
    real = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if target.name in ("new", "prompts"):
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(Exception, match="new: cannot be written: No space left on device"):
        write_project(folder)
    assert list(tmp_path.rglob("*")) == ([folder] if exists else [])


def test_validate_prints_what_would_run(file: Path) -> None:
    done = CliRunner().invoke(APP, ["validate", "quickstart", "--set", "stop.rounds=5"])
    assert done.exit_code == 0, done.output
    assert yaml.safe_load(done.stdout)["stop"]["rounds"] == 5
    done = CliRunner().invoke(APP, ["validate", "quickstart", "--json"], env={"EVOAGENT_SET": "stop.rounds=6"})
    assert json.loads(done.stdout)["stop"]["rounds"] == 6
    done = CliRunner().invoke(APP, ["validate", "quickstart", "--set", "a=1", "--set", "b=2"])
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception).splitlines()[0].startswith("--set a: unknown key")
    assert len(str(done.exception).splitlines()) == 2


def test_a_module_beside_the_configuration_is_found(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "operators_of_this_project.py").write_text(
        "import evoagent\n"
        "class Louder(evoagent.Operator):\n"
        "    async def evolve(self, parent, models):\n"
        "        return evoagent.Evolution(parent.instruction.upper())\n"
        "@evoagent.hookimpl\n"
        "def evoagent_operators():\n"
        "    yield evoagent.OperatorSpec(name='louder', factory=Louder)\n"
    )
    values = {
        "seeds": {"path": "seeds.jsonl"},
        "models": {"evolver": {"engine": "scripted", "model": "toy"}},
        "evolver": {"operators": ["louder"]},
        "plugins": ["operators_of_this_project"],
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    assert load_config(path).config.evolver.operators[0].name == "louder"


@pytest.mark.parametrize("name", ["sk-live-0123456789abcdef", "gsk_0123456789abcdef"])
def test_a_key_where_the_name_of_its_variable_belongs_is_not_shown(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        OpenAIOptions(api_key_env=name)
    [problem] = problems_of(caught.value, OpenAIOptions)
    assert "expected the name of an environment variable in capitals" in str(problem)
    assert name not in str(problem)
