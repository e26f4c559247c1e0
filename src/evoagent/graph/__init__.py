"""The LangGraph state machine: START → prepare → evolver → critic → eliminator → … → END.

Start with `build`, which draws it; `state` is what is checkpointed, `context` holds the ledger, the dispatcher and the
plugins that nodes share. A node is a module: `prepare`, `evolver`, `critic`, `eliminator`, `optimizer`, `finish`.
`rules`, `scores`, `ranks` and `populations` ask plugins on their behalf; `review` asks a person; `progress` reports
and writes in batches, `previews` are the rows that Studio shows. What decides when a stage ends, who is evolved by
what and how many survive are small objects in `policies`.
"""
