"""Speech for doors and calls: the cache in front of the voice, texts spoken clause by clause, audio formats."""
