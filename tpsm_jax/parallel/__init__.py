"""Processes that train together, and how arrays lie on their devices."""
