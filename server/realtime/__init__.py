"""The OpenAI Realtime API (GA) as a door onto a call: over a WebSocket, over WebRTC, and beside a call."""
