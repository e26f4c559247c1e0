"""Seeds in, training files out.

`seeds` reads what users have, by way of `files`, `forms` (Alpaca, ShareGPT, messages, …), `documents` and `hub`;
`corpora` are rows to draw from. `writer` writes a run's dataset, `exporters` the formats of trainers.
"""
