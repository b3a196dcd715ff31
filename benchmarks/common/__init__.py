"""Code that several benchmarks share; README.md has the table."""
