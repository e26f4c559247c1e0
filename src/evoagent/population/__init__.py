"""Populations as plugins see them: length, ids, scores, vectors and pages of rows, never a list of all members.

Start with `base`; `listed` holds members in memory, `stored` reads them from the ledger, both by `embedding` what has
no vector yet. `lineage`, `neighbours`, `ranking` and `ragged` arrays are for plugins that compare members with each
other; `measuring` is the base of those that measure all survivors.
"""
