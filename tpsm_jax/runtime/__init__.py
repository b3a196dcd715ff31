"""What a process sets up around JAX: XLA flags, malloc, program caches, atomic files."""
