"""What can be told of a plugin without calling it: its texts, its parameters, and that it can be made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from evoagent.failures import explain
from evoagent.plugins.parameters import docstring_attributes, example
from evoagent.plugins.specs import PluginSpec
from evoagent.testing.checking.findings import Finding, Severity, place

SUMMARY_CHARACTERS = 100

Told = Iterator[tuple[Severity, str]]


def static_findings(spec: PluginSpec) -> list[Finding]:
    """Checks of the summary and the parameters."""
    told = {"summary": _summary(spec.summary), "parameters": _parameters(spec.config)}
    return [
        Finding(what, place(spec), severity, message)
        for what, found in told.items()
        for severity, message in list(found) or [("ok", "")]
    ]


def parameters_for(spec: PluginSpec, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters to check the plugin with: `given`, else its model's own example, else its defaults."""
    return given if given or spec.config is None else example(spec.config) or {}


def _summary(summary: str) -> Told:
    if not summary.strip():
        yield "error", "there is none: give the class a docstring, whose first line is listed, or `summary`"
    elif "\n" in summary.strip():
        yield "error", "has several lines, expected one"
    elif len(summary) > SUMMARY_CHARACTERS:
        yield "note", f"has {len(summary)} characters: {SUMMARY_CHARACTERS} fit a line of `evoagent plugins list`"


def _parameters(model: type[BaseModel] | None) -> Told:
    if model is None:
        return
    told = docstring_attributes(model)
    silent = [name for name, field in model.model_fields.items() if not (field.description or told.get(name))]
    if silent:
        yield "error", f"{', '.join(silent)}: no description; give Field(..., description=...)"
    required = [name for name, field in model.model_fields.items() if field.is_required()]
    if required and example(model) is None:
        advice = (
            "give Field(..., examples=[...]), or model_config = ConfigDict(json_schema_extra={'examples': [{...}]})"
        )
        yield "error", f"{', '.join(required)}: neither a default nor an example; {advice}"
    if not required and example(model) is None and (flaw := _default_flaw(model)):
        yield "error", flaw
    if model.model_config.get("extra") != "forbid":
        advice = "model_config = ConfigDict(extra='forbid') finds slips of the pen"
        yield "note", f"unknown keys are taken in silence: {advice}"


def _default_flaw(model: type[BaseModel]) -> str:
    try:
        model.model_validate(model().model_dump(by_alias=True))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "together"
        return f"the defaults are not valid ({where}: {first['msg']}), and there is no example"
    except Exception as error:
        return f"the defaults cannot be checked: {explain(error)}"
    return ""
