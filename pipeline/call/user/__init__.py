"""The user's side of a call: their audio, their turn, its words."""
