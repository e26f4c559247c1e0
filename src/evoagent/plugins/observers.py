"""Telling an observer of an event, whatever it does."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Mapping

import pluggy

from evoagent.events import Event, RoundFinished, RunFinished, RunStarted

_log = logging.getLogger(__name__)

OBSERVERS: Mapping[type, str] = {
    RunStarted: "evoagent_run_started",
    RoundFinished: "evoagent_round_finished",
    RunFinished: "evoagent_run_finished",
}
"""The hook for each event that plugins are told of."""

OBSERVER_SECONDS = 300.0  # that the run waits for an observer


def tell(implementation: pluggy.HookImpl, hook: str, event: Event, label: str, seconds: float | None) -> bool:
    """Call an observer and wait for it; False if it has not returned in time. What it raises is logged."""

    def call() -> None:
        try:
            found = implementation.function(*([event] if implementation.argnames else []))
        except BaseException:
            _log.exception("plugin %s: %s raised", label, hook)
            return
        if inspect.iscoroutine(found):
            found.close()
            _log.error("plugin %s: %s is async, and is not run: observers are plain functions", label, hook)

    # A thread of its own: one that never returns keeps nobody, and dies with the process.
    thread = threading.Thread(target=call, name=f"observer {label}", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        _log.error(
            "plugin %s: %s has not returned for %g s; the run goes on and tells it no more", label, hook, seconds
        )
    return not thread.is_alive()
