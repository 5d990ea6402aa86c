"""``docker-compose.yaml`` and its parts, as far as they can be tested without Docker."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import yaml
from host import ROOT, Mage
from jsonschema import Draft7Validator

SCHEMA = ROOT / ".venv" / "compose-spec" / "package" / "src" / "compose-spec" / "schema" / "compose-spec.json"
COMMAND = Path(sys.executable).parent / "qbo-rs"


PASSWORDS = {"PG_PASSWORD", "JWT_SECRET", "MAGE_OWNER_PASSWORD", "PGADMIN_PASSWORD"}
NAMES = {"PG_USER", "MAGE_OWNER_EMAIL", "PGADMIN_EMAIL"}


def settings(file: Path) -> dict[str, str]:
    lines = file.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def example() -> dict[str, str]:
    return settings(ROOT / ".env.example")


def run_script(script: Path, **environment: str) -> subprocess.CompletedProcess:
    line = ["sh", str(script)]
    environment["PATH"] = os.environ["PATH"]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def new_settings(tmp_path) -> dict[str, str]:
    """The settings of a new ``.env``."""
    (tmp_path / "docker").mkdir()
    script = Path(shutil.copy(ROOT / "docker" / "new-env.sh", tmp_path / "docker"))
    shutil.copy(ROOT / ".env.example", tmp_path)
    done = run_script(script)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    made = settings(tmp_path / ".env")
    again = run_script(script)
    assert (again.returncode, settings(tmp_path / ".env")) == (1, made)
    shutil.rmtree(tmp_path / "docker")
    return made


def test_a_new_environment_has_its_own_passwords_and_keeps_the_rest(new_settings):
    known = example()
    changed = {name for name, value in new_settings.items() if known[name] != value}
    assert changed == PASSWORDS == {name for name, value in known.items() if value == "change-me"}
    assert len({new_settings[name] for name in PASSWORDS}) == len(PASSWORDS)
    assert all(len(new_settings[name]) == 32 for name in PASSWORDS)


def test_tokens_that_the_database_could_not_take_outlive_the_container():
    mage = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]["mage"]
    volumes = [volume.split(":")[1] for volume in mage["volumes"] if not volume.startswith(".")]
    assert any(mage["environment"].get("XDG_STATE_HOME", "").startswith(f"{volume}/") for volume in volumes)


WELL_KNOWN = ["change-me", "change-me-too", "CHANGEME", "", "seven77", "password1", "postgres"]
TRIED_FIRST = [
    "12345678",
    "87654321",
    "aaaaaaaa",
    "abababab",
    "qwertyui",
    "1qaz2wsx",
    "postgres1",
    "secretsecret",
    "Welcome2024",
    "Passw0rd!",
    "P@$$w0rd1",
    "hunter2hunter2",
    "12ab12ab12ab",
    "qazwsxedc",
    "Verano2024",
    "S3pt3mb3r24",
]


@pytest.mark.parametrize("value", WELL_KNOWN + TRIED_FIRST)
def test_the_stack_does_not_start_with_a_password_that_everybody_knows(new_settings, value):
    check = ROOT / "docker" / "check-settings.sh"
    good = {name: new_settings[name] for name in PASSWORDS}
    assert run_script(check, **good).returncode == 0
    for name in PASSWORDS:
        done = run_script(check, **good | {name: value})
        assert done.returncode == 1
        assert name in done.stderr
        assert value not in done.stderr or value == ""


def test_no_password_of_the_stack_is_made_of_the_name_of_a_user(new_settings):
    check = ROOT / "docker" / "check-settings.sh"
    good = {name: new_settings[name] for name in PASSWORDS}
    names = {
        "PG_USER": "warehouse",
        "MAGE_OWNER_EMAIL": "josephine@example.com",
        "PGADMIN_EMAIL": "bartholomew@example.com",
    }
    for value in ("warehouse1", "Warehouse2024", "josephine99", "bartholomew"):
        tried = good | {"PG_PASSWORD": value}
        assert run_script(check, **tried).returncode == 0
        assert run_script(check, **tried, **names).returncode == 1
    for value in ("correct horse battery", "h7Kq9zR2", "warehouse-v3Xk9"):
        assert run_script(check, **good | {"PG_PASSWORD": value}, **names).returncode == 0


def test_every_part_of_the_stack_waits_for_the_check_of_its_passwords():
    services = compose()["services"]
    assert set(services["settings-check"]["environment"]) == PASSWORDS | NAMES
    for name in ("postgres", "mage", "pgadmin"):
        assert services[name]["depends_on"]["settings-check"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("name", ["mage", "command"])
def test_no_image_runs_as_root(name):
    lines = (ROOT / "docker" / f"{name}.Dockerfile").read_text().splitlines()
    last_stage = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM")) :]
    users = [line.split()[1].partition(":")[0] for line in last_stage if line.upper().startswith("USER ")]
    # The last one counts.
    assert users
    assert users[-1] not in ("root", "0")


def compose() -> dict:
    return yaml.safe_load((ROOT / "docker-compose.yaml").read_text())


def images_of(workflow: dict) -> list[str]:
    """Return the images that a workflow runs: for its jobs, beside them, and in their commands."""
    named = []
    for job in workflow["jobs"].values():
        beside = job.get("services", {}).values()
        parts = [part for part in (job.get("container"), *beside) if part]
        named += [part["image"] if isinstance(part, dict) else part for part in parts]
        steps = job.get("steps", [])
        named += [step["uses"].removeprefix("docker://") for step in steps if "docker://" in step.get("uses", "")]
        for line in "\n".join(step.get("run", "") for step in steps).splitlines():
            if re.search(r"\bdocker (run|pull|create)\b", line):
                named += re.findall(r"(?<=\s)[a-z0-9][a-z0-9./_-]*(?::[\w.-]+|@sha256:[0-9a-f]{64})+(?=\s|$)", line)
    return named


def test_the_images_of_a_workflow_are_found_wherever_it_names_them():
    run = 'docker run --rm --volume "$PWD:/source:ro" python:3.13-alpine python3 /source/x.py\ndocker pull a.io/b:1'
    pinned = f"c:1@sha256:{'0' * 64}"
    job = {"container": "rust:1", "services": {"db": {"image": "postgres:17"}}}
    steps = [{"run": run}, {"uses": "docker://d:2"}, {"run": f"docker create {pinned}"}]
    found = images_of({"jobs": {"one": job, "two": {"container": {"image": "e:3"}, "steps": steps}}})
    assert found == ["rust:1", "postgres:17", "e:3", "d:2", "python:3.13-alpine", "a.io/b:1", pinned]


#: Images without a digest, which SECURITY.md names.
UNPINNED = {"mageai/mageai:0.9.80", "python:3.13-alpine", "rust:1.95.0-bookworm"}


def test_images_of_others_are_named_by_digest_but_for_those_that_the_page_names():
    named = [service["image"] for service in compose()["services"].values() if "image" in service]
    for file in sorted((ROOT / ".github" / "workflows").glob("*.y*ml")):
        named += images_of(yaml.safe_load(file.read_text()))
    for file in (ROOT / "docker").glob("*.Dockerfile"):
        lines = [line.split() for line in file.read_text().splitlines() if line.startswith("FROM ")]
        stages = {words[3] for words in lines if len(words) > 3}
        named += [words[1] for words in lines if words[1] not in stages]
    unpinned = {image for image in named if not re.search(r"@sha256:[0-9a-f]{64}$", image)}
    assert len(named) >= 9
    assert unpinned == UNPINNED
    page = (ROOT / "SECURITY.md").read_text()
    assert [image for image in UNPINNED if image not in page] == []


def test_the_compose_file_follows_the_specification():
    schema = json.loads(SCHEMA.read_text())
    assert [error.message for error in Draft7Validator(schema).iter_errors(compose())] == []
    broken = compose() | {"services": {"mage": {"image": 7}}}
    assert list(Draft7Validator(schema).iter_errors(broken))


def test_docker_compose_resolves_the_file_with_the_example_environment(tmp_path):
    client = shutil.which("docker-compose")
    if client is None:
        pytest.skip("no docker-compose: as root, `apt-get install docker-compose`")
    shutil.copy(ROOT / "docker-compose.yaml", tmp_path)
    shutil.copytree(ROOT / "docker", tmp_path / "docker")
    shutil.copy(ROOT / ".env.example", tmp_path / ".env")
    line = [client, "--profile", "demo", "config"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    published = {name: [str(port) for port in service.get("ports", [])] for name, service in services.items()}
    for name, port in (("postgres", "5432"), ("mage", "6789"), ("pgadmin", "8085"), ("sandbox", "8911")):
        assert port in published[name][0]
    assert services["mage"]["environment"]["PG_HOST"] == "postgres"
    assert services["mage"]["environment"]["QBO_API_URL"] == "http://sandbox:8911"


def test_every_variable_of_the_compose_file_is_in_the_example():
    text = (ROOT / "docker-compose.yaml").read_text()
    assert set(re.findall(r"\$\{(\w+)", text)) - {"QBO_TOKEN_STORE", "MAGE_UID"} <= set(example())


def test_the_sql_of_the_first_start_makes_the_tables(make_database):
    ddl = subprocess.run(
        [COMMAND, "db", "ddl", "customers", "invoices", "items"], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    assert (ROOT / "docker/postgres/20-tables.sql").read_text() == ddl
    database = make_database()
    with psycopg.connect(database.url) as connection:
        connection.execute(ddl)
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'raw' ORDER BY 1"
    names = ("qb_customers", "qb_invoices", "qb_items", "qb_reports")
    assert database.query(tables) == [(name,) for name in names]
    assert (ROOT / "docker/postgres/10-mage.sql").read_text().rstrip().endswith("CREATE DATABASE mage;")


@pytest.mark.timeout(600)
def test_the_command_of_the_mage_service_starts_the_project(qbo, make_database, new_settings, tmp_path):
    """The environment is that of the compose file, except for addresses."""
    service = compose()["services"]["mage"]
    environment = {
        name: re.sub(r"\$\{(\w+)[^}]*\}", lambda match: new_settings.get(match[1], ""), text)
        for name, text in service["environment"].items()
    }
    database = make_database()
    environment |= {name: value for name, value in new_settings.items() if name.startswith("QBO_")}
    environment |= database.environment | {name: qbo.environment[name] for name in ("QBO_API_URL", "QBO_TOKEN_URL")}
    environment["QBO_TOKEN_STORE"] = "postgres"  # noqa: S105 - not a secret
    mage_database = make_database()
    mage = Mage(tmp_path, mage_database.url, {"PATH": os.environ["PATH"]} | environment)
    assert service["command"] == ["/app/run_app.sh", "mage", "start", "mage_project"]
    owner = {"email": new_settings["MAGE_OWNER_EMAIL"], "password": new_settings["MAGE_OWNER_PASSWORD"]}
    try:
        mage.start(service["command"][1:], owner)
        # Mage has no secret; all settings are in the environment, as in the example file.
        mage.activate("qb_items_backfill", fecha_inicio="2024-01-01", fecha_fin="2026-01-01", chunk="year")
        assert mage.ended_run("qb_items_backfill")["status"] == "completed"
    finally:
        mage.kill()
    assert database.query("SELECT count(*) FROM raw.qb_items") == [(40,)]
