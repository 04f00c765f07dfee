"""The reader of control headers: what each header says, and how a wrong one is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.domain import (
    FaultKind,
    RequestedFault,
    RequestedGenerator,
    RequestedLatency,
    TurnOverrides,
    WireFaultKind,
)
from llmsim.errors import InvalidFieldError
from llmsim.scenarios import RequestedScenario
from llmsim.server.controls import CONTROL_HEADERS, NO_CONTROLS, ControlReader, RequestControls
from llmsim.server.request_headers import RequestHeaders

READ = ControlReader(("gpt-5", "instant", "o-series")).read


def read(*fields: tuple[str, str]) -> RequestControls:
    raw = [(name.encode(), value.encode()) for name, value in fields]
    return READ(RequestHeaders([(b"host", b"x"), *raw, (b"accept", b"*/*")]))


def overrides(name: str, value: str) -> TurnOverrides:
    found = read((f"x-llmsim-{name}", value)).overrides
    assert found is not None
    return found


def message(*fields: tuple[str, str]) -> str:
    with pytest.raises(InvalidFieldError) as refused:
        read(*fields)
    assert refused.value.path == (fields[0][0],)
    return str(refused.value.wanted)


@pytest.mark.parametrize(
    ("value", "latency"),
    [
        ("gpt-5", RequestedLatency(profile="gpt-5")),
        ("GPT5", RequestedLatency(profile="gpt-5")),
        ("ttft=200,itl=20", RequestedLatency(ttft_ms=200, itl_ms=20)),
        ("itl=0.5", RequestedLatency(itl_ms=0.5)),
        ("ttft=0 , itl=1", RequestedLatency(ttft_ms=0, itl_ms=1)),
    ],
)
def test_latency(value: str, latency: RequestedLatency) -> None:
    """CTRL-1.1: A profile, by its name or a synonym, or one figure or two."""
    assert overrides("latency", value).latency == latency


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("stall", RequestedFault(WireFaultKind.STALL)),
        ("stall;at=5;for_ms=250", RequestedFault(WireFaultKind.STALL, after=5, for_ms=250)),
        ("reset; share=0.25", RequestedFault(WireFaultKind.RESET, share=0.25)),
        ("rate_limit", RequestedFault(FaultKind.RATE_LIMIT)),
        ("timeout;for_ms=10", RequestedFault(FaultKind.TIMEOUT, for_ms=10)),
        ("429", RequestedFault(FaultKind.RATE_LIMIT, status=429)),
        ("529", RequestedFault(FaultKind.OVERLOADED, status=529)),
        ("418", RequestedFault(FaultKind.INVALID_REQUEST, status=418)),
        ("502", RequestedFault(FaultKind.SERVER_ERROR, status=502)),
        *((kind.value, RequestedFault(kind)) for kind in (*FaultKind, *WireFaultKind)),
    ],
)
def test_fault(value: str, fault: RequestedFault) -> None:
    """CTRL-1.2: Every kind of error and of fault on the wire, and every status of an error."""
    assert overrides("fault", value).fault == fault


@pytest.mark.parametrize(
    ("value", "generator"),
    [
        ("echo", RequestedGenerator("echo")),
        ("fixed:a:b", RequestedGenerator("fixed", "a:b")),
        ("fixed:grüß", RequestedGenerator("fixed", "grüß")),
    ],
)
def test_generator(value: str, generator: RequestedGenerator) -> None:
    """CTRL-1.7: The generators that read no file."""
    assert overrides("generator", value).generator == generator


def test_spaces_of_a_latency() -> None:
    """CTRL-1.1: Spaces around its signs change nothing."""
    latency = overrides("latency", "ttft = 200 , itl= 20").latency
    assert latency is not None
    assert (latency.ttft_ms, latency.itl_ms) == (200, 20)


def test_names_and_numbers() -> None:
    """CTRL-1.9: Each header is read by its own name."""
    controls = read(
        ("x-llmsim-session", "é"),
        ("x-llmsim-scenario", "flaky-429 seed=3 speed=0.5"),
        ("x-llmsim-seed", "-4"),
        ("x-llmsim-tokens", "1000000"),
    )

    assert (controls.session, controls.script) == ("é", None)
    assert controls.scenario == RequestedScenario("flaky-429", 3, 0.5)
    assert controls.overrides == TurnOverrides(seed=-4, tokens=1_000_000)


@pytest.mark.parametrize(
    ("field", "part"),
    [
        (("x-llmsim-latency", "gpt5x"), 'unknown profile "gpt5x"; did you mean "gpt-5"?'),
        (("x-llmsim-latency", "tftt=3"), "did you mean ttft?"),
        (("x-llmsim-latency", "ttft=-3"), 'ttft: wanted a number from 0 to 86400000, found "-3"'),
        (("x-llmsim-latency", "ttft=nan"), 'found "nan"'),
        (("x-llmsim-latency", "ttft=1,ttft=1"), "ttft: wanted it once"),
        (("x-llmsim-fault", "rset"), 'did you mean "reset"?'),
        (("x-llmsim-fault", "ratelimit"), 'did you mean "rate_limit"?'),
        (("x-llmsim-fault", "399"), "a status from 400 to 599"),
        (("x-llmsim-fault", "stall;for=3"), "did you mean for_ms?"),
        (("x-llmsim-fault", "stall;at=1;share=1"), "wanted at or share, found both"),
        (("x-llmsim-fault", "stall;share=1.1"), "share: wanted a number from 0 to 1"),
        (("x-llmsim-fault", "429;at=3"), "429 has no place in the response"),
        (("x-llmsim-fault", "crlf;at=3"), "crlf has no place in the response"),
        (("x-llmsim-fault", "reset;for_ms=3"), "reset has no duration"),
        (("x-llmsim-fault", "stall;"), "unknown key"),
        (("x-llmsim-seed", "9" * 5000), "wanted a whole number from -9223372036854775808"),
        (("x-llmsim-seed", "1_0"), 'found "1_0"'),
        (("x-llmsim-seed", "٣"), 'found "٣"'),
        (("x-llmsim-tokens", "0"), "wanted a whole number from 1 to 1000000"),
        (("x-llmsim-tokens", "1000001"), "wanted a whole number from 1 to 1000000"),
        (("x-llmsim-generator", "lorme"), 'did you mean "lorem"?'),
        (("x-llmsim-generator", "/etc/passwd"), "unknown generator"),
        (("x-llmsim-generator", "sequence:/etc/passwd"), "reads a file"),
        (("x-llmsim-generator", "fixed:"), "fixed:TEXT"),
        (("x-llmsim-scenario", "x sped=2"), "did you mean speed?"),
        (("x-llmsim-session", "a" * 201), "1 to 200 printable characters"),
        (("x-llmsim-tokens", " "), "wanted a value, found none"),
        (("x-llmsim-tokns", "3"), "did you mean x-llmsim-tokens?"),
        (("x-llmsim-", "3"), "unknown header"),
        (("x-llmsim-latency", "200"), "did you mean ttft=200?"),
        (("x-llmsim-latency", "0.2s"), "did you mean ttft=200?"),
        (("x-llmsim-latency", "200ms/20ms"), "did you mean ttft=200,itl=20?"),
        (("x-llmsim-latency", "TTFT=200; itl=-2"), "did you mean ttft=200,itl=0?"),
        (("x-llmsim-latency", "ttft=200 itl:20"), "did you mean ttft=200,itl=20?"),
        (("x-llmsim-latency", "ttft=200,"), "did you mean ttft=200?"),
        (("x-llmsim-latency", "ttft=1e3"), "did you mean 1000?"),
        (("x-llmsim-latency", "ttft=1.5s,itl=2"), "did you mean 1500?"),
        (("x-llmsim-latency", "itl="), "for example 20"),
        (("x-llmsim-fault", "stall;for_ms=2s"), "did you mean 2000?"),
        (("x-llmsim-fault", "reset;share=50%"), "did you mean 0.5?"),
        (("x-llmsim-fault", "reset,at=3"), 'did you mean "reset;at=3"?'),
        (("x-llmsim-fault", "429:for_ms=3"), 'did you mean "429;for_ms=3"?'),
        (("x-llmsim-tokens", "10k"), "did you mean 10000?"),
        (("x-llmsim-tokens", "1e99"), "did you mean 1000000?"),
        (("x-llmsim-tokens", "ten"), "for example 100"),
        (("x-llmsim-seed", "0x10"), "did you mean 16?"),
        (("x-llmsim-seed", ""), "wanted a value, found none; for example 7"),
        (("x-llmsim-generator", "Fixed: hi"), 'did you mean "fixed:hi"?'),
        (("x-llmsim-generator", "fixed=hi"), 'did you mean "fixed:hi"?'),
    ],
)
def test_wrong_values(field: tuple[str, str], part: str) -> None:
    """CTRL-1.9: A wrong value is refused by the name of its header, with the nearest right one; the message is short."""
    found = message(field)

    assert found.startswith(f"{field[0]}: ")
    assert part in found
    assert len(found) < 700


@pytest.mark.parametrize("name", CONTROL_HEADERS)
def test_repeated_headers(name: str) -> None:
    """CTRL-1.9: A repeated header is refused, also if both have the same value."""
    assert "found several" in message((name, "1"), (name, "1"))


def test_contradictions() -> None:
    """CTRL-1.9: A request plays a script or a scenario."""
    assert "found both" in message(("x-llmsim-scenario", "a"), ("x-llmsim-script", "b"))


def test_no_controls() -> None:
    """CTRL-1.12: Most requests ask for nothing, and share one value."""
    assert read(("x-request-id", "x-llmsim-seed"), ("x-llmsimulator", "1")) is NO_CONTROLS


@given(st.sampled_from(CONTROL_HEADERS), st.binary(max_size=60))
def test_any_value_is_read_or_refused(name: str, value: bytes) -> None:
    """CTRL-1.9: No value of a header does anything but be read or refused."""
    try:
        READ(RequestHeaders([(name.encode(), value)]))
    except InvalidFieldError as error:
        str(error.wanted).encode()
