"""Webhooks: what happens in calls, told to other servers as https://www.standardwebhooks.com has it."""
