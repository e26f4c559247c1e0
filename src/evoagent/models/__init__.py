"""Models, from a plugin's `await` to the weights.

Start with `requests`, the values, and `roles`, what plugins see. `dispatcher` answers: from the request log, or by way
of `lines` and `engine_calls` from an engine. `engines` are the models, `sources` where their weights come from.
`plugin`, the base class of every plugin, is here since engines are plugins too.
"""
