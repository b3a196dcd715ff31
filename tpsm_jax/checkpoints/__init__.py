"""Models on disk: converted folders, training runs, official PyTorch files."""
