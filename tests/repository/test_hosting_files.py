"""What llmsim is hosted with: image, compose file, Helm chart and systemd unit, and what their own tools say of them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import llmsim
from llmsim.config import CONFIG_VARIABLE, Settings, setting_specs

ROOT = Path(__file__).parents[2]
OPERATE = ROOT / "docs" / "operate"
CHART = OPERATE / "helm" / "llmsim"
UNIT = ROOT / "docs" / "llmsim.service"
HELM = shutil.which("helm")
SYSTEMD_ANALYZE = shutil.which("systemd-analyze")

NEEDS_HELM = [
    pytest.mark.tools,
    pytest.mark.skipif(HELM is None, reason="go install helm.sh/helm/v3/cmd/helm@latest"),
]
NEEDS_SYSTEMD = [
    pytest.mark.tools,
    pytest.mark.skipif(SYSTEMD_ANALYZE is None, reason="the package systemd has systemd-analyze"),
]

ALL_OPTIONS = {
    "replicaCount": 3,
    "image": {"repository": "registry.example/llmsim", "tag": "0.5.0"},
    "imagePullSecrets": [{"name": "pull"}],
    "server": {"workers": 4, "drainDelaySecs": 7, "gracefulTimeoutSecs": 60},
    "config": '[errors]\nrate_limit_rate = 0.01\n\n[response]\ngenerator = "echo"\n',
    "env": [{"name": "LLMSIM_SEED", "value": "7"}],
    "envFrom": [{"secretRef": {"name": "llmsim-keys"}}],
    "service": {"annotations": {"a": "b"}, "sessionAffinity": "ClientIP"},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "podAnnotations": {"c": "d"},
    "podLabels": {"e": "f"},
    "nodeSelector": {"kind": "load"},
    "tolerations": [{"key": "load", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "topologySpreadConstraints": [{"maxSkew": 1}],
}
"""Values that are not the defaults, for each option of the chart."""


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


# Containers


def test_image_has_little_and_few_rights() -> None:
    """HOST-1.1: A user by number, a health check, no pip in the environment, nothing copied beside it."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    last = text.rpartition("\nFROM ")[2]
    user = re.search(r"^USER (\d+)$", last, re.MULTILINE)

    assert user is not None
    assert int(user[1]) > 0
    assert re.search(r"^HEALTHCHECK .*/health", last, re.MULTILINE)
    assert re.findall(r"^COPY (.*)$", last, re.MULTILINE) == ["--from=build /opt/llmsim /opt/llmsim"]
    assert "pip" not in last
    assert "venv --without-pip /opt/llmsim" in text


def test_image_is_given_what_it_copies() -> None:
    """HOST-1.1: What the Dockerfile copies exists, and is not ignored; the wheel in it holds the same as any other."""
    lines = re.findall(r"^COPY (?!--from)(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    copied = {name for line in lines for name in line.split()[:-1]}
    permitted = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }

    assert all((ROOT / name).exists() for name in copied)
    assert copied == permitted
    assert {"llmsim", "loadtest"} <= copied


def test_compose_file_starts_llmsim_with_few_rights() -> None:
    """HOST-1.2: A read-only root, no capabilities, time to stop, and variables that are settings."""
    service = read_yaml(ROOT / "compose.yaml")["services"]["llmsim"]
    server = Settings().server

    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["tmpfs"] == ["/tmp"]
    assert int(service["stop_grace_period"][:-1]) > server.drain_delay_secs + server.graceful_timeout_secs
    assert service["environment"].keys() <= {spec.env for spec in setting_specs()}


def test_compose_file_connects_prometheus_and_grafana() -> None:
    """HOST-1.2: Prometheus reads llmsim's port, Grafana has Prometheus and the dashboard; each mounted file exists."""
    services = read_yaml(ROOT / "compose.yaml")["services"]
    mounts = [
        volume.split(":")
        for service in services.values()
        for volume in service.get("volumes", [])
        if volume.startswith(".")
    ]
    targets = {target: source for source, target, _ in mounts}
    [provider] = read_yaml(OPERATE / "compose" / "grafana" / "dashboards.yaml")["providers"]
    [source] = read_yaml(OPERATE / "compose" / "grafana" / "datasource.yaml")["datasources"]
    [scraped] = read_yaml(OPERATE / "compose" / "prometheus.yaml")["scrape_configs"]

    assert [one for one, _, mode in mounts if not (ROOT / one).is_file() or mode != "ro"] == []
    assert targets[f"{provider['options']['path']}/llmsim.json"] == "./docs/operate/grafana.json"
    assert source["url"] == "http://prometheus:9090"
    assert scraped["static_configs"] == [{"targets": ["llmsim:8080"]}]


def test_compose_file_publishes_to_this_machine_only() -> None:
    """HOST-1.2: Each port is that of the loopback address, and each foreign image has a version."""
    services = read_yaml(ROOT / "compose.yaml")["services"]
    ports = [port for service in services.values() for port in service["ports"]]
    images = [service["image"] for service in services.values() if "build" not in service]

    assert len(ports) == len(services)
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert images
    assert all(re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", image) for image in images)


def test_compose_file_of_several_hosts() -> None:
    """HOST-1.3: Three hosts share one Valkey, which evicts nothing; only nginx is published, on this machine, and names their service."""
    services = read_yaml(ROOT / "compose.machines.yaml")["services"]
    alone = read_yaml(ROOT / "compose.yaml")["services"]["llmsim"]
    llmsim_service, valkey, nginx = (services[name] for name in ("llmsim", "valkey", "nginx"))
    text = (OPERATE / "compose" / "nginx.conf").read_text(encoding="utf-8")

    assert llmsim_service["deploy"]["replicas"] == 3
    assert llmsim_service["environment"]["LLMSIM_STATE_URL"] == "redis://valkey:6379/0"
    assert llmsim_service["environment"].keys() <= {spec.env for spec in setting_specs()}
    assert {
        name: llmsim_service[name] for name in ("read_only", "cap_drop", "tmpfs", "stop_grace_period")
    } == {name: alone[name] for name in ("read_only", "cap_drop", "tmpfs", "stop_grace_period")}
    assert "noeviction" in valkey["command"]
    assert nginx["ports"] == ["127.0.0.1:8080:8080"]
    assert not llmsim_service.get("ports")
    assert not valkey.get("ports")
    assert all(re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+", one["image"]) for one in (valkey, nginx))
    assert "server llmsim:8080 resolve" in text
    assert "proxy_buffering off;" in text


# Kubernetes


def test_chart_has_the_version_of_llmsim() -> None:
    """REL-1.1: Chart and image have one version."""
    chart = read_yaml(CHART / "Chart.yaml")

    assert (chart["version"], chart["appVersion"]) == (llmsim.__version__, llmsim.__version__)


def test_chart_sets_what_is_a_setting() -> None:
    """HOST-2.3: Each variable that the chart sets is a setting, and the default of the drain delay is 5 s."""
    text = (CHART / "templates" / "deployment.yaml").read_text(encoding="utf-8")
    names = set(re.findall(r"name: (LLMSIM_\w+)", text))

    assert {"LLMSIM_SERVER_DRAIN_DELAY_SECS", "LLMSIM_SERVER_GRACEFUL_TIMEOUT_SECS", CONFIG_VARIABLE} <= names
    assert names <= {CONFIG_VARIABLE} | {spec.env for spec in setting_specs()}
    assert read_yaml(CHART / "values.yaml")["server"]["drainDelaySecs"] == 5


def run_helm(*arguments: str) -> "subprocess.CompletedProcess[str]":
    assert HELM is not None
    return subprocess.run([HELM, *arguments], capture_output=True, text=True, check=False, timeout=120)


def run_template(values: Path) -> "subprocess.CompletedProcess[str]":
    # A helm that `go install` has built takes the cluster for an old one.
    return run_helm("template", "staging", str(CHART), "--kube-version", "1.30.0", "--values", str(values))


def rendered(tmp_path: Path, values: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what helm renders, by kind."""
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values or {}), encoding="utf-8")
    output = run_template(file)
    assert output.returncode == 0, output.stderr
    return {one["kind"]: one for one in yaml.safe_load_all(output.stdout) if one}


class TestHelm:
    """What helm says of the chart, and makes of it."""

    pytestmark = NEEDS_HELM

    @pytest.mark.parametrize("values", [{}, ALL_OPTIONS], ids=["defaults", "all options"])
    def test_lint_finds_nothing(self, tmp_path: Path, values: dict[str, Any]) -> None:
        """HOST-2.1: `helm lint --strict` accepts the chart, with the defaults and with all options."""
        file = tmp_path / "values.yaml"
        file.write_text(yaml.safe_dump(values), encoding="utf-8")
        output = run_helm("lint", "--strict", str(CHART), "--values", str(file))

        assert output.returncode == 0, output.stdout + output.stderr

    @pytest.mark.parametrize("values", [{"sever": {}}, {"server": {"workers": 0}}, {"service": {"ports": 1}}])
    def test_unknown_values_are_refused(self, tmp_path: Path, values: dict[str, Any]) -> None:
        """HOST-2.1: A misspelt or impossible value is an error."""
        file = tmp_path / "values.yaml"
        file.write_text(yaml.safe_dump(values), encoding="utf-8")
        output = run_template(file)

        assert output.returncode != 0
        assert "don't meet the specifications of the schema" in output.stderr

    def test_probes_and_rights(self, tmp_path: Path) -> None:
        """HOST-2.2: /health for liveness, /ready for readiness; nothing that a server does not need."""
        pod = rendered(tmp_path)["Deployment"]["spec"]["template"]["spec"]
        [container] = pod["containers"]
        user = re.search(r"^USER (\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

        assert container["livenessProbe"]["httpGet"]["path"] == "/health"
        assert container["startupProbe"]["httpGet"]["path"] == "/health"
        assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
        assert pod["securityContext"]["runAsNonRoot"]
        assert user is not None
        assert pod["securityContext"]["runAsUser"] == int(user[1])
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }

    @pytest.mark.parametrize(("values", "drain", "graceful"), [({}, 5, 30), (ALL_OPTIONS, 7, 60)])
    def test_grace_period(self, tmp_path: Path, values: dict[str, Any], drain: int, graceful: int) -> None:
        """HOST-2.3: The pod has the sum of both times and more, and the server gets both."""
        pod = rendered(tmp_path, values)["Deployment"]["spec"]["template"]["spec"]
        variables = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}

        assert pod["terminationGracePeriodSeconds"] > drain + graceful
        assert variables["LLMSIM_SERVER_DRAIN_DELAY_SECS"] == str(drain)
        assert variables["LLMSIM_SERVER_GRACEFUL_TIMEOUT_SECS"] == str(graceful)

    def test_disruption_budget_and_monitor(self, tmp_path: Path) -> None:
        """HOST-2.4: The budget selects the pods, the monitor the service; the monitor is there on demand."""
        plain = rendered(tmp_path)
        full = rendered(tmp_path, ALL_OPTIONS)
        labels = full["Deployment"]["spec"]["template"]["metadata"]["labels"]

        assert "ServiceMonitor" not in plain
        assert plain["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
        for selector in (
            full["Deployment"]["spec"]["selector"]["matchLabels"],
            full["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
            full["Service"]["spec"]["selector"],
        ):
            assert selector.items() <= labels.items()
        monitor = full["ServiceMonitor"]
        assert (
            monitor["spec"]["selector"]["matchLabels"].items()
            <= full["Service"]["metadata"]["labels"].items()
        )
        assert monitor["spec"]["endpoints"] == [{"port": "http", "path": "/metrics", "interval": "15s"}]
        assert monitor["metadata"]["labels"]["release"] == "prometheus"

    def test_settings_reach_the_server(self, tmp_path: Path) -> None:
        """HOST-2.5: The text of `config` is what the server reads; another one replaces the pods, and no service is a setting."""
        plain = rendered(tmp_path)
        full = rendered(tmp_path, ALL_OPTIONS)
        pods = [one["Deployment"]["spec"]["template"] for one in (plain, full)]
        file = tmp_path / "llmsim.toml"
        file.write_text(full["ConfigMap"]["data"]["llmsim.toml"], encoding="utf-8")
        checked = subprocess.run(
            [sys.executable, "-m", "llmsim", "config", "--config", str(file)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

        assert checked.returncode == 0, checked.stderr
        assert re.search(r"rate_limit_rate +0\.01", checked.stdout)
        assert (
            pods[0]["metadata"]["annotations"]["checksum/config"]
            != pods[1]["metadata"]["annotations"]["checksum/config"]
        )
        assert pods[0]["spec"]["enableServiceLinks"] is False

    def test_pods_share_a_valkey(self, tmp_path: Path) -> None:
        """HOST-2.6: With `valkey.enabled` pods share a server of the release's own; with `state.url` one that is named; with neither none."""
        values = {"replicaCount": 3, "valkey": {"enabled": True}, "state": {"passwordSecret": {"name": "pw"}}}
        found = rendered(tmp_path, values)
        [server] = found["StatefulSet"]["spec"]["template"]["spec"]["containers"]
        named, alone = rendered(tmp_path, {"state": {"url": "rediss://cache:6380/1"}}), rendered(tmp_path)
        variables = {
            name: {
                one["name"]: one
                for one in each["Deployment"]["spec"]["template"]["spec"]["containers"][0]["env"]
            }
            for name, each in (("own", found), ("named", named), ("alone", alone))
        }

        assert found["Deployment"]["spec"]["replicas"] == 3
        assert variables["own"]["LLMSIM_STATE_URL"]["value"] == "redis://staging-llmsim-valkey:6379/0"
        assert found["StatefulSet"]["metadata"]["name"] == "staging-llmsim-valkey"
        assert variables["own"]["LLMSIM_STATE_PASSWORD"]["valueFrom"]["secretKeyRef"] == {
            "name": "pw",
            "key": "password",
        }
        assert variables["own"]["LLMSIM_STATE_HOST"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
        assert server["args"][-2:] == ["--requirepass", "$(VALKEY_PASSWORD)"]
        assert "noeviction" in server["args"]
        assert server["securityContext"]["readOnlyRootFilesystem"]
        labels = found["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
        assert labels != found["Deployment"]["spec"]["selector"]["matchLabels"]
        assert variables["named"]["LLMSIM_STATE_URL"]["value"] == "rediss://cache:6380/1"
        assert "StatefulSet" not in named
        assert not [name for name in variables["alone"] if name.startswith("LLMSIM_STATE_")]

    def test_two_states_are_refused(self, tmp_path: Path) -> None:
        """HOST-2.6: A server of its own and another are one too many."""
        file = tmp_path / "values.yaml"
        file.write_text(
            yaml.safe_dump({"valkey": {"enabled": True}, "state": {"url": "redis://x:1"}}), encoding="utf-8"
        )
        output = run_template(file)

        assert output.returncode != 0
        assert "not both" in output.stderr


# systemd


def unit_lines(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)


def test_unit_reloads_sound_settings_only(tmp_path: Path) -> None:
    """HOST-3.2: The first command of a reload fails where the settings are faulty; the second is SIGHUP to the master."""
    check, send = unit_lines("ExecReload")
    shell, option, program = re.fullmatch(r"(\S+) (-c) '(.*)'", check).groups()  # type: ignore[union-attr]
    program = program.replace("/opt/llmsim/bin/llmsim", f"{sys.executable} -m llmsim")
    file = tmp_path / "llmsim.toml"

    def reload(text: str) -> "subprocess.CompletedProcess[str]":
        file.write_text(text, encoding="utf-8")
        return subprocess.run(
            [shell, option, program],
            env=os.environ | {"LLMSIM_CONFIG": str(file)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    sound = reload("[server]\nworkers = 2\n")
    faulty = reload("[server]\nworker = 2\n")
    assert (sound.returncode, sound.stdout, sound.stderr) == (0, "", "")
    assert faulty.returncode == 2
    assert "worker" in faulty.stderr
    assert send == "/bin/kill -HUP $MAINPID"


def test_unit_waits_for_a_stop() -> None:
    """HOST-3.4: TimeoutStopSec is more than the default drain delay and graceful timeout."""
    server = Settings().server
    [seconds] = unit_lines("TimeoutStopSec")

    assert int(seconds) > server.drain_delay_secs + server.graceful_timeout_secs


class TestSystemd:
    """What systemd says of the unit."""

    pytestmark = NEEDS_SYSTEMD

    def test_exposure_is_low(self) -> None:
        """HOST-3.1: `systemd-analyze security` finds an exposure below 3."""
        output = subprocess.run(
            [str(SYSTEMD_ANALYZE), "security", "--offline=true", str(UNIT)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        level = re.search(r"exposure level for llmsim\.service: (\d+\.\d+)", output)

        assert level is not None, output
        assert float(level[1]) < 3


# Other systems


def test_documentation_lists_what_needs_linux() -> None:
    """HOST-4.2: Hosting has a list, and says that nothing else is tested."""
    text = (ROOT / "docs" / "hosting.md").read_text(encoding="utf-8")
    section = text.partition("\n## What needs Linux\n")[2].partition("\n## ")[0]

    assert "untested" in section
    assert all(
        word in section for word in ("affinity", "/proc", "SO_REUSEPORT", "systemd", "macOS", "Windows")
    )
