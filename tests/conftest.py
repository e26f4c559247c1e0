"""Before any test imports torch: its threads sleep where they wait, and workers of one run share the cores."""

import os

from evoagent.models.engines.packed.threads import wait_passively

wait_passively()
workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
