"""Clips to train and evaluate on. The package `tpsm_jax` never imports from here."""
