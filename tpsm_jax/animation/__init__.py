"""A source picture moved by driving frames: programs, `Animator`, keypoints, export."""
