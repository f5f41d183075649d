"""A WebRTC client in Python: `morgan call`, the benchmarks and the tests. Knows nothing of the server."""
