"""Idle, slow and hostile clients of ``qbo-rs serve``, and the honest ones beside them.

``python tests/service_attack.py HOST PORT CLIENTS`` attacks a service until its standard input ends. ``CLIENTS`` is a
JSON object, the number of clients by kind. It prints ``open`` when each of them has connected, and at the end a JSON
object: how often those of a kind have connected, and the answers that they got by status. It fails if a client ends for
another reason than that the service closed its connection. ``attacking`` runs that as processes of their own, so that
the attack does not slow down what is measured.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

PAUSE = 1.0
# Well formed, so that only the whole body shows that it is wrong.
FALSE_SIGNATURE = base64.b64encode(bytes(32)).decode()


def request(method: str, path: str, length: int | None = None, *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


SIGNED_FALSELY = f"intuit-signature: {FALSE_SIGNATURE}"
WEBHOOK = "/webhooks/qbo"


async def idle(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def trickle(writer: asyncio.StreamWriter, beginning: bytes, rest: bytes) -> None:
    writer.write(beginning)
    for byte in rest:
        await writer.drain()
        await asyncio.sleep(PAUSE)
        writer.write(bytes([byte]))
    await asyncio.sleep(3600)


async def slow_head(writer: asyncio.StreamWriter) -> None:
    await trickle(writer, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"x" * 3600)


async def slow_body(writer: asyncio.StreamWriter) -> None:
    await trickle(writer, request("POST", "/api/qbo/sync/", 3000), b"x" * 2000)


async def slow_webhook(writer: asyncio.StreamWriter) -> None:
    await trickle(writer, request("POST", WEBHOOK, 3000, SIGNED_FALSELY), b"x" * 2000)


async def large_webhook(writer: asyncio.StreamWriter) -> None:
    await trickle(writer, request("POST", WEBHOOK, 3_000_000, SIGNED_FALSELY) + b"x" * 1_000_000, b"x" * 2000)


async def part_of_webhook(writer: asyncio.StreamWriter) -> None:
    """Send the first 32 KB of a larger body at once, and nothing more."""
    writer.write(request("POST", WEBHOOK, 65536, SIGNED_FALSELY) + b"x" * 32767)
    await writer.drain()
    await asyncio.sleep(3600)


async def no_reader(writer: asyncio.StreamWriter) -> None:
    """Ask for the largest answer that needs no key, again and again, and read nothing."""
    while True:
        writer.write(request("GET", "/openapi.json") * 20)
        await writer.drain()


# The largest delivery that the service reads before it knows whether it is signed.
MAX_DELIVERY = 16 * 1024 * 1024


async def huge_webhook(writer: asyncio.StreamWriter) -> None:
    """Send a body as large as is read, as fast as it is read."""
    writer.write(request("POST", WEBHOOK, MAX_DELIVERY, SIGNED_FALSELY, "Connection: close"))
    part = b"x" * (1024 * 1024)
    for _ in range(MAX_DELIVERY // len(part)):
        writer.write(part)
        await writer.drain()
    await asyncio.sleep(3600)


SLOW_KINDS = (idle, slow_head, slow_body, slow_webhook, part_of_webhook, large_webhook, huge_webhook, no_reader)
KINDS = {kind.__name__: kind for kind in SLOW_KINDS}
FLOOD = "flood"


async def hostile(host: str, port: int, kind: str, tally: Counter, has_connected: asyncio.Event) -> None:
    """Behave badly on one connection after another."""
    behave = KINDS[kind]
    while True:
        # A small limit, so that the client stops to read from the socket.
        reader, writer = await asyncio.open_connection(host, port, limit=1)
        tally["connected"] += 1
        has_connected.set()
        if behave is no_reader:
            writer.transport.pause_reading()

        async def misbehave(writer: asyncio.StreamWriter = writer) -> None:
            with contextlib.suppress(ConnectionError):
                await behave(writer)

        behaving = asyncio.ensure_future(misbehave())
        # The service closes the connection: come again.
        ended = asyncio.ensure_future(asyncio.sleep(3600) if behave is no_reader else status_of_answer(reader))
        await asyncio.wait({behaving, ended}, return_when=asyncio.FIRST_COMPLETED)
        if behaving.done() and not ended.done():
            # What it wrote met a closed connection; the answer may have come before.
            await asyncio.wait({ended}, timeout=0.1)
        for task in (behaving, ended):
            task.cancel()
        results = await asyncio.gather(behaving, ended, return_exceptions=True)
        writer.transport.abort()
        for result in results:
            if isinstance(result, Exception):
                raise result
        if isinstance(results[1], int):
            tally[str(results[1])] += 1
        await asyncio.sleep(0.2)


async def status_of_answer(reader: asyncio.StreamReader) -> int:
    """Read to the end; return the status, 0 if none came."""
    answer = b""
    with contextlib.suppress(ConnectionError):
        while part := await reader.read(65536):
            answer = answer or part
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


async def flood(host: str, port: int, _kind: str, tally: Counter, has_connected: asyncio.Event) -> None:
    """Post falsely signed webhooks, each as soon as the one before is answered."""
    body = json.dumps([{"id": "x", "type": "qbo.item.updated.v1", "intuitentityid": "1", "intuitaccountid": "1"}])
    post = request("POST", WEBHOOK, len(body), SIGNED_FALSELY) + body.encode()
    while True:
        reader, writer = await asyncio.open_connection(host, port)
        tally["connected"] += 1
        has_connected.set()
        with contextlib.suppress(ConnectionError):
            writer.write(post)
            while answer := await reader.read(65536):
                tally[answer.split(b" ", 2)[1].decode()] += 1
                writer.write(post)
        writer.transport.abort()


async def attack(host: str, port: int, clients: dict[str, int]) -> None:
    """Attack until the standard input ends."""
    tallies: dict[str, Counter] = {kind: Counter() for kind in clients}
    attackers, connected = [], []
    for kind, number in clients.items():
        for _ in range(number):
            connected.append(asyncio.Event())
            client = flood if kind == FLOOD else hostile
            attackers.append(asyncio.ensure_future(client(host, port, kind, tallies[kind], connected[-1])))

    async def until(event: asyncio.Future) -> None:
        await asyncio.wait({event, *attackers}, return_when=asyncio.FIRST_COMPLETED)
        for attacker in attackers:
            if attacker.done():
                attacker.result()

    await until(asyncio.ensure_future(asyncio.gather(*(event.wait() for event in connected))))
    print("open", flush=True)
    await until(asyncio.ensure_future(asyncio.to_thread(sys.stdin.read)))
    print(json.dumps(tallies), flush=True)
    for attacker in attackers:
        attacker.cancel()
    await asyncio.gather(*attackers, return_exceptions=True)


@contextlib.contextmanager
def attacking(address: str, clients: dict[str, int]) -> Iterator[dict[str, dict[str, int]]]:
    """Attack the service at an address, from when all clients have connected.

    Yields an object that holds what the clients report once the attack has ended.
    """
    host, port = address.removeprefix("http://").split(":")
    # The floods have a process of their own, so that the clients do not slow them down.
    floods = {kind: number for kind, number in clients.items() if kind == FLOOD}
    others = {kind: number for kind, number in clients.items() if kind not in floods}
    lines = [[sys.executable, __file__, host, port, json.dumps(kinds)] for kinds in (others, floods) if kinds]
    reports: dict[str, dict[str, int]] = {}
    processes = [subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for line in lines]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
        yield reports
        for process in processes:
            report = process.communicate(timeout=30)[0]
            assert process.returncode == 0
            reports.update(json.loads(report))
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def mixture(clients: int, floods: int) -> dict[str, int]:
    """Return the number of clients by kind: floods, and as many of all other kinds."""
    kinds = [kind.__name__ for kind in SLOW_KINDS]
    return dict(Counter(kinds[number % len(kinds)] for number in range(clients))) | {FLOOD: floods}


class Answer(NamedTuple):
    """The status of an answer, 0 if none came, and the seconds until it was read."""

    status: int
    seconds: float


class Measured(NamedTuple):
    """What honest clients got by path, of the twin too, what the hostile ones report, and the most memory in MB."""

    answers: dict[str, list[Answer]]
    twin: dict[str, list[Answer]]
    hostile: dict[str, dict[str, int]]
    peak_mb: float


async def ask(host: str, port: int, message: bytes, patience: float = 10) -> Answer:
    begin = time.monotonic()
    status = 0
    with contextlib.suppress(OSError, asyncio.TimeoutError, IndexError, ValueError):
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), patience)
        with contextlib.closing(writer):
            writer.write(message)
            answer = await asyncio.wait_for(reader.read(), patience)
        status = int(answer.split(b" ", 2)[1])
    return Answer(status, time.monotonic() - begin)


def signed_webhook(token: str, number: int, realm_id: str, padding: object = None) -> bytes:
    """Return a delivery as Intuit sends it, over a connection of its own, with something else in its event."""
    kind = "qbo.customer.updated.v1"
    event = {"id": f"honest {number}", "type": kind, "intuitentityid": "1", "intuitaccountid": realm_id}
    if padding:
        event["padding"] = padding
    return signed(token, json.dumps([event]).encode())


def signed(token: str, body: bytes) -> bytes:
    """Return a delivery of a body, over a connection of its own."""
    signature = base64.b64encode(hmac.new(token.encode(), body, "sha256").digest()).decode()
    return request("POST", WEBHOOK, len(body), f"intuit-signature: {signature}", "Connection: close") + body


PROBES = ("/healthz", "/readyz")


async def honest(address: str, token: str, rate: float, seconds: float, first: int = 0) -> dict[str, list[Answer]]:
    """Send so many signed webhooks a second, numbered from the first, and two probes of each kind."""
    host, port = address.removeprefix("http://").split(":")
    asked: dict[str, list[asyncio.Future[Answer]]] = {path: [] for path in (WEBHOOK, *PROBES)}

    def send(path: str, message: bytes) -> None:
        asked[path].append(asyncio.ensure_future(ask(host, int(port), message)))

    begin = time.monotonic()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0, begin + number / rate - time.monotonic()))
        send(WEBHOOK, signed_webhook(token, first + number, "9"))
        if number % int(rate / 2) == 0:
            for path in PROBES:
                send(path, request("GET", path, None, "Connection: close"))
    return {path: list(await asyncio.gather(*answers)) for path, answers in asked.items()}


def measure(
    address: str, process: int, token: str, clients: dict[str, int], seconds: float, *, twin: str | None = None
) -> Measured:
    """Attack the service at an address for so long, beside 30 signed webhooks and 4 probes a second.

    A twin, which nobody attacks, is asked the same at the same time: its answers tell how busy the machine is.
    """

    async def both() -> list[dict[str, list[Answer]]]:
        asked = [honest(address, token, 30, seconds)]
        if twin is not None:
            asked.append(honest(twin, token, 30, seconds, 1_000_000))
        return await asyncio.gather(*asked)

    with attacking(address, clients) as hostile_ones:
        answers, *of_twin = asyncio.run(both())
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    return Measured(answers, of_twin[0] if of_twin else {}, hostile_ones, peak)


if __name__ == "__main__":
    asyncio.run(attack(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])))
