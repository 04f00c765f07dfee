import pytest

from llmsim.config import SettingSpec, setting_specs
from llmsim.config.values import check_value

FLAGS = {
    "--host": "server.host",
    "--port": "server.port",
    "--workers": "server.workers",
    "--log-level": "server.log_level",
    "--request-log": "server.request_log",
    "--latency": "latency.profile",
    "--generator": "response.generator",
    "--target-tokens": "response.target_tokens",
    "--seed": "response.seed",
    "--script": "response.script_path",
    "--rules": "response.rules_path",
    "--scenarios": "response.scenarios_path",
    "--scripts-dir": "scripts.dir",
    "--timeline": "server.timeline_path",
}

# A port is a name and a seed a label: neither is an amount.
WITHOUT_UNIT = {"server.port", "response.seed"}


@pytest.mark.parametrize("spec", setting_specs(), ids=lambda spec: spec.name)
def test_setting_is_described(spec: SettingSpec) -> None:
    """CONF-4.1: A setting has a description, a sentence; a number has a range and, if it is an amount, a unit."""
    assert spec.description[0].isupper()
    assert spec.description.endswith(".")
    assert "|" not in spec.description, "it would end a cell of the reference's tables"
    if spec.kind in ("integer", "number"):
        assert spec.minimum is not None
        assert spec.maximum is not None
        assert bool(spec.unit) == (spec.name not in WITHOUT_UNIT)


@pytest.mark.parametrize("spec", setting_specs(), ids=lambda spec: spec.name)
def test_unit_in_the_name_is_the_unit(spec: SettingSpec) -> None:
    """CONF-4.1: A name that ends in a unit and the setting's unit agree."""
    endings = {"_ms": "ms", "_secs": "s", "_bytes": "bytes", "_tokens": "tokens", "_rate": "of requests"}
    units = [unit for ending, unit in endings.items() if spec.key.endswith(ending)]

    assert units in ([], [spec.unit]) or spec.name == "latency.stall_rate"


@pytest.mark.parametrize("spec", setting_specs(), ids=lambda spec: spec.name)
def test_default_is_a_valid_value(spec: SettingSpec) -> None:
    """CONF-4.1: A default is within the setting's range; only a setting that may be unset has none."""
    if spec.default is not None:
        assert check_value(spec, spec.default) == spec.default


def test_variables() -> None:
    """CONF-1.3: A setting with a flag is LLMSIM_<FLAG>, any other LLMSIM_<TABLE>_<KEY>; no two share one."""
    variables = {spec.name: spec.env for spec in setting_specs()}

    assert variables["server.port"] == "LLMSIM_PORT"
    assert variables["server.log_level"] == "LLMSIM_LOG_LEVEL"
    assert variables["latency.profile"] == "LLMSIM_LATENCY"
    assert variables["response.target_tokens"] == "LLMSIM_TARGET_TOKENS"
    assert variables["errors.rate_limit_rate"] == "LLMSIM_ERRORS_RATE_LIMIT_RATE"
    assert variables["models.available"] == "LLMSIM_MODELS_AVAILABLE"
    assert len(set(variables.values())) == len(variables)


def test_flags() -> None:
    """CONF-1.4: The most used settings have the flags of the original and a few more."""
    assert {spec.flag: spec.name for spec in setting_specs() if spec.flag} == FLAGS
