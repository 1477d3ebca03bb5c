"""A signal that arrives while Python makes a class, as imports do: up to Python 3.11 it comes out as a RuntimeError."""

import pytest

from bpscript.cli import main as module
from bpscript.cli.main import HUNG_UP, INTERRUPTED, TERMINATED, HungUp, Terminated, main


@pytest.mark.parametrize(
    ("arriving", "status", "words"),
    [(KeyboardInterrupt, INTERRUPTED, "bpscript: interrupted\n"), (Terminated, TERMINATED, "bpscript: terminated\n"), (HungUp, HUNG_UP, None)],
)
def test_it_stops_as_anywhere_else(
    arriving: type[BaseException], status: int, words: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Late:
        def __set_name__(self, owner: type, name: str) -> None:
            raise arriving

    monkeypatch.setattr(module, "_main", lambda arguments: type("Made", (), {"late": Late()}))
    monkeypatch.setattr(module, "_close_output", lambda: None)
    assert main(["help"]) == status
    assert words is None or capsys.readouterr().err == words


def test_other_mistakes_while_a_class_is_made_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(arguments: list[str]) -> int:
        raise RuntimeError("something else") from ValueError("below it")

    monkeypatch.setattr(module, "_main", refuse)
    with pytest.raises(RuntimeError, match="something else"):
        main(["help"])
