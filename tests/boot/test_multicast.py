"""Two machines that take their images together: `nbp.root=` says by which multicast, the script is as any other."""

import re
from pathlib import Path

import pytest

from tests.boot.linux import NONCE, make_archives
from tests.boot.machines import ADDRESS, lab
from tests.boot.test_machines import BIOS, hosts
from tests.boot.test_trouble import served_with

pytestmark = [pytest.mark.qemu, pytest.mark.slow]


@pytest.mark.parametrize(
    ("root", "options", "line"),
    [
        (f"multicast+tftp://{ADDRESS}/", (), r" tftp ([0-9.]+) read (boot|root)\.imz done .* by multicast in "),
        (f"carousel+http://{ADDRESS}/", ("--carousel", "239.255.69.70"), r" carousel ([0-9.]+) read /(boot|root)\.imz done "),
    ],
    ids=["tftp", "carousel"],
)
def test_two_machines_take_their_images_by_multicast(root: str, options: tuple[str, ...], line: str, tmp_path: Path) -> None:
    folder = served_with(tmp_path, f"nbp.root={root}")
    make_archives(folder)
    (folder / "deploy.bpb").write_text(BIOS)
    with lab(tmp_path) as room:
        server = room.serve(folder, hosts("pc1", "pc2"), *options)
        machines = [room.machine(name, disks=(room.disk(name, 256 << 20),)) for name in ("pc1", "pc2")]
        for machine in machines:
            machine.wait_for(f"{NONCE}\n", 300)
            machine.wait_until_off(60)
    for machine in machines:
        assert f"[note] server: {root}\n" in machine.text
        assert f"IMAGED host={machine.name} hardware=none {NONCE}\n" in machine.text
        assert "alone" not in machine.text
        assert "by HTTP" not in machine.text
    assert "Traceback" not in "".join(each.text for each in machines) + server.text
    assert len(set(re.findall(line, server.text))) == 4, server.text       # two files, two machines
