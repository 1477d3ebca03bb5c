"""The fixtures that other people's tests use, used as they would: in a project of their own, by pytest in a process of its own."""

import subprocess
import sys

import pytest

PROJECT = '''
import pytest
from bpscript.base.errors import NotFoundError, ScriptError


def test_a_script_file(disk, run_script, tmp_path):
    (tmp_path / "hosts.ref").write_text("127.0.0.1 ${BOOTP-Host-Name}\\n")
    (tmp_path / "deploy.bpb").write_text('SetPartitions "BIGDOS:100"\\nClean 1\\nMkDir "{:1}/net"\\nPatch "hosts.ref" "{:1}/net/hosts"\\nHdBoot :1\\n')
    image = disk("128M")
    result = run_script(tmp_path / "deploy.bpb", disks=[image], variables={"BOOTP-Host-Name": "pc7"})
    assert result.booted == "hdboot 0:1"
    assert image.partitions == "BIGDOS:100"
    assert image.filesystem(1) == "FAT16"
    assert image.read("{:1}/net/hosts") == b"127.0.0.1 pc7\\n"
    assert image.tree() == ["net", "net/hosts"]
    assert image.exists("{:1}/net") and not image.exists("{:1}/gone") and not image.exists("{:3}/gone")
    image.check()


def test_text_and_keys(run_script):
    assert run_script('Input who\\nEcho "Hello $who"\\n', keys="me\\r").log.splitlines() == ["Hello me"]


def test_an_error_is_raised_or_returned(run_script):
    with pytest.raises(ScriptError, match="unknown command"):
        run_script("Nonsense\\n")
    assert run_script("\\nNonsense\\n", check=False).error.line == 2


def test_a_disk_with_files(disk, run_script):
    image = disk("256M", partitions="FAT32:64 LINUX-EXT2:*", format=True)
    image.write("{:2}/a/b/c", b"deep")
    run_script('Copy "{:2}/a/b/c" "{:1}/d"\\n', disks=[image])
    assert image.read("{:1}/d") == b"deep"
    with pytest.raises(NotFoundError):
        image.read("{:1}/e")
    image.check()


def test_from_a_server(disk, run_script, served, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "motd").write_text("welcome")
    for address in (served(tmp_path / "images").http, served(tmp_path / "images").tftp):
        image = disk("64M", partitions="FAT32:40", format=True)
        run_script('Copy "motd" "{:1}/motd"\\n', disks=[image], root=address)
        assert image.read("{:1}/motd") == b"welcome"


def test_damage_fails_the_test(disk):
    image = disk("64M", partitions="BIGDOS:40", format=True)
    image.write("{:1}/file", b"x" * 100_000)
    with open(image, "r+b") as file:
        file.seek((1 << 20) + 512 * int.from_bytes(image.path.read_bytes()[(1 << 20) + 14:(1 << 20) + 16], "little") + 4)
        file.write(bytes(40))
    image.check()
'''


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("project")
    (folder / "conftest.py").write_text('pytest_plugins = ["bpscript.testing"]\n')
    (folder / "test_deploy.py").write_text(PROJECT)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-v", "-rA", "--rootdir", str(folder), str(folder)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize(
    "name", ["test_a_script_file", "test_text_and_keys", "test_an_error_is_raised_or_returned", "test_a_disk_with_files", "test_from_a_server"]
)
def test_a_test_of_a_project_passes(report: str, name: str) -> None:
    assert f"test_deploy.py::{name} PASSED" in report, report


def test_a_damaged_file_system_fails_a_test_of_a_project(report: str) -> None:
    assert "test_deploy.py::test_damage_fails_the_test FAILED" in report, report
    assert "is not consistent" in report
