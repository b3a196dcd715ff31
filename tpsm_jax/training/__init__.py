"""Training: the step, what it changes, the loop around it, and what the loop writes."""
