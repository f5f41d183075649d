"""RTVI, the protocol of Pipecat's client SDKs, over their SmallWebRTC transport: one more door onto a call."""
