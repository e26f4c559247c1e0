"""docs/ against the code: every hook with its signature, every field of a spec, every public name."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import evoagent
import evoagent.testing
from evoagent import (
    Engine,
    ExporterSpec,
    Operator,
    Optimizer,
    PopulationRule,
    PopulationScorer,
    Rule,
    Scorer,
    Selector,
)
from evoagent.models.plugin import Plugin
from evoagent.plugins import hookspecs, specs
from evoagent.plugins.discovery import SPECS, Source
from evoagent.plugins.hookspecs import PROJECT
from evoagent.plugins.manager import PluginManager
from evoagent.plugins.observers import OBSERVERS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "hooks.md").read_text(encoding="utf-8")
HOOKS: dict[str, Callable[..., Any]] = {
    name: value for name, value in vars(hookspecs).items() if hasattr(value, f"{PROJECT}_spec")
}
SPEC_TYPES: dict[str, Any] = {"PluginSpec": specs.PluginSpec, **{spec.__name__: spec for spec in SPECS.values()}}


def sections() -> dict[str, str]:
    """What stands below each heading of the third level, up to the next of any level."""
    found = re.split(r"^(#{1,3}) (.+)$", PAGE, flags=re.MULTILINE)
    return {
        title: text for level, title, text in zip(found[1::3], found[2::3], found[3::3], strict=True) if level == "###"
    }


def python_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def table(text: str) -> dict[str, tuple[str, str]]:
    """Type and default by field."""
    rows = re.findall(r"^\| `(\w+)` \| `(.+?)` \| (?:`(.+?)`)? ?\| \S.* \|$", text.replace(r"\|", "¦"), re.MULTILINE)
    return {name: (kind.replace("¦", "|"), default) for name, kind, default in rows}


def test_every_hook_is_documented_and_no_other() -> None:
    assert {title for title in sections() if title.startswith(PROJECT)} == set(HOOKS)
    assert len(HOOKS) == 10


@pytest.mark.parametrize("hook", HOOKS)
def test_the_signature_is_the_hooks(hook: str) -> None:
    (shown, *_) = python_blocks(sections()[hook])
    assert shown.strip() == f"def {hook}{inspect.signature(HOOKS[hook])}".replace("'", "")


@pytest.mark.parametrize("hook", SPECS)
def test_the_example_is_the_one_of_the_docstring_and_works(hook: str) -> None:
    (_, shown) = python_blocks(sections()[hook])
    (own,) = python_blocks(inspect.cleandoc(HOOKS[hook].__doc__ or ""))
    assert shown == own

    bases = {
        "Haiku": Operator,
        "Words": Scorer,
        "NoUrls": Rule,
        "Shortest": Selector,
        "Longer": Optimizer,
        "Echo": Engine,
    }
    classes = {name: type(name, (base,), {"name": name.lower()}) for name, base in bases.items()}
    scope: dict[str, Any] = {"evoagent": evoagent, "ExporterSpec": ExporterSpec, "to_pair": object, **classes}
    exec(shown, scope)
    manager = PluginManager()
    manager.register(SimpleNamespace(**{hook: scope[hook]}), Source("page", "docs"))
    assert [record.status for record in manager.records()] == ["ok"]


@pytest.mark.parametrize(("event", "hook"), OBSERVERS.items())
def test_every_field_of_an_event_is_named(event: Any, hook: str) -> None:
    for field in dataclasses.fields(event):
        assert f"`{field.name}`" in sections()[hook]


def test_every_spec_is_documented() -> None:
    assert {title for title in sections() if not title.startswith(PROJECT)} == set(SPEC_TYPES)


@pytest.mark.parametrize("name", SPEC_TYPES)
def test_every_field_of_a_spec_is_documented_and_no_other(name: str) -> None:
    common = {field.name for field in dataclasses.fields(specs.PluginSpec)}
    expected = {
        field.name: (str(field.type), "" if field.default is dataclasses.MISSING else repr(field.default))
        for field in dataclasses.fields(SPEC_TYPES[name])
        if name == "PluginSpec" or field.name not in common
    }
    shown = {field: (kind, default.replace('"', "'")) for field, (kind, default) in table(sections()[name]).items()}
    assert shown == {field: (kind.replace('"', "'"), default) for field, (kind, default) in expected.items()}


def test_every_attribute_of_a_class_is_documented_and_no_other() -> None:
    bases = (Plugin, Operator, Scorer, PopulationScorer, Rule, PopulationRule, Selector, Optimizer, Engine)
    declared = {name for base in bases for name, kind in base.__annotations__.items() if "ClassVar" in str(kind)}
    listed = PAGE.partition("## What a class declares")[2].partition("## ")[0]
    shown = re.findall(r"^\| `(\w+)` \| \S.* \|$", listed, re.MULTILINE)
    follows = {"kind", "population"}  # from the base class
    assert sorted(shown) == sorted(declared - follows | {"capabilities", "verbs_of"})


def test_every_public_name_is_documented_and_no_other() -> None:
    _, _, listed = PAGE.partition("## Public names")
    shown = [
        name
        for row in re.findall(r"^\| (`.+?) \| \S.* \|$", listed, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    ]
    assert sorted(shown) == sorted(evoagent.__all__)


@pytest.mark.parametrize("name", evoagent.testing.__all__)
def test_every_name_of_the_testing_package_is_documented(name: str) -> None:
    assert re.search(rf"`(await )?{name}\b", (DOCS / "testing.md").read_text(encoding="utf-8"))


FIELDS: dict[str, tuple[Any, ...]] = {
    "operators.md": (evoagent.Instruction, evoagent.Evolution),
    "scorers.md": (evoagent.Candidate, evoagent.Score),
    "rules.md": (evoagent.Verdict,),
    "engines.md": (
        evoagent.Lane,
        evoagent.GenerateRequest,
        evoagent.LossRequest,
        evoagent.EmbedRequest,
        evoagent.ChooseRequest,
    ),
}


@pytest.mark.parametrize("page", FIELDS)
def test_every_field_of_a_value_is_named(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    for value in FIELDS[page]:
        named = [field.name for field in dataclasses.fields(value) if f"`{field.name}`" in text]
        assert named == [field.name for field in dataclasses.fields(value) if field.name != "rule"], value
