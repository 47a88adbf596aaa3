from __future__ import annotations

import threading

import pytest

from streamdet.channel import Channel, ChannelClosedError


def make_channel(max_bytes: int = 10) -> Channel[bytes]:
    return Channel(max_bytes, len)


def test_items_come_out_in_order_and_then_nothing() -> None:
    channel = make_channel()
    for item in (b"a", b"bb", b"c"):
        channel.put(item)
    channel.end()
    assert channel.take(2) == [b"a", b"bb"]
    assert channel.take(2) == [b"c"]
    assert channel.take(2) == []


def test_sender_waits_for_room_in_bytes() -> None:
    channel = make_channel(max_bytes=4)
    channel.put(b"aaa")
    sent = threading.Event()

    def send() -> None:
        channel.put(b"bb")
        sent.set()

    thread = threading.Thread(target=send)
    thread.start()
    assert not sent.wait(0.05)
    assert channel.take(1) == [b"aaa"]
    assert sent.wait(5)
    thread.join()


def test_an_item_larger_than_the_channel_goes_through_alone() -> None:
    channel = make_channel(max_bytes=2)
    channel.put(b"larger than two")
    assert channel.take(4) == [b"larger than two"]


def test_a_full_channel_gives_a_small_batch_rather_than_waiting_for_ever() -> None:
    channel = make_channel(max_bytes=4)
    channel.put(b"aa")
    channel.put(b"bb")
    assert channel.take(8) == [b"aa", b"bb"]


def test_close_wakes_both_sides_and_counts_what_is_thrown_away() -> None:
    channel = make_channel(max_bytes=2)
    channel.put(b"aa")
    woken = []

    def send() -> None:
        try:
            channel.put(b"bb")
        except ChannelClosedError:
            woken.append("sender")

    thread = threading.Thread(target=send)
    thread.start()
    assert channel.close() == 1
    thread.join(5)
    assert woken == ["sender"]
    with pytest.raises(ChannelClosedError):
        channel.take(1)


def test_close_wakes_a_waiting_receiver() -> None:
    channel = make_channel()
    woken = threading.Event()

    def receive() -> None:
        try:
            channel.take(1)
        except ChannelClosedError:
            woken.set()

    thread = threading.Thread(target=receive)
    thread.start()
    channel.close()
    assert woken.wait(5)
    thread.join()
