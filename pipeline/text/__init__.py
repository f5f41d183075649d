"""Text on its way to the voice: cut into clauses, made speakable."""
