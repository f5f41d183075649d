"""The vector index: points, stores, the worker that fills it, and recall."""
