"""Speech to text without a conversation: of streams as they come in, and of recordings."""
