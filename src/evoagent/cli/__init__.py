"""The command line. Start with `app`; a command is the module of its name, which imports little, so that help is
quick.

What a command does where it runs is beside it: `execution` for `run`, `score_data` for `score`, `plugins_check` and
`plugins_show` for `plugins`. `terminal` has all text on its way out, `console` shows progress, `reviewing` asks a
person, `process` and `leaving` keep standard output for data and end the process.
"""
