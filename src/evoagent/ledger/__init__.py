"""The record of everything that ever happened in a run directory: one database, and a file of vectors beside it.

Start with `schema`, its tables, and `store`, which holds a reader and writer for each part: `runs`, `population`,
`candidates`, `results`, and `corpora` by itself. `rows` are what goes in and comes out, `assembling` puts candidates
together from several tables, `replacement` makes the next population. `database` opens it and gives all access one
thread. `request_log` keeps every answer of every model; `views` and `vector_file` are what populations are read
through; `files` are what lies in the directory.
"""
