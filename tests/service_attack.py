"""Idle, slow and hostile clients of ``qbo-rs serve``, and the honest ones beside them.

``python tests/service_attack.py HOST PORT CLIENTS FLOODERS SECONDS`` attacks a service; ``measure`` runs that as
processes of their own, so that the attack does not slow down what is measured.
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
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

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


async def no_reader(writer: asyncio.StreamWriter) -> None:
    """Ask for the largest answer that needs no key, again and again, and read nothing."""
    while True:
        writer.write(request("GET", "/openapi.json") * 20)
        await writer.drain()


KINDS = (idle, slow_head, slow_body, slow_webhook, large_webhook, no_reader)


async def hostile(host: str, port: int, behave: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> None:
    """Behave badly on one connection after another."""
    while True:
        with contextlib.suppress(OSError):
            # A small limit, so that the client stops to read from the socket.
            reader, writer = await asyncio.open_connection(host, port, limit=1)
            if behave is no_reader:
                writer.transport.pause_reading()
            behaving = asyncio.ensure_future(behave(writer))
            # The service closes the connection: come again.
            ended = asyncio.ensure_future(asyncio.sleep(3600) if behave is no_reader else read_to_end(reader))
            await asyncio.wait({behaving, ended}, return_when=asyncio.FIRST_COMPLETED)
            for task in (behaving, ended):
                task.cancel()
            await asyncio.gather(behaving, ended, return_exceptions=True)
            writer.transport.abort()
        await asyncio.sleep(0.2)


async def read_to_end(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass


async def flood(host: str, port: int) -> None:
    """Post falsely signed webhooks as fast as the service answers."""
    body = json.dumps([{"id": "x", "type": "qbo.item.updated.v1", "intuitentityid": "1", "intuitaccountid": "1"}])
    post = request("POST", WEBHOOK, len(body), SIGNED_FALSELY) + body.encode()
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(host, port)
            while True:
                writer.write(post)
                if not await reader.read(65536):
                    break
            writer.transport.abort()


async def attack(host: str, port: int, clients: int, flooders: int, seconds: float) -> None:
    attackers = [asyncio.ensure_future(hostile(host, port, KINDS[n % len(KINDS)])) for n in range(clients)]
    attackers += [asyncio.ensure_future(flood(host, port)) for _ in range(flooders)]
    await asyncio.sleep(seconds)
    for attacker in attackers:
        attacker.cancel()
    await asyncio.gather(*attackers, return_exceptions=True)


class Answer(NamedTuple):
    """The status of an answer, 0 if none came, and the seconds until it was read."""

    status: int
    seconds: float


class Measured(NamedTuple):
    """What the honest clients got, and the most memory of the service in MB."""

    webhooks: list[Answer]
    probes: list[Answer]
    peak_mb: float


async def ask(host: str, port: int, message: bytes, patience: float = 10) -> Answer:
    begin = time.monotonic()
    status = 0
    with contextlib.suppress(OSError, asyncio.TimeoutError, IndexError, ValueError):
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), patience)
        writer.write(message)
        answer = await asyncio.wait_for(reader.read(), patience)
        writer.close()
        status = int(answer.split(b" ", 2)[1])
    return Answer(status, time.monotonic() - begin)


def signed_webhook(token: str, number: int, realm_id: str) -> bytes:
    """Return a delivery as Intuit sends it, over a connection of its own."""
    kind = "qbo.customer.updated.v1"
    event = {"id": f"honest {number}", "type": kind, "intuitentityid": "1", "intuitaccountid": realm_id}
    body = json.dumps([event]).encode()
    signature = base64.b64encode(hmac.new(token.encode(), body, "sha256").digest()).decode()
    return request("POST", WEBHOOK, len(body), f"intuit-signature: {signature}", "Connection: close") + body


async def honest(host: str, port: int, token: str, rate: float, seconds: float) -> tuple[list[Answer], list[Answer]]:
    probe = request("GET", "/healthz", None, "Connection: close")
    webhooks, probes = [], []
    begin = time.monotonic()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0, begin + number / rate - time.monotonic()))
        webhooks.append(asyncio.ensure_future(ask(host, port, signed_webhook(token, number, "9"))))
        if number % int(rate / 2) == 0:
            probes.append(asyncio.ensure_future(ask(host, port, probe)))
    return await asyncio.gather(*webhooks), await asyncio.gather(*probes)


def measure(address: str, process: int, token: str, *, clients: int, flooders: int, seconds: float) -> Measured:
    """Attack the service at an address for so long, beside 30 signed webhooks and 2 health probes a second."""
    host, port = address.removeprefix("http://").split(":")
    # The floods have a process of their own, so that the clients do not slow them down.
    attacks = [(clients, 0), (0, flooders)]
    lines = [[sys.executable, __file__, host, port, *map(str, attack), str(seconds + 60)] for attack in attacks]
    attackers = [subprocess.Popen(line) for line in lines]
    try:
        # The clients need a moment to connect.
        time.sleep(2)
        webhooks, probes = asyncio.run(honest(host, int(port), token, 30, seconds))
        assert [attacker.poll() for attacker in attackers] == [None, None]
    finally:
        for attacker in attackers:
            attacker.kill()
            attacker.wait()
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    return Measured(webhooks, probes, peak)


if __name__ == "__main__":
    asyncio.run(attack(sys.argv[1], *(int(text) for text in sys.argv[2:5]), float(sys.argv[5])))
