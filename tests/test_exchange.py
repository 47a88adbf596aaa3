from __future__ import annotations

import threading

import pytest

from streamdet.channel import ChannelClosedError, Exchange, Lane


def lane_of(exchange: Exchange[str], depth: int = 2) -> Lane[str]:
    return exchange.lane(depth, 100, len)


def test_each_sender_has_its_turn_before_any_has_a_second_one() -> None:
    exchange: Exchange[str] = Exchange()
    one, other = lane_of(exchange), lane_of(exchange)
    for item in ("a1", "a2"):
        one.put(item)
    other.put("b1")
    assert sorted(item for _, item in exchange.take(2)) == ["a1", "b1"]
    assert [item for _, item in exchange.take(2)] == ["a2"]
    assert exchange.take(1, 0.01) == []


def test_a_full_lane_gives_its_oldest_back() -> None:
    exchange: Exchange[str] = Exchange()
    lane = lane_of(exchange)
    assert [lane.put(item) for item in ("a", "b", "c")] == [[], [], ["a"]]
    assert lane.put("d" * 200) == ["b", "c"]  # by bytes, too; one item always fits


def test_it_is_over_when_all_have_ended_and_nothing_waits() -> None:
    exchange: Exchange[str] = Exchange()
    one, other = lane_of(exchange), lane_of(exchange)
    one.put("last")
    one.end()
    other.end()
    assert not exchange.over
    assert [item for _, item in exchange.take(5)] == ["last"]
    assert exchange.over


def test_closed_it_gives_nothing_more_and_what_waits_can_be_counted() -> None:
    exchange: Exchange[str] = Exchange()
    lane = lane_of(exchange)
    lane.put("a")
    exchange.close()
    assert exchange.take(1) == []
    with pytest.raises(ChannelClosedError):
        lane.put("b")
    assert lane.give_up() == ["a"]


def test_a_sender_can_wait_for_the_taker() -> None:
    exchange: Exchange[str] = Exchange()
    lane = lane_of(exchange)
    lane.put("a")
    waiting = threading.Thread(target=lane.wait_below, args=(1,))
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    exchange.take(1)
    waiting.join()
