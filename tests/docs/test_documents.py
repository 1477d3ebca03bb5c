"""Every example of the documents does what they say."""

from pathlib import Path

import pytest

from tests.docs.documents import run_document, steps

DOCS = Path(__file__).parents[2] / "docs"
RUN = ("../README.md", "tutorial.md", "testing.md", "migration.md", "manual.md", *(f"cookbook/{path.name}" for path in sorted((DOCS / "cookbook").glob("*.md"))))


@pytest.mark.parametrize("name", RUN)
def test_a_document_is_right(name: str, tmp_path: Path) -> None:
    assert list(steps(DOCS / name)), "there is nothing to run in it"
    problems = run_document(DOCS / name, tmp_path)
    assert not problems, "\n\n".join(problems)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("```console\n$ echo hello\nhello\n```", None),
        ("```console\n$ echo hello\nhullo\n```", "printed\nhello"),
        ("```console\n$ printf 'a\\nb\\nc\\n'\na\n...\nc\n$ echo 3.2 s\n... s\n```", None),
        ("```console\n$ exit 3\n```", "status"),
        ("```console\n$ echo error: no; false\nerror: no\n```", None),
        ("```console\n$ echo error: no\nerror: no\n```", "ended with status 0"),
        ("```text a/b\nhello\n```\n<!-- run: cp a/b c -->\n```console\n$ cat c\nhello\n```", None),
        ("<!-- not run: it would fail -->\n```console\n$ false\n```", None),
        ("```console\n$ sleep 60 &\n$ echo on\non\n```", None),
        ("```console\n$ echo a \\\nb\na b\n```", None),
    ],
)
def test_what_a_document_says_is_compared(text: str, problem: str | None, tmp_path: Path) -> None:
    (tmp_path / "d.md").write_text(text + "\n")
    found = run_document(tmp_path / "d.md", tmp_path)
    assert (problem is None) == (not found), found
    assert problem is None or problem in found[0]
