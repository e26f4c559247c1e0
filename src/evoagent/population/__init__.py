"""Populations as plugins see them: length, ids, scores, vectors and pages of rows, never a list of all members.

Start with `base`; `listed` holds members in memory, `stored` reads them from the ledger. `lineage` and `neighbours` are
for plugins that compare members with each other.
"""
