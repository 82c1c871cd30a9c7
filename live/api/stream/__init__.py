"""The stream: what happens to a user, and the marks, over a WebSocket; in order, and resumable by sequence number."""
