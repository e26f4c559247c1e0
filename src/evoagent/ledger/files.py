"""The files of a run, and a guard against writing over them."""

from __future__ import annotations

from pathlib import Path

from evoagent.errors import UserError

LEDGER = "ledger.db"
EVENTS = "events.jsonl"
CONFIG = "config.yaml"
SEEDS = "seeds.jsonl"  # a copy of those that were given in memory
LOCK = ".lock"
DATASET = "dataset"  # a folder
TRAIN_JSONL, TRAIN_PARQUET, CARD = "train.jsonl", "train.parquet", "README.md"


def own_files(directory: Path) -> list[Path]:
    """What a run writes, and goes on from."""
    ledger = [LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm"]
    dataset = [f"{DATASET}/{name}" for name in (TRAIN_JSONL, TRAIN_PARQUET, CARD)]
    names = (*ledger, EVENTS, CONFIG, SEEDS, LOCK, *dataset)
    return [*(directory / name for name in names), *directory.glob("vectors-*.bin")]


def check_output(out: Path, *inputs: Path) -> None:
    """Refuse to write to `out` what would replace a file of a run, or one of `inputs`, or what is no file at all.

    Raises:
        UserError: it would.
    """
    if out.exists() and not (out.is_file() or out.is_dir()):
        raise UserError(f"{out}: found something that is no regular file, expected the name of a file")
    near = {folder for path in (out.absolute(), out.resolve()) for folder in list(path.parents)[:2]}
    runs = [folder for folder in near if (folder / LEDGER).exists()]
    for path in (*inputs, *(path for run in runs for path in own_files(run))):
        if path.resolve() == out.resolve() or (out.exists() and path.exists() and out.samefile(path)):
            what = "is read" if path in inputs else "belongs to the run"
            raise UserError(f"{out}: {what}, and would be replaced; choose another name")


def require_run(directory: Path) -> Path:
    """`directory`, if it holds a run.

    Raises:
        UserError: it does not.
    """
    if not (directory / LEDGER).is_file():
        raise UserError(f"{directory}: found no {LEDGER} there, expected a run directory such as runs/quickstart")
    return directory
