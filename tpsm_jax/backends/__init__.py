"""Faster forms of operations for one machine, equal in value to the plain form."""
