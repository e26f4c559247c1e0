"""Before any test imports torch."""

from evoagent.models.engines.packed.threads import wait_passively

wait_passively()
