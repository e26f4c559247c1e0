"""Where weights come from: `resolve` turns a name or a folder into files on this machine.

`catalog` holds the models that come by name, `fetch` and `cache` their downloads by sha256, `folder` reads what a
model's folder says of it, `gguf` the file of that format.
"""
