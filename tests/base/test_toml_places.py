"""Every key of a TOML text is found where it stands."""

import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.base.toml_places import Path, places

TEXT = '''
# a comment with [brackets] and = signs
top = 1
dotted.inner . deep = "a # no comment"
"quoted key".'other' = 2  # comment
[table]
  text = """first
second = not a key ""quoted"" """"
literal = \'\'\'
[no.table]
\'\'\'
dates = [ 1979-05-27 07:32:00, 1979-05-27T07:32:00Z, # comment ]
  2 ]
inline = { a = 1, b = { c = [ "x", { d = 2 } ] } }
escaped = "say \\"hi\\" # not a comment"
empty = ""
[[array]]
x = 1
[[array]]
x = 2
[array.below]
y = 3
[ spaced . "na.me" ]
z = true
'''


def test_the_places_of_a_text_with_everything_in_it() -> None:
    found = places(TEXT)
    for path, place in {
        ("top",): (3, 1), ("dotted", "inner", "deep"): (4, 1), ("quoted key", "other"): (5, 1), ("table",): (6, 2),
        ("table", "text"): (7, 3), ("table", "literal"): (9, 1), ("table", "dates", 0): (12, 11), ("table", "dates", 1): (12, 32),
        ("table", "dates", 2): (13, 3), ("table", "inline", "b", "c"): (14, 25), ("table", "inline", "b", "c", 1, "d"): (14, 38),
        ("table", "escaped"): (15, 1), ("array", 0, "x"): (18, 1), ("array", 1, "x"): (20, 1), ("array", 1, "below", "y"): (22, 1),
        ("spaced", "na.me", "z"): (24, 1),
    }.items():
        assert found[path] == place, path


def paths_of(value: object, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from paths_of(inner, (*path, key))


def test_every_key_that_tomllib_reads_has_a_place() -> None:
    assert [path for path in paths_of(tomllib.loads(TEXT)) if path not in places(TEXT)] == []


KEYS = st.sampled_from(["a", "b", '"q u"', "'l'", "a.b", "c . d"])
SCALARS = st.sampled_from(["1", '"x#]}"', "'\\'", '""', "true", "1979-05-27 07:32:00", "0x1F", "-inf", "1e5", '"""a\n"b"""', "'''\n]\n'''"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3).map(lambda each: "[" + ", ".join(each) + "]")
    | st.lists(inner, max_size=3).map(lambda each: "[ # c\n" + "".join(f"{one} ,\n" for one in each) + "]")
    | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2).map(lambda each: "{" + ", ".join(f"{k} = {v}" for k, v in each.items()) + "}"),
    max_leaves=6,
)
LINES = st.one_of(
    st.tuples(KEYS, VALUES).map(lambda pair: f"{pair[0]} = {pair[1]} # end"),
    KEYS.map(lambda key: f"[t.{key}]"), KEYS.map(lambda key: f"[[u.{key}]]"), st.just("# only a comment"), st.just(""),
)


@given(st.lists(LINES, max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_any_text_that_is_toml_has_all_its_places(lines: list[str], end: str) -> None:
    text = end.join(lines)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = places(text)
    written = text.replace("\r\n", "\n").split("\n")
    for path in paths_of(document):
        line, column = found[path]
        assert written[line - 1][column - 1 :].strip() or isinstance(path[-1], int), path


@pytest.mark.parametrize("text", ["", "\n\n# nothing", "a=1"], ids=["empty", "comments", "one"])
def test_small_texts(text: str) -> None:
    assert places(text) == ({("a",): (1, 1)} if text == "a=1" else {})
