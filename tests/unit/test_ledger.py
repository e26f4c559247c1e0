"""The ledger's file: who may open it, and what its queries cost."""

from __future__ import annotations

import ctypes
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from evoagent.errors import LedgerError
from evoagent.ledger import schema
from evoagent.ledger.database import PAGE, Database, OldLedgerError
from evoagent.ledger.replacement import ReplaceParents
from evoagent.ledger.rows import NewCandidate
from evoagent.ledger.store import Store
from evoagent.records import Candidate, Instruction, Verdict

RUN = "0123456789abcdef"
MANY = 20 * PAGE


def fill(store: Store, count: int, judged: int) -> None:
    """A round of `count` candidates of one parent, of which the first `judged` have survived."""
    parent = Instruction(id="parent", instruction="Why?", seed_id="parent")
    store.runs.begin(RUN, "", {}, {}, [parent], 0, {})
    rows = [
        NewCandidate(Candidate(f"{n:016x}", f"Why {n}?", parent, "ask", 1, stage="main", response="So."), n, "toy")
        for n in range(count)
    ]
    store.candidates.add(RUN, rows)
    verdicts = [
        {"run_id": RUN, "candidate_id": row.candidate.id, "round": 1, "kept": True, "rule": "", "detail": ""}
        for row in rows[:judged]
    ]
    with store.database.transaction() as connection:
        store.database.insert(connection, schema.verdicts, verdicts)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    database = Database(tmp_path / "ledger.db")
    yield Store(database)
    database.close()


def steps(store: Store, call: Callable[[], Any]) -> int:
    """Hundreds of instructions of SQLite's machine that `call` takes: the same on every computer."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    with store.database.transaction() as connection:
        driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.set_progress_handler(count, 100)
    try:
        call()
    finally:
        driver.set_progress_handler(None, 0)
    return taken


def test_a_page_of_undecided_candidates_costs_the_same_whatever_is_decided(store: Store) -> None:
    fill(store, MANY, MANY - 2 * PAGE)
    page = lambda: store.candidates.page(RUN, 1, MANY - 2 * PAGE - 1, PAGE, undecided=True)  # noqa: E731
    assert len(page()) == PAGE
    late = steps(store, page)
    with store.database.transaction() as connection:
        connection.execute(schema.verdicts.delete().where(schema.verdicts.c.candidate_id > f"{PAGE:016x}"))
    early = steps(store, page)
    assert late < 1.2 * early


def test_the_last_page_of_the_dataset_costs_what_the_first_does(store: Store) -> None:
    fill(store, MANY, MANY)
    rows = store.results.dataset(RUN, "main")
    first = steps(store, lambda: [next(rows) for _ in range(PAGE)])
    for _ in range(MANY - 2 * PAGE):
        next(rows)
    last = steps(store, lambda: [next(rows) for _ in range(PAGE)])
    assert last < 1.2 * first
    assert next(rows, None) is None
    assert [row["id"] for row in store.results.dataset(RUN, "main")] == [f"{n:016x}" for n in range(MANY)]
    assert store.results.dataset_id(RUN, "main", 1) == f"{0:016x}"
    assert store.results.dataset_id(RUN, "main", MANY) == f"{MANY - 1:016x}"
    assert store.results.dataset_id(RUN, "main", MANY + 1) is None


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("create table bookmarks (url text)")
        other.commit()
    before = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(LedgerError, match=r"ledger\.db: is no ledger, but a database with bookmarks"):
            Database(path, read_only=read_only)
    assert path.read_bytes() == before


def test_a_ledger_of_the_version_before_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Database(path).close()
    with closing(sqlite3.connect(path)) as old:
        old.executescript(
            """
            alter table runs drop column versions;
            alter table runs drop column admitted;
            alter table candidates rename column version to prompt_hash;
            alter table candidates drop column data;
            alter table instructions drop column data;
            alter table candidates drop column stage;
            alter table instructions drop column stage;
            drop table methods;
            drop table reviews;
            create table reviews (candidate_id varchar(16) primary key, decision varchar(8) not null);
            insert into reviews values ('0123', 'keep');
            update meta set value = '2';
            """
        )
    with pytest.raises(OldLedgerError, match="schema version 2"):
        Database(path, read_only=True)
    database = Database(path)
    fill(Store(database), 3, 3)
    assert [row["id"] for row in Store(database).results.dataset(RUN, "main")] == [f"{n:016x}" for n in range(3)]
    last = Store(database).runs.last_run()
    assert last is not None
    assert last.versions == {}
    database.close()
    with closing(sqlite3.connect(path)) as new:
        assert new.execute("select * from reviews_by_candidate").fetchall() == [("0123", "keep")], "nothing is deleted"


def test_a_newer_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Database(path).close()
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("update meta set value = '99'")
        newer.commit()
    for read_only in (False, True):
        with pytest.raises(LedgerError, match="schema version 99"):
            Database(path, read_only=read_only)


def respect_permissions() -> None:
    """Let not even root write what is marked as read-only, as on a medium that cannot be written."""
    if os.geteuid() == 0:
        assert ctypes.CDLL(None).prctl(24, 1) == 0  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE


@pytest.fixture
def finished(tmp_path: Path) -> Iterator[Path]:
    """A run directory that nothing can be written into."""
    run = tmp_path / "run"
    run.mkdir()
    database = Database(run / "ledger.db")
    fill(Store(database), 3, 3)
    database.close()
    yield run
    run.chmod(0o755)


def evoagent(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evoagent", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, preexec_fn=respect_permissions, check=False
    )


def sealed(run: Path) -> Path:
    for path in run.iterdir():
        path.chmod(0o444)
    run.chmod(0o555)
    return run


def test_a_run_on_a_read_only_medium_is_read(finished: Path, tmp_path: Path) -> None:
    before = sorted((path.name, path.read_bytes()) for path in sealed(finished).iterdir())
    shown = evoagent("lineage", finished, "--row", 2)
    assert shown.returncode == 0, shown.stderr
    assert "Why 1?" in shown.stdout
    exported = evoagent("export", finished, "--out", tmp_path / "out.jsonl")
    assert exported.returncode == 0, exported.stderr
    assert (tmp_path / "out.jsonl").read_text().count("\n") == 3
    assert sorted((path.name, path.read_bytes()) for path in finished.iterdir()) == before
    nowhere = evoagent("export", finished)
    assert nowhere.returncode != 0
    assert "Traceback" not in nowhere.stderr
    assert f"{finished}/dataset" in nowhere.stderr


def test_a_killed_run_on_a_read_only_medium(finished: Path, tmp_path: Path) -> None:
    # Its last rows are in the log beside the ledger, so the ledger alone will not do.
    database = Database(finished / "ledger.db")
    with database.transaction() as connection:
        connection.execute(schema.candidates.update().values(instruction="Why, then?"))
    killed = tmp_path / "killed"
    shutil.copytree(finished, killed)
    database.close()
    sealed(killed)
    shown = evoagent("lineage", killed, "--row", 2)
    assert shown.returncode == 0, shown.stderr
    assert "Why, then?" in shown.stdout
    killed.chmod(0o755)
    (killed / "ledger.db-shm").unlink()
    killed.chmod(0o555)
    refused = evoagent("lineage", killed, "--row", 2)
    killed.chmod(0o755)
    assert refused.returncode == 1
    assert "copy its folder to where it can be written" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_verdicts_are_kept_apart_by_run(store: Store) -> None:
    fill(store, 2, 0)
    store.candidates.finish_round(RUN, 1, {f"{0:016x}": Verdict(True), f"{1:016x}": Verdict(False, "dull")})
    totals = store.results.totals(RUN)
    assert (totals.survivors, totals.rejected, totals.undecided) == (1, {"dull": 1}, 0)
    assert store.results.totals("another run").candidates == 0


def test_the_end_of_a_round_costs_what_its_candidates_do(tmp_path: Path) -> None:
    costs = []
    for count in (PAGE, 8 * PAGE):
        database = Database(tmp_path / f"{count}.db")
        store = Store(database)
        seeds = [Instruction(id=f"s{n:015x}", instruction=f"Why {n}?", seed_id=f"s{n:015x}") for n in range(count)]
        store.runs.begin(RUN, "", {}, {}, seeds, 0, {})
        rows = [
            NewCandidate(Candidate(f"{n:016x}", f"Why {n}?", seed, "ask", 1, stage="main", response="So."), n, "toy")
            for n, seed in enumerate(seeds)
        ]
        store.candidates.add(RUN, rows)
        store.candidates.save_verdicts(RUN, 1, {row.candidate.id: Verdict(False, "dull") for row in rows[::2]})

        def finish(store: Store = store) -> None:
            store.candidates.keep_undecided(RUN, 1)
            store.candidates.finish_round(RUN, 1, {})
            store.population.replace(RUN, 1, ReplaceParents())

        costs.append(steps(store, finish))
        ids = [member.id for member in store.population.page(RUN, 2, 0, count)]
        assert ids == [(seeds[n].id if n % 2 == 0 else f"{n:016x}") for n in range(count)], "each in its parent's place"
        assert store.results.totals(RUN).survivors == count // 2
        database.close()
    assert costs[1] < 10 * costs[0]
