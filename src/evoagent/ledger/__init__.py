"""The ledger: the record of everything that ever happened in a run directory."""
