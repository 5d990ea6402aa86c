"""Proxies, firewalls and certificates in the way: who is named, and what is not tried again."""

import http.server
import json
import os
import ssl
import subprocess
import threading
import time

import pytest
from conftest import COMMAND, VARIABLES
from test_tokens import environment_of, run

import qbo_rs

EXTRACT = ("extract", "items", "--start", "2024-01-01", "--end", "2025-01-01", "--chunk", "year")
# The name ends in a reserved domain: only a proxy could know it.
HOST = "qbo.example.invalid"


class Server(http.server.ThreadingHTTPServer):
    """Answers every request in one way, and counts them."""

    def __init__(self, status, body=b"", content_type="text/html", context=None):
        self.requests = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                server.requests.append(f"{self.command} {self.path}")
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Proxy-Authenticate", 'Basic realm="office"')
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_CONNECT = answer  # noqa: N815 - names of the library

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        """Leave out the traces of clients that end the handshake."""


@pytest.fixture
def app(tmp_path):
    """Return a function that extracts with more settings, from a host that only a proxy knows."""

    def extract(scheme, **settings):
        company = {
            "QBO_CLIENT_ID": "i",
            "QBO_CLIENT_SECRET": "s",
            "QBO_REFRESH_TOKEN": "r",
            "QBO_REALM_ID": "9",
            "QBO_API_URL": f"{scheme}://{HOST}",
            "QBO_TOKEN_URL": f"{scheme}://{HOST}/token",
            "QBO_RETRY_FOR_S": "2",
        }
        inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        inherited = {name: value for name, value in inherited.items() if "proxy" not in name.lower()}
        environment = inherited | company | settings
        begin = time.monotonic()
        ended = subprocess.run(
            [COMMAND, *EXTRACT, "--out", str(tmp_path / "landing")],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        ended.seconds = time.monotonic() - begin
        return ended

    return extract


@pytest.mark.parametrize(
    ("scheme", "variable"),
    [
        ("http", "HTTP_PROXY"),
        ("http", "http_proxy"),
        ("http", "ALL_PROXY"),
        ("https", "HTTPS_PROXY"),
        ("https", "https_proxy"),
        ("https", "all_proxy"),
    ],
)
def test_a_proxy_that_wants_a_password_is_named_and_asked_once(app, scheme, variable):
    proxy = Server(407, b"<html>Proxy Authentication Required</html>")
    address = f"127.0.0.1:{proxy.server_port}"
    ended = app(scheme, QBO_RETRY_FOR_S="60", **{variable: f"http://anna:h%40sh-hush@{address}"})
    assert ended.returncode == 2
    [last] = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert last.startswith(f"error: {variable}: ")
    assert f"http://{address}" in last
    assert "407" in last
    assert "hush" not in ended.stderr + ended.stdout
    assert len(proxy.requests) == 1
    assert ended.seconds < 20


@pytest.mark.parametrize(
    ("scheme", "variable"), [("http", "HTTP_PROXY"), ("https", "HTTPS_PROXY"), ("https", "ALL_PROXY")]
)
def test_a_proxy_that_is_down_is_named(app, scheme, variable):
    ended = app(scheme, **{variable: "http://anna:hush@127.0.0.1:9"})
    assert ended.returncode == 2
    last = ended.stderr.splitlines()[-1]
    assert f"the proxy http://127.0.0.1:9 of {variable}" in last
    assert HOST in last
    assert "hush" not in ended.stderr


def test_a_proxy_that_does_not_let_a_host_through_is_named(app):
    proxy = Server(403, b"<html>Forbidden</html>")
    ended = app("https", HTTPS_PROXY=f"http://127.0.0.1:{proxy.server_port}")
    assert f"the proxy http://127.0.0.1:{proxy.server_port} of HTTPS_PROXY does not connect" in ended.stderr


def test_a_proxy_that_is_not_used_is_not_named(app):
    ended = app("http", HTTP_PROXY="http://127.0.0.1:9", NO_PROXY=f".invalid,{HOST}")
    assert ended.returncode == 2
    assert "proxy" not in ended.stderr


def test_a_firewall_and_a_missing_scope_have_their_own_hints(tmp_path):
    hints = [("firewall", "firewall or proxy"), ("scope", "without the scope"), ("forbidden", "QBO_ENVIRONMENT")]
    for fault, words in hints:
        with qbo_rs.sandbox(customers=1, items=5, invoices=1, others=0, limits=False) as qbo:
            qbo.fault(fault, on="query", times=0)
            ended = run((*EXTRACT, "--out", str(tmp_path / "landing")), environment_of(qbo), tmp_path)
            assert (ended.returncode, words in ended.stderr) == (1, True), ended.stderr


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)  # noqa: S607


def certificate(directory, *, host="127.0.0.1", is_expired=False, is_authority=False):
    """Make a certificate that signs itself, and return its file and that of its key."""
    key, request, file, extensions = (directory / name for name in ("key.pem", "request.pem", "made.pem", "ext.cnf"))
    extensions.write_text(f"basicConstraints=critical,CA:{str(is_authority).upper()}\nsubjectAltName=IP:{host}\n")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-keyout", str(key), "-out", str(request))
    days = "-1" if is_expired else "9"
    signed = ("-signkey", str(key), "-days", days, "-extfile", str(extensions))
    openssl("x509", "-req", "-in", str(request), *signed, "-out", str(file))
    if is_expired:
        # Its life must begin before it ends: the first time in it (UTCTime, two digits of the year) is its beginning.
        der = bytearray(ssl.PEM_cert_to_DER_cert(file.read_text()))
        begin = der.index(b"\x17\x0d") + 2
        der[begin : begin + 2] = b"20"
        file.write_text(ssl.DER_cert_to_PEM_cert(bytes(der)))
    return file, key


@pytest.mark.parametrize(
    ("made", "is_known", "words"),
    [
        ({}, False, "error: SSL_CERT_FILE: the certificate of 127.0.0.1:"),
        ({"is_authority": True}, False, "error: SSL_CERT_FILE: the certificate of 127.0.0.1:"),
        ({"is_expired": True}, True, "it has expired"),
        ({"host": "127.0.0.2"}, True, "it belongs to another host"),
    ],
    ids=["unknown authority", "its own authority", "expired", "wrong host"],
)
def test_a_certificate_that_is_not_accepted_is_explained_and_not_tried_again(app, tmp_path, made, is_known, words):
    file, key = certificate(tmp_path, **made)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key)
    server = Server(200, json.dumps({}).encode(), "application/json", context)
    url = f"https://127.0.0.1:{server.server_port}"
    trusted = {"SSL_CERT_FILE": str(file)} if is_known else {}
    ended = app("https", QBO_API_URL=url, QBO_TOKEN_URL=f"{url}/token", QBO_RETRY_FOR_S="60", **trusted)
    assert ended.returncode == 2
    assert words in ended.stderr
    assert "trying again" not in ended.stderr
    assert ended.seconds < 20
    assert server.requests == []


def test_a_server_without_tls_is_explained_and_not_tried_again(app):
    server = Server(200)
    url = f"https://127.0.0.1:{server.server_port}"
    ended = app("https", QBO_API_URL=url, QBO_TOKEN_URL=f"{url}/token", QBO_RETRY_FOR_S="60")
    assert (ended.returncode, "does not speak TLS" in ended.stderr) == (2, True), ended.stderr
    assert "trying again" not in ended.stderr
