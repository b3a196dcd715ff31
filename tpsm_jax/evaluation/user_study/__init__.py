"""A study of two methods by people, as in the paper's second table.

One page asks which of two clips moves more smoothly (continuity) and which looks more real
(authenticity); the answers come back as a JSON file a participant.
"""

QUESTIONS = ("continuity", "authenticity")
FORMAT = "tpsm_jax user study"
VERSION = 1
