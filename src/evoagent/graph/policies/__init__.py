"""Policies of the loop, each behind a protocol of one method: when a stage stops, which operator a parent gets
(`schedule`), whom it is combined with (`mating`), how many may survive (`quota`). Which members survivors replace is
in `ledger.replacement`: the database carries it out.
"""
