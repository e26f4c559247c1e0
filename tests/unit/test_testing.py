"""What plugin authors get: scripted models, tiny runs, and a check that finds each kind of fault."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
from pydantic import BaseModel, ConfigDict, Field

from evoagent import (
    Candidate,
    Completion,
    Engine,
    EngineSpec,
    Evolution,
    ExporterSpec,
    FinishedRound,
    Instruction,
    Lane,
    Models,
    Operator,
    OperatorSpec,
    Optimizer,
    OptimizerSpec,
    Population,
    PopulationScorer,
    Rule,
    RuleSpec,
    Score,
    Scorer,
    ScorerSpec,
    Selector,
    SelectorSpec,
    UserError,
    Verdict,
    hookimpl,
)
from evoagent.plugins.specs import PluginSpec
from evoagent.testing import (
    SEEDS,
    Finding,
    Script,
    assert_valid_plugin,
    check_plugin,
    run_in_memory,
    run_in_memory_async,
)
from evoagent.testing import scripted_models as make_models

Make = Callable[..., Any]


class Shout(Operator):
    """Needs no model."""

    async def evolve(self, parent: Instruction, models: Models) -> Evolution:
        return Evolution(f"{parent.instruction.upper()} NOW.")


class Ask(Operator):
    """takes the model's word for it"""

    name = "ask"
    needs = ("evolver.generate",)

    async def evolve(self, parent: Instruction, models: Models) -> Evolution:
        answer = await models.evolver.generate(parent.prompt_text)
        return Evolution(answer.text.strip(), reason="nothing was said", raw=answer.text)


class Letters(Scorer):
    """letters of the instruction"""

    name = "letters"

    async def score(self, candidate: Candidate, models: Models) -> Score:
        return Score(float(len(candidate.instruction)))


class Few(Selector):
    """the first two"""

    name = "few"

    async def select(self, candidates: Population, survivors: Population, models: Models) -> list[Verdict]:
        return [Verdict(place < 2) for place in range(len(candidates))]

    async def measure(self, survivors: Population, models: Models) -> Mapping[str, float]:
        return {"size": float(len(survivors))}


class Graded(Scorer):
    """How good a second model finds the response, from 1 to 5."""

    async def score(self, candidate: Candidate, models: Models) -> Score:
        prompt = f"Grade it from 1 to 5.\n{candidate.response}"
        choice = await models["second"].choose(prompt, [str(grade) for grade in range(1, 6)])
        return Score(choice.expectation(), details={"best": choice.best})


GRADED = ScorerSpec(name="graded", factory=Graded, summary="a second model's grade", needs=("second.choose",))


# -- scripted models -------------------------------------------------------------------------------------------------


async def test_scripted_models_answer_and_keep_what_they_were_asked(scripted_models: Make) -> None:
    class Polite(Script):
        def generate(self, request: Any) -> str:
            return "Yes, please."

    models = scripted_models(Polite(), style="examples")
    assert (await models.judge.generate("Tea?")).text == "Yes, please."
    await models.scorer.loss(target="tea")
    assert [sent.need for sent in models.requests] == ["judge.generate", "scorer.loss"]
    assert models.requests[0].request.messages == (("user", "Tea?"),)
    assert models.evolver.style == "examples"


async def test_scripted_models_have_any_role_and_choose_by_the_script(scripted_models: Make) -> None:
    class Strict(Script):
        def choose(self, request: Any) -> Mapping[str, float]:
            return {choice: float(choice in request.messages[-1][1]) for choice in request.choices}

    models = scripted_models(Strict(), roles=["second"])
    choice = await models["second"].choose("Is it a yes?", ("yes", "no"))
    assert (choice.best, choice.probabilities["no"]) == ("yes", 0.0)
    assert [sent.need for sent in models.requests] == ["second.choose"]
    with pytest.raises(UserError, match=r"models\.third"):
        await models["third"].choose("Is it a yes?", ("yes", "no"))


def test_a_run_in_memory_has_the_roles_that_it_is_given() -> None:
    run = run_in_memory(scorers=[GRADED], roles=["second"])
    values = [score.value for score in run.scores["graded"]]
    assert len(values) == len(run.candidates)
    assert all(value is not None and 1 < value < 5 for value in values)
    assert len(set(values)) > 1
    assert run.summary["tokens"]["second"]["prompt"] > 0
    with pytest.raises(UserError, match=r"scorer `graded` needs second\.choose, but models\.second is not configured"):
        run_in_memory(scorers=[GRADED])


def test_scripted_models_serve_code_that_is_not_async(scripted_models: Make) -> None:
    evolution = asyncio.run(Ask().evolve(SEEDS[0], scripted_models(temperature=0.5)))
    assert evolution.instruction.startswith(SEEDS[0].instruction)


def test_draws_differ_but_the_same_seed_gives_the_same_ones(scripted_models: Make) -> None:
    def draws(seed: int) -> list[str]:
        async def twice() -> list[str]:
            models = scripted_models(temperature=0.9, seed=seed)
            return [(await models.evolver.generate("Say it.")).text for _ in range(2)]

        return asyncio.run(twice())

    assert draws(1) == draws(1)
    assert len({*draws(1), *draws(2)}) == 4


def test_pytest_loads_the_fixtures_without_anything_heavy() -> None:
    code = (
        "import sys, evoagent.testing.pytest_plugin as plugin\n"
        "assert plugin.scripted_models and plugin.evoagent_manager\n"
        "print(*(name for name in ('numpy', 'pydantic', 'torch', 'langgraph', 'sqlalchemy') if name in sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""


def test_the_manager_fixture_knows_the_built_in_plugins(evoagent_manager: Any) -> None:
    assert evoagent_manager.get("operator", "constraints").family == "depth"


# -- tiny runs -------------------------------------------------------------------------------------------------------


def test_a_tiny_run_takes_plugins_as_they_are_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run = run_in_memory(operators=[Shout], scorers=[Letters(), "length"], rules=["unchanged"], selector=Few)
    assert len(run.candidates) == len(SEEDS)
    assert {item.verdict.rule for item in run.rejected} == {"unchanged", "selector:few"} - {"unchanged"}
    assert [item.instruction for item in run.survivors] == [f"{seed.instruction.upper()} NOW." for seed in SEEDS[:2]]
    assert run.survivors[0].response
    assert [score.value for score in run.scores["letters"]] == [float(len(c.instruction)) for c in run.candidates]
    assert run.figures == {1: {"few.size": 2.0}}
    assert run.summary["survivors"] == len(run.rows) == 2
    assert [request.messages[-1][1] for request in run.requests if hasattr(request, "messages")]
    assert list(tmp_path.iterdir()) == []


def test_what_a_module_brings_takes_part_by_itself() -> None:
    class Module:
        @hookimpl
        def evoagent_operators(self) -> Iterator[type[Operator]]:
            yield Ask

        @hookimpl
        def evoagent_selectors(self) -> Iterator[SelectorSpec]:
            yield SelectorSpec(name="few", factory=Few, summary="the long form")

    run = run_in_memory(Module(), rounds=2)
    assert {candidate.operator for candidate in run.candidates} == {"ask"}
    assert [candidate.round for candidate in run.survivors] == [1, 1, 2, 2]


def test_runs_are_equal_and_may_be_made_inside_an_event_loop() -> None:
    async def both() -> tuple[Any, Any]:
        return await run_in_memory_async(operators=[Ask]), run_in_memory(operators=[Ask])

    first, second = asyncio.run(both())
    assert first.survivors == second.survivors
    assert first.requests == second.requests
    assert run_in_memory(operators=[Ask], seed=1).survivors != first.survivors


def test_a_plugin_that_raises_shows_in_the_reasons() -> None:
    class Broken(Operator):
        async def evolve(self, parent: Instruction, models: Models) -> Evolution:
            raise ZeroDivisionError("a bug")

    run = run_in_memory(operators=[Broken], seeds=SEEDS[:1])
    assert "ZeroDivisionError: a bug" in run.reasons["error"][0]


def test_parameters_and_further_configuration_reach_the_run() -> None:
    run = run_in_memory(
        operators=["constraints", "deepening"],
        rules=[{"length_ratio": {"max_words": 1}}],
        config={"evolver": {"schedule": "all"}, "stop": {"rounds": 1, "candidates": 5}},
    )
    assert run.summary["rejected"] == {"length_ratio": 5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"operators": [Letters]}, "expected a name, a spec, or the class or an instance of an operator"),
        ({"scorers": [Ask]}, "the class or an instance of a scorer"),
        ({"operators": ["no-such"]}, "operator `no-such` is not known"),
    ],
)
def test_what_is_no_plugin_of_the_kind_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run_in_memory(**options)


# -- the check -------------------------------------------------------------------------------------------------------


def errors(plugin: object, **options: Any) -> list[Finding]:
    return [item for item in check_plugin(plugin, **options) if item.severity == "error"]


def test_good_plugins_of_every_kind_pass() -> None:
    class Patient(Optimizer):
        """changes what it is told to"""

        name = "patient"

        async def improve(self, round: FinishedRound, models: Models) -> Mapping[str, Mapping[str, Any]]:
            return {"ask": {}} if round.survivors else {}

    export = ExporterSpec(name="questions", factory=lambda: lambda row: {"q": row["instruction"]}, summary="pairs")
    few = SelectorSpec(name="few", factory=Few, summary="the long form")
    assert_valid_plugin([Ask, few, Letters, export, Patient])


def test_every_check_is_reported_also_those_that_pass() -> None:
    found = {(item.what, item.where): item.severity for item in check_plugin(Ask)}
    assert set(found.values()) == {"ok"}
    assert {what for what, _ in found} == {
        *("hooks", "summary", "parameters", "factory"),
        *("hostile text", "hostile answers", "determinism", "time limit", "needs"),
    }


def test_an_invalid_plugin_fails_with_a_line_for_each_fault() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_valid_plugin(OperatorSpec(name="ask", factory=Ask))
    first, *lines = str(caught.value).splitlines()
    assert first == "the plugin is not valid:"
    assert [line.split(": ")[0] for line in lines] == [
        "failed  summary         operator `ask`",
        "failed  needs           operator `ask`",
    ]


class Described(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int = Field(3, ge=1, description="How many.")


class Silent(BaseModel):
    size: int = 3


class Required(BaseModel):
    size: int = Field(description="How many.")


class Impossible(BaseModel):
    size: int = Field(0, ge=1, description="How many.")


def operator(evolve: Callable[..., Any], **changes: Any) -> OperatorSpec:
    """A spec of an operator whose `evolve` is the given coroutine function."""

    class Made(Operator):
        async def evolve(self, parent: Instruction, models: Models) -> Evolution:
            found: Evolution = await evolve(parent, models)
            return found

    return OperatorSpec(**{"name": "made", "factory": Made, "summary": "made", "needs": (), **changes})


def scorer(score: Callable[..., Any], **changes: Any) -> ScorerSpec:
    class Made(Scorer):
        async def score(self, candidate: Candidate, models: Models) -> Score:
            found: Score = await score(candidate, models)
            return found

    return ScorerSpec(**{"name": "made", "factory": Made, "summary": "made", **changes})


def rule(judge: Callable[..., Any]) -> RuleSpec:
    class Made(Rule):
        async def judge(self, candidate: Candidate, models: Models) -> Verdict:
            found: Verdict = await judge(candidate, models)
            return found

    return RuleSpec(name="made", factory=Made, summary="made", looks_at="instruction")


def selector(select: Callable[..., Any], measure: Any = None) -> SelectorSpec:
    class Made(Selector):
        async def select(self, candidates: Population, survivors: Population, models: Models) -> list[Verdict]:
            found: list[Verdict] = select(candidates)
            return found

        async def measure(self, survivors: Population, models: Models) -> Mapping[str, float]:
            return {} if measure is None else {"figure": measure}

    return SelectorSpec(name="made", factory=Made, summary="made")


def no_summary() -> PluginSpec:
    return OperatorSpec(name="made", factory=Shout)


def raising_factory() -> PluginSpec:
    def make() -> Operator:
        raise OSError("no such file")

    return OperatorSpec(name="made", factory=make, summary="made")


def format_of_text() -> PluginSpec:
    async def evolve(parent: Instruction, models: Models) -> Evolution:
        return Evolution(("Do this: " + parent.instruction + " in {n} words").format(n=3))

    return operator(evolve)


def template_of_text() -> PluginSpec:
    async def evolve(parent: Instruction, models: Models) -> Evolution:
        try:
            return Evolution(jinja2.Template(f"Do this: {parent.instruction}").render())
        except jinja2.TemplateError:
            return Evolution("", reason="no template")

    return operator(evolve)


def first_word() -> PluginSpec:
    async def score(candidate: Candidate, models: Models) -> Score:
        return Score(float(len(candidate.instruction.split()[0])))

    return scorer(score)


def trusts_a_number() -> PluginSpec:
    async def score(candidate: Candidate, models: Models) -> Score:
        answer = await models.judge.generate(candidate.instruction)
        return Score(float(answer.text.strip() or 0))

    return scorer(score, needs=("judge.generate",))


def infinite() -> PluginSpec:
    async def score(candidate: Candidate, models: Models) -> Score:
        answer = await models.judge.generate(candidate.instruction)
        return Score(float("nan") if "NaN" in answer.text else 1.0)

    return scorer(score, needs=("judge.generate",))


def no_evolution() -> PluginSpec:
    async def evolve(parent: Instruction, models: Models) -> Any:
        return parent.instruction

    return operator(evolve)


def not_async() -> PluginSpec:
    class Made(Operator):
        def evolve(self, parent: Instruction, models: Models) -> Evolution:  # type: ignore[override]
            return Evolution("x")

    return OperatorSpec(name="made", factory=Made, summary="made")


def leaves() -> PluginSpec:
    async def evolve(parent: Instruction, models: Models) -> Evolution:
        if len(parent.instruction) > 10_000:
            sys.exit("too long")
        return Evolution(f"{parent.instruction} Now.")

    return operator(evolve)


def half_a_character() -> PluginSpec:
    async def evolve(parent: Instruction, models: Models) -> Evolution:
        return Evolution(f"{parent.instruction}\ud83d")

    return operator(evolve)


def one_too_few() -> PluginSpec:
    return selector(lambda candidates: [Verdict(True)] * (len(candidates) - 1))


def optimizer(improve: Callable[..., Any]) -> OptimizerSpec:
    class Made(Optimizer):
        async def improve(self, round: FinishedRound, models: Models) -> Mapping[str, Mapping[str, Any]]:
            found: Mapping[str, Mapping[str, Any]] = improve(round)
            return found

    return OptimizerSpec(name="made", factory=Made, summary="made")


def wrong_parameters() -> PluginSpec:
    return optimizer(lambda round: {"constraints": {"no_such_key": 1}})


def shares() -> PluginSpec:
    return optimizer(lambda round: {} if round.survivors / round.candidates > 0.5 else {"constraints": {}})


def word_as_figure() -> PluginSpec:
    return selector(lambda candidates: [Verdict(True)] * len(candidates), measure="high")


def at_random() -> PluginSpec:
    async def evolve(parent: Instruction, models: Models) -> Evolution:
        return Evolution(f"{parent.instruction} In {random.random()} words.")

    return operator(evolve)


def asks_at_random() -> PluginSpec:
    async def evolve(parent: Instruction, models: Models) -> Evolution:
        await models.evolver.generate(f"{time.perf_counter_ns()}")
        return Evolution(f"{parent.instruction} Now.")

    return operator(evolve, needs=("evolver.generate",))


def counting() -> PluginSpec:
    class Made(Operator):
        def __init__(self) -> None:
            self.calls = 0

        async def evolve(self, parent: Instruction, models: Models) -> Evolution:
            self.calls += 1
            return Evolution(f"{parent.instruction} In {self.calls} words.")

    return OperatorSpec(name="made", factory=Made, summary="made")


def never_returning() -> PluginSpec:
    async def evolve(parent: Instruction, models: Models) -> Evolution:
        if not parent.instruction:
            await asyncio.get_running_loop().create_future()
        return Evolution(f"{parent.instruction} Now.")

    return operator(evolve)


def undeclared() -> PluginSpec:
    async def score(candidate: Candidate, models: Models) -> Score:
        return Score((await models.scorer.loss(target="a b")).mean, "nothing to score")

    return scorer(score, needs=("judge.generate",))


def not_json() -> PluginSpec:
    return ExporterSpec(name="made", factory=lambda: lambda row: {"texts": {row["instruction"]}}, summary="made")


def changes_its_row() -> PluginSpec:
    def export(row: dict[str, Any]) -> dict[str, Any]:
        row["seen"] = True
        return {"text": row["instruction"]}

    return ExporterSpec(name="made", factory=lambda: export, summary="made")


BAD: dict[str, tuple[Callable[[], PluginSpec], str, str]] = {
    "a name that is taken": (
        lambda: OperatorSpec(name="constraints", factory=Shout, summary="made"),
        "hooks",
        "the name is taken by operator `constraints` of evoagent",
    ),
    "needs that are none": (
        lambda: operator(Shout().evolve, needs=("oracle.ask",)),
        "hooks",
        "found needs ('oracle.ask',)",
    ),
    "no summary": (no_summary, "summary", "there is none"),
    "a long summary": (lambda: operator(Shout().evolve, summary="a\nb"), "summary", "several lines"),
    "no description": (
        lambda: OperatorSpec(name="made", factory=lambda c: Shout(), config=Silent, summary="made"),
        "parameters",
        "size: no description",
    ),
    "neither default nor example": (
        lambda: OperatorSpec(name="made", factory=lambda c: Shout(), config=Required, summary="made"),
        "parameters",
        "size: neither a default nor an example",
    ),
    "a default that is not valid": (
        lambda: OperatorSpec(name="made", factory=lambda c: Shout(), config=Impossible, summary="made"),
        "parameters",
        "the defaults are not valid (size:",
    ),
    "a factory that raises": (raising_factory, "factory", "OSError: no such file"),
    "a text as format": (format_of_text, "hostile text", "template and format syntax as instruction"),
    "a text as template": (template_of_text, "hostile text", "reads an instruction as a template"),
    "a word that is not there": (first_word, "hostile text", "raises IndexError"),
    "an answer that is trusted": (trusts_a_number, "hostile answers", "raises ValueError: could not convert string"),
    "no finite number": (infinite, "hostile answers", "the value nan, expected a finite number"),
    "another type": (no_evolution, "hostile text", "expected an Evolution"),
    "no coroutine": (not_async, "hostile text", "expected `async def evolve`"),
    "an exit": (leaves, "hostile text", "raises SystemExit: too long"),
    "half a character": (half_a_character, "hostile text", "half a surrogate pair"),
    "one result too few": (one_too_few, "hostile text", "gave 0 verdicts for 1 candidates"),
    "a word as figure": (word_as_figure, "hostile text", "the figure 'figure': 'high', expected a number"),
    "parameters that no operator takes": (wrong_parameters, "hostile text", "no_such_key"),
    "a division by nothing": (shares, "hostile text", "raises ZeroDivisionError"),
    "chance": (at_random, "determinism", "two runs differ on seed 1"),
    "chance in requests": (asks_at_random, "determinism", "in what they ask the models"),
    "state between calls": (counting, "determinism", "the order of the calls changes what they give"),
    "no return": (never_returning, "time limit", "does not return within 1 s on an empty text as instruction"),
    "an undeclared role": (
        lambda: replace(GRADED, needs=()),
        "needs",
        "calls second.choose, which `needs` does not name",
    ),
    "an undeclared need": (undeclared, "needs", "calls scorer.loss, which `needs` does not name"),
    "no JSON": (not_json, "hostile text", "TypeError: Object of type set"),
    "a changed row": (changes_its_row, "hostile text", "changes the row"),
}


@pytest.mark.parametrize("name", BAD)
def test_the_check_finds(name: str) -> None:
    make, what, message = BAD[name]
    found = errors(make(), limit=1.0)
    assert any(item.what == what and message in item.message for item in found), "\n".join(map(str, found))
    assert {item.what for item in found} <= {what, "factory", "hostile text"}


def test_a_plugin_of_no_base_class_is_sound() -> None:
    class Duck:
        async def select(self, candidates: Population, survivors: Any, models: Models) -> list[Verdict]:
            return [Verdict(True)] * len(candidates)

    found = check_plugin(SelectorSpec(name="duck", factory=Duck, summary="made"))
    assert [item for item in found if item.severity != "ok"] == []


def test_a_declared_need_that_is_not_called_is_a_note() -> None:
    notes = [item for item in check_plugin(undeclared()) if item.severity == "note" and item.what == "needs"]
    assert "judge.generate was not called" in notes[0].message


def test_examples_and_given_parameters_stand_in_for_defaults() -> None:
    class Sized(Operator):
        def __init__(self, config: Any) -> None:
            assert config.size in (3, 7)

        async def evolve(self, parent: Instruction, models: Models) -> Evolution:
            return Evolution(f"{parent.instruction} Now.")

    class WithExample(BaseModel):
        model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"size": 7}]})

        size: int = Field(description="How many.")

    spec = OperatorSpec(name="sized", factory=Sized, config=WithExample, summary="sized")
    assert errors(spec) == []
    given = OperatorSpec(name="sized", factory=Sized, config=Required, summary="sized")
    assert [item.what for item in errors(given, params={"sized": {"size": 3}})] == ["parameters"]


def test_hooks_that_are_none_and_modules_that_are_missing_are_found() -> None:
    class Misspelt:
        @hookimpl
        def evoagent_operator(self) -> None: ...

    assert "did you mean `evoagent_operators`?" in errors(Misspelt())[0].message
    assert "does not import" in errors("no_such_module")[0].message
    assert errors(SimpleNamespace())[0].message.startswith("it implements no hook")


class Echo(Engine):
    """Repeats the prompt."""

    capabilities = frozenset({"generate"})
    identity = "echo"

    def __init__(self, model: Any, source: Any, options: Any) -> None:
        self.lanes = {"generate": Lane(batch=4)}

    async def generate(self, requests: Sequence[Any]) -> list[Completion | Exception]:
        return [Completion(request.messages[-1][1]) for request in requests]


def engine(base: type[Engine] = Echo, **changes: Any) -> EngineSpec:
    verbs = frozenset({"generate"})
    return EngineSpec(**{"name": "echo", "factory": base, "verbs": verbs, "remote": True, "summary": "e", **changes})


def test_an_engine_answers_only_if_a_model_is_given() -> None:
    assert errors(engine(), model="anything") == []
    notes = [item for item in check_plugin(engine()) if item.what == "answers"]
    assert notes[0].severity == "note"


def test_faults_of_engines_are_found() -> None:
    class Short(Echo):
        async def generate(self, requests: Sequence[Any]) -> list[Completion | Exception]:
            return []

    class Fragile(Echo):
        async def generate(self, requests: Sequence[Any]) -> list[Completion | Exception]:
            return [Completion(request.messages[-1][1].split()[0]) for request in requests]

    class Odd(Echo):
        async def generate(self, requests: Sequence[Any]) -> list[Completion | Exception]:
            return [Completion("x", "eos") for _ in requests]

    class Clinging(Echo):
        async def close(self) -> None:
            raise OSError("in use")

    class Claims(Echo):
        capabilities = frozenset({"embed"})

        def __init__(self, *_: Any) -> None:
            self.lanes = {"embed": Lane()}

    def message(base: type[Engine], **changes: Any) -> str:
        return "\n".join(item.message for item in errors(engine(base, **changes), model="anything"))

    assert "0 answers to 4 requests" in message(Short)
    assert "raises IndexError" in message(Fragile)
    assert "finish_reason is 'eos'" in message(Odd)
    assert "close: raises OSError: in use" in message(Clinging)
    assert "but ['embed', 'generate'] are declared" in message(Echo, verbs=frozenset({"generate", "embed"}))
    assert "says that it can embed, but does not define `embed`" in message(Claims, verbs=frozenset({"embed"}))


def test_population_scorers_are_checked_with_whole_rounds() -> None:
    class Best(PopulationScorer):
        async def score_all(self, candidates: Population, survivors: Population, models: Models) -> list[Score]:
            lengths = [len(candidate.instruction) async for candidate in candidates]
            longest = max(lengths)
            return [Score(length / longest) for length in lengths]

    found = errors(ScorerSpec(name="best", factory=Best, population=True, summary="made"))
    assert [item.what for item in found] == ["hostile text"]
    assert "raises ValueError" in found[0].message
    assert "no candidate" in found[0].message


def test_the_models_of_the_function_close_by_hand() -> None:
    models = make_models()
    models.close()
    assert models.requests == []


def test_a_plugin_that_asks_a_named_role_is_sound() -> None:
    assert_valid_plugin(GRADED)
