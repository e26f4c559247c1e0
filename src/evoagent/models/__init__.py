"""Models, from a plugin's `await` to the weights.

Start with `requests`, the values, and `roles`, what plugins see, with what they may draw from (`pools`). `dispatcher`
answers: by the request log under a key (`keys`, `codec`), or by way of a `Line` (`lines`) and `engine_calls` from an
engine. `binding` says which engine serves a role; `checks` refuse what is no request or no answer; `choices` makes
`choose` out of losses; `retries` and `concurrency` say when to ask again and how many at once; `accounts` count.
`waiting` stops a plugin's clock while it waits for a model. `engines` are the models, `sources` where their weights
come from. `plugin`, the base class of every plugin, is here since engines are plugins too.
"""
