"""The manifests: valid by the schemas of Kubernetes, and what they run is run here as they say."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml

import qbo_rs

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = sorted((ROOT / "deploy/kubernetes").glob("*.yaml"))
OBJECTS = [each for path in MANIFESTS for each in yaml.safe_load_all(path.read_text())]


def of_kind(kind: str) -> dict[str, Any]:
    [found] = [each for each in OBJECTS if each["kind"] == kind]
    return found["spec"]


def pods() -> Iterator[dict[str, Any]]:
    yield of_kind("Deployment")["template"]["spec"]
    yield of_kind("CronJob")["jobTemplate"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", ["1.31", kubernetes_validate.latest_version()])
def test_manifests_are_valid(version):
    assert len(OBJECTS) == 6
    for each in OBJECTS:
        kubernetes_validate.validate(each, version, strict=True)
    broken = json.loads(
        json.dumps(next(each for each in OBJECTS if each["kind"] == "Deployment")).replace(
            '"replicas": 2', '"replicas": "two"'
        )
    )
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, version, strict=True)


def test_images_are_those_of_the_dockerfiles_and_of_this_version():
    images = {container["image"] for pod in pods() for container in pod["containers"]}
    assert images
    version = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    for image in images:
        name, _, tag = image.partition(":")
        assert tag == version
        assert (ROOT / "docker" / f"{name.removeprefix('qbo-rs-')}.Dockerfile").is_file()


def test_secrets_are_named_and_never_written():
    secrets = set(qbo_rs._core.secret_settings())
    for pod in pods():
        # Otherwise Kubernetes adds variables such as PG_PORT for services that happen to have such names.
        assert pod["enableServiceLinks"] is False
        for container in pod["containers"]:
            assert container["envFrom"] == [{"secretRef": {"name": "qbo-rs"}}]
            assert not secrets & {each["name"] for each in container["env"]}
    assert "Secret" not in {each["kind"] for each in OBJECTS}


def test_labels_and_ports_of_the_service_are_those_of_the_pods():
    service, deployment = of_kind("Service"), of_kind("Deployment")
    assert service["selector"] == deployment["template"]["metadata"]["labels"] == deployment["selector"]["matchLabels"]
    [container] = deployment["template"]["spec"]["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert {each["targetPort"] for each in service["ports"]} <= ports.keys()
    probed = {container[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")}
    assert probed <= ports.keys()


@pytest.mark.usefixtures("connected")
def test_the_service_runs_as_the_manifest_says_and_answers_its_probes(monkeypatch):
    [container] = of_kind("Deployment")["template"]["spec"]["containers"]
    monkeypatch.setenv("QBO_API_KEY", "a-key-of-the-test-that-is-long")
    # The port of the manifest may be taken on this machine.
    port = free_port()
    arguments = [sys.executable, "-m", "qbo_rs", *container["args"], "--port", str(port)]
    [declared] = container["ports"]
    help_ = subprocess.run([*arguments[:3], "serve", "--help"], capture_output=True, text=True, check=True).stdout
    assert f"[default: {declared['containerPort']}]" in help_
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as service:
        assert str(port) in service.stdout.readline()
        for probe in ("livenessProbe", "readinessProbe"):
            url = f"http://127.0.0.1:{port}{container[probe]['httpGet']['path']}"
            with urllib.request.urlopen(url, timeout=container[probe]["timeoutSeconds"]) as answer:
                assert answer.status == 200
        service.terminate()
        assert service.wait(of_kind("Deployment")["template"]["spec"]["terminationGracePeriodSeconds"]) in (0, 143)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.usefixtures("connected")
def test_pods_sync_every_company_once_and_one_that_fails_ends_its_pod_alone(qbo):
    spec = of_kind("CronJob")["jobTemplate"]["spec"]
    [container] = spec["template"]["spec"]["containers"]
    assert str(spec["completions"]) == container["args"][1]
    assert spec["parallelism"] == spec["completions"] >= spec["maxFailedIndexes"]

    def pod(number: int) -> tuple[int, list[str]]:
        arguments = [each.replace("$(BUCKET)", str(number)) for each in container["args"]]
        command = [sys.executable, *container["command"][1:], *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
        return done.returncode, [account["realm_id"] for account in json.loads(done.stdout)["accounts"]]

    done = [pod(number) for number in range(spec["completions"])]
    assert {code for code, _ in done} == {0}
    assert sorted(realm_id for _, realm_ids in done for realm_id in realm_ids) == sorted(qbo.companies)
    assert all(entity.rows == 0 for account in qbo_rs.sync(["customers"]).accounts for entity in account.entities)

    broken = next(iter(qbo.companies))
    qbo.control("disconnect", realm=broken)
    qbo.control("expire-tokens")
    for number, (_, realm_ids) in enumerate(done):
        assert pod(number)[0] == (1 if broken in realm_ids else 0)
