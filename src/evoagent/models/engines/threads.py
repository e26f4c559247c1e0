"""How the threads of CPU engines wait for each other."""

from __future__ import annotations

import os


def wait_passively() -> None:
    """Let OpenMP's threads sleep where they wait, unless the user has said otherwise. Call it before torch is imported.

    By default they spin. A decoding step has hundreds of short parallel parts, and where the cores are shared (virtual
    machines, containers, a busy desktop) each of them then waits for a core that another thread spins on: two threads
    on two virtual cores were seen to generate a hundredth of what they do when they sleep.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
