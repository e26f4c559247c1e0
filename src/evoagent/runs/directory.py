"""Refuses a directory that is not a run's, and holds its lock. Which run in it goes on is decided in `choosing`."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from evoagent.errors import UserError
from evoagent.ledger.files import DATASET, LEDGER, LOCK, own_files

Resume = Literal["auto", "never", "always"]


def check_directory(directory: Path, resume: Resume) -> None:
    """Refuse a directory that is not a run's, before anything is made.

    Raises:
        UserError: it holds something else, or a run where none may be, or none where one must be.
    """
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory}: found a file, expected a run directory, or a path where one can be made")
    has_run = (directory / LEDGER).exists()
    if not has_run and directory.is_dir() and any(item.name != LOCK for item in directory.iterdir()):
        raise UserError(f"{directory}: is not empty and holds no {LEDGER}, so it is no run; choose another --out")
    for path in (*own_files(directory), directory / DATASET):
        if path.is_symlink():
            raise UserError(f"{path}: is a symbolic link, and a run writes through none")
        if path.exists() and not (path.is_file() or path.name == DATASET):
            raise UserError(f"{path}: found something that is no regular file, and a run writes into none")
    if has_run and resume == "never":
        raise UserError(f"{directory}: holds a run already; choose another --out, or --resume auto to go on with it")
    if not has_run and resume == "always":
        raise UserError(f"{directory}: holds no run to resume")


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the directory for this process alone; the lock goes with the process, however it ends.

    Raises:
        UserError: another process is working in it, or it cannot be made.
    """
    created = not directory.exists()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"{directory}: cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UserError(f"{directory}: another evoagent process is working in it") from None
    finally:
        os.close(handle)
        if created and not (directory / LEDGER).exists():
            # The run never came to be: leave nothing half-made.
            (directory / LOCK).unlink(missing_ok=True)
            if not any(directory.iterdir()):
                directory.rmdir()
