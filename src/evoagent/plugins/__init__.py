"""The plugin system, and how far a plugin is guarded.

Start with `hookspecs`, what a plugin may yield, and `manager`, which finds plugins (`discovery`, `project`), checks
and makes them (`factories` looks at what was made) and tells `observers`. `declared` turns a class into its spec,
`specs` is the long form, `parameters` describes what a configuration may say, `versions` tells one code from another,
`builtins` are our own. `loaded` is a plugin as a run has it; `calls` runs its code, many calls at once, each with a
time limit; `returned` judges what it returns; `watchdog` names one that blocks.
"""
