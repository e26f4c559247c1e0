"""A finished run's survivors, straight from the ledger, in a training format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evoagent.datasets.exporters import Exporter, Row, export
from evoagent.errors import PluginError, UserError
from evoagent.failures import explain
from evoagent.ledger.database import Database, OldLedgerError
from evoagent.ledger.files import DATASET, LEDGER, check_output, require_run
from evoagent.ledger.rows import RunRecord
from evoagent.ledger.store import Store
from evoagent.plugins.discovery import stdout_to_stderr
from evoagent.plugins.manager import PluginManager
from evoagent.plugins.returned import checked_row


@contextmanager
def reading(directory: Path) -> Iterator[tuple[Store, RunRecord]]:
    """The ledger of a run directory and its newest run.

    Raises:
        UserError: there is no run.
    """
    path = require_run(directory) / LEDGER
    try:
        database = Database(path, read_only=True)
    except OldLedgerError:
        Database(path).close()  # brings it up to date
        database = Database(path, read_only=True)
    try:
        store = Store(database)
        record = store.runs.last_run()
        if record is None:
            raise UserError(f"{directory}: its ledger holds no run yet")
        yield store, record
    finally:
        database.close()


def export_run(directory: Path, format: str, out: Path | None) -> tuple[Path, int]:
    """Write the survivors so far; returns the file and its number of rows.

    Raises:
        UserError: no run, an unknown format, no survivors, or an exporter that fails; nothing is written then.
    """
    manager = PluginManager().load()
    spec = manager.get("exporter", format)
    convert = _named(manager.create(spec, {}), format, manager.label(spec), spec.responses)
    target = out if out is not None else directory / DATASET / f"{format}{spec.suffix}"
    check_output(target)
    with reading(directory) as (store, record):
        rows = store.results.dataset(record.id, record.last_stage, responses=spec.responses)
        return target, export(rows, format, target, convert)


def _named(convert: Exporter, format: str, of: str, may_skip: bool) -> Exporter:
    """`convert`, whose failures name the exporter and the distribution that brought it."""
    if not of:
        return convert

    def call(row: Row) -> Mapping[str, Any] | None:
        who = f"exporter `{format}` of {of}, row {row['id']}"
        try:
            with stdout_to_stderr():
                found = convert(row)
            return checked_row(found, may_skip)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginError(f"{who}: {explain(error)}") from error

    return call
