"""Engines in other processes: Morgan's own services, and servers that speak OpenAI's API."""
