"""Morgan's side of a call: the reply, from the language model to the user's ear."""
