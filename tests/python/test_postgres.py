"""Databases with TLS in every mode, old servers, and a connection pooler in transaction mode."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import psycopg
import pytest
from conftest import report_of
from own_database import Database
from postgres_server import EmbeddedPostgres, open_directory
from test_crash import wait_for
from test_tokens import environment_of, finish, free_port, run, start

import qbo_rs

DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
NEEDS_DEBIAN = pytest.mark.skipif(not DEBIAN, reason="needs Debian's postgresql: `make test` as root installs it")
PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
NEEDS_POOLER = pytest.mark.skipif(PGBOUNCER is None, reason="needs pgbouncer: `make test` as root installs it")


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)  # noqa: S607


def authority(directory, name):
    """Make a certificate authority; return its certificate and key."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    subject = ("-subj", f"/CN={name}", "-days", "2", "-nodes", "-newkey", "rsa:2048")
    openssl("req", "-x509", *subject, "-keyout", str(key), "-out", str(certificate))
    return certificate, key


def certificate_for(directory, name, ca):
    request, key, certificate = (directory / f"server.{ending}" for ending in ("csr", "key", "crt"))
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request))
    names = directory / "names"
    names.write_text(f"subjectAltName=DNS:{name}\n")
    signed = ("-CA", str(ca[0]), "-CAkey", str(ca[1]), "-CAcreateserial", "-days", "2", "-extfile", str(names))
    openssl("x509", "-req", "-in", str(request), *signed, "-out", str(certificate))
    return certificate, key


def database_of(server):
    names = ("PG_USER", "PG_PASSWORD", "PG_HOST", "PG_PORT", "PG_DB")
    return Database("postgresql://{}:{}@{}:{}/{}".format(*(server.environment[name] for name in names)))


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory):
    """Yield a Debian Postgres that accepts only TLS connections, its authority, and another authority."""
    certificates = tmp_path_factory.mktemp("ca")
    ours, other = authority(certificates, "ours"), authority(certificates, "other")
    certificate, key = certificate_for(certificates, "localhost", ours)
    with open_directory() as directory:
        server = EmbeddedPostgres(DEBIAN[-1].parent, directory)
        data = directory / "data"
        for source, name in ((certificate, "server.crt"), (key, "server.key")):
            shutil.copy(source, data / name)
            shutil.chown(data / name, data.owner(), data.group())
            (data / name).chmod(0o600)
        (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\nhostnossl all all all reject\n")
        with (data / "postgresql.auto.conf").open("a") as settings:
            settings.write("ssl = on\n")
        server.stop()
        server = EmbeddedPostgres(DEBIAN[-1].parent, directory)
        yield server, ours[0], other[0]
        server.stop()


MODES = [
    ("disable", None, "localhost", "pg_hba.conf rejects connection|no encryption"),
    ("prefer", None, "127.0.0.1", None),
    ("require", None, "127.0.0.1", None),
    ("verify-ca", "ours", "localhost", None),
    ("verify-ca", "ours", "127.0.0.1", None),
    ("verify-ca", "other", "localhost", "certificate"),
    ("verify-ca", None, "localhost", "certificate"),
    ("verify-full", "ours", "localhost", None),
    ("verify-full", "ours", "127.0.0.1", "certificate"),
    ("verify-full", "other", "localhost", "certificate"),
    ("verify-full", None, "localhost", "certificate"),
    ("verify-full", "no such file", "localhost", "PG_SSLROOTCERT"),
]


@NEEDS_DEBIAN
@pytest.mark.parametrize("by_url", [False, True])
def test_every_tls_mode_behaves_like_libpq(tls_server, tmp_path, by_url):
    server, ours, other = tls_server
    files = {"ours": ours, "other": other, "no such file": tmp_path / "none.pem"}
    with qbo_rs.sandbox(customers=1, items=1, invoices=1, others=0) as qbo:
        for mode, ca, host, reason in MODES:
            settings = server.environment | {"PG_HOST": host, "PG_SSLMODE": mode}
            if ca:
                settings["PG_SSLROOTCERT"] = str(files[ca])
            if by_url:
                root = f"&sslrootcert={files[ca]}" if ca else ""
                user = f"{settings['PG_USER']}:{settings['PG_PASSWORD']}"
                place = f"{host}:{settings['PG_PORT']}/{settings['PG_DB']}"
                settings = {"DATABASE_URL": f"postgresql://{user}@{place}?sslmode={mode}{root}"}
            ended = run(("status",), environment_of(qbo, settings), tmp_path)
            case = f"{mode} {ca} {host}: {ended.stderr}"
            if reason is None:
                assert ended.returncode == 0, case
            else:
                assert ended.returncode == 2, case
                assert any(word in ended.stderr for word in reason.split("|")), case


@NEEDS_DEBIAN
def test_the_oldest_available_server_is_supported(tls_server, tmp_path):
    server, ours, _ = tls_server
    secure = {"PG_HOST": "localhost", "PG_SSLMODE": "verify-full", "PG_SSLROOTCERT": str(ours)}
    with qbo_rs.sandbox(customers=20, items=20, invoices=60, limits=False) as qbo:
        environment = environment_of(qbo, server.environment, secure)
        line = ("backfill", "customers", "items", "invoices", "--start", "2024-01-01", "--end", "2026-01-01", "--json")
        for inserted in (100, 0):
            ended = run((*line, "--chunk", "month"), environment, tmp_path)
            assert ended.returncode == 0, ended.stderr
            assert sum(run["totals"]["inserted"] for run in report_of(ended)["runs"]) == inserted
        assert run(("status", "--validate"), environment, tmp_path).returncode == 0


@NEEDS_DEBIAN
def test_payloads_are_compressed_by_the_fastest_method_of_the_server(tls_server, database, tmp_path):
    server, _, _ = tls_server
    changed = "2024-05-01T12:00:00Z"
    long = {
        "Id": "900001",
        "SyncToken": "0",
        "Name": "Long",
        "Description": "Rows of more than 2 KB are compressed. " * 100,
        "MetaData": {"CreateTime": changed, "LastUpdatedTime": changed},
    }
    secure = Database(database_of(server).url + "?sslmode=require")
    own = "SELECT bool_or('lz4' = ANY(enumvals)) FROM pg_settings WHERE name = 'default_toast_compression'"
    assert secure.query(own) == [(True,)], "Debian builds its servers with lz4"
    with qbo_rs.sandbox(customers=1, items=1, invoices=1, others=0) as qbo:
        qbo.put("Item", long)
        for target, settings in ((secure, server.environment | {"PG_SSLMODE": "require"}), (database, {})):
            environment = environment_of(qbo, database.environment, settings)
            line = ("backfill", "items", "--start", "2024-05-01", "--end", "2024-05-02", "--schema", "raw_long")
            ended = run(line, environment, tmp_path)
            assert ended.returncode == 0, ended.stderr
            method = "SELECT pg_column_compression(payload) FROM raw_long.qb_items WHERE id = '900001'"
            best = "lz4" if target.query(own) == [(True,)] else "pglz"
            assert target.query(method) == [(best,)]


@pytest.fixture
def pooler(database):
    """Yield the test's database behind a pooler in transaction mode."""
    settings, port = database.settings, free_port()
    with open_directory() as directory:
        users = directory / "users.txt"
        users.write_text(f'"{settings["pg_user"]}" "{settings["pg_password"]}"\n')
        configuration = directory / "pgbouncer.ini"
        configuration.write_text(
            f"[databases]\n* = host={settings['pg_host']} port={settings['pg_port']}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = scram-sha-256\nauth_file = {users}\n"
            f"pool_mode = transaction\ndefault_pool_size = 24\nunix_socket_dir =\n"
        )
        for file in (users, configuration):
            file.chmod(0o644)
        line = [PGBOUNCER, *(("-u", "nobody") if os.geteuid() == 0 else ()), str(configuration)]
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        through = Database(database.url.replace(f":{settings['pg_port']}/", f":{port}/"))

        def answers():
            assert process.poll() is None, process.stderr.read()
            try:
                return through.query("SELECT 1") == [(1,)]
            except psycopg.OperationalError:
                return False

        wait_for(answers)
        yield through
        process.terminate()
        process.communicate(timeout=20)


@NEEDS_POOLER
def test_a_pooler_in_transaction_mode_is_supported(pooler, database, tmp_path):
    names = ("customers", "items", "invoices")
    with qbo_rs.sandbox(customers=200, items=200, invoices=2000, others=0, limits=False, rotate_after_s=0) as qbo:
        # Tokens and limits are in this database too. With several processes, named prepared statements would collide.
        environment = environment_of(qbo, pooler.environment, {"QBO_TOKEN_STORE": "postgres"})
        window = ("--start", "2024-01-01", "--end", "2026-01-01", "--chunk", "month", "--page-size", "50")
        for _ in range(3):
            began = time.monotonic()
            processes = [start(("backfill", name, *window), environment, tmp_path) for name in names]
            ended = [finish(process, timeout=90) for process in processes]
            assert [process.stderr for process in ended if process.returncode] == []
            assert not any("prepared statement" in process.stderr for process in ended), time.monotonic() - began
        assert qbo.stats()["refreshes"] == 1
    counts = [database.query(f"SELECT count(*) FROM raw.qb_{name}")[0][0] for name in names]
    assert counts == [200, 200, 2000]
