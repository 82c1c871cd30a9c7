"""The client in one piece."""

from live.client.access import Access
from live.client.history import History
from live.client.stream import Stream
from live.client.stream_messages import Channel
from live.client.trading import Trading
from live.client.wallets import Wallets


class HybridPerps(Access, Trading, History, Wallets):
    """Trade over the HTTP API.

    async with HybridPerps(url, key=KEY, secret=SECRET) as api:
        await api.place("BTC", "BUY", "0.05", leverage=10)

    Without an API key ``log_in`` comes first. What is refused raises ApiProblem, whose ``code`` says why.
    """

    def stream(self, *channels: Channel, after: int | None = None, patience_s: float = 60.0) -> Stream:
        """Listen to channels, from now on or from input ``after`` of the books."""
        return Stream(self, channels, after, patience_s)
