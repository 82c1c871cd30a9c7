"""What every request goes through, as pure ASGI: each costs a few microseconds, and none reads a body twice."""
