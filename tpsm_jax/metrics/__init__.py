"""How far a result is from the truth: on pictures, by detected points and faces, by people."""
