"""What operators, judges and chat templates have in common: files with front matter, and bounded Jinja templates."""
