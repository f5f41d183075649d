"""When to speak and when to listen: the policy, and what it learns in a call."""
