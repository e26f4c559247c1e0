"""The watchdog: a plugin that blocks the event loop is named and interrupted; nobody else is."""

from __future__ import annotations

import asyncio
import signal
import textwrap
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from evoagent import watchdog as module
from evoagent.failures import BlockedError
from evoagent.watchdog import Watchdog

CODE = """
import asyncio, re, time

def sleeps(seconds=60):
    time.sleep(seconds)

def spins():
    while True:
        pass

def backtracks():
    re.match(r"(a+)+$", "a" * 40 + "b")

def deaf():
    end = time.monotonic() + 4
    while time.monotonic() < end:
        try:
            time.sleep(0.01)
        except BaseException:
            pass

def calls(function, *arguments):
    function(*arguments)

async def waits():
    await asyncio.sleep(1.5)
"""


def made(name: str, code: str = CODE) -> Any:
    """A module of that name with functions that block."""
    found = ModuleType(name)
    exec(compile(textwrap.dedent(code), f"/site/{name.replace('.', '/')}.py", "exec"), found.__dict__)
    return found


@pytest.fixture
def evil() -> Any:
    return made("evil_dist.ops")


class Heard:
    """What a watchdog says, and a watchdog that says it."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.given_up: list[str] = []

    def watchdog(self, limit: float | None) -> Watchdog:
        return Watchdog(owner, self.notices.append, limit, self.given_up.append)


def owner(name: str) -> str:
    return "evil-dist 1.2" if name.startswith("evil_dist") else ""


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    monkeypatch.setattr(module, "WARN_SECONDS", 0.5)
    return Heard()


@pytest.mark.parametrize("name", ["sleeps", "spins", "backtracks"])
async def test_a_plugin_that_blocks_is_named_and_interrupted(name: str, evil: Any, heard: Heard) -> None:
    started = time.monotonic()
    async with heard.watchdog(1.0):
        with pytest.raises(BlockedError) as error:
            getattr(evil, name)()
        await asyncio.sleep(0.1)
    assert time.monotonic() - started < 10
    assert str(error.value).startswith(f"has blocked the event loop for 1 s in {name} (evil_dist/ops.py:")
    assert len(heard.notices) == 1
    assert heard.notices[0].startswith("evil-dist 1.2 has blocked the event loop for ")
    assert f" s in {name} (evil_dist/ops.py:" in heard.notices[0]
    assert heard.given_up == []


def test_outside_the_main_thread_python_code_is_interrupted(evil: Any, heard: Heard) -> None:
    raised: list[BaseException] = []

    async def block() -> None:
        async with heard.watchdog(0.5):
            try:
                evil.spins()
            except BlockedError as error:
                raised.append(error)

    thread = threading.Thread(target=asyncio.run, args=(block(),), daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert "has blocked the event loop for 0.5 s in spins (evil_dist/ops.py:" in str(raised[0])


async def test_the_third_time_is_the_last(evil: Any, heard: Heard) -> None:
    lasts = []
    async with heard.watchdog(0.3):
        for _ in range(3):
            with pytest.raises(BlockedError) as error:
                evil.sleeps()
            lasts.append(error.value.last)
            await asyncio.sleep(0.3)
    assert lasts == [False, False, True]
    assert "EVOAGENT_DISABLE_PLUGINS=evil-dist" in str(error.value)
    assert len(heard.notices) <= 1, "told once"


async def test_who_cannot_be_interrupted_is_given_up(evil: Any, heard: Heard) -> None:
    async with heard.watchdog(0.3):
        evil.deaf()
    [message] = heard.given_up
    assert message.startswith("evil-dist 1.2 has blocked the event loop for ")
    assert "in deaf (evil_dist/ops.py:" in message
    assert "everything so far is kept" in message


async def test_without_a_limit_there_is_only_a_warning(evil: Any, heard: Heard) -> None:
    async with heard.watchdog(None):
        evil.sleeps(2)
    assert len(heard.notices) == 1


async def harmless(block: Callable[[], None], heard: Heard, limit: float) -> None:
    async with heard.watchdog(limit):
        block()
        await asyncio.sleep(0)
    assert heard.given_up == []


async def test_only_code_of_plugins_counts(heard: Heard) -> None:
    await harmless(lambda: time.sleep(1.5), heard, 0.4)
    own = made("own_module")
    await harmless(lambda: own.sleeps(1.5), heard, 0.4)
    assert heard.notices == []


async def test_library_code_counts_for_the_plugin_that_calls_it(evil: Any, heard: Heard) -> None:
    library = made("library")
    async with heard.watchdog(0.5):
        with pytest.raises(BlockedError, match=r"in calls \(evil_dist/ops\.py:"):
            evil.calls(library.sleeps)


async def test_many_short_calls_are_no_long_one(evil: Any, heard: Heard) -> None:
    def block() -> None:
        for _ in range(6):
            evil.sleeps(0.4)

    await harmless(block, heard, 1.0)
    assert len(heard.notices) == 1, "but together they block, and that is said"


async def test_a_debugger_may_take_its_time(evil: Any, heard: Heard) -> None:
    pdb = made("pdb")
    await harmless(lambda: evil.calls(pdb.sleeps, 1.5), heard, 0.4)
    assert heard.notices == []


async def test_a_machine_that_slept_kills_nobody(evil: Any, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    real, jumps = time.monotonic, iter(range(0, 10**9, 1000))

    class Clock:
        """Each look at it is a thousand seconds later."""

        monotonic = staticmethod(lambda: real() + next(jumps))

    monkeypatch.setattr(module, "time", Clock)
    await harmless(lambda: evil.sleeps(1.5), heard, 4.0)


async def test_waiting_is_not_blocking(evil: Any, heard: Heard) -> None:
    async with heard.watchdog(0.4):
        await evil.waits()
    assert heard.notices == []


async def test_two_runs_in_one_loop_are_watched_apart(evil: Any, heard: Heard) -> None:
    first, second = heard.watchdog(0.5), Heard().watchdog(0.5)
    await first.__aenter__()
    await second.__aenter__()
    await first.__aexit__(None, None, None)
    with pytest.raises(BlockedError):
        evil.backtracks()
    await second.__aexit__(None, None, None)


async def test_the_signals_are_given_back(heard: Heard) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGURG, signal.SIGVTALRM)]
    async with heard.watchdog(1):
        assert signal.getsignal(signal.SIGURG) != before[0]
    after = [signal.getsignal(number) for number in (signal.SIGURG, signal.SIGVTALRM)]
    assert all(handler in (earlier, signal.SIG_IGN) for handler, earlier in zip(after, before, strict=True))
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
    for thread in threading.enumerate():
        if thread.name == "watchdog":
            thread.join(5)
            assert not thread.is_alive()
