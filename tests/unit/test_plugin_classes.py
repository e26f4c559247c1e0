"""A class as the declaration of a plugin: what is read from it, and how a mistake in it is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, Field

from evoagent import (
    Candidate,
    Completion,
    Engine,
    EngineSpec,
    Evolution,
    Instruction,
    Models,
    Operator,
    OperatorSpec,
    Optimizer,
    PluginError,
    PopulationRule,
    PopulationScorer,
    Rule,
    RuleSpec,
    Score,
    Scorer,
    ScorerSpec,
    Selector,
    SelectorSpec,
    Verdict,
    hookimpl,
)
from evoagent.config.model import PluginUse
from evoagent.plugins.declared import spec_of
from evoagent.plugins.discovery import SPECS, Source
from evoagent.plugins.manager import PluginManager
from evoagent.plugins.specs import PluginSpec
from evoagent.selectors.base import ResponseSelector


class Haiku(Operator):
    """asks for the answer as a haiku.

    More of it.
    """

    name = "haiku"
    needs = ("evolver.generate",)
    family = "breadth"
    evolutions = 4
    exempt = ("relevance",)

    class Config(BaseModel):
        most_words: int = Field(12, ge=1)

    async def evolve(self, parent: Instruction, models: Models) -> Evolution:
        return Evolution(f"{parent.instruction} In {self.config.most_words} words.")


class Words(Scorer):
    """words of the instruction"""

    name = "words"
    ascending = True

    async def score(self, candidate: Candidate, models: Models) -> Score:
        return Score(1.0)


class Crowd(PopulationScorer):
    name = "crowd"
    summary = "how many there are"

    async def score_all(self, candidates: Any, survivors: Any, models: Models) -> list[Score]:
        return [Score(float(len(candidates)))] * len(candidates)


class NoUrls(Rule):
    """rejects links"""

    name = "no-urls"
    looks_at = "instruction"

    async def judge(self, candidate: Candidate, models: Models) -> Verdict:
        return Verdict(True)


class Openings(PopulationRule):
    """one of each opening"""

    name = "openings"

    async def judge_all(self, candidates: Any, survivors: Any, models: Models) -> list[Verdict]:
        return [Verdict(True)] * len(candidates)


class First(Selector):
    """the first"""

    name = "first"

    async def select(self, candidates: Any, survivors: Any, models: Models) -> list[Verdict]:
        return [Verdict(place == 0) for place in range(len(candidates))]


class Echo(Engine):
    """repeats the prompt"""

    name = "echo"
    capabilities = frozenset({"generate"})
    remote = True

    async def generate(self, requests: Sequence[Any]) -> list[Completion | Exception]:
        return [Completion(request.messages[-1][1]) for request in requests]


SPEC_OF: dict[type[Any], PluginSpec] = {
    Haiku: OperatorSpec(
        name="haiku",
        factory=Haiku,
        config=Haiku.Config,
        needs=("evolver.generate",),
        summary="asks for the answer as a haiku",
        family="breadth",
        evolutions=4,
        exempt=("relevance",),
    ),
    Words: ScorerSpec(name="words", factory=Words, summary="words of the instruction", ascending=True),
    Crowd: ScorerSpec(name="crowd", factory=Crowd, summary="how many there are", population=True),
    NoUrls: RuleSpec(name="no-urls", factory=NoUrls, summary="rejects links", looks_at="instruction"),
    Openings: RuleSpec(name="openings", factory=Openings, summary="one of each opening", looks_at="population"),
    First: SelectorSpec(name="first", factory=First, summary="the first"),
    Echo: EngineSpec(
        name="echo",
        factory=Echo,
        summary="repeats the prompt",
        verbs=frozenset({"generate"}),
        verbs_of=Echo.verbs_of,
        remote=True,
    ),
}


@pytest.mark.parametrize("cls", SPEC_OF)
def test_the_spec_is_what_the_class_declares(cls: Any) -> None:
    assert spec_of(cls) == SPEC_OF[cls]


def test_what_a_class_leaves_out_is_as_in_the_long_form() -> None:
    bases = (Operator, Scorer, PopulationScorer, Rule, PopulationRule, Selector, Optimizer, Engine)
    by_kind = {spec.kind: spec for spec in SPECS.values()}
    follows = {"population", "looks_at", "verbs_of"}  # from the base class
    for base in bases:
        bare = spec_of(type("Bare", (base,), {"name": "bare"}))
        long = by_kind[base.kind](name="bare", factory=bare.factory)
        ours, theirs = dataclasses.asdict(bare), dataclasses.asdict(long)
        assert {key for key in ours if ours[key] != theirs[key]} <= follows


def manager_with(hook: str, *items: Any) -> PluginManager:
    manager = PluginManager()
    manager.register(SimpleNamespace(**{hook: named(hook, list(items))}), Source("mine", "evo-mine", "1.2"))
    return manager


def named(hook: str, given: Any) -> Any:
    def function() -> Any:
        return given

    function.__name__ = hook
    return hookimpl(function)


def test_classes_and_specs_may_be_yielded_side_by_side() -> None:
    long = OperatorSpec(name="long", factory=Haiku, config=Haiku.Config, summary="the long form")
    manager = manager_with("evoagent_operators", Haiku, long)
    assert [(record.name, record.status) for record in manager.records()] == [("haiku", "ok"), ("long", "ok")]
    for name in ("haiku", "long"):
        plugin = manager.build("operator", PluginUse(name=name, params={"most_words": 3}))
        assert plugin.config.most_words == 3
    with pytest.raises(PluginError, match=r"operator `haiku`: most_words: found 0, expected a number of at least 1"):
        manager.build("operator", PluginUse(name="haiku", params={"most_words": 0}))


def test_an_instance_made_by_hand_has_the_defaults() -> None:
    assert Haiku().config == Haiku.Config()
    assert Haiku(Haiku.Config(most_words=3)).config.most_words == 3
    assert Words().config is None


def test_a_constructor_of_its_own_is_called_with_the_parameters() -> None:
    class Own(Haiku):
        name = "own"

        def __init__(self, config: Any) -> None:
            self.most = config.most_words

    plugin = manager_with("evoagent_operators", Own).build("operator", PluginUse(name="own", params={"most_words": 5}))
    assert plugin.most == 5


def test_an_engine_gets_role_source_and_options() -> None:
    manager = manager_with("evoagent_engines", type("Echo", (Echo,), {"identity": "echo", "lanes": {}}))
    made = manager.create(manager.get("engine", "echo"), {}, "the role", "the source")
    assert (made.model, made.source, made.config) == ("the role", "the source", None)


def test_the_options_of_an_engine_may_decide_what_it_can() -> None:
    class Options(BaseModel):
        losses: bool = False

    class Choosy(Echo):
        name = "choosy"
        Config = Options

        @classmethod
        def verbs_of(cls, config: Options) -> frozenset[Any]:
            return cls.capabilities | {"loss"} if config.losses else cls.capabilities

    manager = manager_with("evoagent_engines", Choosy)
    spec = manager.get("engine", "choosy")
    assert manager.verbs(spec, {}) == {"generate"}
    assert manager.verbs(spec, {"losses": True}) == {"generate", "loss"}


def declaring(base: type = Haiku, **attributes: Any) -> Any:
    return type("Made", (base,), {"name": "made", **attributes})


WRONG: dict[str, tuple[str, Any, str]] = {
    "no name": ("evoagent_operators", type("Nameless", (Operator,), {}), "`Nameless` has no `name`"),
    "an instance": ("evoagent_operators", Haiku(), "yielded an instance of `Haiku`, expected the class"),
    "another kind": (
        "evoagent_operators",
        Words,
        "yielded class `Words`, expected a subclass of `Operator` or an OperatorSpec",
    ),
    "no base class": (
        "evoagent_scorers",
        int,
        "yielded class `int`, expected a subclass of `Scorer` or `PopulationScorer` or a ScorerSpec",
    ),
    "an exporter": ("evoagent_exporters", Haiku, "yielded class `Haiku`, expected an ExporterSpec"),
    "another API": (
        "evoagent_operators",
        declaring(api_version=2),
        "made for plugin API 2, this evoagent has 1",
    ),
    "a bad name": ("evoagent_operators", declaring(name="No Good"), "found name 'No Good', expected lower-case"),
    "needs as a text": (
        "evoagent_operators",
        declaring(needs="evolver.generate"),
        "found needs 'evolver.generate', expected a tuple of roles with a verb",
    ),
    "no model": ("evoagent_operators", declaring(Config=dict), "expected a pydantic model class"),
    "parents": ("evoagent_operators", declaring(parents="two"), "found parents 'two', expected a whole number"),
    "looks_at": ("evoagent_rules", declaring(NoUrls, looks_at="all"), "found looks_at 'all', expected 'instruction'"),
    "verbs": (
        "evoagent_engines",
        declaring(Echo, capabilities={"shout"}),
        "found verbs {'shout'}, expected a set of 'generate', ",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_class_that_cannot_be_used_is_told_and_the_others_go_on(case: str) -> None:
    hook, item, expected = WRONG[case]
    good = {"evoagent_operators": Haiku, "evoagent_scorers": Words, "evoagent_rules": NoUrls, "evoagent_engines": Echo}
    manager = manager_with(hook, item, *([good[hook]] if hook in good else []))
    statuses = [record.status for record in manager.records()]
    assert statuses.count("ok") == (hook in good)
    [problem] = [status for status in statuses if status != "ok"]
    assert expected in problem


def test_a_response_selector_comes_by_the_hook_of_selectors() -> None:
    class Longest(ResponseSelector):
        name = "longest"

        async def rank(self, answered: Sequence[Candidate], models: Models) -> Sequence[float | None]:
            return [float(len(candidate.response)) for candidate in answered]

    manager = manager_with("evoagent_selectors", First, Longest)
    assert manager.get("response-selector", "longest").factory is Longest
    assert manager.get("selector", "first").factory is First


def test_a_subclass_needs_a_name_of_its_own() -> None:
    manager = manager_with("evoagent_operators", Haiku, type("Deeper", (Haiku,), {}))
    statuses = {record.status for record in manager.records()}
    assert statuses == {"ok", "the name is taken by operator `haiku` of evo-mine 1.2"}


def test_a_class_is_yielded_not_returned() -> None:
    manager = PluginManager()
    manager.register(SimpleNamespace(evoagent_operators=named("evoagent_operators", Haiku)), Source("mine", "mine"))
    [record] = manager.records()
    assert record.status == "evoagent_operators returned class `Haiku`, expected it to yield classes or specs"
