"""Pictures in, videos in and out, sheets that show what a model computes."""
