"""The garbage collector while books are open."""

import gc

import pytest

from live.books.collector import calm_collector


def test_what_was_there_is_left_alone_and_looked_at_again_afterwards() -> None:
    frozen, thresholds = gc.get_freeze_count(), gc.get_threshold()
    state = [[number] for number in range(1_000)]
    try:
        with pytest.raises(KeyError), calm_collector():
            assert not any(each is state for each in gc.get_objects())
            assert gc.get_threshold()[0] > thresholds[0]
            later = [state]
            assert any(each is later for each in gc.get_objects())
            raise KeyError
        assert gc.get_threshold() == thresholds
        assert any(each is state for each in gc.get_objects())
    finally:
        if frozen:
            gc.freeze()
