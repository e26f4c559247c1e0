"""Files that take their places whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evoagent.errors import EvoAgentError, UserError


@contextmanager
def replacing(*paths: Path) -> Iterator[list[Path]]:
    """Names beside `paths` to write to; they take the places of `paths` when the block ends well, and go if not.

    Raises:
        UserError: there can be no such file: its name is too long, its folder cannot be written.
        EvoAgentError: the system refuses later on, for example because the disk is full.
    """
    paths = tuple(path.resolve() for path in paths)  # a link of the user's stays one
    partial = [path.with_name(f".{path.name}.evoagent-partial") for path in paths]
    try:
        for path, temporary in zip(paths, partial, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.unlink(missing_ok=True)  # of a killed process; and a link is not written through
            temporary.touch()
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be written: {error.strerror}") from error
    try:
        yield partial
        for temporary in partial:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        for temporary, path in zip(partial, paths, strict=True):
            os.replace(temporary, path)
    except OSError as error:
        if error.filename not in (None, *map(str, (*partial, *paths))):
            raise  # not of these files
        place = error.filename or paths[0].parent
        raise EvoAgentError(f"{place}: cannot be written: {error.strerror or error}") from error
    finally:
        for temporary in partial:
            try:
                temporary.unlink(missing_ok=True)
            except OSError:
                break  # the folder itself is out of reach, and the error above says so
