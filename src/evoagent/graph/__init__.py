"""The LangGraph state machine: START → prepare → evolver → critic → eliminator → … → END.

Start with `build`, which draws it, and `state`, which says what it holds and what its nodes share. A node is a module:
`prepare`, `evolver`, `critic`, `eliminator`, `optimizer`, `finish`. `rules`, `scores`, `ranks` and `populations` ask
plugins on their behalf; `review` asks a person. What decides when a stage ends, who is evolved by what and how many
survive are small objects in `policies`.
"""
