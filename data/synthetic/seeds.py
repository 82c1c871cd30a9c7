"""Named random streams: adding a symbol or a user never changes what another one does."""

import hashlib

import numpy as np


def stream(seed: int, *names: str) -> np.random.Generator:
    """Return the generator that belongs to these names under this seed, whatever else is drawn elsewhere."""
    digest = hashlib.sha256("/".join(names).encode()).digest()
    key = tuple(np.frombuffer(digest, dtype="<u4").tolist())
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy=seed, spawn_key=key)))
