import fnmatch
import re
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.archive.filters import Filters, select
from bpscript.base.errors import StorageError
from tests.archive.memory_tree import MemoryTree, tree_of


def chosen(filters: Filters, *paths: str, ignore_case: bool = False) -> list[str]:
    volume = tree_of({path.rstrip("/"): None if path.endswith("/") else b"" for path in paths})
    return [path for path, _ in select(volume, "", filters.selector(ignore_case=ignore_case))]


def test_everything_is_included_by_default() -> None:
    assert chosen(Filters(), "b", "a/x") == ["a", "a/x", "b"]


def test_a_star_runs_across_slashes_and_a_question_mark_is_one_character() -> None:
    selector = Filters().leave_out("*.swp").leave_out("v?r").selector(ignore_case=False)
    assert selector.leaves_out("deep/down/.x.swp")
    assert selector.leaves_out("v/r")
    assert not selector.leaves_out("vr")
    assert not selector.leaves_out("x.swp.old")


@pytest.mark.parametrize("literal", ["a[b]c", "a.b", "a+b", "(a|b)", "a\nb", "^$"])
def test_everything_else_is_literal(literal: str) -> None:
    selector = Filters().leave_out(literal).selector(ignore_case=False)
    assert selector.leaves_out(literal)
    assert not selector.leaves_out(literal.replace("a", "x").replace("^", "y"))
    assert not selector.leaves_out(literal + "x")


def test_a_backslash_is_a_separator_and_a_leading_one_is_dropped() -> None:
    assert Filters().leave_out("\\windows\\temp\\*").selector(ignore_case=True).leaves_out("WINDOWS/TEMP/a")


def test_each_negative_filter_has_its_own_positive_ones() -> None:
    filters = Filters().leave_out("*.log").let_in("keep/*").leave_out("keep/old*")
    selector = filters.selector(ignore_case=False)
    assert selector.leaves_out("a.log")
    assert not selector.leaves_out("keep/a.log")
    assert selector.leaves_out("keep/old.log")      # let in by the first rule, left out by the second


def test_a_positive_filter_before_any_negative_one_is_refused() -> None:
    with pytest.raises(StorageError, match=re.escape('+"*.c" has no - filter before it')):
        Filters().let_in("*.c")


def test_a_star_below_a_directory_keeps_it_empty() -> None:
    assert chosen(Filters().leave_out("tmp/*"), "tmp/x", "tmp/y/z", "usr/") == ["tmp", "usr"]


def test_a_directory_left_out_comes_back_when_something_below_is_let_in() -> None:
    filters = Filters().leave_out("var*").let_in("*.conf")
    assert chosen(filters, "var/lib/x", "var/lib/deep/a.conf", "var/log/y") == ["var", "var/lib", "var/lib/deep", "var/lib/deep/a.conf"]


def test_case_is_ignored_for_dos_and_respected_otherwise() -> None:
    filters = Filters().leave_out("*.BAK")
    assert chosen(filters, "a.bak", ignore_case=True) == []
    assert chosen(filters, "a.bak") == ["a.bak"]


def test_a_tree_in_which_nothing_can_be_let_in_is_not_read() -> None:
    class Guarded(MemoryTree):
        def entries(self, path: str):  # type: ignore[no-untyped-def]
            assert not path.startswith("proc/1"), f"{path} was read"
            return super().entries(path)

    volume = Guarded(tree_of({"proc/1/mem": b"", "proc/cpuinfo": b"", "x": b""}).files)
    filters = Filters().leave_out("proc/*").let_in("proc/cpu*")
    assert [path for path, _ in select(volume, "", filters.selector(ignore_case=False))] == ["proc", "proc/cpuinfo", "x"]


PATTERNS = st.text("ab/*?", min_size=1, max_size=6)
PATHS = st.lists(st.text("ab", min_size=1, max_size=2), min_size=1, max_size=4).map("/".join)


@given(rules=st.lists(st.tuples(PATTERNS, st.lists(PATTERNS, max_size=2)), max_size=3), path=PATHS)
def test_matching_agrees_with_fnmatch(rules: list[tuple[str, list[str]]], path: str) -> None:
    filters = Filters()
    for negative, positives in rules:
        filters = filters.leave_out(negative)
        for positive in positives:
            filters = filters.let_in(positive)

    def matches(pattern: str) -> bool:
        return fnmatch.fnmatchcase(path, pattern.lstrip("/"))

    expected = any(matches(negative) and not any(map(matches, positives)) for negative, positives in rules)
    assert filters.selector(ignore_case=False).leaves_out(path) is expected


@given(rules=st.lists(st.tuples(PATTERNS, st.lists(PATTERNS, max_size=2)), max_size=3), paths=st.sets(PATHS, max_size=8))
def test_selection_is_what_is_not_left_out_and_the_directories_above(rules: list[tuple[str, list[str]]], paths: set[str]) -> None:
    filters = Filters()
    for negative, positives in rules:
        filters = filters.leave_out(negative)
        for positive in positives:
            filters = filters.let_in(positive)
    selector = filters.selector(ignore_case=False)
    volume = tree_of(dict.fromkeys(sorted(paths, reverse=True)))    # all of them directories
    kept = {path for path in volume.files if path and not selector.leaves_out(path)}
    above = {"/".join(path.split("/")[:count]) for path in kept for count in range(1, path.count("/") + 1)}
    got = [path for path, _ in select(volume, "", selector)]
    assert set(got) == kept | above
    assert len(got) == len(set(got))


def test_a_pattern_of_many_stars_takes_linear_time() -> None:
    selector = Filters().leave_out("*a" * 40 + "b").selector(ignore_case=False)
    start = perf_counter()
    assert not selector.leaves_out("a" * 4000)
    assert perf_counter() - start < 1


def test_a_tree_thousands_of_directories_deep_is_walked() -> None:
    path = "/".join("d" * 3000)
    assert len(chosen(Filters(), f"{path}/x")) == 3001
