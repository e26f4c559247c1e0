"""Listeners: whoever is told of a run's events, and the file that keeps them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from evoagent.datasets.seeds import SeedBatch
from evoagent.events import Event, NodeProgress, Notice, RunStarted, to_json
from evoagent.plugins.manager import PluginManager
from evoagent.runs.choosing import ChosenRun
from evoagent.runs.loops import in_thread

Listener = Callable[[Event], None]


@contextmanager
def logged(path: Path, listen: Listener) -> Iterator[Listener]:
    """A listener that also appends every event but the frequent ones to a file of JSON lines."""
    # A thread of its own writes: the event loop waits for no disk.
    writer = ThreadPoolExecutor(1, thread_name_prefix="events")

    def write(event: Event) -> None:
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": stamp, **to_json(event)}, ensure_ascii=False) + "\n")

    def both(event: Event) -> None:
        if not isinstance(event, NodeProgress):
            writer.submit(write, event)
        listen(event)

    try:
        yield both
    finally:
        writer.shutdown(wait=True)


async def greet(
    listen: Listener, manager: PluginManager, directory: Path, run: ChosenRun, read: Mapping[str, SeedBatch]
) -> None:
    """Tell listeners and observers that the run begins, and of what has changed and what is broken."""
    event = RunStarted(directory.name, str(directory), run.resumed)
    listen(event)
    await in_thread(manager.notify, event)
    if run.changed:
        listen(
            Notice(
                f"changed since the run before: {', '.join(run.changed)}. Candidates are made and judged anew; "
                "what the models have answered already comes from the log"
            )
        )
    for name, batch in read.items():
        if batch.bad:
            lines = ", ".join(str(row.line) for row in batch.bad[:5])
            listen(Notice(f"{len(batch.bad)} of {batch.total} {name} rows are broken and skipped (lines {lines})"))
