"""The module in a process: import, threads, fork, panic, exceptions and Ctrl-C."""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys

import pytest
from conftest import COMMAND, ROOT, VARIABLES, keywords
from service import hold_after, is_held
from waiting import until

import qbo_rs

RANGE = ("2024-01-01", "2026-01-01")


def run_python(code: str, *arguments: str, timeout: float = 30) -> subprocess.CompletedProcess:
    line = [sys.executable, "-c", code, *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=timeout, check=False)


def test_import_starts_no_thread():
    code = "import os, qbo_rs; print(len(os.listdir('/proc/self/task')))"
    assert run_python(code).stdout == "1\n"


CONCURRENT_FIRST_CALLS = """
import sys, threading
import qbo_rs
assert "logging" not in sys.modules, "already imported, so the first call would not import it"
start, outcomes = threading.Barrier(10), []

def blocking():
    start.wait()
    try:
        qbo_rs.backfill("items", "2024-01-01", "2024-02-01")
    except qbo_rs.ConfigError as error:
        outcomes.append(type(error).__name__)

def awaitable():
    start.wait()
    try:
        qbo_rs.backfill_async("items", "2024-01-01", "2024-02-01").send(None)
    except RuntimeError as error:  # no running event loop
        outcomes.append(type(error).__name__)

threads = [threading.Thread(target=globals()[sys.argv[1]]) for _ in range(10)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(outcomes))
"""


@pytest.mark.parametrize("kind", ["blocking", "awaitable"])
def test_first_calls_of_ten_threads_at_once_all_return(kind):
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    line = [sys.executable, "-c", CONCURRENT_FIRST_CALLS, kind]
    for _ in range(30):
        done = subprocess.run(line, capture_output=True, text=True, timeout=20, check=True, env=inherited)
        assert done.stdout == "10\n", done.stderr


def in_child(function, *arguments):
    """Run a function in a forked process, like Mage does; return the result from its queue."""
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=function, args=(answers, *arguments))
    child.start()
    answer = answers.get(timeout=60)
    child.join(timeout=10)
    assert child.exitcode == 0
    return answer


def backfill_in_child(answers, settings):
    answers.put(qbo_rs.backfill("items", *RANGE, "year", **settings).rows)


def async_in_child(answers, settings):
    try:
        qbo_rs.backfill_async("items", *RANGE, "year", **settings).send(None)
    except qbo_rs.ConfigError as error:
        answers.put(str(error))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_works_after_a_call_of_its_parent(settings):
    assert qbo_rs.backfill("items", *RANGE, "year", **settings).rows == 40
    assert in_child(backfill_in_child, settings) == 40


def test_an_awaitable_is_refused_in_a_forked_child():
    # A separate process is used, since the runtime of the awaitables lives as long as the process.
    code = """
import asyncio, os, signal, sys, qbo_rs
async def use():
    try:
        await qbo_rs.upsert_async("/no/such", pg_host="127.0.0.1", pg_port=1, pg_db="d", pg_user="u")
    except qbo_rs.QboError as error:
        print(type(error).__name__, flush=True)
asyncio.run(use())
child = os.fork()
if child == 0:
    signal.alarm(20)
    asyncio.run(use())
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    assert run_python(code).stdout == "LandingError\nConfigError\n"


PANICKING_CALLS = """
import asyncio
import qbo_rs
postgres = dict(pg_host="127.0.0.1", pg_port=1, pg_db="d", pg_user="u")
async def use():
    return await qbo_rs.upsert_async("/no/such", **postgres)
for call in (lambda: qbo_rs.upsert("/no/such", **postgres), lambda: asyncio.run(use())) * 2:
    try:
        call()
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
"""


def test_a_panic_is_an_ordinary_exception():
    # No thread can have a stack of this size, and a Rust runtime that cannot start its threads panics.
    environment = os.environ | {"RUST_MIN_STACK": str(1 << 60)}
    line = [sys.executable, "-c", PANICKING_CALLS]
    ended = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("InternalError: internal error: ") for line in lines), lines
    assert "OS can't spawn worker thread" in lines[0]
    assert "panicked at" in ended.stderr


def test_every_exception_is_a_qbo_error():
    for name in qbo_rs.exceptions.__all__:
        exception = getattr(qbo_rs.exceptions, name)
        assert issubclass(exception, qbo_rs.QboError)
        assert issubclass(exception, Exception)


def test_every_exception_that_the_core_names_exists():
    named = re.findall(r'=> "(\w+Error)"', (ROOT / "src" / "python" / "error.rs").read_text())
    assert len(named) >= 11
    for name in named:
        raised = getattr(qbo_rs.exceptions, name)("text", recovery="retry", attempts=3, intuit_tid="t")
        assert (str(raised), raised.recovery, raised.attempts, raised.intuit_tid) == ("text", "retry", 3, "t")


def test_ctrl_c_stops_a_run_in_its_middle_and_leaves_committed_windows(database):
    code = """
import json, signal, sys, qbo_rs
# SIGINT is handled as in a terminal; a background job is started with the signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
settings = json.loads(sys.argv[1])
try:
    qbo_rs.backfill("invoices", "2024-01-01", "2026-01-01", "month", strict_windows=True, **settings)
except KeyboardInterrupt:
    print("interrupted")
"""
    with qbo_rs.sandbox(customers=1, items=1, invoices=300, limits=False) as slow:
        hold_after(slow, 5)
        settings = json.dumps(keywords(slow) | database.settings)
        process = subprocess.Popen([sys.executable, "-c", code, settings], stdout=subprocess.PIPE, text=True)
        until(lambda: is_held(database))
        process.send_signal(signal.SIGINT)
        # The answers that it waits for never come.
        output, _ = process.communicate(timeout=60)
    assert output == "interrupted\n"
    states = dict(database.query("SELECT status, count(*) FROM qbo.windows GROUP BY 1"))
    assert 0 < states["done"] < 24
    assert_stopped(database)


def assert_stopped(database):
    """Assert that unfinished windows are recorded as stopped, not as killed."""
    stopped = database.query("SELECT status, error, attempts FROM qbo.windows WHERE status <> 'done'")
    assert 1 <= len(stopped) <= 4
    assert set(stopped) == {("failed", "stopped before it was done; committed windows stay", 1)}


@pytest.mark.parametrize("verb", ["backfill", "sync"])
def test_a_command_that_is_stopped_before_its_first_record_gives_the_schema_back(database, verb):
    with qbo_rs.sandbox(customers=1, items=1, invoices=30, limits=False) as slow:
        hold_after(slow, 0)
        slow.fault("hang", on="batch", times=0)
        inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        environment = inherited | slow.environment | database.environment
        span = ["--start", RANGE[0], "--end", RANGE[1]] if verb == "backfill" else []
        process = subprocess.Popen([COMMAND, verb, "invoices", *span], env=environment, stderr=subprocess.DEVNULL)
        table = "qbo.windows" if verb == "backfill" else "qbo.sync_turns"
        until(lambda: database.query(f"SELECT to_regclass('{table}') IS NOT NULL") == [(True,)])
        until(lambda: database.query(f"SELECT count(*) > 0 FROM {table}") == [(True,)])
        assert len(database.query("SELECT * FROM qbo.schema_realms")) == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert database.query("SELECT * FROM qbo.schema_realms") == []


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_command_stops_on_signals(database, sent, code):
    with qbo_rs.sandbox(customers=1, items=1, invoices=300, limits=False) as slow:
        hold_after(slow, 5)
        inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        environment = inherited | slow.environment | database.environment
        line = [COMMAND, "backfill", "invoices", "--start", RANGE[0], "--end", RANGE[1], "--chunk", "month"]
        line.append("--strict-windows")
        process = subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, text=True)
        until(lambda: is_held(database))
        process.send_signal(sent)
        # The answers that it waits for never come.
        _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert_stopped(database)
    done = re.fullmatch(
        r"Stopped after (\d+) of 24 windows, \d+ rows?; they stay\. Go on:  (.*)", errors.splitlines()[-1]
    )
    assert done, errors
    assert done[2] == " ".join(["qbo-rs", *line[1:], "--resume"])
    committed = database.query("SELECT count(*) FROM qbo.windows WHERE status = 'done'")
    assert abs(committed[0][0] - int(done[1])) <= 4
