"""Progress on standard error: bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from evoagent.cli.terminal import tell, visible
from evoagent.events import (
    Event,
    NodeFinished,
    NodeProgress,
    NodeStarted,
    Notice,
    RoundFinished,
    RunStarted,
    StageStarted,
)

LINE_SECONDS = 15.0  # between two progress lines where there is no terminal


@contextmanager
def listener(*, plain: bool = False) -> Iterator[Callable[[Event], None]]:
    """A listener that suits standard error; `plain` where something else writes there too."""
    if sys.stderr.isatty() and not plain:
        with Bars() as bars:
            yield bars
    else:
        yield Lines()


def describe(event: Event) -> str | None:
    """One line for events that deserve one."""
    match event:
        case RunStarted():
            return f"{'going on with' if event.resumed else 'run'} {event.directory}"
        case StageStarted():
            return f"stage {event.stage}: begins with {event.population} instructions"
        case Notice():
            return event.message
        case RoundFinished():
            share = f"{event.survivors / event.candidates:.0%}" if event.candidates else "none"
            why = ", ".join(f"{rule} {n}" for rule, n in sorted(event.rejected.items(), key=lambda item: -item[1]))
            return (
                f"round {event.round}: {event.survivors} of {event.candidates} candidates survive ({share})"
                + (f"; rejected: {why}" if why else "")
                + "".join(f"\n  {name} {value:.4g}" for name, value in event.figures.items())
            )
        case _:
            return None


class Lines:
    """Plain lines: when a node starts, every 15 seconds, and when it ends."""

    def __init__(self) -> None:
        self._last, self._done = time.monotonic(), 0

    def __call__(self, event: Event) -> None:
        """Print what is worth a line."""
        text = describe(event)
        match event:
            case NodeStarted():
                self._last, self._done = time.monotonic(), 0
            case NodeProgress() if time.monotonic() - self._last >= LINE_SECONDS:
                seconds, done = time.monotonic() - self._last, event.done - self._done
                self._last, self._done = time.monotonic(), event.done
                text = f"{label(event)}: {event.done}/{event.total}, {event.tokens_per_second:.0f} tokens/s"
                if done and 20 * event.done >= event.total:  # the first few say little: models load meanwhile
                    text += f", about {duration(seconds * (event.total - event.done) / done)} left"
            case NodeFinished():
                text = f"{label(event)}: {event.total} in {event.seconds:.1f} s"
                text += f", {event.retried} requests sent again" if event.retried else ""
        if text is not None:
            tell(text)


class Bars:
    """A bar a node, with rate, time left, and the balance so far."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[balance]}"),
            console=Console(stderr=True),
        )
        self._tasks: dict[tuple[str, int], TaskID] = {}
        self._survivors = self._rejected = 0

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Draw."""
        match event:
            case NodeStarted():
                task = self._progress.add_task(label(event), total=event.total, rate="", balance=self._balance())
                self._tasks[event.node, event.round] = task
            case NodeProgress():
                rate = f"{event.tokens_per_second:.0f} tok/s" if event.tokens_per_second else ""
                self._progress.update(self._tasks[event.node, event.round], completed=event.done, rate=rate)
            case NodeFinished():
                task = self._tasks[event.node, event.round]
                self._progress.update(task, completed=event.total, total=event.total)
            case RoundFinished():
                self._survivors += event.survivors
                self._rejected += sum(event.rejected.values())
        text = describe(event)
        if text is not None:
            self._progress.console.print(visible(text), markup=False, highlight=False, emoji=False)

    def _balance(self) -> str:
        return f"{self._survivors} kept, {self._rejected} rejected" if self._survivors + self._rejected else ""


def duration(seconds: float) -> str:
    """A rough length of time, such as 40 s, 2 min or 3 h."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def label(event: NodeStarted | NodeProgress | NodeFinished) -> str:
    """ "round 2 critic" """
    return f"round {event.round} {event.node}"
