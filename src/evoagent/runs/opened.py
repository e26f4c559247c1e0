"""`Opened`: what `opening` has got together before the graph can run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evoagent.datasets.corpora import Corpus
from evoagent.datasets.seeds import SeedBatch
from evoagent.ledger.database import Database
from evoagent.plugins.loaded import LoadedStage
from evoagent.runs.choosing import ChosenRun
from evoagent.runs.models import Model


@dataclass(frozen=True, slots=True)
class Opened:
    """The database of a locked run directory, the run to go on with, and what its configuration names, made."""

    database: Database
    run: ChosenRun
    read: Mapping[str, SeedBatch]  # the seeds, as "seed", and the corpora that were not in the ledger yet
    corpora: list[Corpus]
    models: list[Model]
    stages: list[LoadedStage]
