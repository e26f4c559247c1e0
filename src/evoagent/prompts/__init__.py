"""Prompts: files with front matter and Jinja templates.

`prompt_file` is an operator's, `judge` a judge's or a rubric; `front_matter` reads either. `rendering` fills templates
that others wrote, within bounds; a model's chat template too. `chat` has the words that several folders share.
"""
