"""The file allocation table: allocation, chains, pages, against a plain dictionary."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.base.errors import FormatError, NoSpaceError
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.fat import table as table_module
from bpscript.filesystems.fat.format import format_fat, plan_geometry
from bpscript.filesystems.fat.geometry import Geometry
from bpscript.filesystems.fat.table import FatTable

MIB = 1 << 20
SIZES = {12: MIB, 16: 20 * MIB, 32: 40 * MIB}
widths = pytest.mark.parametrize("width", [12, 16, 32])


def free_chain(table: FatTable, first: int) -> None:
    """Give up a chain, and say that the disk knows of it."""
    table.retire_chain(first)
    table.settle()



def made(width: int) -> tuple[MemoryDevice, Geometry, FatTable]:
    device = MemoryDevice(SIZES[width])
    geometry = format_fat(device, width)
    return device, geometry, FatTable(device, geometry)


def write_entry(device: MemoryDevice, geometry: Geometry, cluster: int, value: int) -> None:
    """Set an entry in both copies, the slow way."""
    for copy in range(2):
        base = geometry.fat_offset + copy * geometry.fat_size
        if geometry.width == 12:
            at = base + cluster * 3 // 2
            pair = int.from_bytes(device.read(at, 2), "little")
            pair = pair & 0x000F | value << 4 if cluster & 1 else pair & 0xF000 | value
            device.write(at, pair.to_bytes(2, "little"))
        else:
            size = geometry.width // 8
            device.write(base + cluster * size, value.to_bytes(size, "little"))


@widths
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_chains_do_not_overlap_and_survive_writing(width: int, data: st.DataObject) -> None:
    device, geometry, table = made(width)
    free_at_start = table.free_clusters
    chains: list[list[int]] = []
    for _ in range(data.draw(st.integers(1, 25))):
        if data.draw(st.booleans()) and chains:
            chain = chains.pop(data.draw(st.integers(0, len(chains) - 1)))
            free_chain(table, chain[0])
        else:
            count = data.draw(st.one_of(st.integers(1, 5), st.integers(1, geometry.cluster_count // 3)))
            if count > table.free_clusters:
                with pytest.raises(NoSpaceError, match=f"{count} clusters are needed"):
                    table.allocate(count)
                continue
            runs = table.allocate(count)
            chains.append([cluster for start, length in runs for cluster in range(start, start + length)])
    table.flush()
    used = [cluster for chain in chains for cluster in chain]
    assert len(set(used)) == len(used)
    assert all(2 <= cluster < geometry.cluster_count + 2 for cluster in used)
    again = FatTable(device, geometry)
    for chain in chains:
        assert [c for start, length in again.runs(chain[0]) for c in range(start, start + length)] == chain
    assert again.free_clusters == free_at_start - len(used) == table.free_clusters
    own_root = [2] if width == 32 else []
    assert [c for start, length in again.used_runs() for c in range(start, start + length)] == sorted(used + own_root)
    assert not again.copies_differ()


@widths
def test_a_request_is_one_run_when_there_is_one(width: int) -> None:
    _, geometry, table = made(width)
    step = geometry.cluster_count // 8
    pieces = [table.allocate(step) for _ in range(7)]
    table.allocate(table.free_clusters)
    for piece in pieces[::2]:
        free_chain(table, piece[0][0])
    assert [count for _, count in table.allocate(step)] == [step]
    scattered = table.allocate(step + step // 2)
    assert len(scattered) > 1
    assert sum(count for _, count in scattered) == step + step // 2


def test_a_run_may_cross_pages() -> None:
    _, _, table = made(32)
    table.allocate((1 << 14) - 100)
    assert len(table.allocate(1000)) == 1
    assert len(table.allocate(40_000)) == 1


def test_allocation_goes_on_where_it_ended_and_comes_round() -> None:
    _, geometry, table = made(16)
    first = table.allocate(10)
    free_chain(table, first[0][0])
    assert table.allocate(1)[0][0] == 12
    table.allocate(geometry.cluster_count - 12)
    assert table.allocate(3)[0][0] == 2


def test_a_chain_is_extended_behind_its_last_cluster() -> None:
    _, _, table = made(16)
    (first, _), = table.allocate(2)
    table.allocate(1)
    table.allocate(2, after=first + 1, later=True)
    assert list(table.runs(first)) == [(2, 2)], "not before what it leads to is on the disk"
    assert table.settle()
    assert list(table.runs(first)) == [(2, 2), (5, 2)]
    table.allocate(1, after=6)
    assert list(table.runs(first)) == [(2, 2), (5, 3)]


def test_fat32_reserved_bits_are_kept() -> None:
    device, geometry, table = made(32)
    for cluster in (3, 4, 5):
        write_entry(device, geometry, cluster, 0xA0000000)
    table = FatTable(device, geometry)
    assert table.free_clusters == geometry.cluster_count - 1
    table.allocate(3)
    table.flush()
    raw = device.read(geometry.fat_offset + 12, 12)
    assert [int.from_bytes(raw[at : at + 4], "little") for at in (0, 4, 8)] == [0xA0000004, 0xA0000005, 0xAFFFFFFF]
    free_chain(table, 3)
    table.flush()
    assert device.read(geometry.fat_offset + 12, 4) == b"\0\0\0\xa0"
    assert not FatTable(device, geometry).copies_differ()


@widths
@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({10: 11, 11: 10}, "loops at cluster 10"),
        ({10: 10}, "loops at cluster 10"),
        ({10: 20, 20: 30, 30: 20}, "loops at cluster"),
        ({10: 0}, "cluster 10 belongs to it but is marked free"),
        ({10: 1}, "cluster 10 belongs to it but is marked free"),
        ({10: -9}, "cluster 10 belongs to it but is marked bad"),
        ({10: 5, 5: -30}, r"a link leads to cluster \d+; the volume has clusters 2 to"),
    ],
)
def test_a_damaged_chain_is_refused(width: int, entries: dict[int, int], message: str) -> None:
    device, geometry, _ = made(width)
    for cluster, value in entries.items():
        write_entry(device, geometry, cluster, value if value >= 0 else (1 << min(width, 28)) + value)
    table = FatTable(device, geometry)
    with pytest.raises(FormatError, match=f"file x: .*{message}"):
        list(table.runs(10, "file x"))
    before = device.read(0, device.size)
    with pytest.raises(FormatError):
        free_chain(table, 10)
    table.flush()
    assert device.read(0, device.size) == before


def test_a_chain_may_not_run_off_the_end_of_the_volume() -> None:
    device, geometry, _ = made(32)
    last = geometry.cluster_count + 1
    write_entry(device, geometry, last, last + 1)
    with pytest.raises(FormatError, match=f"leads to cluster {last + 1}"):
        list(FatTable(device, geometry).runs(last))


def test_bad_clusters_are_neither_used_nor_free() -> None:
    for width in (12, 16, 32):
        device, geometry, _ = made(width)
        write_entry(device, geometry, 7, (1 << min(width, 28)) - 9)
        table = FatTable(device, geometry)
        assert table.free_clusters == geometry.cluster_count - (2 if width == 32 else 1)
        assert list(table.used_runs()) == ([(2, 1)] if width == 32 else [])
        table.allocate(20)
        assert 7 not in {cluster for start, count in table.used_runs() for cluster in range(start, start + count)}


def test_pages_come_and_go_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "MAX_PAGES", 2)
    device, geometry, table = made(32)
    chooser = random.Random(1)
    chains = [table.allocate(chooser.randrange(1, 4000))[0][0] for _ in range(30)]
    for chain in chains[::3]:
        free_chain(table, chain)
    lengths = {chain: table.chain_length(chain) for index, chain in enumerate(chains) if index % 3}
    table.flush()
    again = FatTable(device, geometry)
    assert {chain: again.chain_length(chain) for chain in lengths} == lengths
    assert again.free_clusters == table.free_clusters == geometry.cluster_count - 1 - sum(lengths.values())
    assert not again.copies_differ()


def test_only_the_active_fat_counts_when_mirroring_is_off() -> None:
    device, geometry, _ = made(32)
    alone = replace(geometry, flags=0x81)
    table = FatTable(device, alone)
    table.allocate(5)
    table.flush()
    assert FatTable(device, alone).free_clusters == geometry.cluster_count - 6
    assert FatTable(device, geometry).free_clusters == geometry.cluster_count - 1


def test_copies_that_differ_are_noticed() -> None:
    device, geometry, table = made(16)
    device.write(geometry.fat_offset + geometry.fat_size + 100, b"\x01")
    assert table.copies_differ()


def test_a_wrong_count_in_fsinfo_is_not_believed_on_a_small_volume() -> None:
    _, geometry, table = made(32)
    table.trust(5)
    assert table.free_clusters == geometry.cluster_count - 1


def test_more_than_fsinfo_promised_is_refused_when_it_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "_EXACT_PAGES", 0)
    _, geometry, table = made(32)
    table.allocate(geometry.cluster_count - 11)
    table.trust(500)
    with pytest.raises(NoSpaceError, match="100 clusters are needed, 10 are free"):
        table.allocate(100)
    assert sum(count for _, count in table.allocate(10)) == 10


def test_geometry_of_a_terabyte_is_scanned_without_reading_what_was_never_written() -> None:
    geometry = plan_geometry(1 << 40, 32)

    class Empty(MemoryDevice):
        reads = 0

        def read(self, offset: int, length: int) -> bytes:
            self.reads += 1
            return bytes(length)

        def data_ranges(self, offset: int, length: int) -> list[tuple[int, int]]:
            return [(geometry.fat_offset, geometry.fat_offset + 4096)]

    device = Empty(0)
    assert FatTable(device, geometry).free_clusters == geometry.cluster_count
    assert device.reads < 10
