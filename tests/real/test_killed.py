"""kill -9 in the middle of real work: the resumed run ends with the bytes of an uninterrupted one."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Start

pytestmark = pytest.mark.real


def answered(out: Path) -> int:
    ledger = out / "ledger.db"
    if not ledger.exists():
        return 0
    connection = sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)
    try:
        return int(connection.execute("select count(*) from requests").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


@pytest.mark.timeout(600)
def test_killed_and_resumed_gives_the_same_bytes(
    small_config: Callable[..., Path], start: Start, run_to_end: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    config = small_config("transformers", slots=4)
    whole = run_to_end(config, tmp_path / "whole")
    total = answered(tmp_path / "whole")
    moments = random.Random(3)
    out = tmp_path / "killed"
    stops = sorted(moments.sample(range(1, total - 1), 3))
    for stop in stops:
        process = start(config, out)
        while answered(out) < stop and process.poll() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.3))
        process.kill()
        process.communicate()
    assert 0 < answered(out) < total
    resumed = run_to_end(config, out)
    files = [path / "dataset" / "train.jsonl" for path in (tmp_path / "whole", out)]
    assert files[0].read_bytes() == files[1].read_bytes()
    for key in ("candidates", "survivors", "rejected", "tokens"):
        assert resumed[key] == whole[key]
