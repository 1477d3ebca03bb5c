"""The kernel's command line, and option 155."""

from ipaddress import IPv4Address, IPv4Interface

import pytest

from bpscript.base.errors import UsageError
from bpscript.workstation.parameters import CommandLine, Parameters, parse_command_line, parse_parameters

OF_IPXE = (
    "initrd=initrd.img console=tty0 console=ttyS0,115200 quiet BOOTIF=01-52-54-00-77-00-01 nbp.ip=10.9.0.100 nbp.netmask=255.255.255.0 nbp.router= "
    "nbp.server=10.9.0.1 nbp.hostname=pc%207 nbp.script=-i%20deploy\n"
)


def test_what_our_script_of_ipxe_passes_on() -> None:
    found = parse_parameters(OF_IPXE)
    assert found.mistakes == ()
    assert found.interface == "52:54:00:77:00:01"
    assert found.passed.address == IPv4Interface("10.9.0.100/24")
    assert (found.passed.router, found.passed.server, found.passed.host_name) == (None, IPv4Address("10.9.0.1"), "pc 7")
    assert (found.script, found.passed_script) == (None, "-i deploy")


def test_without_parameters_everything_has_its_default() -> None:
    assert parse_parameters("root=/dev/ram0 quiet") == Parameters()


def test_all_parameters() -> None:
    found = parse_parameters(
        'nbp.onerror=Reboot nbp.onend=poweroff nbp.delay=5 nbp.commandline="-x deploy" nbp.root=http://h/ nbp.set=A=1 nbp.set=B=x%20y "nbp.set=C=p q" '
        "nbp.interface=eth1 nbp.timeout=7 nbp.dhcp=off nbp.debug=on"
    )
    assert (found.after_error, found.after_end, found.delay_s, found.script, found.root) == ("reboot", "poweroff", 5, "-x deploy", "http://h/")
    assert dict(found.variables) == {"A": "1", "B": "x y", "C": "p q"}
    assert (found.interface, found.dhcp_timeout_s, found.uses_dhcp, found.debug, found.mistakes) == ("eth1", 7, False, True, ())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nbp.onerror=explode", "nbp.onerror=explode: expected prompt, shell, reboot, poweroff; prompt is taken"),
        ("nbp.delay=soon", "nbp.delay=soon: expected seconds; 30 is taken"),
        ("nbp.set=novalue", "nbp.set=novalue: expected nbp.set=NAME=VALUE"),
        ("nbp.sript=x", "nbp.sript is no parameter of the boot environment"),
        ("nbp.server=nobody", "nbp.server=nobody: no IPv4 address"),
        ("nbp.ip=10.0.0.1 nbp.netmask=255.0.255.0", "nbp.netmask=255.0.255.0: no mask of a network"),
    ],
)
def test_a_mistake_is_a_sentence_and_not_the_end(text: str, sentence: str) -> None:
    found = parse_parameters(text)
    assert len(found.mistakes) == 1
    assert found.mistakes[0].startswith(sentence)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", CommandLine()),
        ("deploy", CommandLine("", "deploy")),
        ("-vi deploy", CommandLine("vi", "deploy")),
        ("  -X  -L lab/deploy.bpb -i ", CommandLine("xli", "lab/deploy.bpb")),
    ],
)
def test_option_155(text: str, found: CommandLine) -> None:
    assert parse_command_line(text) == found


@pytest.mark.parametrize(("text", "message"), [("-q deploy", "there is no switch -q"), ("one two", 'a second script, "two"')])
def test_option_155_that_is_wrong(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_command_line(text)
