"""From a model's name to something that an engine can load."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evoagent.errors import ModelSourceError
from evoagent.models.sources import fetch
from evoagent.models.sources.cache import (
    cache_dir,
    folder_for,
    read_note,
    remembered_sha256,
    staging,
    write_note,
)
from evoagent.models.sources.catalog import CATALOG, Entry, Kind, closest
from evoagent.models.sources.folder import count_parameters, folder_revision, inspect_folder, weight_files
from evoagent.models.sources.gguf import convert

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

__all__ = ["CATALOG", "ResolvedModel", "cache_dir", "cached", "closest", "pull", "resolve"]

log = logging.getLogger(__name__)

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_HUB_SECONDS = 5.0
_HUB_FILES = ["*.json", "*.jinja", "*.model", "*.txt", "README.md"]
_HUB_LEFT = ["consolidated*", "original/*", "onnx/*", "openvino/*"]


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model that an engine can load.

    Attributes:
        name: what to call it: a short or hub name, or the last part of a path, so that no name tells of one machine.
        path: the folder to load if `local`; else the hub name, to be loaded at `revision`.
        revision: checksum of the weights, or a hub commit: the same on every machine.
        kind: "remote" if it is not known before loading.
        parameters: their number, if known.
    """

    name: str
    path: str
    revision: str | None
    licence: str | None
    kind: Kind
    parameters: int | None
    local: bool


def resolve(name: str, *, revision: str | None = None, download: bool = True, progress: bool = False) -> ResolvedModel:
    """Find the model `name`: a short name, a folder, a `.gguf` file or a hub name.

    Args:
        revision: branch, tag or commit of a hub model.
        download: fetch a short name that is not cached, and ask the hub for a commit that is not known here.
        progress: let downloads draw bars on standard error.

    Raises:
        ModelSourceError: there is no such model, it cannot be fetched, or it is not what it should be.
    """
    if (entry := CATALOG.get(name)) is not None:
        if revision not in (None, entry.revision):
            raise ModelSourceError(f"{name} is pinned to {entry.revision}: found revision {revision!r}; leave it out")
        return cached(entry) or _fetch(entry, download, progress)
    path = Path(name).expanduser()
    if path.exists() or path.suffix == ".gguf" or name.startswith((".", "/", "~")):
        if revision is not None:
            raise ModelSourceError(f"{name} is local: found revision {revision!r}, which only hub models have")
        try:
            return _resolve_path(path)
        except OSError as error:
            raise ModelSourceError(f"cannot read the model {path}: {error}") from error
    if _HUB_NAME.fullmatch(name):
        return _resolve_hub(name, revision, download)
    raise ModelSourceError(
        f"unknown model {name!r}: expected a folder, a .gguf file, a hub name such as Qwen/Qwen2.5-7B-Instruct, "
        f"or a short name; closest: {', '.join(closest(name))}"
    )


def pull(name: str, *, revision: str | None = None, progress: bool = False) -> ResolvedModel:
    """Like `resolve`, but a hub model is downloaded as a whole, too.

    Raises:
        ModelSourceError: as `resolve`.
    """
    model = resolve(name, revision=revision, progress=progress)
    if model.local:
        return model
    if why := fetch.hub_forbidden():
        raise ModelSourceError(f"cannot download {name} from the model hub: {why}")
    from huggingface_hub import snapshot_download

    for weights in ("*.safetensors", "pytorch_model*.bin"):
        try:
            folder = snapshot_download(
                name, revision=model.revision, allow_patterns=[weights, *_HUB_FILES], ignore_patterns=_HUB_LEFT
            )
        except Exception as error:  # the client raises its own errors and those of its transport
            raise ModelSourceError(f"cannot download {name} from the model hub: {error}") from error
        if any(Path(folder).rglob(weights)):
            break
    return _from_snapshot(name, Path(folder))


def cached(entry: Entry) -> ResolvedModel | None:
    """A catalogue model if it is in the cache, whole."""
    folder = folder_for(entry.name, entry.sha256)
    note = read_note(folder)
    if note is None or note.sha256 != entry.sha256:
        return None
    return ResolvedModel(
        entry.name, str(folder), entry.revision, entry.licence, entry.kind, entry.parameters, local=True
    )


def _fetch(entry: Entry, download: bool, progress: bool) -> ResolvedModel:
    if not download:
        raise ModelSourceError(f"the model {entry.name} is not in the cache: run `evoagent models pull {entry.name}`")
    log.info("fetching %s (%.0f MB, %s)", entry.name, entry.size / 1e6, entry.licence)
    with staging(folder_for(entry.name, entry.sha256)) as work:
        files = work / "files"
        source = fetch.fetch(entry, files, progress=progress)
        if entry.weights.endswith(".gguf"):
            convert(files / entry.weights, work)
            (files / entry.weights).unlink()
        else:
            for path in list(files.iterdir()):
                os.replace(path, work / path.name)
        files.rmdir()
        write_note(
            work,
            name=entry.name,
            revision=entry.revision,
            sha256=entry.sha256,
            kind=entry.kind,
            licence=entry.licence,
            parameters=entry.parameters,
            source=source,
        )
    model = cached(entry)
    if model is None:
        raise ModelSourceError(f"{entry.name} was fetched, but something removes its files from {cache_dir()}")
    return model


def _resolve_path(path: Path) -> ResolvedModel:
    if path.suffix == ".gguf":
        return _resolve_gguf(path)
    if not path.exists():
        raise ModelSourceError(f"no such model folder: {path}")
    if not path.is_dir():
        raise ModelSourceError(f"{path} is neither a model folder nor a .gguf file")
    facts = inspect_folder(path)
    name = path.resolve().name
    return ResolvedModel(
        name, str(path.resolve()), folder_revision(path), facts.licence, facts.kind, facts.parameters, local=True
    )


def _resolve_gguf(file: Path) -> ResolvedModel:
    if not file.is_file():
        raise ModelSourceError(f"no such GGUF file: {file}")
    sha256 = remembered_sha256(file)
    # By checksum alone: a renamed copy is the same model.
    folder = folder_for("gguf", sha256)
    note = read_note(folder)
    if note is None:
        with staging(folder) as work:
            convert(file.resolve(), work)
            write_note(
                work,
                name=file.stem,
                revision=f"gguf:{sha256[:12]}",
                sha256=sha256,
                kind="causal-lm",
                licence=None,
                parameters=count_parameters(weight_files(work)),
                source=file.name,
            )
        note = read_note(folder)
    if note is None:
        raise ModelSourceError(f"{file} was converted, but something removes its files from {folder}")
    return ResolvedModel(file.stem, str(folder), note.revision, note.licence, note.kind, note.parameters, local=True)


def _resolve_hub(name: str, revision: str | None, download: bool) -> ResolvedModel:
    snapshot = _snapshot(name, revision)
    if snapshot is not None:
        try:
            return _from_snapshot(name, snapshot)
        except ModelSourceError as error:
            log.info("the cached snapshot of %s is not whole: %s", name, error)
    if not download:
        raise ModelSourceError(f"{name} is not in the hub cache: run `evoagent models pull {name}`")
    info = _hub_info(name, snapshot.name if snapshot else revision)
    files = {file.rfilename for file in info.siblings or ()}
    kind: Kind = "causal-lm" if "config.json" in files else "remote"
    if "modules.json" in files:
        kind = "sentence-transformers"
    card, tensors = info.card_data, info.safetensors
    quantised = "quantization_config" in (info.config or {})
    return ResolvedModel(
        name=name,
        path=name,
        revision=info.sha,
        licence=str(card.license) if card is not None and card.get("license") else None,
        kind=kind,
        parameters=tensors.total if tensors is not None and not quantised else None,
        local=False,
    )


def _hub_info(name: str, revision: str | None) -> ModelInfo:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    why = fetch.hub_forbidden()
    try:
        if why is None:
            return HfApi().model_info(name, revision=revision, timeout=_HUB_SECONDS)
    except RevisionNotFoundError as error:
        raise ModelSourceError(f"the model hub has no revision {revision!r} of {name}") from error
    except RepositoryNotFoundError as error:
        raise ModelSourceError(
            f"the model hub has no model {name!r}, or it is private and you are not logged in"
        ) from error
    except Exception as error:  # the client raises its own errors and those of its transport
        why = f"it cannot be reached ({(str(error).strip() or type(error).__name__).splitlines()[0]})"
    raise ModelSourceError(
        f"cannot find the model {name}: no folder has that name, the local hub cache does not hold all of it, "
        f"and as to the model hub, {why}; models that need no hub: {', '.join(closest(name))}"
    )


def _snapshot(name: str, revision: str | None) -> Path | None:
    """The folder of a hub model in the hub's own cache; its last part is the commit. No network is used."""
    from huggingface_hub import try_to_load_from_cache

    for file in ("config.json", "modules.json"):
        found = try_to_load_from_cache(name, file, revision=revision)
        if isinstance(found, str):
            return Path(found).parent
    return None


def _from_snapshot(name: str, snapshot: Path) -> ResolvedModel:
    facts = inspect_folder(snapshot)
    return ResolvedModel(name, str(snapshot), snapshot.name, facts.licence, facts.kind, facts.parameters, local=True)
