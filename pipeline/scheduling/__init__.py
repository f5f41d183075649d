"""Which inference runs when, on which core."""
