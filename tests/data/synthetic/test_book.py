import numpy as np
import pytest

from data.frames import BOOK
from data.synthetic.book import book_behind
from data.synthetic.ticks import round_near
from risk.errors import InvalidInput

LEVELS = 5


@pytest.mark.parametrize("symbol", ["BTC", "ETH", "SOL", "DOGE"])
@pytest.mark.parametrize("name", ["calm", "thin-book", "flash-crash"])
def test_levels_fall_away_from_the_quote(short, specs, name, symbol):
    quotes, spec = short(name).market[symbol].quotes, specs[symbol]
    book = book_behind(quotes, spec, LEVELS)
    assert book.schema == BOOK
    shape = (len(quotes), 2, LEVELS)
    price, size = (book[column].to_numpy().reshape(shape) for column in ("price", "size"))
    for side, best in enumerate(("bid", "ask")):
        assert (price[:, side, 0] == quotes[best].to_numpy()).all()
        assert (size[:, side, 0] == quotes[f"{best}_size"].to_numpy()).all()
    assert (np.diff(price[:, 0]) < 0).all()
    assert (np.diff(price[:, 1]) > 0).all()
    assert (np.diff(size) >= 0).all()
    assert (round_near(price.ravel(), spec.price_decimals) == price.ravel()).all()
    first = book.slice(0, 2 * LEVELS).to_pydict()
    assert first["ts"] == [quotes["ts"][0].as_py()] * (2 * LEVELS)
    assert first["side"] == ["BUY"] * LEVELS + ["SELL"] * LEVELS
    assert first["level"] == [*range(LEVELS), *range(LEVELS)]


def test_no_levels_are_refused(short, specs):
    with pytest.raises(InvalidInput, match="levels was 0"):
        book_behind(short("calm").market["BTC"].quotes, specs["BTC"], 0)
