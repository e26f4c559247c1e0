"""The hooks that a plugin may implement, each with its signature."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

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

PROJECT = "evoagent"

_Function = TypeVar("_Function", bound=Callable[..., Any])
_hookspec = pluggy.HookspecMarker(PROJECT)
_marker = pluggy.HookimplMarker(PROJECT)


def hookimpl(function: _Function) -> _Function:
    """Mark `function` as a plugin's implementation of the hook of the same name."""
    return _marker(function)


@_hookspec
def evoagent_operators() -> Iterable[OperatorSpec]:  # type: ignore[empty-body]
    """Yield evolution operators.

    ```python
    @evoagent.hookimpl
    def evoagent_operators():
        yield OperatorSpec(name="haiku", factory=Haiku, summary="asks for the answer as a haiku")
    ```
    """


@_hookspec
def evoagent_scorers() -> Iterable[ScorerSpec]:  # type: ignore[empty-body]
    """Yield scorers.

    ```python
    @evoagent.hookimpl
    def evoagent_scorers():
        yield ScorerSpec(name="words", factory=Words, summary="words of the instruction")
    ```
    """


@_hookspec
def evoagent_rules() -> Iterable[RuleSpec]:  # type: ignore[empty-body]
    """Yield rules that reject candidates.

    ```python
    @evoagent.hookimpl
    def evoagent_rules():
        yield RuleSpec(name="no-urls", factory=NoUrls, looks_at="instruction", summary="rejects links")
    ```
    """


@_hookspec
def evoagent_selectors() -> Iterable[SelectorSpec]:  # type: ignore[empty-body]
    """Yield selectors.

    ```python
    @evoagent.hookimpl
    def evoagent_selectors():
        yield SelectorSpec(name="shortest", factory=Shortest, config=ShortestConfig, summary="the shortest ones")
    ```
    """


@_hookspec
def evoagent_optimizers() -> Iterable[OptimizerSpec]:  # type: ignore[empty-body]
    """Yield optimizers.

    ```python
    @evoagent.hookimpl
    def evoagent_optimizers():
        yield OptimizerSpec(name="longer", factory=Longer, summary="asks for longer instructions each round")
    ```
    """


@_hookspec
def evoagent_engines() -> Iterable[EngineSpec]:  # type: ignore[empty-body]
    """Yield engines, with the verbs that they really have.

    ```python
    @evoagent.hookimpl
    def evoagent_engines():
        yield EngineSpec(name="echo", factory=Echo, verbs=frozenset({"generate"}), summary="repeats the prompt")
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
