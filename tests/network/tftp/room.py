"""Run in the server's namespace: clients in namespaces of their own take one file together; prints what happened as JSON.

    python -m tests.network.tftp.room FOLDER SIZE all|kill|late NAMESPACE...
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.network.lab import SERVER
from tests.network.tftp.peers import content, serving


def main(folder: Path, size: int, event: str, namespaces: list[str]) -> None:
    (folder / "root").mkdir()
    (folder / "root" / "image").write_bytes(content(size))
    with serving(folder / "root", address=SERVER) as served:
        clients = []
        for number, name in enumerate(namespaces):
            if event == "late" and number:
                time.sleep(0.05)
            words = ["atftp", "-g", "-r", "image", "-l", str(folder / f"out{number}"), "--option", "multicast", "--option", "blksize 1428"]
            command = ["ip", "netns", "exec", name, *words, SERVER, str(served.server.port)]
            clients.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            if event == "kill" and number == 0:
                time.sleep(0.1)
                clients[0].send_signal(signal.SIGSTOP)      # falls silent: the kernel does not tell that it is gone
        for client in clients[1 if event == "kill" else 0 :]:
            client.wait(60)
        clients[0].kill()
        same = [(folder / f"out{number}").read_bytes() == content(size) for number in range(len(clients)) if event != "kill" or number]
        events = [dict(each.data) for each in served.events]
        sent = Path("/sys/class/net/br0/statistics/tx_bytes").read_text()
        print(json.dumps({"same": same, "events": events, "sent": int(sent)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
