"""What all systems are given: the server, the prompt of an evolution, and the seeds."""

from __future__ import annotations

import json
import re
from pathlib import Path

PORT = 8123
CASE = re.compile(r"K\d{6}")
BASE_URL = f"http://127.0.0.1:{PORT}/v1"
SYSTEM = (
    "You make tasks harder. You add one requirement that the answer must meet: a limit, a format, a condition, or "
    "something to avoid. It suits the task, and one can check whether it is met. The input of a task, where it has "
    "one, stays as it is and is not repeated. You never solve a task. You write the new task, and nothing else."
)
_VERBS = ["Explain", "Describe", "Summarise", "Discuss", "Outline", "Compare"]
_THINGS = ["tide tables", "light signals", "pilot rules", "cargo lists", "mooring plans", "storm warnings", "rosters"]
_READERS = ["a new sailor", "the harbour master", "a visiting engineer", "school children", "an insurance clerk"]


def user_turn(instruction: str) -> str:
    return f"Add one requirement to this task.\n\n<task>\n{instruction}\n</task>"


def write_seeds(path: Path, count: int) -> None:
    with path.open("w") as file:
        for n in range(count):
            text = (
                f"{_VERBS[n % 6]} how the {_THINGS[n % 7]} of harbour K{n:06d} are made for {_READERS[n % 5]}, "
                f"and name {2 + n % 4} things that can go wrong with them."
            )
            file.write(json.dumps({"instruction": text}) + "\n")
