"""Wildcard patterns against a plain model."""

from hypothesis import given
from hypothesis import strategies as st

from bpscript.language.patterns import compile_pattern


def model(pattern: str, text: str) -> bool:
    """Which prefixes of the text each prefix of the pattern matches, cell by cell."""
    reach = {0}
    for c in pattern:
        if c == "*":
            reach = set(range(min(reach), len(text) + 1)) if reach else set()
        else:
            reach = {i + 1 for i in reach if i < len(text) and c in {"?", text[i]}}
    return len(text) in reach


@given(pattern=st.text(st.sampled_from("ab?*.\n"), max_size=8), text=st.text(st.sampled_from("ab.\n/"), max_size=8))
def test_a_pattern_matches_what_the_model_matches(pattern: str, text: str) -> None:
    assert compile_pattern(pattern)(text) is model(pattern, text)


def test_case_is_ignored_on_request() -> None:
    assert compile_pattern("A*É", ignore_case=True)("axxé")
    assert not compile_pattern("A*")("ax")


def test_there_are_no_classes() -> None:
    assert compile_pattern("[ab]")("[ab]")
    assert not compile_pattern("[ab]")("a")


def test_a_hundred_stars_end_in_time() -> None:
    assert not compile_pattern("a*" * 100 + "b")("a" * 5000)
