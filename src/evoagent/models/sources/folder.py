"""What a model folder says about itself, without loading it."""

from __future__ import annotations

import hashlib
import json
import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from evoagent.errors import ModelSourceError
from evoagent.models.sources.cache import NOTE, remembered_sha256
from evoagent.models.sources.catalog import Kind
from evoagent.text import read_text

_TEXT = ("*.json", "*.jinja", "*.model", "*.txt")
_JSON_LIMIT = 100 << 20
_CARD_LIMIT = 1 << 16
_MOST_AXES = 64

_Json = TypeVar("_Json", dict[str, Any], list[Any])


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """A model folder, looked at."""

    kind: Kind
    parameters: int | None
    licence: str | None


def inspect_folder(folder: Path) -> FolderFacts:
    """Kind, size and licence of the model in `folder`.

    Raises:
        ModelSourceError: it holds no model, or not all of one.
    """
    kind: Kind = "sentence-transformers" if (folder / "modules.json").is_file() else "causal-lm"
    if kind == "causal-lm" and not (folder / "config.json").is_file():
        raise ModelSourceError(_why_no_model(folder))
    weights = weight_files(folder)
    config = _json(folder / "config.json", dict)
    return FolderFacts(kind, None if "quantization_config" in config else count_parameters(weights), _licence(folder))


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights.

    Raises:
        ModelSourceError: there are none, or shards are missing.
    """
    for pattern in ("*.safetensors", "pytorch_model*.bin"):
        found = [path for root in _roots(folder) for path in _shards(root, pattern)]
        if found:
            return found
    raise ModelSourceError(f"{folder}: no weights in it: expected *.safetensors or pytorch_model*.bin")


def _shards(folder: Path, pattern: str) -> list[Path]:
    for index in sorted(folder.glob(pattern + ".index.json")):
        names = _json(index, dict).get("weight_map")
        if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
            raise ModelSourceError(f"{index}: weight_map: expected the files of the weights, by tensor")
        shards = [_inside(folder, name) for name in sorted(set(names.values()))]
        if missing := [path.name for path in shards if not path.is_file()]:
            raise ModelSourceError(f"{folder}: weights are missing: {', '.join(missing)}, named by {index.name}")
        return shards
    # Some publishers add the same weights a second time under this name, for another loader.
    found = [path for path in sorted(folder.glob(pattern)) if not path.name.startswith("consolidated")]
    if strange := [path.name for path in found if not path.is_file()]:
        raise ModelSourceError(f"{folder}: expected files, found something else: {', '.join(strange)}")
    return found


def folder_revision(folder: Path) -> str:
    """A checksum of everything in `folder` that changes what the model answers."""
    found = (path for each in _roots(folder) for pattern in _TEXT for path in each.glob(pattern))
    files = {path for path in found if path.is_file() and path.name != NOTE}
    digest = hashlib.sha256()
    for path in sorted(files | set(weight_files(folder))):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{remembered_sha256(path)}\n".encode())
    return f"sha256:{digest.hexdigest()[:12]}"


def count_parameters(weights: Sequence[Path]) -> int | None:
    """Number of parameters by the headers of safetensors files; None for other formats.

    Integer tensors are buffers such as position ids and do not count.
    """
    total = 0
    for path in weights:
        if path.suffix != ".safetensors":
            return None
        try:
            with path.open("rb") as stream:
                length = int.from_bytes(stream.read(8), "little")
                if not 0 < length <= _JSON_LIMIT:
                    raise ValueError(f"a header of {length} bytes")
                header = _parsed(stream.read(length), dict)
            total += sum(_floats(tensor) for name, tensor in header.items() if name != "__metadata__")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelSourceError(f"{path} is not a safetensors file, or is damaged: {error}") from error
    return total


def _floats(tensor: Any) -> int:
    shape, dtype = tensor["shape"], tensor["dtype"]
    if not isinstance(dtype, str) or not isinstance(shape, list) or len(shape) > _MOST_AXES:
        raise TypeError("a tensor without a type and a shape")
    if not all(type(size) is int and 0 <= size < 1 << 63 for size in shape):
        raise ValueError(f"a tensor of the shape {reprlib.repr(shape)}")
    return math.prod(shape) if "F" in dtype else 0


def _roots(folder: Path) -> list[Path]:
    """The folder itself and, for a sentence-transformers model, those of its modules."""
    modules = _json(folder / "modules.json", list)
    inner = [_inside(folder, str(module.get("path", ""))) for module in modules if isinstance(module, dict)]
    return [folder, *(each for each in inner if each != folder and each.is_dir())]


def _inside(folder: Path, name: str) -> Path:
    """What `name` means in `folder`; raises `ModelSourceError` if it leads out of it."""
    if ".." in Path(name).parts or Path(name).is_absolute():
        raise ModelSourceError(f"{folder}: found {name!r:.80}, expected a name of something in this folder")
    return folder / name


def _json(path: Path, expected: type[_Json]) -> _Json:
    """What a JSON file holds; nothing where there is none.

    Raises:
        ModelSourceError: it cannot be read, is too large or too deeply nested, or holds something else.
    """
    if not path.exists():
        return expected()
    text = read_text(path, _JSON_LIMIT, ModelSourceError)
    try:
        return _parsed(text, expected)
    except ValueError as error:
        raise ModelSourceError(f"{path} cannot be read as JSON: {error}") from error


def _parsed(text: str | bytes, expected: type[_Json]) -> _Json:
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(value, expected):
        raise ValueError(f"found {type(value).__name__}, expected {expected.__name__}")
    return value


def _licence(folder: Path) -> str | None:
    """The licence that the model card names in its YAML head."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    try:
        with card.open(encoding="utf-8", errors="replace") as stream:
            text = stream.read(_CARD_LIMIT)
    except OSError:
        return None
    head = text.split("\n---", 1)[0].splitlines() if text.startswith("---") else []
    stated = next((line for line in head if line.startswith("license:")), "")
    return stated.removeprefix("license:").partition("#")[0].strip(" \t\"'") or None


def _why_no_model(folder: Path) -> str:
    if (folder / "adapter_config.json").is_file():
        return f"{folder} holds a LoRA adapter: merge it into its base model and name the merged folder"
    if ggufs := sorted(path.name for path in folder.glob("*.gguf")):
        return f"{folder} holds no config.json but a GGUF file: name the file itself, {folder / ggufs[0]}"
    return f"{folder} holds no model: expected a config.json beside the weights"
