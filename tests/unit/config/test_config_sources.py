import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.config import (
    EngineSettings,
    LatencyFigures,
    LoadedSettings,
    Settings,
    SettingSpec,
    Tier,
    load,
    setting_specs,
)
from llmsim.config.engine_profiles import engine_profiles
from llmsim.config.latency_checks import LEAST_STALL_RATE
from llmsim.config.tables import show_table
from llmsim.errors import ConfigError
from llmsim.text import literal

PROFILES = ("instant", "fast", "gpt-5", "gpt-5-mini", "claude-opus", "o-series")

# The file of the original with each key it has.
ORIGINAL = """
[server]
port = 8888
host = "127.0.0.1"
max_websocket_connections = 50

[latency]
profile = "fast"
ttft_mean_ms = 500
ttft_stddev_ms = 100
tbt_mean_ms = 25
tbt_stddev_ms = 5

[response]
generator = "echo"
target_tokens = 16
script_path = ""

[errors]
rate_limit_rate = 0.10
server_error_rate = 0.05
timeout_rate = 0.02
timeout_after_ms = 5000

[models]
available = ["gpt-5", "o3"]
"""


def load_toml(
    toml: str = "",
    *,
    directory: Path,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> LoadedSettings:
    path = directory / "llmsim.toml"
    path.write_text(toml, encoding="utf-8")
    return load(path, environ=environ or {}, flags=flags, profiles=PROFILES)


def problems(*args: Any, **sources: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(*args, **{"environ": {}, "profiles": PROFILES, **sources})
    return str(caught.value).split("\n")


def problems_in(directory: Path, toml: str) -> list[str]:
    """Return the problems of a file, without its name."""
    path = directory / "llmsim.toml"
    path.write_text(toml, encoding="utf-8")
    found = problems(path)
    assert all(problem.startswith(f"{path}: ") for problem in found)
    return [problem.removeprefix(f"{path}: ") for problem in found]


def value_of(loaded: LoadedSettings, name: str) -> Any:
    section, key = name.split(".")
    return getattr(getattr(loaded.settings, section), key)


class TestSources:
    """Which source takes precedence, and how it is named."""

    def test_defaults(self) -> None:
        """CONF-3.3: Without any source the server listens on 0.0.0.0:8080, sends lorem, never fails, and each model has its latency."""
        loaded = load(environ={})

        assert loaded.settings == Settings()
        assert (loaded.settings.server.host, loaded.settings.server.port) == ("0.0.0.0", 8080)
        assert (loaded.settings.response.generator, loaded.settings.response.target_tokens) == ("lorem", 100)
        assert set(msgspec.structs.astuple(loaded.settings.latency)[:5]) == {None}
        assert not any(
            value
            for key, value in msgspec.structs.asdict(loaded.settings.errors).items()
            if "rate" in key[-4:]
        )

    def test_later_source_wins(self, tmp_path: Path) -> None:
        """CONF-1.1: The file overrides defaults, the environment the file, flags the environment."""
        toml = "[server]\nport = 1\nworkers = 1\nhost = 'file'"
        environ = {"LLMSIM_PORT": "2", "LLMSIM_WORKERS": "2"}

        server = load_toml(
            toml, directory=tmp_path, environ=environ, flags={"server.port": 3}
        ).settings.server

        assert (server.backlog, server.host, server.workers, server.port) == (4096, "file", 2, 3)

    def test_origin_names_the_source(self, tmp_path: Path) -> None:
        """CONF-1.8: Each value's origin is its file, variable or flag by name."""
        path = tmp_path / "some.toml"
        path.write_text("[server]\nhost = 'here'")

        loaded = load(
            path,
            environ={"LLMSIM_WORKERS": "2", "LLMSIM_ERRORS_TIMEOUT_RATE": "0.5"},
            flags={"server.port": 3, "errors.timeout_after_ms": 5, "response.seed": None},
        )

        assert loaded.path == str(path)
        assert loaded.origins["server.host"] == str(path)
        assert loaded.origins["server.workers"] == "environment LLMSIM_WORKERS"
        assert loaded.origins["errors.timeout_rate"] == "environment LLMSIM_ERRORS_TIMEOUT_RATE"
        assert loaded.origins["server.port"] == "flag --port"
        assert loaded.origins["errors.timeout_after_ms"] == "argument errors.timeout_after_ms"
        assert loaded.origins["response.seed"] == "default"
        assert list(loaded.origins) == [spec.name for spec in setting_specs()]

    def test_file_is_not_read_unless_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """CONF-1.2: A llmsim.toml in the working directory changes nothing until it is named."""
        (tmp_path / "llmsim.toml").write_text("[server]\nport = 1")
        monkeypatch.chdir(tmp_path)

        assert load(environ={}).settings.server.port == 8080
        assert load(environ={"LLMSIM_CONFIG": ""}).settings.server.port == 8080
        assert load(environ={"LLMSIM_CONFIG": "llmsim.toml"}).settings.server.port == 1

    def test_config_flag_overrides_the_variable(self, tmp_path: Path) -> None:
        """CONF-1.2: With --config, LLMSIM_CONFIG is ignored."""
        loaded = load_toml(
            "[server]\nport = 1", directory=tmp_path, environ={"LLMSIM_CONFIG": "/nowhere.toml"}
        )

        assert loaded.settings.server.port == 1

    def test_environment_defaults_to_that_of_the_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """CONF-1.1: Without an explicit environment the variables of the process are used."""
        monkeypatch.setenv("LLMSIM_PORT", "81")

        assert load().settings.server.port == 81

    @pytest.mark.parametrize(
        ("name", "text", "value"),
        [
            ("server.port", "9000", 9000),
            ("server.max_body_bytes", "1_000_000", 1_000_000),
            ("latency.ttft_mean_ms", "0.5", 0.5),
            ("latency.ttft_mean_ms", "3", 3.0),
            ("models.available", "gpt-5, o3 ,", ("gpt-5", "o3")),
            ("response.generator", "fixed:a, b", "fixed:a, b"),
            *[("server.access_log", text, True) for text in ("true", "1", "yes", "on", "True", "YES")],
            *[("server.direct_writes", text, False) for text in ("false", "0", "no", "off", "False", "OFF")],
        ],
    )
    def test_text_is_parsed_as_the_settings_type(self, name: str, text: str, value: Any) -> None:
        """CONF-1.5: A text means the same in a variable and in a flag."""
        variable = next(spec.env for spec in setting_specs() if spec.name == name)

        assert value_of(load(environ={variable: text}), name) == value
        assert value_of(load(environ={}, flags={name: text}), name) == value

    @pytest.mark.parametrize("spec", setting_specs(), ids=lambda spec: spec.name)
    def test_empty_variable_is_unset(self, spec: SettingSpec, tmp_path: Path) -> None:
        """CONF-1.6: `LLMSIM_X=` leaves the setting to the other sources."""
        loaded = load(environ={spec.env: ""})

        assert loaded == load(environ={})

    @pytest.mark.parametrize(
        ("variable", "text"),
        [
            ("LLMSIM_PORT", "tcp://10.0.0.11:8080"),
            ("LLMSIM_SERVICE_HOST", "10.0.0.11"),
            ("LLMSIM_SERVICE_PORT", "8080"),
            ("LLMSIM_SERVICE_PORT_HTTP", "8080"),
            ("LLMSIM_PORT_8080_TCP", "tcp://10.0.0.11:8080"),
            ("LLMSIM_PORT_8080_TCP_PROTO", "tcp"),
            ("LLMSIM_PORT_8080_TCP_PORT", "8080"),
            ("LLMSIM_PORT_8080_TCP_ADDR", "10.0.0.11"),
            ("LLMSIM_STAGING_EU_SERVICE_HOST", "10.0.0.11"),
            ("LLMSIM_STAGING_EU_PORT", "tcp://10.0.0.11:8080"),
            ("LLMSIM_STAGING_EU_PORT_8080_TCP_ADDR", "10.0.0.11"),
        ],
    )
    def test_kubernetes_service_variables_are_ignored(self, variable: str, text: str) -> None:
        """CONF-1.7: In the namespace of a service called llmsim, the server starts as anywhere else."""
        assert load(environ={variable: text}) == load(environ={})

    def test_no_setting_looks_like_a_service_variable(self) -> None:
        """CONF-1.7: No setting's own variable looks like one of Kubernetes."""
        environ = {spec.env: "?" for spec in setting_specs() if spec.kind in ("integer", "number", "boolean")}

        assert len(problems(environ=environ)) == len(environ)


def valid_values(spec: SettingSpec) -> st.SearchStrategy[Any]:
    """Generate valid values of a setting."""
    text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
    match spec.kind:
        case "choice" if spec.key in {"ttft_shape", "tbt_shape"}:
            return st.sampled_from([choice for choice in spec.choices if choice != "empirical"])
        case "choice":
            return st.sampled_from(spec.choices)
        case "integer":
            return st.integers(spec.minimum, spec.maximum)  # type: ignore[arg-type]  # integers have integer bounds
        case "number":
            if spec.name == "latency.stall_rate":
                return st.just(0.0) | st.floats(LEAST_STALL_RATE, 1)
            return st.floats(spec.minimum, spec.maximum)
        case "boolean":
            return st.booleans()
        case "list":
            item = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1)
            return st.lists(item, min_size=1).map(tuple)
        case "table" if spec.name == "limits.keys":
            return st.just({})
        case "quantiles":
            latencies = st.lists(st.floats(0, 1000), min_size=2, max_size=5).map(sorted)
            probabilities = st.lists(st.floats(0, 1), min_size=5, max_size=5, unique=True).map(sorted)
            pairs = st.builds(
                lambda left, right: list(zip(left, right, strict=False)), probabilities, latencies
            )
            return (latencies | pairs).map(tuple)
        case "table" if spec.name == "latency.models":
            figures = st.fixed_dictionaries(
                {},
                optional={
                    "profile": st.sampled_from(PROFILES),
                    "ttft_mean_ms": st.floats(0, 1000),
                    "tbt_shape": st.sampled_from(["normal", "lognormal", "gamma"]),
                    "ttft_quantiles": st.just([1.0, 2.5]),
                },
            ).filter(lambda one: not {"ttft_mean_ms", "ttft_quantiles"} <= set(one))
            return st.dictionaries(text.filter(bool), figures, max_size=2).map(
                lambda models: msgspec.convert(models, dict[str, LatencyFigures])
            )
        case "table" if spec.name == "latency.engine":
            knobs = {"max_num_seqs": st.integers(1, 65_536), "step_base_ms": st.floats(0.1, 60_000)}
            return st.fixed_dictionaries({}, optional=knobs).map(lambda one: EngineSettings(**one))
        case "table":
            limits = st.fixed_dictionaries(
                {}, optional={"rpm": st.integers(1, 10_000), "tpm": st.integers(1, 10_000)}
            )
            return st.dictionaries(text.filter(bool), limits, max_size=2).map(
                lambda tiers: msgspec.convert(tiers, dict[str, Tier])
            )
        case "text" if spec.name == "limits.default":
            return st.just("")
        case "text" if spec.name == "latency.profile":
            return st.sampled_from(PROFILES)
        case "text" if spec.name == "response.generator":
            return st.sampled_from(["lorem", "echo", "random"]) | text.map("fixed:{}".format)
        case _:
            return text


any_setting = st.sampled_from(setting_specs()).flatmap(
    lambda spec: st.tuples(st.just(spec), valid_values(spec))
)


class TestValues:
    """Which values a setting accepts."""

    @given(any_setting)
    def test_value_means_the_same_in_every_source(
        self, tmp_path_factory: pytest.TempPathFactory, setting: tuple[SettingSpec, Any]
    ) -> None:
        """CONF-1.5: Any value in range is accepted, and is the same in the file, a variable and a flag."""
        spec, value = setting
        path = tmp_path_factory.getbasetemp() / "any.toml"
        is_table = spec.kind == "table"
        shown = show_table(value) if is_table else literal(value)
        path.write_text(f"[{spec.section}]\n{spec.key} = {shown}\n", encoding="utf-8", newline="")
        text = (
            ",".join(value)
            if spec.kind == "list"
            else shown
            if is_table or spec.kind == "quantiles"
            else str(value)
        )
        passed = msgspec.to_builtins(value) if is_table else value

        in_file = load(path, environ={}, profiles=PROFILES)
        in_variable = load(environ={spec.env: text}, profiles=PROFILES)
        in_flag = load(environ={}, flags={spec.name: text}, profiles=PROFILES)
        in_python = load(environ={}, flags={spec.name: passed}, profiles=PROFILES)

        assert value_of(in_file, spec.name) == value
        assert in_file.settings == in_flag.settings == in_python.settings
        if text:
            assert in_file.settings == in_variable.settings

    @pytest.mark.parametrize(
        "spec", [spec for spec in setting_specs() if spec.maximum is not None], ids=lambda spec: spec.name
    )
    def test_bounds_are_the_last_valid_values(self, spec: SettingSpec) -> None:
        """CONF-2.2: A bound is accepted; a number beyond it, or a value that is not such a number, is rejected."""
        assert spec.minimum is not None
        assert spec.maximum is not None
        for value in (spec.minimum, spec.maximum):
            assert value_of(load(environ={}, flags={spec.name: value}), spec.name) == value
        wrong: list[Any] = [spec.minimum - 1, spec.maximum + 1, "many", "nan", "inf", True]
        wrong += [1.5] if spec.kind == "integer" else []

        for value in wrong:
            (problem,) = problems(flags={spec.name: value})
            assert f"{spec.name}: wanted a " in problem
            assert f"number from {spec.range}, found " in problem

    @pytest.mark.parametrize(
        ("toml", "problem"),
        [
            ("[server]\nport = '8080'", 'server.port: wanted a whole number from 0 to 65535, found "8080"'),
            ("[server]\nport = true", "server.port: wanted a whole number from 0 to 65535, found true"),
            ("[server.port]\nx = 1", "server.port: wanted a whole number from 0 to 65535, found a table"),
            ("[server]\nhost = ''", 'server.host: wanted non-empty text, found ""'),
            ("[server]\nhost = 1979-05-27", "server.host: wanted text, found 1979-05-27"),
            ("[server]\naccess_log = 1", "server.access_log: wanted true or false, found 1"),
            ("[errors]\ntimeout_rate = nan", "errors.timeout_rate: wanted a number from 0 to 1, found nan"),
            (
                "[models]\navailable = 'o3'",
                'models.available: wanted a list of non-empty texts, found "o3"',
            ),
            (
                "[models]\navailable = ['o3', '']",
                'models.available: wanted a list of non-empty texts, found ["o3", ""]',
            ),
            ("server = 5", "server: wanted a table, [server], found 5"),
        ],
    )
    def test_wrong_value_in_the_file(self, toml: str, problem: str, tmp_path: Path) -> None:
        """CONF-2.2: The message names the file, the setting, the valid values, and the value found."""
        assert problems_in(tmp_path, toml) == [problem]

    def test_wrong_value_in_a_variable_or_flag(self) -> None:
        """CONF-2.2: The message names the variable or flag as well as the setting."""
        found = problems(environ={"LLMSIM_PORT": "http"}, flags={"server.workers": "-1"})

        assert found == [
            'environment LLMSIM_PORT: server.port: wanted a whole number from 0 to 65535, found "http"',
            "flag --workers: server.workers: wanted a whole number from 0 to 512, found -1",
        ]

    def test_variable_that_is_not_utf8(self) -> None:
        """CONF-2.2: Bytes that cannot be sent or printed are rejected, in a message that can be printed."""
        (problem,) = problems(environ={"LLMSIM_GENERATOR": "fixed:\udcff"})

        assert "response.generator: wanted UTF-8 text" in problem
        assert problem.encode()

    def test_unknown_profile(self) -> None:
        """CONF-2.3: An unknown profile is rejected with the nearest one and the list of all."""
        (problem,) = problems(flags={"latency.profile": "gtp5"})

        assert problem == (
            'flag --latency: latency.profile: unknown profile "gtp5"; did you mean "gpt-5"? '
            "One of: claude-opus, fast, gpt-5, gpt-5-mini, instant, o-series, "
            + ", ".join(sorted(engine_profiles()))
        )

    def test_any_profile_is_accepted_without_a_list(self) -> None:
        """CONF-2.3: Without the list of profiles there is nothing to check against."""
        loaded = load(environ={}, flags={"latency.profile": "gtp5"}, profiles=())

        assert loaded.settings.latency.profile == "gtp5"

    def test_unknown_log_level(self) -> None:
        """CONF-2.3: An unknown choice is rejected with the nearest one and all of them, in order."""
        (problem,) = problems(flags={"server.log_level": "warn"})

        assert problem.endswith(
            'unknown log level "warn"; did you mean "warning"? One of: debug, info, warning, error'
        )

    def test_unknown_generator(self) -> None:
        """CONF-2.3: An unknown generator is rejected with the nearest one and all of them, as they are written."""
        (problem,) = problems(flags={"response.generator": "lorm"})

        assert problem.endswith(
            'unknown generator "lorm"; did you mean "lorem"? One of: lorem, echo, random, fixed:TEXT, sequence:FILE'
        )

    @pytest.mark.parametrize(
        "generator", ["lorem", "echo", "random", "fixed:x", "fixed: : ", "sequence:some/file.txt"]
    )
    def test_generators(self, generator: str) -> None:
        """CONF-2.4: A generator with its argument is accepted as it is; a file need not exist yet."""
        assert load(environ={"LLMSIM_GENERATOR": generator}).settings.response.generator == generator

    @pytest.mark.parametrize(
        ("generator", "problem_part"),
        [
            ("fixed", "needs a text: fixed:TEXT"),
            ("fixed:", "needs a text: fixed:TEXT"),
            ("sequence", "needs a file: sequence:FILE"),
            ("sequence:", "needs a file: sequence:FILE"),
            ("lorem:5", "takes no argument"),
            ("echo:", "takes no argument"),
        ],
    )
    def test_generator_without_its_argument(self, generator: str, problem_part: str) -> None:
        """CONF-2.4: A missing argument, or one that is not accepted, is rejected."""
        (problem,) = problems(flags={"response.generator": generator})

        name = generator.partition(":")[0]
        assert (
            problem == f'flag --generator: response.generator: "{name}" {problem_part}, found "{generator}"'
        )

    def test_rates_add_up_to_one_at_most(self, tmp_path: Path) -> None:
        """CONF-2.5: Rates above 1 in total are rejected; the message names each rate and its source."""
        path = tmp_path / "chaos.toml"
        path.write_text("[errors]\nrate_limit_rate = 0.7\ntimeout_rate = 0")

        found = problems(path, environ={"LLMSIM_ERRORS_SERVER_ERROR_RATE": "0.5"})

        assert "\n".join(found) == (
            f"errors: the rates add up to 1.2, wanted at most 1: rate_limit_rate 0.7 ({path}), "
            "server_error_rate 0.5 (environment LLMSIM_ERRORS_SERVER_ERROR_RATE)"
        )

    @given(st.lists(st.integers(0, 100), min_size=4, max_size=4, unique=True))
    def test_rates_that_add_up_to_one_are_accepted(self, cuts: list[int]) -> None:
        """CONF-2.5: Any five percentages that add up to 100 are accepted, despite binary rounding."""
        edges = [0, *sorted(cuts), 100]
        shares = [(high - low) / 100 for low, high in itertools.pairwise(edges)]
        names = [
            spec.name
            for spec in setting_specs()
            if spec.name.startswith("errors.") and spec.name.endswith("_rate")
        ]

        loaded = load(environ={}, flags=dict(zip(names, shares, strict=True)))

        assert [value_of(loaded, name) for name in names] == shares


class TestUnknownNames:
    """Unknown names are rejected with the nearest right one."""

    @pytest.mark.parametrize(
        ("toml", "problem"),
        [
            ("[server]\nprot = 1", '[server] prot: unknown key; did you mean "port"?'),
            ("[server]\nlog-level = 'info'", '[server] log-level: unknown key; did you mean "log_level"?'),
            (
                "[server]\ntarget_tokens = 1",
                "[server] target_tokens: unknown key; did you mean [response] target_tokens?",
            ),
            ("[models]\nzzz = 1", "[models] zzz: unknown key. One of: available"),
            ("[sever]\nport = 1", "[sever]: unknown table; did you mean [server]?"),
            (
                "[zzz]\nport = 1",
                f"[zzz]: unknown table. One of: {', '.join(Settings.__struct_fields__)}",
            ),
            ("port = 1", "port: a key outside of any table; did you mean [server] port?"),
            ("zzz = 1", "zzz: a key outside of any table"),
        ],
    )
    def test_in_the_file(self, toml: str, problem: str, tmp_path: Path) -> None:
        """CONF-2.1: An unknown table or key is rejected with the nearest right one, and its table."""
        assert problems_in(tmp_path, toml) == [problem]

    @pytest.mark.parametrize(
        ("variable", "hint"),
        [
            ("LLMSIM_PROT", "did you mean LLMSIM_PORT?"),
            ("LLMSIM_SERVER_PORT", "did you mean LLMSIM_PORT?"),
            ("LLMSIM_LATENCY_PROFILE", "did you mean LLMSIM_LATENCY?"),
            ("LLMSIM_RATE_LIMIT_RATE", "did you mean LLMSIM_ERRORS_RATE_LIMIT_RATE?"),
            ("LLMSIM_CONFG", "did you mean LLMSIM_CONFIG?"),
            ("LLMSIM_FOO_BAR", "`llmsim config --example` lists them all"),
        ],
    )
    def test_in_the_environment(self, variable: str, hint: str) -> None:
        """CONF-2.1: An unknown LLMSIM_ variable is rejected, even an empty one."""
        assert problems(environ={variable: ""}) == [f"{variable}: unknown variable; {hint}"]

    def test_other_variables_are_ignored(self) -> None:
        """CONF-2.1: Only names that begin with LLMSIM_ are read."""
        assert load(environ={"PORT": "x", "LLMSIMX": "x", "llmsim_port": "x", "MY_LLMSIM_PORT": "x"}) == load(
            environ={}
        )

    def test_among_arguments(self) -> None:
        """CONF-2.1: A setting passed under a wrong name is rejected as well."""
        assert problems(flags={"server.prot": 1}) == [
            "argument server.prot: unknown setting; did you mean server.port?"
        ]

    @given(st.sampled_from(setting_specs()), st.data())
    def test_one_letter_missing(
        self, tmp_path_factory: pytest.TempPathFactory, spec: SettingSpec, data: st.DataObject
    ) -> None:
        """CONF-2.1: Whichever letter of a key is missing, the right key is suggested."""
        gap = data.draw(st.integers(0, len(spec.key) - 1))
        key = spec.key[:gap] + spec.key[gap + 1 :]

        (problem,) = problems_in(tmp_path_factory.getbasetemp(), f"[{spec.section}]\n{key} = 1")

        assert problem == f'[{spec.section}] {key}: unknown key; did you mean "{spec.key}"?'


class TestFile:
    """The TOML file as a whole, and all sources together."""

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b"[server]\nport 80", r"not TOML: .*line 2.*"),
            (b"[server]\nport = 1\nport = 2\n", r"not TOML: .*line 3.*"),
            (b"[server]\nhost = '\xff'", r"not UTF-8 text: .*at byte 17"),
        ],
    )
    def test_not_toml(self, content: bytes, problem: str, tmp_path: Path) -> None:
        """CONF-2.7: A file that cannot be parsed is rejected with the position of the mistake."""
        path = tmp_path / "llmsim.toml"
        path.write_bytes(content)

        (found,) = problems(path)

        assert re.fullmatch(f"{re.escape(str(path))}: {problem}", found)

    def test_missing(self, tmp_path: Path) -> None:
        """CONF-2.7: A missing file is rejected, with the source that named it."""
        assert problems("nowhere.toml") == [
            'flag --config: cannot read "nowhere.toml": No such file or directory'
        ]
        assert problems(environ={"LLMSIM_CONFIG": str(tmp_path)}) == [
            f'environment LLMSIM_CONFIG: cannot read "{tmp_path}": Is a directory'
        ]

    def test_all_problems_at_once(self, tmp_path: Path) -> None:
        """CONF-2.8: Each problem of each source has a line, also for a value that is overridden."""
        path = tmp_path / "llmsim.toml"
        path.write_text(
            "[server]\nport = -1\nprot = 1\n[sever]\n[errors]\nrate_limit_rate = 1\ntimeout_rate = 1"
        )

        found = problems(path, environ={"LLMSIM_PROT": "1", "LLMSIM_WORKERS": "x"}, flags={"server.port": 80})

        assert [re.sub(r": (wanted|unknown|the rates).*", "", problem) for problem in found] == [
            f"{path}: server.port",
            f"{path}: [server] prot",
            f"{path}: [sever]",
            "LLMSIM_PROT",
            "environment LLMSIM_WORKERS: server.workers",
            "errors",
        ]

    def test_unreadable_file_does_not_hide_the_rest(self) -> None:
        """CONF-2.8: Environment and flags are checked even if the file cannot be read."""
        assert len(problems("nowhere.toml", environ={"LLMSIM_PORT": "x"}, flags={"server.workers": "x"})) == 3


class TestOriginal:
    """Files written for the original llmsim."""

    def test_every_key(self, tmp_path: Path) -> None:
        """CONF-3.1: A file of the original with all its keys is applied."""
        settings = load_toml(ORIGINAL, directory=tmp_path).settings

        server, latency, response, errors = (
            settings.server,
            settings.latency,
            settings.response,
            settings.errors,
        )
        assert (server.port, server.host, server.max_websocket_connections) == (8888, "127.0.0.1", 50)
        assert msgspec.structs.astuple(latency)[:5] == ("fast", 500.0, 100.0, 25.0, 5.0)
        assert (response.generator, response.target_tokens) == ("echo", 16)
        assert (errors.rate_limit_rate, errors.server_error_rate, errors.timeout_rate) == (0.1, 0.05, 0.02)
        assert errors.timeout_after_ms == 5000
        assert settings.models.available == ("gpt-5", "o3")

    @pytest.mark.parametrize(
        ("profile", "ours"),
        [
            ("gpt5", "gpt-5"),
            ("GPT-5", "gpt-5"),
            ("GPT5-mini", "gpt-5-mini"),
            ("opus", "claude-opus"),
            ("o4", "o-series"),
        ],
    )
    def test_synonyms_of_profiles(self, profile: str, ours: str, tmp_path: Path) -> None:
        """CONF-3.2: The original's other names of a profile, in any case, mean ours."""
        loaded = load_toml(f"[latency]\nprofile = '{profile}'", directory=tmp_path)

        assert loaded.settings.latency.profile == ours

    @pytest.mark.parametrize(
        ("generator", "ours"),
        [("Lorem", "lorem"), ("random_word", "random"), ("FIXED:As It Is", "fixed:As It Is")],
    )
    def test_synonyms_of_generators(self, generator: str, ours: str) -> None:
        """CONF-3.2: The original's other names of a generator mean ours; a text keeps its case."""
        assert load(environ={"LLMSIM_GENERATOR": generator}).settings.response.generator == ours


class TestWords:
    """Settings that are a word, or something else."""

    @pytest.mark.parametrize(
        ("toml", "variable", "value"),
        [
            ("true", "true", True),
            ("false", "off", False),
            ('"local"', "local", "local"),
            ('"local"', " LOCAL ", "local"),
        ],
    )
    def test_who_may_use_the_control_api(
        self, toml: str, variable: str, value: bool | str, tmp_path: Path
    ) -> None:
        """ACC-1.3: Files that say `true` or `false` mean what they meant; the default is `local`."""
        path = tmp_path / "any.toml"
        path.write_text(f"[admin]\nenabled = {toml}")

        assert load(path, environ={}).settings.admin.enabled == value
        assert load(environ={"LLMSIM_ADMIN_ENABLED": variable}).settings.admin.enabled == value
        assert load(environ={}).settings.admin.enabled == "local"

    @pytest.mark.parametrize(
        ("toml", "variable", "value"),
        [
            ('"*"', "*", "*"),
            ('"off"', "off", "off"),
            ('["http://a.example"]', "http://a.example", ("http://a.example",)),
            ('["http://a", "http://b"]', "http://a, http://b", ("http://a", "http://b")),
        ],
    )
    def test_origins(self, toml: str, variable: str, value: object, tmp_path: Path) -> None:
        """ACC-3.2: All origins, none, or a list."""
        path = tmp_path / "any.toml"
        path.write_text(f"[server]\ncors = {toml}")

        assert load(path, environ={}).settings.server.cors == value
        assert load(environ={"LLMSIM_SERVER_CORS": variable}).settings.server.cors == value

    def test_another_word(self, tmp_path: Path) -> None:
        """CONF-2.2: The message has the words and the rest."""
        assert problems_in(tmp_path, '[admin]\nenabled = "remote"\n[server]\ncors = "on"') == [
            'admin.enabled: wanted "local", true or false, found "remote"',
            'server.cors: wanted "*", "off" or a list of non-empty texts, found "on"',
        ]
