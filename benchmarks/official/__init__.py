"""Workers that run the official PyTorch code in processes of their own; README.md tells how."""
