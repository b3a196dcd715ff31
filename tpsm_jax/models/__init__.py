"""The networks, one a file and named as in the official checkpoints, and their composition."""
