"""Progress on a terminal, on a screen of real size, and in a log."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios

import pyte
import pytest
from companies import UNLIMITED, keywords
from conftest import COMMAND, VARIABLES, report_of
from service import hold_after
from waiting import until

import qbo_rs

RANGE = ["--start", "2024-01-01", "--end", "2026-01-01", "--chunk", "month"]
LINES = 24


class Terminal:
    """A command in a pseudo-terminal, and the screen that it has drawn."""

    def __init__(self, columns, environment, *arguments):
        self.screen = pyte.HistoryScreen(columns, LINES, history=500)
        self.stream = pyte.ByteStream(self.screen)
        self.seen = []
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
        self.process = subprocess.Popen([COMMAND, *arguments], env=environment, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.ours = ours

    def read(self):
        """Draw what has come; return False at the end."""
        if not select.select([self.ours], [], [], 0.1)[0]:
            return self.process.poll() is None
        try:
            data = os.read(self.ours, 65536)
        except OSError:
            return False
        self.stream.feed(data)
        self.seen.append(self.lines())
        return bool(data)

    def lines(self):
        """Return the lines of the screen that are not blank, with those that have scrolled away."""
        above = ["".join(line[column].data for column in sorted(line)).rstrip() for line in self.screen.history.top]
        return [line for line in above + [line.rstrip() for line in self.screen.display] if line]

    def run(self):
        """Draw until the command ends; return its exit code."""
        while self.read():
            pass
        os.close(self.ours)
        return self.process.wait(timeout=30)

    def wait_for(self, pattern):
        """Draw until a line of the screen matches."""

        def is_drawn():
            if any(re.search(pattern, line) for line in self.lines()):
                return True
            assert self.read(), self.lines()
            return False

        until(is_drawn, self.lines, every=0)


def environment_of(qbo, database):
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return inherited | UNLIMITED | qbo.environment | database.environment | {"TERM": "xterm-256color"}


@pytest.fixture
def slow():
    with qbo_rs.sandbox(customers=60, items=40, invoices=300, others=0, limits=False, latency_ms=100) as sandbox:
        yield sandbox


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_entities_that_are_done_stay_and_the_end_is_one_screen(slow, database, columns):
    terminal = Terminal(
        columns, environment_of(slow, database), "backfill", "customers", "items", *RANGE, "--strict-windows"
    )
    assert terminal.run() == 0
    last = terminal.lines()
    done = [line for line in last if re.match(r"  (customers|items) +done +\d+ rows +[\d.]+ s$", line)]
    assert len(done) == 2, last
    assert any(line.startswith("Done in ") for line in last)
    assert last[-1].startswith("Next: ")
    # Nothing of the progress is left below what is done, and no line was ever longer than the screen.
    assert not any("Ctrl-C is safe" in line for line in last)
    during = [line for lines in terminal.seen for line in lines]
    assert any(re.search(r"[12] of 2 entities · \d+ requests?", line) for line in during)
    assert any("Ctrl-C is safe" in line for line in during)
    assert all(len(line) <= 80 for line in during if "qbo-rs" not in line)


def shows(terminal, pattern):
    """Tell whether a line matched while the command ran; none of them may be left, nor say more than all."""
    terminal.run()
    during = [line for lines in terminal.seen for line in lines]
    assert not any("Ctrl-C is safe" in line for line in terminal.lines())
    assert all(int(share) <= 100 for line in during for share in re.findall(r"(\d+) %", line)), during
    return any(re.search(pattern, line) for line in during)


def test_a_comparison_of_records_shows_how_far_it_is(slow, database):
    environment = environment_of(slow, database)
    line = (COMMAND, "backfill", "customers", "items", *RANGE)
    subprocess.run(line, env=environment, check=True, capture_output=True, timeout=60)
    terminal = Terminal(80, environment, "verify", "customers", "items", *RANGE)
    assert shows(terminal, r"[12] of 2 entities · \d+ requests?")


def test_a_comparison_of_books_shows_how_far_it_is(database):
    with qbo_rs.sandbox(books=150, limits=False, latency_ms=100) as books:
        books.control("plant", kind="lost", entity="Invoice")
        environment = environment_of(books, database) | {"QBO_TOKEN_STORE": "postgres"}
        subprocess.run((COMMAND, "sync"), env=environment, check=True, capture_output=True, timeout=60)
        terminal = Terminal(80, environment, "verify", "--books", "--start", "2020-01-01", "--end", "2025-12-31")
        assert shows(terminal, r"reports .* \d+ %")


def test_a_pause_is_counted_down(slow, database):
    slow.fault("throttle", on="query", nth=3, retry_after=6)
    terminal = Terminal(80, environment_of(slow, database), "backfill", "items", *RANGE, "--strict-windows")
    terminal.wait_for(r"items .*waiting [1-6] s: QuickBooks asked to slow down")
    assert terminal.run() == 0
    assert not any("waiting" in line for line in terminal.lines())


def test_a_stop_leaves_the_command_that_goes_on(slow, database):
    line = ("backfill", "items", *RANGE, "--strict-windows")
    hold_after(slow, 5)
    terminal = Terminal(80, environment_of(slow, database), *line)
    terminal.wait_for(r"items .* \d+ %")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.run() == 130
    said = " ".join(terminal.lines())
    assert re.search(r"Stopped (after \d+ of 24 windows|before a window was complete)", said), said
    assert "".join(said.split()).endswith("".join(["Goon:qbo-rs", *line, "--resume"])), said


def test_a_log_has_a_line_of_progress_every_ten_seconds(database):
    with qbo_rs.sandbox(customers=1, items=40, invoices=1, others=0, limits=False, latency_ms=2500) as sandbox:
        environment = environment_of(sandbox, database)
        company = environment["QBO_REALM_ID"]
        line = [COMMAND, "backfill", "items", *RANGE, "--strict-windows", "--log-format", "json", "--json"]
        ended = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert report_of(ended)["runs"][0]["totals"]["rows"] == 40
    events = [json.loads(line) for line in ended.stderr.splitlines()]
    progress = [event for event in events if event.get("event") == "progress"]
    assert progress, ended.stderr
    assert progress[0]["realm_id"] == company
    assert (progress[0]["entity"], progress[0]["windows"]) == ("items", 24)
    assert 0 < progress[0]["windows_done"] < 24
    assert progress[0]["requests"] >= progress[0]["windows_done"]


def fail(sandbox, start, message):
    """Let the window that begins on a day fail for good, with a message."""
    sandbox.fault("refused", on="query", contains=f">= '{start}", times=0, code="4000", message=message)


def said_by(terminal):
    """Return what a terminal shows, without the ends of its lines."""
    return " ".join(" ".join(terminal.lines()).split())


def test_a_failure_is_told_when_the_command_is_stopped(slow, database):
    fail(slow, "2024-01-01", "the first month is gone")
    slow.fault("hang", on="query", contains=">= '2024-03-01", times=0)
    terminal = Terminal(80, environment_of(slow, database), "backfill", "items", *RANGE, "--strict-windows")
    until(lambda: terminal.read() and slow.control("faults")[-1]["struck"] > 0, terminal.lines, every=0)
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.run() == 130
    said = said_by(terminal)
    failed, stopped = said.find("the first month is gone"), said.find("Stopped ")
    assert 0 <= failed < stopped, terminal.lines()
    assert said.count("the first month is gone") == 1, terminal.lines()


def test_a_reason_of_its_own_is_told_however_many_windows_fail(slow, database):
    for month in range(1, 12):
        fail(slow, f"2024-{month:02d}-01", "the month is gone")
    fail(slow, "2024-12-01", "the disk is full")
    year = ("--start", "2024-01-01", "--end", "2025-01-01", "--chunk", "month", "--strict-windows")
    terminal = Terminal(80, environment_of(slow, database), "backfill", "items", *year)
    assert terminal.run() == 1
    said = said_by(terminal)
    assert "the disk is full" in said, terminal.lines()
    assert said.count("the month is gone") == 1, terminal.lines()
    assert "and 1 more failure" in said, terminal.lines()


def test_a_repair_that_fails_says_why(qbo, database):
    environment = environment_of(qbo, database)
    year = ("--start", "2024-01-01", "--end", "2026-01-01", "--chunk", "9999d")
    subprocess.run([COMMAND, "backfill", "items", *year], env=environment, capture_output=True, check=True)
    database.execute("DELETE FROM raw.qb_items WHERE id = (SELECT min(id) FROM raw.qb_items)")
    refuse = "BEGIN RAISE EXCEPTION 'the shelf is full'; END"
    database.execute(f"CREATE FUNCTION raw.refuse() RETURNS trigger LANGUAGE plpgsql AS $${refuse}$$")
    database.execute("CREATE TRIGGER refuse AFTER INSERT ON raw.qb_items FOR EACH ROW EXECUTE FUNCTION raw.refuse()")
    terminal = Terminal(80, environment, "verify", "items", *year, "--repair")
    assert terminal.run() == 1, terminal.lines()
    said = said_by(terminal)
    assert re.search("reading it again failed: .*the shelf is full", said), terminal.lines()
    [window] = qbo_rs.verify("items", *year[1::2], repair=True, **keywords(qbo), **database.settings).runs[0].different
    assert "the shelf is full" in window.repair_error
