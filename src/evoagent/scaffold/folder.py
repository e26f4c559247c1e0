"""Writing a folder of files: all of them, or none."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

from evoagent.errors import EvoAgentError, UserError


def write_folder(folder: Path, files: Callable[[Path], Mapping[str, str]]) -> None:
    """Write what `files` gives for the resolved folder, by relative path, into a new or empty `folder`.

    Raises:
        UserError: `folder` is a file, or holds something.
        EvoAgentError: it cannot be written.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder}: found {_found(folder)}, expected a new or empty folder")
        _write(folder.resolve(), files(folder.resolve()))
    except OSError as error:
        raise EvoAgentError(f"{folder}: cannot be written: {error.strerror or error}") from error


def _found(folder: Path) -> str:
    return f"a folder that holds {next(folder.iterdir()).name}" if folder.is_dir() else "a file"


def _write(folder: Path, files: Mapping[str, str]) -> None:
    inside = folder.exists()  # an empty folder stays the same one, for it may be where the user stands
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = (folder if inside else folder.parent) / f".evoagent-{uuid4().hex[:12]}"
    moved: list[Path] = []
    try:
        for path, content in files.items():
            target = staging / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content, encoding="utf-8", newline="\n")
        if inside:
            for item in sorted(staging.iterdir()):
                moved.append(item.rename(folder / item.name))
        else:
            staging.rename(folder)
            moved = []
    except BaseException:
        for item in moved:
            shutil.rmtree(item) if item.is_dir() else item.unlink()
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
