"""What a model folder says about itself, without loading it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evoagent.errors import ModelSourceError
from evoagent.models.catalog import Kind
from evoagent.models.source_cache import NOTE, remembered_sha256

_TEXT = ("*.json", "*.jinja", "*.model", "*.txt")
_HEADER_LIMIT = 100 << 20
_CARD_LIMIT = 1 << 16


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
    config = _json(folder / "config.json")
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
        shards = [folder / str(name) for name in sorted(set(_json(index).get("weight_map", {}).values()))]
        if missing := [path.name for path in shards if not path.is_file()]:
            raise ModelSourceError(f"{folder}: weights are missing: {', '.join(missing)}, named by {index.name}")
        return shards
    # Some publishers add the same weights a second time under this name, for another loader.
    return [path for path in sorted(folder.glob(pattern)) if not path.name.startswith("consolidated")]


def folder_revision(folder: Path) -> str:
    """A checksum of everything in `folder` that changes what the model answers."""
    files = {path for each in _roots(folder) for pattern in _TEXT for path in each.glob(pattern) if path.name != NOTE}
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
                if not 0 < length <= _HEADER_LIMIT:
                    raise ValueError(f"a header of {length} bytes")
                header = json.loads(stream.read(length))
            tensors = [tensor for name, tensor in header.items() if name != "__metadata__"]
            total += sum(math.prod(tensor["shape"]) for tensor in tensors if "F" in tensor["dtype"])
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise ModelSourceError(f"{path} is not a safetensors file, or is damaged") from error
    return total


def _roots(folder: Path) -> list[Path]:
    """The folder itself and, for a sentence-transformers model, those of its modules."""
    modules = _json(folder / "modules.json")
    inner = [folder / str(module.get("path", "")) for module in modules] if isinstance(modules, list) else []
    return [folder, *(each for each in inner if each != folder and each.is_dir())]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelSourceError(f"{path} cannot be read as JSON: {error}") from error


def _licence(folder: Path) -> str | None:
    """The licence that the model card names in its YAML head."""
    import yaml

    try:
        with (folder / "README.md").open(encoding="utf-8") as stream:
            card = stream.read(_CARD_LIMIT)
        head = yaml.safe_load(card.split("---", 2)[1]) if card.startswith("---") else {}
    except (OSError, ValueError, IndexError, yaml.YAMLError):
        return None
    licence = head.get("license") if isinstance(head, dict) else None
    return str(licence) if licence else None


def _why_no_model(folder: Path) -> str:
    if (folder / "adapter_config.json").is_file():
        return f"{folder} holds a LoRA adapter: merge it into its base model and name the merged folder"
    if ggufs := sorted(path.name for path in folder.glob("*.gguf")):
        return f"{folder} holds no config.json but a GGUF file: name the file itself, {folder / ggufs[0]}"
    return f"{folder} holds no model: expected a config.json beside the weights"
