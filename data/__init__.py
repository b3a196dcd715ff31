"""Clips to train and try on. The library itself (`tpsm_jax`) never imports from here."""
