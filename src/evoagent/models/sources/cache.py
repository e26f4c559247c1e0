"""The model cache: finished folders only, each with a note of what it holds."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from evoagent.errors import ModelSourceError
from evoagent.models.sources.catalog import Kind

NOTE = "evoagent.json"
_STALE_SECONDS = 24 * 3600


def cache_dir() -> Path:
    """`$EVOAGENT_CACHE`, else `$XDG_CACHE_HOME/evoagent`, else `~/.cache/evoagent`."""
    if chosen := os.environ.get("EVOAGENT_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "evoagent"


@dataclass(frozen=True, slots=True)
class Note:
    """What a cached folder holds; kept in it as `evoagent.json`.

    Attributes:
        sha256: checksum of the weights as they were fetched, before any conversion.
        source: where they came from.
        sizes: bytes of every file, so that a file that was lost or cut short is noticed.
    """

    name: str
    revision: str
    sha256: str
    kind: Kind
    licence: str | None
    parameters: int | None
    source: str
    sizes: dict[str, int]


def folder_for(name: str, sha256: str) -> Path:
    """Where the model `name` with these weights is, or will be."""
    return cache_dir() / "models" / f"{name}-{sha256[:12]}"


def read_note(folder: Path) -> Note | None:
    """The note of a cached model, or None where it is absent or damaged."""
    try:
        note = Note(**json.loads((folder / NOTE).read_text(encoding="utf-8")))
        whole = all((folder / file).stat().st_size == size for file, size in note.sizes.items())
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return note if whole else None


def write_note(folder: Path, **fields: object) -> None:
    """Note what `folder` holds, with the sizes of its files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
    note = Note(sizes=sizes, **fields)  # type: ignore[arg-type]
    (folder / NOTE).write_text(json.dumps(asdict(note), indent=2) + "\n", encoding="utf-8")


@contextmanager
def staging(final: Path) -> Iterator[Path]:
    """A new folder that becomes `final` in one step if the block succeeds, and vanishes if it does not.

    Two processes may do this at once: the second to finish finds a good folder and drops its own.

    Raises:
        ModelSourceError: the cache cannot be written, or the disk is full.
    """
    work = final.parent / f".{final.name}.{secrets.token_hex(6)}"
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        _sweep(final.parent)
        work.mkdir()
        yield work
        _publish(work, final)
    except OSError as error:
        raise ModelSourceError(
            f"cannot write the model cache {final.parent}: {error}; "
            "make room there, or set EVOAGENT_CACHE to another folder"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _publish(work: Path, final: Path) -> None:
    try:
        os.replace(work, final)
    except OSError:
        if read_note(final) is not None:
            return
        # What is there is damaged: it is moved away, since a folder can only replace an empty one.
        damaged = work.with_name(work.name + ".damaged")
        os.replace(final, damaged)
        os.replace(work, final)
        shutil.rmtree(damaged, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left behind."""
    for path in folder.glob(".*"):
        with suppress(OSError):
            if path.is_dir() and time.time() - path.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


def sha256_of(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def remembered_sha256(path: Path) -> str:
    """Checksum of a file, kept in the cache as long as the file's size and time stay what they were.

    A user's weights may be tens of gigabytes, and every run asks for them.
    """
    path = path.resolve()
    stat = path.stat()
    state = [str(path), stat.st_size, stat.st_mtime_ns]
    memo = cache_dir() / "checksums" / f"{hashlib.sha256(str(path).encode()).hexdigest()[:24]}.json"
    try:
        known = json.loads(memo.read_text(encoding="utf-8"))
        if known["state"] == state:
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    digest = sha256_of(path)
    with suppress(OSError):
        memo.parent.mkdir(parents=True, exist_ok=True)
        fresh = memo.with_name(f"{memo.name}.{secrets.token_hex(4)}")
        fresh.write_text(json.dumps({"state": state, "sha256": digest}), encoding="utf-8")
        os.replace(fresh, memo)
    return digest
