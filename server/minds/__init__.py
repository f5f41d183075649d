"""Which language model answers: the wisest that this machine affords, and how it comes to be here."""
