"""Declarations: what is derived from a signature and its docstring, and which mistakes are found when a module is imported."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest

from bpscript.language.arguments import RestText, Skippable
from bpscript.language.declare import CommandSet, Declaration, command


def declared(function: object) -> Declaration:
    found = getattr(function, "declaration", None)
    assert isinstance(found, Declaration)
    return found


def test_everything_comes_from_the_signature_and_the_docstring() -> None:
    @command("Frob", "Frobnicate", group="testing", since="3.1")
    def frob(run: object, file: str, count: int, max_length: Skippable[int] = 0, mode: Literal["Fast", "Slow"] = "Fast") -> None:
        """Frobnicate a file.

        It takes a while.

        Args:
            file: the file to
                frobnicate
            count: how often
            max_length: at most so much
            mode: how

        Examples:
            > Frob "a" 1
        """

    found = declared(frob)
    assert found.usage == 'Frob "file" count [max-length] [mode]'
    assert found.summary == "Frobnicate a file."
    assert found.description == "It takes a while."
    assert found.arguments["file"] == "the file to frobnicate"
    assert found.examples == ('Frob "a" 1',)
    assert (found.programs, found.shape, found.most, found.takes_rest) == ("all", "values", 4, False)
    assert "max-length  at most so much" in found.help_text()


def test_optional_arguments_nest() -> None:
    @command("Frob", group="testing")
    def frob(run: object, name: str = "", text: str | int = "", rest: RestText = "") -> None:
        """Do it.

        Args:
            name: a name
            text: a text
            rest: the rest
        """

    assert declared(frob).usage == 'Frob ["name" ["text" or expr [rest]]]'


def test_a_parameter_without_an_args_line_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Args lines missing for \['file'\]"):

        @command("Frob", group="testing")
        def frob(run: object, file: str) -> None:
            """Frobnicate a file."""


def test_an_args_line_without_a_parameter_is_refused() -> None:
    with pytest.raises(TypeError, match=r"for no parameter: \['file'\]"):

        @command("Frob", group="testing")
        def frob(run: object) -> None:
            """Frobnicate.

            Args:
                file: which file
            """


def test_a_command_without_a_docstring_is_refused() -> None:
    with pytest.raises(TypeError, match="needs a docstring"):

        @command("Frob", group="testing")
        def frob(run: object) -> None:
            pass


def test_an_annotation_that_is_no_argument_is_refused() -> None:
    @command("Frob", group="testing")
    def frob(run: object, file: bytes) -> None:
        """Frobnicate.

        Args:
            file: which file
        """

    with pytest.raises(TypeError, match="no argument type"):
        _ = declared(frob).parameters


def test_families_are_loaded_once_whatever_threads_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An editor's scripts are checked in a thread while it asks for completions."""
    package = tmp_path / "slow_families"
    package.mkdir()
    (package / "__init__.py").touch()
    for number in range(6):
        (package / f"family{number}.py").write_text("import time\ntime.sleep(0.02)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    commands = CommandSet("slow_families", [f"family{number}" for number in range(6)])
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(commands.get, ["nothing"] * 8)) == [None] * 8
