"""A finished run's survivors, straight from the ledger, in a training format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evoagent.datasets.exporters import export
from evoagent.errors import UserError
from evoagent.ledger.database import Database
from evoagent.ledger.rows import RunRecord
from evoagent.ledger.store import Store
from evoagent.plugins.manager import PluginManager
from evoagent.rundir import LEDGER, require_run


@contextmanager
def reading(directory: Path) -> Iterator[tuple[Store, RunRecord]]:
    """The ledger of a run directory and its newest run.

    Raises:
        UserError: there is no run.
    """
    database = Database(require_run(directory) / LEDGER)
    try:
        store = Store(database)
        record = store.last_run()
        if record is None:
            raise UserError(f"{directory}: its ledger holds no run yet")
        yield store, record
    finally:
        database.close()


def export_run(directory: Path, format: str, out: Path | None) -> tuple[Path, int]:
    """Write the survivors so far; returns the file and its number of rows.

    Raises:
        UserError: no run, an unknown format, or no survivors.
    """
    spec = PluginManager().load().get("exporter", format)
    target = out if out is not None else directory / "dataset" / f"{format}{spec.suffix}"
    with reading(directory) as (store, record):
        target.parent.mkdir(parents=True, exist_ok=True)
        return target, export(store.dataset(record.id), format, target, spec.factory())
