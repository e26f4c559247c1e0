"""The plugin system, and how far a plugin is guarded.

Start with `hookspecs`, what a plugin may yield, and `manager`, which finds plugins, checks and makes them. `declared`
turns a class into its spec, `specs` is the long form, `builtins` are our own. `calls` runs their code: many calls at
once, each with a time limit; `watchdog` names one that blocks.
"""
