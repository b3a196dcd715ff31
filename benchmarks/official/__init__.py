"""Workers that run the official PyTorch code in processes of their own; see README.md."""
