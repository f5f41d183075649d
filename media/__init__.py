"""Sound on the wire: WebRTC peers, Opus in and out, jitter, the playout clock. Knows no models."""
