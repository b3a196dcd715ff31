"""Which part of a picture is animated, and how the result goes back into the whole picture."""
