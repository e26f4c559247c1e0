"""What can be told of a plugin without calling it: its texts, its parameters, and that it can be made."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from evoagent.errors import EvoAgentError
from evoagent.failures import explain
from evoagent.operators.base import Operator
from evoagent.plugins.manager import PluginManager
from evoagent.plugins.parameters import docstring_attributes, example
from evoagent.plugins.specs import OperatorSpec, PluginSpec, RuleSpec, ScorerSpec, SelectorSpec
from evoagent.rules.base import PopulationRule, Rule
from evoagent.scorers.base import PopulationScorer, Scorer
from evoagent.selectors.base import Selector
from evoagent.testing.checking.findings import Finding, Severity, place

SUMMARY_CHARACTERS = 100


def static_findings(spec: PluginSpec) -> list[Finding]:
    """Checks of the summary, the parameters and what has to travel to other processes."""
    return [
        *_checked("summary", spec, _summary),
        *_checked("parameters", spec, _parameters),
        *_checked("pickling", spec, _pickling),
    ]


def made(
    spec: PluginSpec, manager: PluginManager, params: Mapping[str, Any]
) -> tuple[Callable[[], Any], list[Finding]]:
    """A function that makes the plugin anew, and what is wrong with what it makes."""

    def make() -> Any:
        return manager.create(spec, params)

    try:
        plugin = make()
    except EvoAgentError as error:
        return make, [Finding("factory", place(spec), "error", f"{error}{_hint(spec, params)}")]
    base = _base(spec)
    if base is not None and not isinstance(plugin, base):
        text = f"makes {type(plugin).__name__}, no subclass of evoagent.{base.__name__}: a type checker will object"
        return make, [Finding("factory", place(spec), "note", text)]
    return make, [Finding("factory", place(spec))]


def parameters_for(spec: PluginSpec, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters to check the plugin with: `given`, else its model's own example, else its defaults."""
    if given or spec.config is None:
        return given
    return example(spec.config) or {}


def _base(spec: PluginSpec) -> type | None:
    match spec:
        case OperatorSpec():
            return Operator
        case ScorerSpec():
            return PopulationScorer if spec.population else Scorer
        case RuleSpec():
            return PopulationRule if spec.looks_at == "population" else Rule
        case SelectorSpec():
            return Selector
        case _:
            return None


def _checked(what: str, spec: PluginSpec, check: Callable[[Any], Iterator[tuple[Severity, str]]]) -> list[Finding]:
    found = [Finding(what, place(spec), severity, message) for severity, message in check(spec)]
    return found or [Finding(what, place(spec))]


def _summary(spec: PluginSpec) -> Iterator[tuple[Severity, str]]:
    if not spec.summary.strip():
        yield (
            "error",
            "there is none: give the class a docstring, whose first line is listed, or `summary`",
        )
    elif "\n" in spec.summary.strip():
        yield "error", "has several lines, expected one"
    elif len(spec.summary) > SUMMARY_CHARACTERS:
        yield "note", f"has {len(spec.summary)} characters: {SUMMARY_CHARACTERS} fit a line of `evoagent plugins list`"


def _parameters(spec: PluginSpec) -> Iterator[tuple[Severity, str]]:
    model = spec.config
    if model is None:
        return
    told = docstring_attributes(model)
    silent = [name for name, field in model.model_fields.items() if not (field.description or told.get(name))]
    if silent:
        yield "error", f"{', '.join(silent)}: no description; give Field(..., description=...)"
    required = [name for name, field in model.model_fields.items() if field.is_required()]
    if required and example(model) is None:
        yield (
            "error",
            f"{', '.join(required)}: neither a default nor an example; give Field(..., examples=[...]), or "
            "model_config = ConfigDict(json_schema_extra={'examples': [{...}]})",
        )
    if not required:
        yield from _default_problems(model)
    if model.model_config.get("extra") != "forbid":
        yield (
            "note",
            "unknown keys are taken in silence: model_config = ConfigDict(extra='forbid') finds slips of the pen",
        )
    try:
        model.model_json_schema()
    except Exception as error:  # a stranger's type may have no schema
        yield "note", f"no JSON schema can be made of them, so `plugins show` tells less: {explain(error)}"


def _default_problems(model: type[BaseModel]) -> Iterator[tuple[Severity, str]]:
    try:
        default = model()
        model.model_validate(default.model_dump(by_alias=True))
    except ValidationError as error:
        if example(model) is None:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "together"
            yield "error", f"the defaults are not valid ({where}: {first['msg']}), and there is no example"
    except Exception as error:
        yield "error", f"the defaults cannot be checked: {explain(error)}"


def _pickling(spec: PluginSpec) -> Iterator[tuple[Severity, str]]:
    if spec.config is not None:
        try:
            config = spec.config.model_validate(dict(parameters_for(spec, {})))
            if pickle.loads(pickle.dumps(config)) != config:
                yield "error", "its parameters come out of pickle changed"
        except ValidationError:
            pass  # told by the check of the parameters
        except Exception as error:
            yield "error", f"its parameters cannot be pickled ({explain(error)}): define their class in a module"
    try:
        pickle.dumps(spec.factory)
    except Exception as error:
        yield "note", f"its factory cannot be sent to another process ({explain(error)}); a class or a function can"


def _hint(spec: PluginSpec, params: Mapping[str, Any]) -> str:
    return f"; the check gave it {dict(params)}" if params else ""
