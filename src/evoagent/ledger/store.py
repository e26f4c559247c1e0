"""The record of a run, by what is asked of it. All methods are synchronous and transactional."""

from __future__ import annotations

from evoagent.ledger.candidates import Candidates
from evoagent.ledger.database import Database
from evoagent.ledger.population import Members
from evoagent.ledger.results import Results
from evoagent.ledger.runs import Runs


class Store:
    """Reads and writes the rows of the runs in one database.

    Attributes:
        runs: the runs themselves, and what is kept of a whole run.
        population: the members of each round.
        candidates: candidates on their way, up to their verdicts.
        results: what came of it.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.runs = Runs(database)
        self.population = Members(database)
        self.candidates = Candidates(database)
        self.results = Results(database)
