"""What users write, and what identifies a run.

Start with `model`: the YAML as strict pydantic models; `identity` is what makes two of them the same run. `overrides`
are `--set` and its like, `yaml_text` reads YAML with the places of its lines, `problems` says what is wrong with a
value and what is close to a name, `resources` finds the configurations and prompts that are shipped.
"""
