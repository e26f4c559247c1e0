"""Datasets by their name on a hub, through the `datasets` library and its cache."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, NamedTuple

from evoagent.datasets.files import SUFFIXES
from evoagent.errors import DataError

_NAME = re.compile(r"(?P<prefix>hf:)?(?P<name>\w[\w.-]*(?:/\w[\w.-]*)?)(?::(?P<subset>[\w.-]+))?")


class HubName(NamedTuple):
    """`hf:name`, `owner/name`, or either with `:subset` behind it."""

    name: str
    subset: str | None


def hub_name(path: str) -> HubName | None:
    """The dataset that `path` names, or None if it can only be a file."""
    match = _NAME.fullmatch(path)
    if match is None:
        return None
    name = match["name"]
    if not match["prefix"] and ("/" not in name or PurePath(name).suffix.lower() in SUFFIXES):
        return None
    return HubName(name, match["subset"])


def read_hub(hub: HubName, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The numbered rows of a dataset on the hub; it is downloaded once and then comes from the local cache.

    Raises:
        DataError: it cannot be loaded, for whatever reason the library gives.
    """
    import datasets

    try:
        dataset = datasets.load_dataset(hub.name, hub.subset, split=split)
    except Exception as error:  # the library raises its own, the hub client's, the network's and plain ValueErrors
        lines = str(error).strip().splitlines() or [""]
        detail = f"{type(error).__name__}: {lines[0][:300]}"
        raise DataError(
            f"{hub.name}: no such file, and no dataset of this name with a split `{split}` "
            f"could be loaded from the hub ({detail})"
        ) from error
    yield from enumerate((dict(row) for row in dataset), 1)
