"""Writing new things for users to start from: folders that are whole or not there, packages with a plugin."""
