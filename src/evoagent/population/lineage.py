"""Who descends from whom."""

from __future__ import annotations

import asyncio

import numpy as np
from numpy.typing import NDArray

from evoagent.population.base import Population
from evoagent.population.ragged import Ragged


async def ancestors(members: Population, among: Population) -> Ragged[np.intp]:
    """The places in `among` of all whom each of `members` descends from, as far back as `among` tells."""
    # In a thread: the ids of a large population take seconds to sort.
    return await asyncio.to_thread(_close, await members.parents(), await among.parents(), among.ids)


def _close(direct: Ragged[np.str_], further: Ragged[np.str_], ids: NDArray[np.str_]) -> Ragged[np.intp]:
    order = np.argsort(ids, kind="stable")
    links = _places(further, ids, order)
    count = max(len(ids), 1)
    owners, rows = _places(direct, ids, order).pairs(np.arange(len(direct)))
    found = new = np.unique(owners * count + rows)  # a pair of member and ancestor as one number
    while len(new):
        children, parents = links.pairs(new % count)
        new = np.setdiff1d(np.unique((new // count)[children] * count + parents), found, assume_unique=True)
        found = np.union1d(found, new)
    return Ragged.of(np.bincount(found // count, minlength=len(direct)), found % count)


def _places(parents: Ragged[np.str_], ids: NDArray[np.str_], order: NDArray[np.intp]) -> Ragged[np.intp]:
    """The places of the parents that are among `ids`; the others are left out."""
    if not len(ids) or not len(parents.values):
        return Ragged.of(np.zeros(len(parents), dtype=np.intp), np.empty(0, dtype=np.intp))
    places = order[np.minimum(np.searchsorted(ids, parents.values, sorter=order), len(ids) - 1)]
    known = ids[places] == parents.values
    owners, _ = parents.pairs(np.arange(len(parents)))
    return Ragged.of(np.bincount(owners[known], minlength=len(parents)), places[known])
