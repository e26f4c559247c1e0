"""Notices code of a plugin that blocks the event loop, says where, and in the end interrupts it.

Every coroutine of a run shares one thread: while one of them sleeps or computes in it, all others stand still. A thread
of our own asks the loop for a sign of life. Where none comes, it looks at what the loop's thread is doing: only code of
a plugin counts, seen in the same call again and again, so that neither a machine that slept, nor one that is too busy,
nor a debugger, is held against anybody.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from evoagent.failures import BlockedError

logger = logging.getLogger(__name__)

WARN_SECONDS = 5.0
GRACE = 10.0  # seconds between the interruption and the last resort
STRIKES = 3  # interruptions of one plugin, the last of which ends the run
TICK = 0.5

_DEBUGGERS = frozenset({"bdb", "pdb", "ipdb", "pydevd", "_pydevd_bundle", "debugpy", "pudb"})
_SIGNAL = signal.SIGURG  # ignored by default, and no library's
_TIMER, _TIMER_SIGNAL = signal.ITIMER_VIRTUAL, signal.SIGVTALRM  # it runs while the process computes


_signalled: list[Watchdog] = []  # those whose loops run in the main thread
_handlers: dict[signal.Signals, Any] = {}  # as they were before the first of them


@dataclass(frozen=True, slots=True)
class _Found:
    """Where a plugin is: its innermost frame, and its outermost, which stands for the call."""

    label: str
    place: str
    root: FrameType


class Watchdog:
    """Watches the event loop that it is entered in. Use as an async context manager.

    Where the loop runs in the main thread, the interruption comes by a signal, which also ends a `time.sleep`; else by
    an exception that reaches Python code only. A regular expression that runs for ever keeps the watchdog's thread from
    running too; in the main thread, a timer of the system's reaches even that.
    """

    def __init__(
        self,
        owner: Callable[[str], str],
        notice: Callable[[str], None],
        limit: float | None,
        give_up: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare to watch.

        Args:
            owner: distribution and version of the plugin that a module belongs to, "" for any other module.
            notice: told once of each plugin that blocks for `WARN_SECONDS`; called in the watchdog's thread.
            limit: seconds after which a plugin is interrupted; None is never.
            give_up: called in the watchdog's thread about a plugin that cannot be interrupted.
        """
        self._owner, self._notice, self._limit, self._give_up = owner, notice, limit, give_up
        self._tick = TICK if limit is None else min(TICK, limit / 4)
        # Of all threads together: engines that compute in many of them should not set the timer off.
        self._patience = (WARN_SECONDS if limit is None else min(WARN_SECONDS, limit)) * min(os.cpu_count() or 1, 16)
        self._grace = GRACE if limit is None else min(GRACE, 4 * limit)
        self._stop = threading.Event()
        self._by_signal = False
        self._looked = 0.0  # when the watchdog's thread ran last
        self._watched = 0
        self._warned: set[str] = set()
        self._strikes: Counter[str] = Counter()
        self._found: _Found | None = None
        self._lag = self._held = 0.0  # seconds without a sign of life; those of them in one call
        self._due: BlockedError | None = None
        self._given_up = False

    async def __aenter__(self) -> Self:
        self._watched, self._looked = threading.get_ident(), time.monotonic()
        if threading.current_thread() is threading.main_thread():
            self._by_signal = True
            if not _signalled:
                for number in (_SIGNAL, _TIMER_SIGNAL):
                    _handlers[number] = signal.signal(number, _handle)
            _signalled.append(self)
            signal.setitimer(_TIMER, self._patience)
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._watch, args=(loop,), name="watchdog", daemon=True).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()  # the thread ends by itself; to wait for it would block the loop
        if self._by_signal:
            _signalled.remove(self)
            if not _signalled:
                signal.setitimer(_TIMER, 0)
                for number, handler in _handlers.items():
                    # The default would end the process, should a timer still be on its way.
                    signal.signal(number, signal.SIG_IGN if handler == signal.SIG_DFL else handler)

    # -- the watchdog's thread ----------------------------------------------------------------------------------

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        sign = threading.Event()
        asked, last = False, time.monotonic()
        while not self._stop.wait(self._tick):
            # A machine that was suspended comes back with one long step, which counts as a short one.
            now = self._looked = time.monotonic()
            step, last = min(now - last, 2 * self._tick), now
            if self._by_signal:
                signal.setitimer(_TIMER, self._patience)
            try:
                if asked and not sign.is_set():
                    self._look(step)
                    continue
                self._forget()
                sign.clear()
                asked = True
                loop.call_soon_threadsafe(sign.set)
            except RuntimeError:
                return  # the loop is closed
            except Exception:
                logger.exception("the watchdog has failed")
                return

    def _forget(self) -> None:
        self._found, self._due, self._given_up = None, None, False
        self._lag = self._held = 0.0

    def _look(self, step: float) -> None:
        found = self._plugin_in(sys._current_frames().get(self._watched))
        if found is None:
            self._forget()
            return
        before, self._found = self._found, found
        self._lag = self._lag + step if before is not None and before.label == found.label else step
        if before is None or before.root is not found.root:
            self._held, self._due, self._given_up = 0.0, None, False
        self._held += step
        self._warn(found, self._lag)
        if self._limit is not None and self._held >= self._limit:
            self._interrupt(found, self._limit)

    def _warn(self, found: _Found, seconds: float) -> None:
        if seconds >= WARN_SECONDS and found.label not in self._warned:
            self._warned.add(found.label)
            self._notice(
                f"{found.label} has blocked the event loop for {seconds:.0f} s in {found.place}: "
                "nothing else goes on meanwhile; it should await, or use asyncio.to_thread"
            )

    def _interrupt(self, found: _Found, limit: float) -> None:
        if self._due is None:
            self._strikes[found.label] += 1
            self._due = self._error(found, limit)
        if self._by_signal:
            signal.pthread_kill(self._watched, _SIGNAL)
        else:
            raised = _type_of(self._due)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._watched), ctypes.py_object(raised))
        if self._held >= limit + self._grace and not self._given_up:
            self._given_up = True
            text = f"{found.label} has blocked the event loop for {self._held:.0f} s in {found.place}, without an end"
            logger.error("%s", text)
            if self._give_up is not None:
                self._give_up(f"{text}; {without(found.label)}")

    def _error(self, found: _Found, limit: float) -> BlockedError:
        text = f"has blocked the event loop for {limit:g} s in {found.place}"
        error = BlockedError(text)
        if self._strikes[found.label] >= STRIKES:
            error = BlockedError(f"{text}, {found.label} for the {STRIKES}rd time; {without(found.label)}")
            error.last = True
        return error

    def _plugin_in(self, frame: FrameType | None) -> _Found | None:
        label, place, root = "", "", None
        while frame is not None:
            module = str(frame.f_globals.get("__name__", ""))
            if not label and module.partition(".")[0] in _DEBUGGERS:
                return None  # somebody is looking at it
            owner = self._owner(module)
            if owner and not label:
                label, place = owner, _place(frame)
            if owner and owner == label:
                root = frame
            frame = frame.f_back
        return None if root is None else _Found(label, place, root)

    # -- the loop's thread --------------------------------------------------------------------------------------

    def interrupted(self, frame: FrameType | None) -> None:
        """Raise in a plugin's call that has been found to block, if the loop's thread is still in it."""
        error, found = self._due, self._found
        if error is None or found is None:
            return
        while frame is not None:
            if frame is found.root:  # still in the same call
                raise error
            frame = frame.f_back

    def starved(self, frame: FrameType | None) -> None:
        """Look, in the loop's thread: the process has computed for a while, and ours may not have had a chance."""
        silent, found = time.monotonic() - self._looked, self._plugin_in(frame)
        signal.setitimer(_TIMER, self._patience)
        if found is None:
            return
        self._warn(found, silent)
        if self._limit is not None and silent >= self._limit:
            self._strikes[found.label] += 1
            raise self._error(found, self._limit)


def _handle(number: int, frame: FrameType | None) -> None:
    for watchdog in list(_signalled):
        if number == _TIMER_SIGNAL:
            watchdog.starved(frame)
        else:
            watchdog.interrupted(frame)


def _type_of(error: BlockedError) -> type[BlockedError]:
    """A type whose instances, made without arguments, say what `error` says: threads can be sent a type only."""
    return type("BlockedError", (BlockedError,), {"__str__": lambda self: str(error), "last": error.last})


def _place(frame: FrameType) -> str:
    code = frame.f_code
    file = Path(code.co_filename)
    module = str(frame.f_globals.get("__name__", ""))
    shown = Path(*file.parts[-(module.count(".") + (2 if file.stem == "__init__" else 1)) :])
    return f"{code.co_qualname} ({shown}:{frame.f_lineno})"


def without(label: str) -> str:
    """How to go on without the plugin `label`, a distribution and perhaps its version."""
    return (
        "everything so far is kept: run the same command again without it, "
        f"or with EVOAGENT_DISABLE_PLUGINS={label.partition(' ')[0]}"
    )
