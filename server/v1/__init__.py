"""`/v1`: the API of OpenAI, over the same engines."""
