"""A client of the HTTP API for programs: ``HybridPerps``; it knows nothing of the server but what it says."""

from live.client.client import HybridPerps
from live.client.errors import ApiProblem, ClientError, NoAnswer, SecondFactorNeeded, StreamClosed
from live.client.stream import Stream
from live.client.stream_messages import Marks, Update

__all__ = [
    "ApiProblem",
    "ClientError",
    "HybridPerps",
    "Marks",
    "NoAnswer",
    "SecondFactorNeeded",
    "Stream",
    "StreamClosed",
    "Update",
]
