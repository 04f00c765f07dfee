import pytest

from llmsim.config import Knob, knobs
from llmsim.config.values import check_value

FLAGS = {
    "--host": "server.host",
    "--port": "server.port",
    "--workers": "server.workers",
    "--log-level": "server.log_level",
    "--latency": "latency.profile",
    "--generator": "response.generator",
    "--target-tokens": "response.target_tokens",
    "--seed": "response.seed",
    "--script": "response.script_path",
    "--scripts-dir": "scripts.dir",
}

# A port is a name and a seed a label: neither counts nor measures.
WITHOUT_UNIT = {"server.port", "response.seed"}


@pytest.mark.parametrize("knob", knobs(), ids=lambda knob: knob.name)
def test_setting_is_described(knob: Knob) -> None:
    """CONF-4.1: A setting has a meaning, a sentence; a number has a range and, if it is an amount, a unit."""
    assert knob.meaning[0].isupper()
    assert knob.meaning.endswith(".")
    assert "|" not in knob.meaning, "it would end a cell of the reference's tables"
    if knob.kind in ("integer", "number"):
        assert knob.least is not None
        assert knob.greatest is not None
        assert bool(knob.unit) == (knob.name not in WITHOUT_UNIT)


@pytest.mark.parametrize("knob", knobs(), ids=lambda knob: knob.name)
def test_unit_in_the_name_is_the_unit(knob: Knob) -> None:
    """CONF-4.1: A name that ends in a unit and the setting's unit agree."""
    endings = {"_ms": "ms", "_secs": "s", "_bytes": "bytes", "_tokens": "tokens", "_rate": "of requests"}
    units = [unit for ending, unit in endings.items() if knob.key.endswith(ending)]

    assert units in ([], [knob.unit])


@pytest.mark.parametrize("knob", knobs(), ids=lambda knob: knob.name)
def test_default_is_a_value_the_setting_takes(knob: Knob) -> None:
    """CONF-4.1: A default is within the range given beside it; only what may be left unset has none."""
    if knob.default is not None:
        assert check_value(knob, knob.default) == knob.default


def test_variables() -> None:
    """CONF-1.3: A setting with a flag is LLMSIM_<FLAG>, any other LLMSIM_<TABLE>_<KEY>; no two share one."""
    variables = {knob.name: knob.env for knob in knobs()}

    assert variables["server.port"] == "LLMSIM_PORT"
    assert variables["server.log_level"] == "LLMSIM_LOG_LEVEL"
    assert variables["latency.profile"] == "LLMSIM_LATENCY"
    assert variables["response.target_tokens"] == "LLMSIM_TARGET_TOKENS"
    assert variables["errors.rate_limit_rate"] == "LLMSIM_ERRORS_RATE_LIMIT_RATE"
    assert variables["models.available"] == "LLMSIM_MODELS_AVAILABLE"
    assert len(set(variables.values())) == len(variables)


def test_flags() -> None:
    """CONF-1.4: The settings one changes most have the flags of the original and a few more."""
    assert {knob.flag: knob.name for knob in knobs() if knob.flag} == FLAGS
