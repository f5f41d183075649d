"""aiortc and aioice where their public names do not reach: the only modules that touch their private ones.

Each private name has a test (tests/media/upstream), and pyproject.toml bounds the versions: when an upgrade changes
one, the test says which and where.
"""
