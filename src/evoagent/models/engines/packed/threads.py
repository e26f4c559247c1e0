"""How the threads of engines wait for each other."""

from __future__ import annotations

import os
from threading import Lock

LOADING = Lock()
"""Held while an engine loads its model. transformers keeps what it is doing in the process as a whole: of two threads
that import it, or load weights with it, one can find the other's state."""


def wait_passively() -> None:
    """Let OpenMP's threads sleep where they wait, unless the user has said otherwise. Call it before torch is imported.

    By default they spin. A decoding step has hundreds of short parallel parts, and where the cores are shared (virtual
    machines, containers, a busy desktop) each of them then waits for a core that another thread spins on: two threads
    on two virtual cores were seen to generate a hundredth of what they do when they sleep.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
