"""Calls of plugins: many at once, and each bounded in how long it may wait for what is no model of ours."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar

from evoagent.errors import EngineError, EvoAgentError, LedgerError, PluginError, UserError
from evoagent.failures import PluginFault, explain, shown
from evoagent.models.waiting import PATIENCE, Patience, settle
from evoagent.plugins.loaded import Loaded

T = TypeVar("T")
R = TypeVar("R")

WINDOW = 1024  # calls in flight at once
PLUGIN_SECONDS = 300.0  # that a plugin may wait for what is no model of ours
GRACE = 10.0  # seconds that a cancelled call has to end


class Calls:
    """Runs the calls of one run's plugins.

    Attributes:
        window: the most calls that `map` has in flight.
    """

    def __init__(self, window: int, limit: float | None, fatal: Callable[[], EvoAgentError | None]) -> None:
        """Prepare to call.

        Args:
            window: the most calls that `map` has in flight.
            limit: seconds that a call may wait for what is no model of ours; None is for ever.
            fatal: why the run cannot go on, if it cannot: no plugin can hide that, and what else they raise does not
                count any more.
        """
        self.window = window
        self._limit = limit
        self._fatal = fatal

    async def guard(self, plugin: Loaded, function: Callable[..., Any], *args: Any) -> Any:
        """Await `function(*args)`, a method of `plugin`; to be called inside `map`.

        What comes with evoagent may take its time; a third-party plugin may wait for so long only.

        Raises:
            EngineError, LedgerError: the run cannot go on, whatever the plugin has made of it.
            UserError: the plugin asks for what this run does not have; the message names it.
            Exception: anything else is the plugin's failure, and of this call alone.
        """
        try:
            if plugin.third_party and self._limit is not None:
                found = await self._within(self._limit, function, *args)
            else:
                found = await awaited(function, *args)
        except (asyncio.CancelledError, KeyboardInterrupt):
            raise
        except BaseException as error:
            judged = self._judged(plugin, error)
            if judged is error:
                raise
            raise judged from error
        if (fatal := self._fatal()) is not None:
            raise fatal
        return found

    async def _within(self, limit: float, function: Callable[..., Any], *args: Any) -> Any:
        """`function(*args)`, cancelled when it has waited for `limit` seconds."""
        try:
            async with asyncio.timeout(limit) as timeout:
                token = PATIENCE.set(Patience(timeout, limit))
                try:
                    return await awaited(function, *args)
                finally:
                    PATIENCE.reset(token)
        except TimeoutError:
            if not timeout.expired():
                raise  # the plugin's own
            why = f"has waited {limit:g} s for something that is no model; see `plugin_seconds`"
            raise PluginFault(why) from None

    def _judged(self, plugin: Loaded, error: BaseException) -> BaseException:
        if (fatal := self._fatal()) is not None:
            return fatal
        if isinstance(error, UserError):
            return PluginError(f"{plugin.title}: {error}")
        if isinstance(error, Exception) and not isinstance(error, (EngineError, LedgerError)):
            return error
        return PluginFault(explain(error))  # `sys.exit`, say, or an error of ours that is none: it would be fatal

    async def attempt(self, plugin: Loaded, function: Callable[..., Any], *args: Any) -> Any:
        """As `guard`, for a call that is no item of a `map`."""
        call = partial(self.guard, plugin, function, *args)
        async with aclosing(self.map([None], lambda _: call())) as results:
            async for _, outcome in results:
                if isinstance(outcome, Exception):
                    raise outcome
                return outcome
        raise AssertionError("a map yields every item")

    async def require(self, plugin: Loaded, function: Callable[..., Any], *args: Any) -> Any:
        """As `attempt`, for a call without which the run cannot go on.

        Raises:
            PluginError: it failed; the message names the plugin.
        """
        try:
            return await self.attempt(plugin, function, *args)
        except (EngineError, LedgerError, UserError):
            raise
        except Exception as error:
            raise PluginError(f"{plugin.title}: {explain(error)}") from error

    async def map(
        self, items: AsyncIterator[T] | Iterable[T], call: Callable[[T], Awaitable[R]]
    ) -> AsyncGenerator[tuple[T, R | Exception]]:
        """Run `call` on every item, at most `window` at once, and yield (item, result) as they finish.

        An exception of one call is yielded as that item's result; `EngineError`, `LedgerError` and `UserError` end
        the whole map.
        """
        source = items if isinstance(items, AsyncIterator) else _async_iterator(items)
        done: asyncio.Queue[tuple[T, R | Exception]] = asyncio.Queue()
        running: set[asyncio.Task[None]] = set()

        async def work(item: T) -> None:
            done.put_nowait((item, await _outcome(call(item))))

        exhausted, started, yielded = False, 0, 0
        try:
            while True:
                while not exhausted and started - yielded < self.window:
                    try:
                        item = await anext(source)
                    except StopAsyncIteration:
                        exhausted = True
                        break
                    task = asyncio.ensure_future(work(item))
                    started += 1
                    running.add(task)
                    task.add_done_callback(running.discard)
                if yielded == started:
                    return
                item, outcome = await done.get()
                yielded += 1
                if isinstance(outcome, (EngineError, LedgerError, UserError)):
                    raise outcome
                yield item, outcome
        finally:
            await settle(running, GRACE)


async def awaited(function: Callable[..., Any], *args: Any) -> Any:
    """Await `function(*args)`; raises `PluginFault` where there is nothing to await."""
    found = function(*args)
    if not inspect.isawaitable(found):
        name = getattr(function, "__name__", "it")
        raise PluginFault(f"`{name}` returned {shown(found)} at once, expected `async def {name}`")
    return await found


async def _outcome(call: Awaitable[R]) -> R | Exception:
    """The result or the failure of one call; only a cancellation of the whole map gets out."""
    try:
        return await call
    except Exception as error:
        return error
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return PluginFault("the plugin let a cancellation escape")


async def _async_iterator(items: Iterable[T]) -> AsyncIterator[T]:
    for item in items:
        yield item
