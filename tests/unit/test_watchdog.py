"""The watchdog: a plugin that blocks the event loop is named, with file and line; nobody else is."""

from __future__ import annotations

import asyncio
import threading
import time
from types import ModuleType
from typing import Any

import pytest

from evoagent.plugins import watchdog as module
from evoagent.plugins.watchdog import Watchdog

CODE = """
import asyncio, time

def sleeps(seconds):
    time.sleep(seconds)

def spins(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass

def calls(function, *arguments):
    function(*arguments)

async def waits(seconds):
    await asyncio.sleep(seconds)
"""


def made(name: str) -> Any:
    """A module of that name with functions that block."""
    found = ModuleType(name)
    exec(compile(CODE, f"/site/{name.replace('.', '/')}.py", "exec"), found.__dict__)
    return found


@pytest.fixture
def evil() -> Any:
    return made("evil_dist.ops")


def owner(name: str) -> str:
    return "evil-dist 1.2" if name.startswith("evil_dist") else ""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WARN_SECONDS", 0.5)
    monkeypatch.setattr(module, "TICK", 0.05)


@pytest.mark.parametrize("name", ["sleeps", "spins"])
async def test_a_plugin_that_blocks_is_named_once_with_its_place(name: str, evil: Any) -> None:
    notices: list[str] = []
    async with Watchdog(owner, notices.append):
        for _ in range(2):
            getattr(evil, name)(1.0)
            await asyncio.sleep(0.2)
    [notice] = notices
    assert notice.startswith(f"evil-dist 1.2 has blocked the event loop for 0.5 s in {name} (evil_dist/ops.py:")


async def test_library_code_counts_for_the_plugin_that_calls_it(evil: Any) -> None:
    notices: list[str] = []
    async with Watchdog(owner, notices.append):
        evil.calls(made("library").sleeps, 1.0)
    assert "in calls (evil_dist/ops.py:" in notices[0]


async def test_who_blocks_no_plugin_s_code_and_who_waits_is_not_named(evil: Any) -> None:
    notices: list[str] = []
    async with Watchdog(owner, notices.append):
        time.sleep(1.0)
        made("own_module").sleeps(1.0)
        await evil.waits(1.0)
    assert notices == []


async def test_its_thread_ends_with_it() -> None:
    async with Watchdog(owner, print):
        threads = [thread for thread in threading.enumerate() if thread.name == "watchdog"]
        assert threads
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
