"""The HTTP API: what users and operators ask of the books, over FastAPI."""
