"""Settings of the models and their training: one `get_config()` per file."""
