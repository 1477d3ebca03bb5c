import pytest

from bpscript.partitions.spec import PartitionListError, parse_list


def refused(text: str) -> PartitionListError:
    with pytest.raises(PartitionListError) as caught:
        parse_list(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "message", "culprit"),
    [
        ("BIGDOS:10 LINUX-EXT3:20", 'unknown partition type "LINUX-EXT3"', "LINUX-EXT3:20"),
        ("BIGDOS", '"BIGDOS": the size is missing', "BIGDOS"),
        ("BIGDOS:", '"BIGDOS:": the size is missing', "BIGDOS:"),
        ("BIGDOS:0", '"BIGDOS:0": the size is 0', "BIGDOS:0"),
        ("BIGDOS:000", '"BIGDOS:000": the size is 0', "BIGDOS:000"),
        ("BIGDOS:10M", '"BIGDOS:10M": "10M" is not a size', "BIGDOS:10M"),
        ("BIGDOS:-5", '"BIGDOS:-5": "-5" is not a size', "BIGDOS:-5"),
        ("BIGDOS:1.5", '"BIGDOS:1.5": "1.5" is not a size', "BIGDOS:1.5"),
        ("BIGDOS:٣", '"BIGDOS:٣": "٣" is not a size', "BIGDOS:٣"),
        ("BIGDOS:1234567890123", '"BIGDOS:1234567890123": no disk is that large', "BIGDOS:1234567890123"),
        ("BIGDOS:10 256:20", '"256:20": a partition type is a number from 1 to 255', "256:20"),
        ("0:20", '"0:20": type 0 is an unused entry', "0:20"),
        ("EMPTY:20", '"EMPTY:20": an unused entry has no size', "EMPTY:20"),
        ("unused:0", '"unused:0": an unused entry has no size', "unused:0"),
        ("BIGDOS:10 EFI:20", '"EFI" is a type of GPT disks only', "EFI:20"),
        ("BIGDOS:10 GPT", "GPT must be the first word of the list, without a size", "GPT"),
        (
            "EXT:10 BIGDOS:5 EXT-LBA:20",
            "partition 3 (EXT-LBA:20) is a second extended partition in one table, beside partition 1",
            "EXT-LBA:20",
        ),
        (
            "BIGDOS:1 EMPTY EMPTY EMPTY BIGDOS:2",
            "partition 5 (BIGDOS:2) needs an extended partition among entries 1 to 4",
            "BIGDOS:2",
        ),
        (
            "EXT:9 EMPTY EMPTY EMPTY BIGDOS:2 EMPTY EMPTY EMPTY EMPTY BIGDOS:7",
            "partition 9 (EMPTY) needs an extended partition among entries 5 to 8",
            "EMPTY",
        ),
        ("BIGDOS:* LINUX-SWAP:20", "partition 1 (BIGDOS:*) takes the rest of the disk, but partition 2 comes after it", "BIGDOS:*"),
        (
            "EXT:90 EMPTY EMPTY EMPTY BIGDOS:* EXT:20",
            "partition 5 (BIGDOS:*) takes the rest of partition 1, but partition 6 comes after it",
            "BIGDOS:*",
        ),
        ("GPT EXT:10", '"EXT:10": a GPT has no extended partitions', "EXT:10"),
        ("GPT 7:10", '"7:10": a GPT has no type numbers', "7:10"),
        ("GPT GPT", "GPT must be the first word of the list, and stand there once", "GPT"),
        ("GPT EFI:*  MSR:2", "partition 1 (EFI:*) takes the rest of the disk, but partition 2 comes after it", "EFI:*"),
        ("GPT 00000000-0000-0000-0000-000000000000:5", ": the zero GUID is an unused entry", "00000000-"),
        ("GPT " + "MSR:1 " * 129, "partition 129 (MSR:1) is one too many: a GPT has 128 entries", "MSR:1"),
        ("GPT LINUX:5", 'unknown partition type "LINUX"', "LINUX:5"),
        ("EXT:9 EMPTY EMPTY EMPTY " * 257, "is nested too deep: 256 tables are the limit", "EXT:9"),
    ],
)
def test_a_bad_list_is_refused_at_the_word_to_blame(text: str, message: str, culprit: str) -> None:
    error = refused(text)
    assert message in error.message
    assert error.word_index is not None
    assert text.split()[error.word_index].startswith(culprit)
    assert text[error.offset : error.offset + error.length] == text.split()[error.word_index]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("FAT23:10", "did you mean FAT32?"),
        ("bogus:10", "types are FAT16, EXT,"),
        ("LINUX-ROOT:10", "a list for a GPT disk begins with the word GPT"),
        ("BIGDOS", "write BIGDOS:100 for 100 MB, or * for the rest"),
        ("0:5", "write EMPTY"),
    ],
)
def test_a_hint_says_what_to_write(text: str, hint: str) -> None:
    assert hint in (refused(text).hint or "")


def test_names_are_read_in_any_case_and_a_number_with_a_name_is_that_type() -> None:
    entries = parse_list("  bigdos:10\t6:20 UNUSED Fat32-lba:030").entries
    assert [(entry.number, entry.name, entry.type, entry.size_mb) for entry in entries] == [
        (1, "BIGDOS", 6, 10), (2, "BIGDOS", 6, 20), (3, "EMPTY", 0, None), (4, "FAT32-LBA", 12, 30),
    ]


def test_an_empty_list_is_an_empty_table() -> None:
    assert parse_list("").entries == ()
    assert parse_list(" ").scheme == "MBR"
    assert parse_list("gpt").scheme == "GPT"
    assert parse_list("gpt").entries == ()
