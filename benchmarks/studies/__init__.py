"""Studies that set a threshold or answer a question once; README.md has the table."""
