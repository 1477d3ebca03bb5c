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

    def read(self) -> None:
        length, ancillary, _, peer = self.socket.recvmsg_into(self.into, 32, socket.MSG_TRUNC)
        if self.buffer[1] == 6:
            self.socket.connect(peer)
            self.socket.send(b"\0\4\0\0")
            return
        assert self.buffer[1] == 3, bytes(self.buffer[:60])
        step = int.from_bytes(ancillary[0][2][:4], sys.byteorder) if ancillary else length       # UDP_GRO is all that is told
        count = -(-length // step)
        if int.from_bytes(self.buffer[2:4], "big") != (self.received + 1) & 0xFFFF:
            return      # something was lost: the clock will tell
        self.received += count
        self.size += length - 4 * count
        self.done = length % self.step != 0 or step != self.step
        if self.done or self.received - self.acked >= self.window:
            self.again()

    def again(self) -> None:
        self.acked = self.received
        self.socket.send(b"\0\4" + (self.acked & 0xFFFF).to_bytes(2, "big"))


def main() -> None:
    port, name, block_size, window, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
    started = time.perf_counter()
    waiting = select.epoll()
    sinks = {}
    for _ in range(count):
        sink = Sink(port, name, block_size, window)
        sinks[sink.socket.fileno()] = sink
        waiting.register(sink.socket, select.EPOLLIN)
    size = 0
    while sinks:
        ready = waiting.poll(1.0)
        for number, _ in ready:
            sink = sinks[number]
            sink.read()
            if sink.done:
                size += sink.size
                waiting.unregister(number)
                del sinks[number]
        if not ready:
            for sink in sinks.values():
                sink.again()
    print(size, time.perf_counter() - started)


if __name__ == "__main__":
    main()
