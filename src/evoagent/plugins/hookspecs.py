"""The hooks that a plugin may implement, each with its signature."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

from evoagent.events import RoundFinished, RunFinished, RunStarted
from evoagent.plugins.specs import (
    EngineSpec,
    ExporterSpec,
    OperatorSpec,
    OptimizerSpec,
    RuleSpec,
    ScorerSpec,
    SelectorSpec,
)

if TYPE_CHECKING:
    from evoagent.models.engines.base import Engine
    from evoagent.operators.base import Operator
    from evoagent.operators.optimizer import Optimizer
    from evoagent.rules.base import PopulationRule, Rule
    from evoagent.scorers.base import PopulationScorer, Scorer
    from evoagent.selectors.base import Selector

PROJECT = "evoagent"

_Function = TypeVar("_Function", bound=Callable[..., Any])
_hookspec = pluggy.HookspecMarker(PROJECT)
_marker = pluggy.HookimplMarker(PROJECT)


def hookimpl(function: _Function) -> _Function:
    """Mark `function` as a plugin's implementation of the hook of the same name."""
    return _marker(function)


@_hookspec
def evoagent_operators() -> Iterable[type[Operator] | OperatorSpec]:  # type: ignore[empty-body]
    """Yield evolution operators.

    ```python
    @evoagent.hookimpl
    def evoagent_operators():
        yield Haiku
    ```
    """


@_hookspec
def evoagent_scorers() -> Iterable[type[Scorer] | type[PopulationScorer] | ScorerSpec]:  # type: ignore[empty-body]
    """Yield scorers.

    ```python
    @evoagent.hookimpl
    def evoagent_scorers():
        yield Words
    ```
    """


@_hookspec
def evoagent_rules() -> Iterable[type[Rule] | type[PopulationRule] | RuleSpec]:  # type: ignore[empty-body]
    """Yield rules that reject candidates.

    ```python
    @evoagent.hookimpl
    def evoagent_rules():
        yield NoUrls
    ```
    """


@_hookspec
def evoagent_selectors() -> Iterable[type[Selector] | SelectorSpec]:  # type: ignore[empty-body]
    """Yield selectors.

    ```python
    @evoagent.hookimpl
    def evoagent_selectors():
        yield Shortest
    ```
    """


@_hookspec
def evoagent_optimizers() -> Iterable[type[Optimizer] | OptimizerSpec]:  # type: ignore[empty-body]
    """Yield optimizers.

    ```python
    @evoagent.hookimpl
    def evoagent_optimizers():
        yield Longer
    ```
    """


@_hookspec
def evoagent_engines() -> Iterable[type[Engine] | EngineSpec]:  # type: ignore[empty-body]
    """Yield engines, with the verbs that they really have.

    ```python
    @evoagent.hookimpl
    def evoagent_engines():
        yield Echo
    ```
    """


@_hookspec
def evoagent_exporters() -> Iterable[ExporterSpec]:  # type: ignore[empty-body]
    """Yield training formats.

    ```python
    @evoagent.hookimpl
    def evoagent_exporters():
        yield ExporterSpec(name="pairs", factory=lambda: to_pair, summary="a prompt and an answer a line")
    ```
    """


@_hookspec
def evoagent_run_started(event: RunStarted) -> None:
    """Be told that a run begins. What an observer raises is logged and never stops the run.

    ```python
    @evoagent.hookimpl
    def evoagent_run_started(event):
        print("run", event.run, "in", event.directory)
    ```
    """


@_hookspec
def evoagent_round_finished(event: RoundFinished) -> None:
    """Be told how a round ended.

    ```python
    @evoagent.hookimpl
    def evoagent_round_finished(event):
        print(event.round, event.survivors, "of", event.candidates)
    ```
    """


@_hookspec
def evoagent_run_finished(event: RunFinished) -> None:
    """Be told that the run is over, with its summary.

    ```python
    @evoagent.hookimpl
    def evoagent_run_finished(event):
        print(event.summary["survivors"])
    ```
    """
