"""`/ws/audio`: a call over a WebSocket, as plain samples and JSON."""
