"""Calls of plugins: many at once, each bounded in how long it waits, and none able to hide what ends the run."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from evoagent.errors import EngineError, PluginError
from evoagent.failures import PluginFault
from evoagent.ledger.database import Database
from evoagent.ledger.request_log import RequestLog
from evoagent.models.binding import RoleBinding
from evoagent.models.dispatcher import Dispatcher
from evoagent.models.requests import Completion, GenerateRequest
from evoagent.models.roles import Models
from evoagent.plugins.calls import Calls
from evoagent.plugins.loaded import LoadedOperator
from evoagent.testing import Script, ScriptedEngine

OURS = LoadedOperator(name="x", plugin=None)  # type: ignore[arg-type]
THEIRS = LoadedOperator(name="x", plugin=None, of="evil-dist 1.2")  # type: ignore[arg-type]


@pytest.fixture
def dispatch() -> Iterator[Callable[..., Dispatcher]]:
    database = Database(":memory:")

    def make(engine: ScriptedEngine | None = None) -> Dispatcher:
        return Dispatcher({"evolver": RoleBinding(engine or ScriptedEngine())}, RequestLog(database, "run"), database)

    yield make
    database.close()


def calls_of(dispatcher: Dispatcher, window: int = 1024, limit: float | None = 300) -> Calls:
    return Calls(window, limit, lambda: dispatcher.fatal)


async def ask(dispatcher: Dispatcher, text: str) -> str:
    return (await Models(dispatcher).evolver.generate(text)).text


async def test_map_keeps_a_window_and_yields_every_item(dispatch: Callable[..., Dispatcher]) -> None:
    running = peak = 0

    async def call(number: int) -> int:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0.001 * (number % 3))
        running -= 1
        if number == 13:
            raise ValueError("thirteen")
        return number * 2

    async with dispatch() as dispatcher:
        calls = calls_of(dispatcher, window=8)
        found = {item: outcome async for item, outcome in calls.map(range(100), call)}
    assert peak <= 8
    assert isinstance(found.pop(13), ValueError)
    assert found == {number: number * 2 for number in range(100) if number != 13}


async def test_map_is_ended_by_fatal_errors_and_by_leaving_it(dispatch: Callable[..., Dispatcher]) -> None:
    cancelled = 0

    async def call(number: int) -> None:
        nonlocal cancelled
        if number == 3:
            raise EngineError("gone")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled += 1
            raise

    async with dispatch() as dispatcher:
        calls = calls_of(dispatcher, window=4)
        with pytest.raises(EngineError):
            async with aclosing(calls.map(range(10), call)) as results:
                _ = [item async for item in results]
    assert cancelled == 3


def each(calls: Calls, plugin: Callable[[int], Awaitable[Any]], count: int) -> AsyncIterator[Any]:
    """Calls of a plugin with the numbers below `count`."""
    return calls.map(range(count), lambda number: calls.guard(THEIRS, plugin, number))


def faults(found: dict[Any, Any]) -> dict[Any, str]:
    return {item: str(outcome) for item, outcome in found.items() if isinstance(outcome, PluginFault)}


async def test_whoever_waits_for_no_model_is_cancelled_and_the_others_go_on(
    dispatch: Callable[..., Dispatcher],
) -> None:
    ended: list[int] = []

    async def plugin(number: int) -> int:
        try:
            if number % 2:
                await asyncio.sleep(60)
        finally:
            ended.append(number)
        return number

    async with dispatch() as dispatcher:
        calls = calls_of(dispatcher, limit=0.3)
        found = {n: o async for n, o in each(calls, plugin, 6)}
    assert faults(found) == dict.fromkeys(
        (1, 3, 5), "has waited 0.3 s for something that is no model; see `plugin_seconds`"
    )
    assert [found[number] for number in (0, 2, 4)] == [0, 2, 4]
    assert sorted(ended) == list(range(6)), "each could clean up"


async def test_our_own_plugins_may_take_their_time(dispatch: Callable[..., Dispatcher]) -> None:
    async def plugin(number: int) -> int:
        await asyncio.sleep(1)
        return number

    async with dispatch() as dispatcher:
        calls = calls_of(dispatcher, limit=0.2)
        assert await calls.require(OURS, plugin, 1) == 1


async def test_waiting_for_a_model_is_not_waiting_for_nothing(dispatch: Callable[..., Dispatcher]) -> None:
    class Slow(ScriptedEngine):
        async def generate(self, requests: Sequence[GenerateRequest]) -> list[Completion | Exception]:
            await asyncio.sleep(1)
            return await super().generate(requests)

    async with dispatch(Slow()) as dispatcher:
        calls = calls_of(dispatcher, limit=0.3)

        async def plugin(number: int) -> str:
            texts = await asyncio.gather(*(ask(dispatcher, f"{number} {part}") for part in "ab"))
            return texts[0]

        found = {n: o async for n, o in each(calls, plugin, 3)}
    assert faults(found) == {}
    assert all(isinstance(text, str) for text in found.values())


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (GeneratorExit("x"), "GeneratorExit: x"),
        (asyncio.CancelledError(), "the plugin let a cancellation escape"),
        (EngineError("none of ours"), "EngineError: none of ours"),
    ],
)
async def test_whatever_a_plugin_raises_is_its_own_failure(
    dispatch: Callable[..., Dispatcher], raised: BaseException, said: str
) -> None:
    async def plugin(number: int) -> int:
        if number:
            raise raised
        return number

    async with dispatch() as dispatcher:
        calls = calls_of(dispatcher)
        found = {n: o async for n, o in each(calls, plugin, 2)}
        assert found[0] == 0
        assert faults(found) == {1: said}
        with pytest.raises(PluginError, match=re.escape(f"operator `x` of evil-dist 1.2: {said}")):
            await calls.require(THEIRS, plugin, 1)


async def test_a_plugin_cannot_hide_that_the_engine_has_failed(dispatch: Callable[..., Dispatcher]) -> None:
    class Dies(Script):
        def generate(self, request: GenerateRequest) -> str:
            raise EngineError("out of memory")

    async with dispatch(ScriptedEngine(script=Dies())) as dispatcher:
        calls = calls_of(dispatcher)

        async def plugin(number: int) -> str:
            try:
                return await ask(dispatcher, f"{number}")
            except Exception:
                return "as if nothing had happened"

        with pytest.raises(EngineError, match="out of memory"):
            _ = [item async for item in each(calls, plugin, 3)]


async def test_a_cancelled_run_cancels_its_plugins(dispatch: Callable[..., Dispatcher]) -> None:
    started = asyncio.Event()

    async def plugin() -> None:
        started.set()
        await asyncio.sleep(60)

    async with dispatch() as dispatcher:
        calls = calls_of(dispatcher)
        run = asyncio.ensure_future(calls.require(THEIRS, plugin))
        await started.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run


async def test_an_engine_without_the_verb_is_the_plugin_s_mistake(dispatch: Callable[..., Dispatcher]) -> None:
    class Mute(ScriptedEngine):
        capabilities = frozenset({"loss"})

    async with dispatch(Mute()) as dispatcher:
        calls = calls_of(dispatcher)

        async def plugin() -> None:
            await ask(dispatcher, "a")

        with pytest.raises(
            PluginError, match=r"^operator `x` of evil-dist 1\.2: asks models\.evolver for generate, but its engine"
        ):
            await calls.require(THEIRS, plugin)
