"""The weights: a manifest of every file and the fetching of what is missing."""
