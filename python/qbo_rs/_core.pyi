from collections.abc import Awaitable
from os import PathLike
from typing import final

from typing_extensions import Self

__all__ = [
    "EmbeddedPostgres",
    "Sandbox",
    "__version__",
    "call",
    "call_async",
    "chunk_range",
    "entities",
    "is_debug_build",
    "main",
    "panic_for_test",
    "settings",
]

__version__: str

def chunk_range(start: str, end: str, chunk: str) -> list[tuple[str, str]]: ...
def entities() -> list[tuple[str, str]]: ...
def settings() -> list[tuple[str, str]]: ...
def call(verb: str, request: str) -> str: ...
def call_async(verb: str, request: str) -> Awaitable[str]: ...
def main(args: list[str]) -> int: ...
def is_debug_build() -> bool: ...
def panic_for_test() -> str: ...

@final
class EmbeddedPostgres:
    def __new__(cls, binaries: str | PathLike[str], directory: str | PathLike[str]) -> Self: ...
    @property
    def environment(self) -> dict[str, str]: ...
    def stop(self) -> None: ...

@final
class Sandbox:
    def __new__(
        cls,
        *,
        port: int = 0,
        seed: int = 1,
        customers: int = 500,
        items: int = 300,
        invoices: int = 5000,
        records: list[str | PathLike[str]] = ...,
        limits: bool = True,
        latency_ms: int = 0,
        access_token_s: int = 3600,
        rotate_after_s: int = 86400,
        grace_s: int = 0,
        realm_id: str | None = None,
    ) -> Self: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...
    def stop(self) -> None: ...
    @property
    def url(self) -> str: ...
    @property
    def environment(self) -> dict[str, str]: ...
    def stats(self) -> dict[str, int]: ...
    def truth(self, entity: str, start: str, end: str) -> dict[str, str]: ...
    def put(self, entity: str, payload: str) -> bool: ...
    def edit(self, entity: str, id: str, at: str) -> bool: ...  # noqa: A002
    def delete(self, entity: str, id: str) -> bool: ...  # noqa: A002
