"""How `python -m data.prepare` makes a data set; see docs/data.md."""
