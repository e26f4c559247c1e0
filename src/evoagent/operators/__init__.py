"""Operators: `base` has what they extend, `prompt` is the operator that a prompt file is.

`extraction` finds the instruction in a completion; `optimizer` has the base of what improves operators between rounds.
"""
