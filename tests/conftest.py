"""Before any test imports torch."""

from evoagent.models.engines.threads import wait_passively

wait_passively()
