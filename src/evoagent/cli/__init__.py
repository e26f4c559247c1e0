"""The command line. Start with `app`; a command is a module, and `terminal` has all text on its way to the terminal."""
