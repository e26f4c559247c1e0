"""Calls of engines, third-party ones among them: what goes wrong in one is an error that names it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from evoagent.errors import EngineError, EvoAgentError, TransientError, UserError
from evoagent.failures import PluginFault, explain
from evoagent.models.checks import check_results
from evoagent.models.engines.base import Engine
from evoagent.models.requests import Request, Result, Verb
from evoagent.models.waiting import settle

logger = logging.getLogger(__name__)

T = TypeVar("T")

CLOSE_SECONDS = 60.0  # that an engine may take to close
SLOW_SECONDS = 300.0  # after which an engine that does not answer is told of


class EngineCalls:
    """Starts, asks and closes the engines of one run."""

    def __init__(
        self, engines: Iterable[tuple[Engine, str]], notice: Callable[[str], None], slow_seconds: float | None
    ) -> None:
        """Take engines, each with the plugin that brought it, "" for our own.

        Args:
            slow_seconds: after which `notice` is told of a third-party engine that does not answer.
        """
        self._plugins = {id(engine): plugin for engine, plugin in engines}
        self._notice = notice
        self._slow_seconds = slow_seconds
        self._told: set[int] = set()

    def name(self, engine: Engine) -> str:
        """The engine for messages: its model, and its plugin where that is a third party's."""
        plugin = self._plugins.get(id(engine))
        return f"{plugin} ({engine.identity})" if plugin else engine.identity

    def named(self, engine: Engine, error: EvoAgentError) -> EvoAgentError:
        """`error` with the name of a third-party engine; our own say who they are."""
        if isinstance(error, TransientError) or not self._plugins.get(id(engine)):
            return error
        return (UserError if isinstance(error, UserError) else EngineError)(f"{self.name(engine)}: {error}")

    async def start(self, engine: Engine) -> None:
        """Load it; raises `EvoAgentError`."""
        try:
            await _contained(engine.start)
        except EvoAgentError as error:
            raise self.named(engine, error) from error
        except Exception as error:
            raise EngineError(f"{self.name(engine)}: does not start: {explain(error)}") from error

    async def ask(self, engine: Engine, verb: Verb, requests: Sequence[Request]) -> Sequence[Result | Exception]:
        """The outcomes of a batch, one a request, fit to be stored.

        Raises:
            TransientError: the batch may be tried again.
            EvoAgentError: the engine failed, or what it returned is no answer.
        """
        name = self.name(engine)
        try:
            with self._patience(engine):
                found = await _contained(getattr(engine, verb), requests)
        except EvoAgentError as error:
            raise self.named(engine, error) from error
        except Exception as error:
            logger.debug("engine failed", exc_info=True)
            raise EngineError(f"{name}: {verb} failed: {explain(error)}") from error
        try:
            return check_results(verb, requests, found)
        except EngineError as error:
            raise EngineError(f"{name}: {error}") from error

    async def close(self, engine: Engine) -> None:
        """Close it. Its failure to do so costs nobody anything."""

        async def close() -> None:
            try:
                await _contained(engine.close)
            except Exception as error:
                self._notice(f"{self.name(engine)} did not close: {explain(error)}")

        task = asyncio.ensure_future(close())
        try:
            await asyncio.wait([task], timeout=CLOSE_SECONDS)
            if not task.done():
                self._notice(f"{self.name(engine)} has not closed for {CLOSE_SECONDS:g} s, and is left behind")
        finally:
            await settle([task], 1.0)

    @contextmanager
    def _patience(self, engine: Engine) -> Iterator[None]:
        """Tells once of a third-party engine that takes very long: nothing else could say why the run stands still."""
        if self._slow_seconds is None or not self._plugins.get(id(engine)) or id(engine) in self._told:
            yield
            return

        def tell() -> None:
            if id(engine) not in self._told:
                self._told.add(id(engine))
                self._notice(f"{self.name(engine)} has not answered for {self._slow_seconds:g} s; waiting for it")

        timer = asyncio.get_running_loop().call_later(self._slow_seconds, tell)
        try:
            yield
        finally:
            timer.cancel()


async def _contained(call: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Await `call(*args)`; what would end the process, as `sys.exit` does, becomes a `PluginFault`."""
    try:
        return await call(*args)
    except SystemExit as error:
        raise PluginFault(explain(error)) from error
