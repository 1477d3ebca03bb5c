"""Takes a file by TFTP as fast as it can, and throws it away: neither server is slowed by what a client does with the bytes.

    python -m tests.benchmarks.tftp_sink PORT NAME BLOCK_SIZE WINDOW CLIENTS

Prints the bytes that came, and the seconds from the first request on. Packets that came together are counted together (UDP_GRO); nothing is lost on a loopback interface with
room in its buffers, and what is lost all the same is asked for again after a second. Only the heads are copied to us (MSG_TRUNC): a client that copies all bytes and
makes objects of them is slower than our server with windows, and would measure itself.
"""

import select
import socket
import sys
import time

UDP_GRO = 104
LOOKS = 200         # before it sleeps, each about a microsecond


class Sink:
    def __init__(self, port: int, name: str, block_size: int, window: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.setsockopt(socket.SOL_UDP, UDP_GRO, 1)
        self.socket.bind(("127.0.0.1", 0))
        words = f"{name}\0octet\0blksize\0{block_size}\0windowsize\0{window}\0"
        self.socket.sendto(b"\0\1" + words.encode(), ("127.0.0.1", port))
        self.buffer = bytearray(64)
        self.into = (self.buffer,)
        self.step, self.window = block_size + 4, window
        self.received = self.acked = self.size = 0
        self.done = False

    def read(self) -> bool:
        """Take what is there, and answer it. False when there is nothing."""
        try:
            length, ancillary, _, peer = self.socket.recvmsg_into(self.into, 32, socket.MSG_TRUNC | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        if self.buffer[1] == 6:
            self.socket.connect(peer)
            self.socket.send(b"\0\4\0\0")
            return True
        assert self.buffer[1] == 3, bytes(self.buffer[:60])
        step = int.from_bytes(ancillary[0][2][:4], sys.byteorder) if ancillary else length       # UDP_GRO is all that is told
        count = -(-length // step)
        if int.from_bytes(self.buffer[2:4], "big") != (self.received + 1) & 0xFFFF:
            return True     # something was lost: the clock will tell
        self.received += count
        self.size += length - 4 * count
        self.done = length % self.step != 0 or step != self.step
        if self.done or self.received - self.acked >= self.window:
            self.again()
        return True

    def again(self) -> None:
        self.acked = self.received
        self.socket.send(b"\0\4" + (self.acked & 0xFFFF).to_bytes(2, "big"))


def _one(sink: Sink) -> None:
    """Being woken takes longer than a server on this host takes to answer: look before sleeping, else the wake-ups are measured."""
    looks = 0
    while not sink.done:
        if sink.read():
            looks = 0
        elif looks < LOOKS:
            looks += 1
        elif not select.select([sink.socket], (), (), 1.0)[0]:
            sink.again()


def _many(sinks: dict[int, Sink]) -> None:
    waiting = select.epoll()
    for number in sinks:
        waiting.register(number, select.EPOLLIN)
    left = dict(sinks)
    while left:
        ready = waiting.poll(1.0)
        for number, _ in ready:
            sink = left[number]
            sink.read()
            if sink.done:
                waiting.unregister(number)
                del left[number]
        if not ready:
            for sink in left.values():
                sink.again()


def main() -> None:
    port, name, block_size, window, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
    started = time.perf_counter()
    sinks = [Sink(port, name, block_size, window) for _ in range(count)]
    if count == 1:
        _one(sinks[0])
    else:
        _many({sink.socket.fileno(): sink for sink in sinks})
    print(sum(sink.size for sink in sinks), time.perf_counter() - started)


if __name__ == "__main__":
    main()
