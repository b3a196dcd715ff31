"""Benchmarks, one question a file; README.md has the table."""
