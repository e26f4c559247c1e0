"""Models: roles, the dispatcher, sources and engines."""
