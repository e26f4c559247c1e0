"""Waiting for a coroutine in code that is not `async`, also where an event loop runs already, as in a notebook."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, ParamSpec, TypeVar

from evoagent.models.waiting import settle

P = ParamSpec("P")
T = TypeVar("T")

SETTLE_SECONDS = 5.0  # that tasks which plugins have left running get to end


def wait_for(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` in an event loop of its own and return its result.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once `main` has been cancelled and has ended.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        return _in_a_thread(main)
    return asyncio.run(settled(main))


async def settled(main: Coroutine[Any, Any, T], threads: str = "evoagent") -> T:
    """Await `main`; nothing that a plugin has left running keeps the event loop from closing after it.

    Args:
        threads: how the names of the threads begin that are behind `asyncio.to_thread`.
    """
    loop = asyncio.get_running_loop()
    pool = ThreadPoolExecutor(thread_name_prefix=threads)
    loop.set_default_executor(pool)
    try:
        return await main
    finally:
        await settle(asyncio.all_tasks() - {asyncio.current_task()}, SETTLE_SECONDS)
        pool.shutdown(wait=False, cancel_futures=True)
        loop.set_default_executor(ThreadPoolExecutor())  # `asyncio.run` waits for the default one without a limit


def _in_a_thread(main: Coroutine[Any, Any, T]) -> T:
    """As `wait_for`; the loop that runs in this thread stands still meanwhile."""
    started: Future[Callable[[], object]] = Future()

    async def cancellable() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        started.set_result(lambda: loop.call_soon_threadsafe(task.cancel))
        return await settled(main)

    pool = ThreadPoolExecutor(1, thread_name_prefix="evoagent")
    with _ctrl_c():
        # In this context: a notebook knows by it which cell a listener prints for.
        ended = pool.submit(copy_context().run, asyncio.run, cancellable())
        pool.shutdown(wait=False)
        try:
            return ended.result()
        except KeyboardInterrupt:
            started.result()()
            wait([ended])
            raise


@contextmanager
def _ctrl_c() -> Iterator[None]:
    """Have Ctrl-C raise KeyboardInterrupt: `asyncio.run` would have it cancel a task of the loop that stands still."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `function` in a thread and await its end, also when cancelled meanwhile: it is never left half-done."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
