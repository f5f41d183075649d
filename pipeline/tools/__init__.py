"""Tools that a language model can ask for in a conversation: what they are, and how they are run."""
