"""Reading a run's configuration: the file, the overrides, the plugins that it names; every error with its line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from evoagent.config.model import ROLES, PluginUse, RunConfig, Use, resolve_path
from evoagent.config.overrides import Applied, Overrides, apply
from evoagent.config.problems import Location, Problem, closest, problems_of
from evoagent.config.resources import configs_dir
from evoagent.config.yaml_text import MAX_CHARACTERS, Document, YamlError, parse
from evoagent.errors import ConfigError, PluginError
from evoagent.models.requests import can_answer
from evoagent.plugins.manager import PluginManager
from evoagent.plugins.project import PromptFolder
from evoagent.plugins.specs import EngineSpec, PluginSpec, mark

_USES = (("evolver", "operators", "operator"), ("critic", "scorers", "scorer"), ("eliminator", "rules", "rule"))
_USE: TypeAdapter[PluginUse] = TypeAdapter(Use)


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A valid configuration.

    Attributes:
        path: the file; `base`, its folder, is what relative paths of the configuration start from.
        text: the file as its user wrote it, without the overrides.
        shipped: it is a scenario that comes with evoagent, so its results go below the current directory.
    """

    config: RunConfig
    path: Path
    base: Path
    text: str
    shipped: bool = False

    @property
    def output_dir(self) -> Path:
        """The folder that holds the run directories."""
        return resolve_path(self.config.output.dir, Path.cwd() if self.shipped else self.base)


@dataclass(frozen=True, slots=True)
class _Named:
    """A plugin that the configuration names: at `location`, its parameters below `params_at`, for stage `stage`."""

    location: Location
    params_at: Location
    kind: str
    use: PluginUse
    spec: PluginSpec | None = None
    stage: int = 0


def load_config(source: str | Path, overrides: Overrides = (), manager: PluginManager | None = None) -> LoadedConfig:
    """Read a configuration file, or a shipped scenario by its name, and check all of it.

    Args:
        overrides: `KEY=VALUE` texts, or values by dotted key.
        manager: where plugins are looked up; it also takes in the project's own, which the configuration names.

    Raises:
        ConfigError: a line for each thing that is wrong.
    """
    path, shipped = find_config(source)
    label = path.name if shipped else str(source)
    text = _read(path, label)
    try:
        document = parse(text)
    except YamlError as error:
        raise ConfigError("\n".join(f"{label}:{flaw.line}: {flaw.message}" for flaw in error.flaws)) from error
    # Of a file that is none, not a word is quoted: whoever names it may not be the one who may read it.
    if not isinstance(document.value, dict) or not document.value.keys() & RunConfig.model_fields.keys():
        raise ConfigError(f"{label}:1: expected keys and values such as `seed: 0`")
    applied = apply(document.value, overrides)
    config, problems = validated(applied.data)
    modules = Path.cwd() if shipped else path.parent
    problems += plugin_problems(applied.data, config, manager or PluginManager().load(), path.parent, modules)
    if problems or applied.problems or config is None:
        option = "overrides" if isinstance(overrides, Mapping) else "--set"
        lines = [f"{option} {problem}" for problem in applied.problems]
        raise ConfigError("\n".join(lines + _located(problems, document, applied, label, option)))
    return LoadedConfig(config=config, path=path, base=path.parent, text=text, shipped=shipped)


def scenarios() -> list[str]:
    """The names of the shipped scenarios."""
    return sorted(path.stem for path in configs_dir().glob("*.yaml"))


def find_config(source: str | Path) -> tuple[Path, bool]:
    """The file that `source` means, and whether it is a shipped scenario.

    Raises:
        ConfigError: neither a file nor the name of a scenario.
    """
    name = str(source)
    if name in scenarios():
        return configs_dir() / f"{name}.yaml", True
    path = Path(source).expanduser()
    try:
        path.stat()
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or "no such file"
        near = closest(name, scenarios())
        raise ConfigError(f"{name}: {found.lower()}, and not the name of a shipped scenario{near}") from error
    if path.is_file():
        return path.resolve(), False
    if path.is_dir():
        inside = path / "config.yaml"
        hint = f"; did you mean {inside}?" if inside.is_file() else ""
        raise ConfigError(f"{name}: found a folder, expected a configuration file{hint}")
    raise ConfigError(f"{name}: found something that is no regular file, expected a configuration file")


def _read(path: Path, label: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(4 * MAX_CHARACTERS + 1)
    except OSError as error:
        raise ConfigError(f"{label}: cannot be read: {error.strerror or error}") from error
    if not content.strip():
        raise ConfigError(f"{label}: is empty, expected a configuration")
    if b"\0" in content:
        raise ConfigError(f"{label}: is a binary file, expected YAML")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{label}:{line}: found bytes that are not UTF-8") from error


def validated(data: Any) -> tuple[RunConfig | None, list[Problem]]:
    """The configuration that `data` is, or None, and what is wrong with it."""
    try:
        return RunConfig.model_validate(data), []
    except ValidationError as error:
        return None, problems_of(error, RunConfig)


def _located(problems: list[Problem], document: Document, applied: Applied, label: str, option: str) -> list[str]:
    lines = []
    for problem in problems:
        place = problem.location
        given = any(place[: len(override)] == override for override in applied.locations)
        # An override may also have made what stands around its key, which the text then does not have.
        around = any(override[: len(place)] == place for override in applied.locations)
        if given or (around and not document.holds(place)):
            lines.append((0, f"{option} {problem}"))
        else:
            line = document.line(place)
            lines.append((line, f"{label}:{line}: {problem}"))
    return [text for _, text in sorted(dict.fromkeys(lines))]


def plugin_problems(
    data: Any, config: RunConfig | None, manager: PluginManager, base: Path, modules: Path
) -> list[Problem]:
    """What is wrong with the plugins that `data` names; told even where the rest of it is not valid yet."""
    problems = _add_project(data, manager, base, modules)
    named = []
    for item in [*_uses(data), *_engines(data)]:
        try:
            spec = manager.get(item.kind, item.use.name)
        except PluginError as error:
            problems.append(Problem(item.location, str(error)))
            continue
        named.append(replace(item, spec=spec))
        problems += [
            Problem((*item.params_at, *problem.location), problem.message)
            for problem in manager.check(spec, item.use.params)
        ]
    problems += _repeated(named)
    if config is not None:
        problems += _unmet(named, config, manager) + _unscored(named, config) + _misspelt(named, config)
    return problems


def _add_project(data: Any, manager: PluginManager, base: Path, beside: Path) -> list[Problem]:
    manager.forget_project()
    problems = []
    modules, folders = data.get("plugins"), set()
    for stage in range(_stage_count(data)):
        location, evolver = _stage_section(data, stage, "evolver")
        prompts = evolver.get("prompts")
        if isinstance(prompts, str) and (folder := resolve_path(prompts, base)) not in folders:
            folders.add(folder)
            try:
                manager.add(PromptFolder(folder), str(folder))
            except ConfigError as error:
                problems.append(Problem((*location, "prompts"), str(error)))
    for position, module in enumerate(modules if isinstance(modules, list) else ()):
        try:
            manager.add_module(str(module), beside)
        except ConfigError as error:
            problems.append(Problem(("plugins", position), str(error)))
    return problems


def _section(data: Any, key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _stage_count(data: Any) -> int:
    stages = data.get("stages")
    return len(stages) if isinstance(stages, list) and stages else 1


def _stage_section(data: Any, stage: int, key: str) -> tuple[Location, Mapping[str, Any]]:
    """A section of a stage, its own or the one beside `stages`, and where it stands."""
    stages = data.get("stages")
    own = stages[stage] if isinstance(stages, list) and stages else {}
    if isinstance(own, dict) and own.get(key) is not None:
        return ("stages", stage, key), _section(own, key)
    return (key,), _section(data, key)


def _uses(data: Any) -> Iterator[_Named]:
    for stage in range(_stage_count(data)):
        for section, key, kind in _USES:
            location, found = _stage_section(data, stage, section)
            items = found.get(key)
            for position, item in enumerate(items if isinstance(items, list) else ()):
                yield from _use((*location, key, position), kind, item, stage)
        location, found = _stage_section(data, stage, "eliminator")
        if "selector" in found:
            yield from _use((*location, "selector"), "selector", found["selector"], stage)
        location, found = _stage_section(data, stage, "critic")
        if "response_selector" in found:
            selector = found["response_selector"]
            yield from _use((*location, "response_selector"), "response-selector", selector, stage)
        stages = data.get("stages")
        own = stages[stage] if isinstance(stages, list) and stages and isinstance(stages[stage], dict) else {}
        if own.get("optimizer") is not None:
            yield from _use(("stages", stage, "optimizer"), "optimizer", own["optimizer"], stage)
        elif data.get("optimizer") is not None:
            yield from _use(("optimizer",), "optimizer", data["optimizer"], stage)


def _use(location: Location, kind: str, item: Any, stage: int) -> Iterator[_Named]:
    try:
        use = _USE.validate_python(item)
    except ValidationError:
        return  # told by the validation of the whole
    inside = () if isinstance(item, str) else ("params",) if "name" in item else (use.name,)
    yield _Named(location, (*location, *inside), kind, use, stage=stage)


def _engines(data: Any) -> Iterator[_Named]:
    models = _section(data, "models")
    for role, item in models.items():
        if isinstance(item, dict) and isinstance(item.get("engine"), str):
            options = item.get("options")
            params = {str(key): value for key, value in options.items()} if isinstance(options, dict) else {}
            location = ("models", role, "engine")
            yield _Named(location, ("models", role, "options"), "engine", PluginUse(name=item["engine"], params=params))


def _repeated(named: list[_Named]) -> list[Problem]:
    """The ledger knows operators, scores and verdicts by the plugin's name, so a name can stand once only."""
    seen: set[tuple[int, str, str]] = set()
    problems = []
    for item in named:
        if item.kind != "engine" and (item.stage, item.kind, item.use.name) in seen:
            problems.append(Problem(item.location, f"{item.kind} `{item.use.name}` is given twice"))
        seen.add((item.stage, item.kind, item.use.name))
    return problems


def _unmet(named: list[_Named], config: RunConfig, manager: PluginManager) -> list[Problem]:
    """What the plugins ask of a role that its engine cannot do, and the corpora that they miss."""
    problems = []
    engines: dict[str, EngineSpec] = {spec.name: spec for spec in manager.specs("engine")}
    needs: list[tuple[Location, str, tuple[str, ...]]] = [
        (("models", "responder"), "the critic", ("responder.generate",))
    ]
    needs += [
        (item.location, f"{item.kind} `{item.use.name}`", item.spec.needs)
        for item in named
        if item.spec is not None and not isinstance(item.spec, EngineSpec)
    ]
    for location, who, wanted in needs:
        for need in wanted:
            role, _, verb = need.partition(".")
            if role == "corpora":
                if verb not in config.corpora:
                    text = f"{who} needs {need}, but `{need}` is not given{closest(verb, config.corpora)}"
                    problems.append(Problem(location, text))
                continue
            model = config.models.resolve(role)
            if model is None or model.engine is None:
                given = [name for name in config.models.roles if config.models.resolve(name) is not None]
                hint = "" if role in ROLES else closest(role, given)
                problems.append(Problem(location, f"{who} needs {need}, but `models.{role}` is not given{hint}"))
                continue
            engine = engines.get(model.engine)
            verbs = manager.verbs(engine, model.options) if engine is not None else {verb}
            if not can_answer(verbs, verb):
                has = ", ".join(sorted(verbs)) or "nothing"
                problems.append(Problem(location, f"{who} needs {need}, but engine `{model.engine}` has only {has}"))
    return problems


def _misspelt(named: list[_Named], config: RunConfig) -> list[Problem]:
    """Roles that nothing asks for and whose names are almost those of built-in roles that are not given."""
    models = config.models
    asked = {need.partition(".")[0] for item in named if item.spec is not None for need in item.spec.needs}
    asked |= {model.use for role in models.roles if (model := models.given(role)) is not None and model.use}
    problems = []
    for role in models.roles:
        near = get_close_matches(role, set(ROLES) - models.model_fields_set, n=1, cutoff=0.85)
        if near and role not in asked and role not in ROLES and role.isalpha():
            problems.append(Problem(("models", role), f"no plugin asks for this role; did you mean `{near[0]}`?"))
    return problems


def _unscored(named: list[_Named], config: RunConfig) -> list[Problem]:
    """Parameters that name a score which nothing computes: `json_schema_extra={"score": True}` marks them.

    With "optional" instead of True, a default that nothing computes is no problem.
    """
    scores_of = [[use.name for use in stage.critic.scorers] for stage in config.plan]
    scorers = {item.use.name for item in named if item.kind == "scorer"}  # those that exist
    problems = []
    for item in named:
        scores = scores_of[item.stage]
        fields = item.spec.config.model_fields if item.spec is not None and item.spec.config is not None else {}
        for name, field in fields.items():
            marked = mark(field, "score")
            if not marked or (marked == "optional" and name not in item.use.params):
                continue
            value = item.use.params.get(name, field.default)
            if isinstance(value, str) and value not in scores:
                known = [score for score in scores if score in scorers]
                hint = closest(value, known) or "; there is none"
                text = f"`{value}` is not among critic.scorers{hint}"
                given = name in item.use.params
                problems.append(
                    Problem((*item.params_at, name), text) if given else Problem(item.location, f"{name}: {text}")
                )
    return problems
