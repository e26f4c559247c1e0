"""Runs and scorings as one call, from Python and for the command line alike.

A run goes this way: `api` (`run`, `arun`) → `preparing`, which reads the configuration by way of `config_file` and the
seeds that were given (`rows`) → `opening`, which takes the `directory`, makes plugins (`loading`) and `models`,
decides which run goes on (`choosing`) and hands all of it on (`opened`) → `driving`, which runs the graph →
`finishing`, which writes the dataset. `listening` tells the terminal and `events.jsonl` of it; `loops` waits for a
coroutine, also where an event loop runs already. `scores` is the API of scoring, `scoring` what it does.
"""
