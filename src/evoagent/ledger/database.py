"""Opening a ledger: connection settings, schema version, and one thread that all access goes through."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, Select, Table, create_engine, event, inspect, make_url, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from evoagent.errors import LedgerError
from evoagent.ledger import schema

P = ParamSpec("P")
R = TypeVar("R")

PAGE = 500  # rows a query, and ids an IN list: below SQLite's limit on bound variables
VERSION = "schema_version"  # its key among the settings


class OldLedgerError(LedgerError):
    """A ledger of an older version is opened for reading only; opened for writing, it is brought up to date."""


class Database:
    """One database behind one thread.

    All calls go through a single worker thread: SQLite has one writer anyway, and the event loop never waits
    for the disk.
    """

    def __init__(self, target: Path | str, *, read_only: bool = False) -> None:
        """Open the ledger at a path or a SQLAlchemy URL, and make it where there is none.

        Args:
            read_only: of a path: it is there, and stays as it is; so it may lie on a medium that cannot be written.

        Raises:
            LedgerError: it is no ledger, one of another schema version, or cannot be written.
        """
        self.name = str(target)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        remote = isinstance(target, str) and "://" in target
        url = make_url(str(target)) if remote else URL.create("sqlite", database=str(target))
        # The file is used by this process alone, so one connection, handed from call to call, is enough.
        options: dict[str, Any] = {"connect_args": {"check_same_thread": False}, "poolclass": StaticPool}
        if read_only:
            options["creator"] = lambda: _connect_to_read(Path(target))
        self._engine = create_engine(url, **(options if url.get_backend_name() == "sqlite" else {}))
        if self._engine.dialect.name == "sqlite" and not read_only:
            event.listen(self._engine, "connect", _set_pragmas)
        try:
            if not read_only:
                self._prepare()
            self._check_version()
            if self._engine.dialect.name == "sqlite" and not read_only:
                with self.transaction() as connection:  # not before: it would change a file that is not ours
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        except Exception:
            self.close()
            raise

    def _prepare(self) -> None:
        """Make the tables of a new ledger, and bring one of an older version up to date."""
        with self.transaction() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")  # else the driver commits each table by itself
            if not inspect(connection).get_table_names():
                schema.metadata.create_all(connection)
                self.insert(connection, schema.meta, [{"key": VERSION, "value": str(schema.SCHEMA_VERSION)}])
            version = self._version(connection)
            while version in schema.UPGRADES:
                for statement in schema.UPGRADES[version]:
                    connection.exec_driver_sql(statement)
                version += 1
                schema.metadata.create_all(connection)
                connection.execute(schema.meta.update().where(schema.meta.c.key == VERSION).values(value=str(version)))

    def _check_version(self) -> None:
        with self.transaction() as connection:
            version = self._version(connection)
        if version != schema.SCHEMA_VERSION:
            kind = OldLedgerError if version in schema.UPGRADES else LedgerError
            raise kind(
                f"{self.name}: found a ledger of schema version {version}, expected {schema.SCHEMA_VERSION}; "
                "use the evoagent version that wrote it, or another --out"
            )

    def _version(self, connection: Connection) -> int:
        tables = inspect(connection).get_table_names()
        query = select(schema.meta.c.value).where(schema.meta.c.key == VERSION)
        version = connection.scalar(query) if "meta" in tables else None
        if not str(version).isdecimal():
            raise LedgerError(f"{self.name}: is no ledger, but a database with {', '.join(tables[:3]) or 'no tables'}")
        return int(str(version))

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

    def insert_from(self, connection: Connection, table: Table, columns: Sequence[str], rows: Select[Any]) -> None:
        """As `insert`, with rows that the database itself selects."""
        dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
        rows = rows.where(text("1 = 1"))  # without any WHERE, SQLite takes ON CONFLICT for a part of the join
        connection.execute(dialect.insert(table).from_select(list(columns), rows).on_conflict_do_nothing())

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `function` in the ledger's thread and await its result."""
        loop = asyncio.get_running_loop()
        # Shielded: a write that was handed over is done, whatever happens to the one who waits for it.
        return await asyncio.shield(loop.run_in_executor(self._executor, lambda: function(*args, **kwargs)))

    def close(self) -> None:
        """Wait for pending calls and close the connection."""
        self._executor.shutdown(wait=True)
        self._engine.dispose()


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing. SQLite itself keeps files beside a database that it reads, where it can."""
    log = path.with_name(path.name + "-wal")
    if os.access(path.parent, os.W_OK):
        mode = "mode=rw"
    elif log.exists() and log.stat().st_size:
        mode = "mode=ro"
    else:
        mode = "immutable=1"
    connection = sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True, check_same_thread=False)
    connection.execute("PRAGMA query_only=1")
    connection.execute("PRAGMA busy_timeout=10000")
    return connection


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    try:
        # NORMAL survives a killed process. A power cut can lose the last transactions; LangGraph's checkpoints are in
        # the same file, so no node is remembered as done whose rows are gone.
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA busy_timeout=10000")
    finally:
        cursor.close()


def _explain(error: DBAPIError) -> str:
    said = str(error.orig)
    if "disk is full" in said or "No space left" in said:
        return "the disk is full; everything up to the last transaction is kept: free some space and run again"
    if "disk I/O error" in said:
        return "the disk cannot be written (full, or failing); what was committed is kept: mend it and run again"
    if "readonly database" in said or "unable to open database file" in said:
        return f"cannot be opened ({said}): copy its folder to where it can be written"
    if "not a database" in said or "malformed" in said:
        return f"not a readable SQLite database ({said})"
    return said
