"""UDP sockets: waiting for a packet that is about to come, without keeping a processor busy where none comes."""

import socket
import threading
import time

from bpscript.network.sockets import Datagrams


def test_a_packet_is_received_whenever_it_comes() -> None:
    ours = Datagrams("127.0.0.1", 0)
    buffer = bytearray(100)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for delay in (0.0, 0.0001, 0.0005):
            timer = threading.Timer(delay, lambda: peer.sendto(b"packet", ours.where))
            timer.start()
            end = time.monotonic() + 5
            while (got := ours.receive_soon(buffer)) is None and time.monotonic() < end:
                pass
            assert got is not None
            assert bytes(buffer[: got[0]]) == b"packet"
            timer.join()
    assert ours.receive_soon(buffer) is None
    ours.close()


def test_where_nothing_comes_it_sleeps() -> None:
    """Two seconds of waiting take hardly any time of a processor, and when packets come again it looks for them again."""
    ours = Datagrams("127.0.0.1", 0)
    buffer = bytearray(100)
    started, used = time.monotonic(), time.process_time()
    while time.monotonic() < started + 2:
        assert ours.receive_soon(buffer) is None
    assert time.process_time() - used < 0.2
    assert ours._looks == 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for _ in range(300):
            peer.sendto(b"packet", ours.where)
            while ours.receive_soon(buffer) is None:
                pass
    assert ours._looks > 0
    ours.close()
