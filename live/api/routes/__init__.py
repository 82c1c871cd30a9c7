"""What each path answers; every module has a ``router``, included under /v1."""
