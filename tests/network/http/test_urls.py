"""Addresses as people write them, and as they go over the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.base.errors import NetworkError, UsageError
from bpscript.network.http.message import RequestReader
from bpscript.network.http.urls import Url, parse_url


@pytest.mark.parametrize(
    ("text", "url", "shown"),
    [
        ("http://h", Url("http", "h", 80, "/"), "http://h/"),
        ("HTTP://Server:8080/a b".replace(" ", "%20"), Url("http", "server", 8080, "/a%20b"), "http://server:8080/a%20b"),
        ("https://h:443/x?y=1", Url("https", "h", 443, "/x?y=1"), "https://h/x?y=1"),
        ("http://[fe80::1]:81/räume", Url("http", "fe80::1", 81, "/r%C3%A4ume"), "http://[fe80::1]:81/r%C3%A4ume"),
        ("http://bücher.example/", Url("http", "xn--bcher-kva.example", 80, "/"), "http://xn--bcher-kva.example/"),
    ],
    ids=["bare", "port", "https", "ipv6", "idna"],
)
def test_addresses(text: str, url: Url, shown: str) -> None:
    assert parse_url(text) == url
    assert str(url) == shown
    assert parse_url(shown) == url


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ftp://h/", "http:// or https://"), ("http:///x", "expected a server"), ("http://h:0/", "expected a server"), ("http://h:99999/", "Port out of range"),
        ("http://u:p@h/", "user name"), ("http://h/a b", "blanks"), ("http://h/a\r\nX: y", "blanks"), ("http://[::1/", "Invalid IPv6"), ("http://\u00a8/", "no name of a server"),
    ],
)
def test_what_is_no_address(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_url(text)


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        parse_url("http://u:secret@h/")
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(("root", "path", "expected"), [("http://h/a", "b/c", "http://h/a/b/c"), ("http://h/a/", "x y?#%", "http://h/a/x%20y%3F%23%25"), ("http://h", "b", "http://h/b")])
def test_names_below_a_folder(root: str, path: str, expected: str) -> None:
    assert str(parse_url(root).below(path)) == expected


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20))
def test_any_name_arrives_as_it_is(name: str) -> None:
    reader = RequestReader()
    reader.feed(f"GET {parse_url('http://h/').below(name).target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    request = reader.take()
    assert request is not None
    assert request.path.decode() == f"/{name}"


def test_redirects() -> None:
    url = parse_url("https://h/a/b")
    assert str(url.redirected("/x")) == "https://h/x"
    assert str(url.redirected("https://other:1/z")) == "https://other:1/z"
    with pytest.raises(NetworkError, match="not protected by TLS"):
        url.redirected("http://h/a")
    with pytest.raises(NetworkError, match="no address of HTTP"):
        url.redirected("ftp://h/a")
    with pytest.raises(NetworkError, match="no address of HTTP"):
        url.redirected("//[")
