"""Reconstruction and animation of whole data sets: numbers, files, and a page to look at."""
