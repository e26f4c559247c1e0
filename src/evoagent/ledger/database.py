"""Opening a ledger: connection settings, schema version, and one thread that all access goes through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import URL, Connection, Table, create_engine, event, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from evoagent.errors import LedgerError
from evoagent.ledger import schema

P = ParamSpec("P")
R = TypeVar("R")


class Database:
    """One database behind one thread.

    All calls go through a single worker thread: SQLite has one writer anyway, and the event loop never waits
    for the disk.
    """

    def __init__(self, target: Path | str) -> None:
        """Open, and create where needed, the ledger at a path or a SQLAlchemy URL.

        Raises:
            LedgerError: it is no ledger, one of another schema version, or cannot be written.
        """
        self.name = str(target)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        remote = isinstance(target, str) and "://" in target
        url = make_url(str(target)) if remote else URL.create("sqlite", database=str(target))
        # The file is used by this process alone, so one connection, handed from call to call, is enough.
        options: dict[str, Any] = {"connect_args": {"check_same_thread": False}, "poolclass": StaticPool}
        self._engine = create_engine(url, **(options if url.get_backend_name() == "sqlite" else {}))
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _set_pragmas)
        try:
            self._check_version()
        except Exception:
            self.close()
            raise

    def _check_version(self) -> None:
        with self.transaction() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")  # else the driver commits each table by itself
            fresh = not connection.dialect.has_table(connection, "meta")
            if fresh:
                schema.metadata.create_all(connection)
                self.insert(connection, schema.meta, [{"key": "schema_version", "value": str(schema.SCHEMA_VERSION)}])
            found = connection.scalar(select(schema.meta.c.value).where(schema.meta.c.key == "schema_version"))
            if found in {str(version) for version in schema.UPGRADABLE}:
                schema.metadata.create_all(connection)
                values = {"value": str(schema.SCHEMA_VERSION)}
                connection.execute(schema.meta.update().where(schema.meta.c.key == "schema_version").values(values))
                found = values["value"]
        if found != str(schema.SCHEMA_VERSION):
            raise LedgerError(
                f"{self.name}: found a ledger of schema version {found}, expected {schema.SCHEMA_VERSION}; "
                "use the evoagent version that wrote it, or another --out"
            )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction: committed at the end, rolled back on any error."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise LedgerError(f"{self.name}: {_explain(error)}") from error
        except SQLAlchemyError as error:
            raise LedgerError(f"{self.name}: {error}") from error

    def insert(self, connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        """Insert `rows`; those whose key is there already stay as they are."""
        if not rows:
            return
        dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
        connection.execute(dialect.insert(table).on_conflict_do_nothing(), list(rows))

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `function` in the ledger's thread and await its result."""
        loop = asyncio.get_running_loop()
        # Shielded: a write that was handed over is done, whatever happens to the one who waits for it.
        return await asyncio.shield(loop.run_in_executor(self._executor, lambda: function(*args, **kwargs)))

    def close(self) -> None:
        """Wait for pending calls and close the connection."""
        self._executor.shutdown(wait=True)
        self._engine.dispose()


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA journal_mode=WAL")
        # NORMAL survives a killed process; only a power cut can lose the last transactions, and those are asked again.
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA busy_timeout=10000")
    finally:
        cursor.close()


def _explain(error: DBAPIError) -> str:
    text = str(error.orig)
    if "disk is full" in text or "No space left" in text:
        return "the disk is full; everything up to the last transaction is kept: free some space and run again"
    if "disk I/O error" in text:
        return "the disk cannot be written (full, or failing); what was committed is kept: mend it and run again"
    if "not a database" in text or "malformed" in text:
        return f"not a readable SQLite database ({text})"
    return text
