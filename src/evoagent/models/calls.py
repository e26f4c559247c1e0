"""Calls of plugins: many at once, each held to account for what a stranger's coroutine can do to its caller.

It may raise what no `except Exception` catches, cancel itself, hide that an engine has failed, wait for ever for
something of its own, and not even end when it is cancelled. None of this may reach the other calls.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from evoagent.errors import EngineError, EvoAgentError, LedgerError, PluginError, UserError
from evoagent.failures import AbandonedFault, BlockedError, PluginFault, explain, shown, told

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

PLUGIN_SECONDS = 300.0  # that a plugin may wait for what is no model of ours
GRACE = 10.0  # seconds between a cancellation and the end of our patience with who ignores it


@dataclass(slots=True, eq=False)
class _Plugin:
    """What all calls of one plugin have in common. One that goes on speaks for those that may be waiting for it."""

    requests: int = 0
    moved: float = 0.0


@dataclass(slots=True, eq=False)
class _Call:
    who: str
    plugin: _Plugin
    task: asyncio.Task[Any]
    since: float
    limited: bool = True
    cancelled: float | None = None
    abandoned: bool = False


_CALL: ContextVar[_Call | None] = ContextVar("evoagent_call", default=None)


class Calls:
    """Runs the calls of one run's plugins."""

    def __init__(self, window: int, limit: float | None = PLUGIN_SECONDS) -> None:
        """At most `window` calls at once, each waiting at most `limit` seconds for what is no model of ours."""
        self.window = window
        self.fatal: EvoAgentError | None = None
        """Why the run cannot go on: no plugin can hide it, and what else they raise does not count any more."""
        self._limit = limit
        self._tick = 1.0 if limit is None else min(1.0, limit / 10)
        self._grace = GRACE if limit is None else min(GRACE, limit)
        self._calls: set[_Call] = set()
        self._plugins: dict[str, _Plugin] = {}
        self._owners: dict[asyncio.Task[Any], Callable[[Exception], None]] = {}
        # Stands still while the event loop does: whoever could not go on is not late.
        self._clock = 0.0
        self._swept = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def guard(self, who: str, function: Callable[..., Any], *args: Any, limited: bool = True) -> Any:
        """Await `function(*args)`, which is code of the plugin `who`; to be called inside `map`.

        Args:
            limited: False for plugins that are known to end, however long they take.

        Raises:
            EngineError, LedgerError: the run cannot go on, whatever the plugin has made of it.
            UserError: the plugin asks for what this run does not have; the message names it.
            Exception: anything else is the plugin's failure, and of this call alone.
        """
        task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        plugin = self._plugins.setdefault(who, _Plugin())
        call = _Call(who, plugin, task, self._clock, limited)
        token = _CALL.set(call)
        self._calls.add(call)
        self._watch()
        try:
            found = function(*args)
            if not inspect.isawaitable(found):
                name = getattr(function, "__name__", "it")
                raise PluginFault(f"`{name}` returned {shown(found)} at once, expected `async def {name}`")
            found = await found
            plugin.moved = self._clock
        except asyncio.CancelledError:
            if task.cancelling() > before + (call.cancelled is not None):
                raise
            if call.cancelled is None:
                raise PluginFault("the plugin let a cancellation escape") from None
            raise self._stalled() from None
        except Exception as error:
            plugin.moved = self._clock
            judged = self._judged(who, error)
            if judged is error:
                raise
            raise judged from error
        except BaseException as error:
            raise_if_ctrl_c(error)
            if isinstance(error, BlockedError):
                raise (PluginError(f"{who} {error}") if error.last else PluginFault(str(error))) from None
            raise PluginFault(explain(error)) from error
        finally:
            self._calls.discard(call)
            _CALL.reset(token)
            if call.cancelled is not None:
                task.uncancel()
        if self.fatal is not None:
            raise self.fatal
        return found

    def _judged(self, who: str, error: Exception) -> Exception:
        if self.fatal is not None:
            return self.fatal
        if isinstance(error, UserError):
            return PluginError(f"{who}: {error}")
        if isinstance(error, (EngineError, LedgerError)):  # none of ours: it would be fatal
            return PluginFault(explain(error))
        return error

    def _stalled(self) -> PluginFault:
        return PluginFault(f"has waited {self._limit:g} s for something that is no model; see `plugin_seconds`")

    async def attempt(self, who: str, function: Callable[..., Any], *args: Any, limited: bool = True) -> Any:
        """As `guard`, for a call that is no item of a `map`."""
        call = partial(self.guard, who, function, *args, limited=limited)
        async with aclosing(self.map([None], lambda _: call())) as results:
            async for _, outcome in results:
                if isinstance(outcome, Exception):
                    raise outcome
                return outcome
        raise AssertionError("a map yields every item")

    async def require(self, who: str, function: Callable[..., Any], *args: Any, limited: bool = True) -> Any:
        """As `attempt`, for a call without which the run cannot go on.

        Raises:
            PluginError: it failed; the message names the plugin.
        """
        try:
            return await self.attempt(who, function, *args, limited=limited)
        except (EngineError, LedgerError, UserError):
            raise
        except Exception as error:
            raise PluginError(told(who, error)) from error

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around a request to a model of ours: whoever waits for it is not idle."""
        call = _CALL.get()
        if call is None:
            yield
            return
        if call.abandoned:
            raise PluginFault("this call was given up")
        call.plugin.requests += 1
        try:
            yield
        finally:
            call.plugin.requests -= 1
            call.plugin.moved = self._clock

    # -- many at once -------------------------------------------------------------------------------------------

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

        def start(item: T) -> None:
            def end(outcome: R | Exception) -> None:
                if task in running:  # else it was given up before
                    running.discard(task)
                    del self._owners[task]
                    done.put_nowait((item, outcome))

            async def work() -> None:
                end(await _outcome(call(item)))

            task = asyncio.ensure_future(work())
            running.add(task)
            self._owners[task] = end

        exhausted = False
        try:
            while True:
                while not exhausted and len(running) + done.qsize() < self.window:
                    try:
                        item = await anext(source)
                    except StopAsyncIteration:
                        exhausted = True
                        break
                    start(item)
                if exhausted and not running and done.empty():
                    return
                item, outcome = await done.get()
                if isinstance(outcome, (EngineError, LedgerError, UserError)):
                    raise outcome
                yield item, outcome
        finally:
            ending = list(running)
            running.clear()
            for task in ending:
                del self._owners[task]
            await settle(ending, self._grace)

    # -- patience -----------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        if self._limit is not None and self._timer is None:
            self._swept = time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(self._tick, self._sweep, self._limit)

    def _sweep(self, limit: float) -> None:
        """Cancel the calls that have waited too long, and give up those that ignore it."""
        now = time.monotonic()
        self._clock += min(now - self._swept, 2 * self._tick)
        self._timer = None
        for plugin in {call.plugin for call in self._calls}:
            if plugin.requests:
                plugin.moved = self._clock
        for call in list(self._calls):
            if call.cancelled is not None:
                if self._clock - call.cancelled > self._grace:
                    self._abandon(call)
            elif call.limited and self._clock - max(call.since, call.plugin.moved) > limit:
                call.cancelled = self._clock
                call.task.cancel()
        if self._calls:
            self._watch()

    def _abandon(self, call: _Call) -> None:
        logger.warning("%s does not end when it is cancelled, and is left behind", call.who)
        call.abandoned = True
        self._calls.discard(call)
        end = self._owners.get(call.task)
        leave_behind(call.task)
        if end is not None:
            end(AbandonedFault(f"{call.who}: {self._stalled()}; it does not end when it is cancelled"))

    def close(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()


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
    except BaseException as error:
        raise_if_ctrl_c(error)
        return PluginFault(explain(error))


def raise_if_ctrl_c(error: BaseException) -> None:
    """Raise `error` if it may be the user's Ctrl-C, which nobody handles otherwise, and not a plugin's own idea."""
    if isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        raise error


async def settle(tasks: Iterable[asyncio.Task[Any]], seconds: float) -> None:
    """Cancel `tasks` and wait for their end; those that do not end in time are left behind."""
    waiting = [task for task in tasks if not task.done()]
    for task in waiting:
        task.cancel()
    if not waiting:
        return
    done, pending = await asyncio.wait(waiting, timeout=seconds)
    for task in done:
        if not task.cancelled():
            task.exception()
    for task in pending:
        leave_behind(task)


def leave_behind(task: asyncio.Task[Any]) -> None:
    """Forget a task that does not end when it is cancelled: nothing waits for it any more, not even `asyncio.run`."""
    asyncio.tasks._unregister_task(task)
    task._log_destroy_pending = False  # type: ignore[attr-defined]


def retrieve(future: asyncio.Future[Any]) -> None:
    """Mark a failure as seen, so that a caller who was cancelled meanwhile leaves no warning behind."""
    if not future.cancelled():
        future.exception()


async def _async_iterator(items: Iterable[T]) -> AsyncIterator[T]:
    for item in items:
        yield item
