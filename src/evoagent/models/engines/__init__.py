"""Engines: what computes. Start with `base`, the interface and its `Lane`.

`transformers` decodes in `packed`, on the `device` that there is; `vllm` and `sentence_transformers` wrap the
libraries of these names; `openai` speaks to a server by `openai_wire` and `http`; `scripted` answers from a script.
`scoring_text` puts a context and a target into the tokens whose losses are read; `gather` keeps the order of what is
asked one by one.
"""
