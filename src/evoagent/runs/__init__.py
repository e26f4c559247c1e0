"""Runs and scorings as one call, from Python and for the command line alike.

Start with `api`: `run` and `arun`. `preparing` reads and checks what they are given, `scores` has `score` and `ascore`,
`rows` takes rows that are in memory, `loops` waits for a coroutine, also where an event loop runs already.
"""
