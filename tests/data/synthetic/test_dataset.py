import os
import subprocess
import sys
from pathlib import Path

import pytest

from data.synthetic.coins import COINS
from data.synthetic.dataset import synthetic_dataset
from data.synthetic.profiles import HOUR_NS
from risk.errors import InvalidInput
from venues.hyperliquid.specs import bundled_specs

ROOT = Path(__file__).parents[3]
FINGERPRINT = """
import hashlib
from data.synthetic.coins import COINS
from data.synthetic.dataset import synthetic_dataset
from data.synthetic.profiles import HOUR_NS
from risk.margin import MarginTiers
from risk.market import SymbolSpec

specs = {"BTC": SymbolSpec("BTC", 5, 1, MarginTiers.of([(0, 40)])),
         "DOGE": SymbolSpec("DOGE", 0, 6, MarginTiers.of([(0, 10)]))}
dataset = synthetic_dataset("flash-crash", 3, specs, symbols=("BTC", "DOGE"), users=25, duration_ns=HOUR_NS)
digest = hashlib.sha256()
frames = [table for f in dataset.market.values() for table in (f.quotes, f.marks, f.oracles, f.funding)]
for table in [*frames, dataset.flow.orders, dataset.flow.transfers]:
    digest.update(repr(table.to_pydict()).encode())
print(digest.hexdigest(), len(dataset.flow.orders))
"""


def fingerprint(hash_seed: str) -> str:
    env = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", FINGERPRINT], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_same_in_another_process_with_another_hash_seed():
    first = fingerprint("1")
    assert int(first.split()[1]) > 0
    assert first == fingerprint("4242")


def test_the_same_seed_gives_the_same_data(short, specs):
    first = short("one-way-crowd")
    again = synthetic_dataset("one-way-crowd", 7, specs, users=60, duration_ns=2 * HOUR_NS)
    assert again == first
    assert short("one-way-crowd", 8).flow != first.flow


def test_the_bundled_specs_are_the_default():
    dataset = synthetic_dataset("calm", 7, users=20, duration_ns=HOUR_NS)
    assert list(dataset.specs) == dataset.symbols == list(dataset.market)
    assert dataset.specs == {symbol: bundled_specs()[symbol] for symbol in dataset.symbols}
    assert set(COINS) <= set(bundled_specs())


def test_views_of_the_market(short):
    dataset = short("funding-spike")
    assert dataset.symbols == ["BTC", "ETH", "SOL", "DOGE"]
    assert dataset.resolution_ns == dict.fromkeys(dataset.symbols, 5_000_000_000)
    assert dataset.funding["SOL"] == dataset.market["SOL"].funding
    assert dataset.oracles["SOL"] == dataset.market["SOL"].oracles
    assert dataset.span[1] - dataset.span[0] == 2 * HOUR_NS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"profile_name": "calmer"}, "did you mean 'calm'"),
        ({"seed": -1}, "seed was -1"),
        ({"symbols": ("BTC", "XYZ")}, "symbol was 'XYZ'"),
        ({"symbols": ()}, "market was empty"),
    ],
)
def test_bad_arguments_are_refused(specs, arguments, message):
    with pytest.raises(InvalidInput, match=message):
        synthetic_dataset(**{"profile_name": "calm", "seed": 1, "specs": specs} | arguments)
