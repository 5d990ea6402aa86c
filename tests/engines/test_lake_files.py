"""Landing files on stores: pyarrow's file system of this disk, fsspec's memory, and an S3 server; kills and damage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest
from companies import END, START
from pyarrow import fs

import qbo_rs
import qbo_rs.lake
from qbo_rs.lake import _files, _manifest


@pytest.fixture(params=["disk", "memory", "s3"])
def place(request, tmp_path):
    """Return a store, and the path of a directory in it."""
    name = uuid.uuid4().hex
    if request.param == "disk":
        return fs.LocalFileSystem(), str(tmp_path / name)
    if request.param == "memory":
        return fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem("memory"))), f"/books/{name}"
    server, address = request.getfixturevalue("s3")
    return server, f"{address}/{name}"


def on_s3(address: str) -> fs.S3FileSystem:
    keys = {"access_key": "test", "secret_key": "test", "region": "us-east-1"}
    return fs.S3FileSystem(endpoint_override=address, scheme="http", allow_bucket_creation=True, **keys)


@pytest.fixture
def s3(s3_address):
    store = on_s3(s3_address)
    store.create_dir("books")
    return store, "books"


@pytest.fixture
def landing(tmp_path):
    """Make a directory with what extracts leave, but for the records in it."""
    return made(tmp_path / "landing", b"old")


def made(directory: Path, content: bytes) -> Path:
    """Write landing files, and beside them what is none."""
    for name in ("9/items/20250101T000000Z_20250201T000000Z.jsonl.zst", "9/items/a.parquet", "books.txt", "x.json.gz"):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # More than a block, and bytes that are no text of any compression.
        path.write_bytes(content + bytes(range(256)) * 5000 + name.encode())
    unfinished = ("books.txt.parts/9/items/w.jsonl", f"qbo_rs-lake.{'0' * 32}.qbo-scratch/a.txt")
    for name in (".9/items/hidden.jsonl", "9/items/.part.jsonl.zst", "notes.md", *unfinished):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"none")
    return directory


PATHS = ("9/items/20250101T000000Z_20250201T000000Z.jsonl.zst", "9/items/a.parquet", "books.txt", "x.json.gz")


def contents(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def names(store: fs.FileSystem, folder: str) -> set[str]:
    return {info.base_name for info in store.get_file_info(fs.FileSelector(folder))}


def test_landing_files_come_back_byte_for_byte(place, landing, tmp_path):
    store, folder = place
    written = qbo_rs.lake.write_files(landing, folder, filesystem=store)
    assert sorted(written.paths) == sorted(PATHS)
    assert written.size == sum((landing / path).stat().st_size for path in PATHS)
    back = tmp_path / "back"
    assert qbo_rs.lake.read_files(folder, back, filesystem=store) == written
    assert contents(back) == {path: (landing / path).read_bytes() for path in PATHS}
    # A second time replaces them.
    (back / "books.txt").write_bytes(b"damaged")
    qbo_rs.lake.read_files(folder, back, filesystem=store)
    assert contents(back) == {path: (landing / path).read_bytes() for path in PATHS}


def test_a_set_replaces_the_one_before_which_stays_for_its_readers(place, landing, tmp_path):
    store, folder = place
    seen = []
    for content in (b"first", b"second", b"third"):
        qbo_rs.lake.write_files(made(landing, content), folder, filesystem=store)
        seen.append(names(store, folder))
    first, second, third = (each - {"manifest.json"} for each in seen)
    assert len(first) == 4
    assert second > first
    assert len(second) == len(third) == 8
    assert second - first == third & second
    # Of a directory that holds less, the set holds less.
    for path in PATHS[:3]:
        (landing / path).unlink()
    assert qbo_rs.lake.write_files(landing, folder, filesystem=store).paths == PATHS[3:]
    assert qbo_rs.lake.read_files(folder, tmp_path / "back", filesystem=store).paths == PATHS[3:]


def test_a_flipped_byte_of_a_file_is_an_error_and_changes_no_file(place, landing, tmp_path):
    store, folder = place
    qbo_rs.lake.write_files(landing, folder, filesystem=store)
    back = tmp_path / "back"
    qbo_rs.lake.read_files(folder, back, filesystem=store)
    before = contents(back)
    for name in names(store, folder) - {"manifest.json"}:
        path = f"{folder}/{name}"
        with store.open_input_stream(path, compression=None) as file:
            whole = file.read()
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        for damaged in (bytes(flipped), whole[:-1], whole + b"x", b""):
            with store.open_output_stream(path, compression=None) as file:
                file.write(damaged)
            with pytest.raises(qbo_rs.LandingError, match="has other bytes than its manifest says; write the files ag"):
                qbo_rs.lake.read_files(folder, back, filesystem=store)
        store.delete_file(path)
        with pytest.raises(qbo_rs.LandingError, match="is missing; write the files again"):
            qbo_rs.lake.read_files(folder, back, filesystem=store)
        with store.open_output_stream(path, compression=None) as file:
            file.write(whole)
    assert contents(back) == before
    # Another write mends what is damaged.
    qbo_rs.lake.write_files(landing, folder, filesystem=store)
    qbo_rs.lake.read_files(folder, back, filesystem=store)


def test_a_flipped_byte_of_the_manifest_is_an_error(landing, tmp_path):
    folder = tmp_path / "store"
    qbo_rs.lake.write_files(landing, str(folder))
    manifest = folder / "manifest.json"
    whole = manifest.read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        manifest.write_bytes(flipped)
        with pytest.raises(qbo_rs.LandingError, match="manifest.json cannot be read"):
            qbo_rs.lake.read_files(str(folder), tmp_path / "back")
    assert not (tmp_path / "back").exists()


KILLED = """
import os, signal, sys
from pyarrow import fs
import qbo_rs.lake
from qbo_rs.lake import _manifest

place, source, address, folder = sys.argv[1:]
keys = {"access_key": "test", "secret_key": "test", "region": "us-east-1"}
store = fs.S3FileSystem(endpoint_override=address, scheme="http", **keys) if address else fs.LocalFileSystem()


def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)


if place == "manifest":
    _manifest.Directory._replace = kill
else:
    written = _manifest.NewFile.named
    _manifest.NewFile.named = lambda file, path: kill() if path == "books.txt" else written(file, path)
qbo_rs.lake.write_files(source, folder, filesystem=store)
"""


@pytest.fixture(params=["disk", "s3"])
def shared(request, tmp_path):
    """Return a store that other processes see, a directory in it, and the address of its server."""
    if request.param == "disk":
        return fs.LocalFileSystem(), str(tmp_path / "store"), ""
    store, bucket = request.getfixturevalue("s3")
    return store, f"{bucket}/{uuid.uuid4().hex}", request.getfixturevalue("s3_address")


@pytest.mark.parametrize("place", ["files", "manifest"])
def test_a_write_that_is_killed_leaves_the_set_before(place, shared, landing, tmp_path, monkeypatch):
    store, folder, address = shared
    old = {path: (landing / path).read_bytes() for path in PATHS}
    # A first write that is killed leaves nothing to be read.
    new = made(tmp_path / "new", b"new")
    line = [sys.executable, "-c", KILLED, place, str(new), address, folder]
    assert subprocess.run(line, check=False).returncode == -signal.SIGKILL
    with pytest.raises(FileNotFoundError, match="there is no manifest.json"):
        qbo_rs.lake.read_files(folder, tmp_path / "back", filesystem=store)
    qbo_rs.lake.write_files(landing, folder, filesystem=store)
    assert subprocess.run(line, check=False).returncode == -signal.SIGKILL
    left = names(store, folder)
    assert len(left) > 5
    qbo_rs.lake.read_files(folder, tmp_path / "back", filesystem=store)
    assert contents(tmp_path / "back") == old
    # What it has left is removed by a write on another day.
    monkeypatch.setattr(_manifest, "_LEFT", -_manifest._LEFT)
    qbo_rs.lake.write_files(new, folder, filesystem=store)
    assert len(names(store, folder)) == 9
    qbo_rs.lake.read_files(folder, tmp_path / "back", filesystem=store)
    assert contents(tmp_path / "back") == {path: (new / path).read_bytes() for path in PATHS}


@pytest.mark.parametrize("others", [0, 1, 2])
def test_of_two_writers_the_last_one_wins_with_a_whole_set(place, landing, tmp_path, monkeypatch, others):
    store, folder = place
    qbo_rs.lake.write_files(landing, folder, filesystem=store)
    new = [made(tmp_path / f"new{number}", f"new{number}".encode()) for number in range(2)]
    replace = _manifest.Directory._replace
    together = threading.Barrier(2)

    def replaced(directory: _manifest.Directory, content: bytes) -> None:
        # Both have written their files and read the same manifest.
        if others == 0:
            together.wait(timeout=60)
        replace(directory, content)

    def behind(directory: _manifest.Directory, content: bytes) -> None:
        # Others write whole sets between what this one has read and what it replaces.
        monkeypatch.setattr(_manifest.Directory, "_replace", replace)
        for _ in range(others):
            qbo_rs.lake.write_files(new[1], folder, filesystem=store)
        replace(directory, content)

    monkeypatch.setattr(_manifest.Directory, "_replace", behind if others else replaced)
    if others:
        qbo_rs.lake.write_files(new[0], folder, filesystem=store)
    else:
        with ThreadPoolExecutor(2) as pool:
            for each in [pool.submit(qbo_rs.lake.write_files, source, folder, filesystem=store) for source in new]:
                each.result(timeout=60)
    expected = [{path: (source / path).read_bytes() for path in PATHS} for source in new]
    qbo_rs.lake.read_files(folder, tmp_path / "back", filesystem=store)
    assert contents(tmp_path / "back") in (expected[:1] if others else expected)
    # So is every set that follows.
    monkeypatch.setattr(_manifest.Directory, "_replace", replace)
    for source in (landing, *new):
        qbo_rs.lake.write_files(source, folder, filesystem=store)
        qbo_rs.lake.read_files(folder, tmp_path / "back", filesystem=store)
        assert contents(tmp_path / "back") == {path: (source / path).read_bytes() for path in PATHS}


def test_a_read_that_is_overtaken_by_writes_begins_anew(place, landing, tmp_path, monkeypatch):
    store, folder = place
    qbo_rs.lake.write_files(landing, folder, filesystem=store)
    receive = _files._receive
    waiting = [b"second", b"third"]

    def received(*arguments: object) -> None:
        # The second write keeps the set that is being read; the third one removes it.
        while waiting:
            qbo_rs.lake.write_files(made(landing, waiting.pop(0)), folder, filesystem=store)
        receive(*arguments)

    monkeypatch.setattr(_files, "_receive", received)
    qbo_rs.lake.read_files(folder, tmp_path / "back", filesystem=store)
    assert contents(tmp_path / "back") == {path: (landing / path).read_bytes() for path in PATHS}
    endless = iter(range(100))

    def never(*arguments: object) -> None:
        for _ in range(2):
            qbo_rs.lake.write_files(made(landing, str(next(endless)).encode()), folder, filesystem=store)
        receive(*arguments)

    monkeypatch.setattr(_files, "_receive", never)
    with pytest.raises(qbo_rs.RetriableError, match="5 reads of .* were overtaken by writes"):
        qbo_rs.lake.read_files(folder, tmp_path / "back", filesystem=store)


def test_what_a_killed_read_has_left_is_removed_by_the_next_one(landing, tmp_path):
    folder, back = str(tmp_path / "store"), tmp_path / "back"
    qbo_rs.lake.write_files(landing, folder)
    code = (
        "import os, signal, sys, qbo_rs.lake\n"
        "from qbo_rs.lake import _files\n"
        "_files._set = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "kept = _files.Path.replace\n"
        "_files.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "qbo_rs.lake.read_files(sys.argv[1], sys.argv[2])"
    )
    line = [sys.executable, "-c", code, folder, str(back)]
    assert subprocess.run(line, check=False).returncode == -signal.SIGKILL
    assert not any((back / path).exists() for path in PATHS)
    assert len(list(back.rglob("*.zst"))) == 1
    # Its files are no landing files by their names, so that a load takes none of them.
    with pytest.raises(qbo_rs.QboError):
        qbo_rs.upsert(back)
    qbo_rs.lake.read_files(folder, back)
    assert contents(back) == {path: (landing / path).read_bytes() for path in PATHS}


def test_links_other_files_and_other_sets_are_refused(landing, tmp_path):
    folder = str(tmp_path / "store")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.md").write_text("none")
    with pytest.raises(qbo_rs.ConfigError, match=r"source: there is no landing file in .*empty"):
        qbo_rs.lake.write_files(empty, folder)
    with pytest.raises(qbo_rs.ConfigError, match=r"source: .*notes.md' is no landing file"):
        qbo_rs.lake.write_files(empty / "notes.md", folder)
    with pytest.raises(FileNotFoundError):
        qbo_rs.lake.write_files(tmp_path / "missing", folder)
    for name, target in (("9/items/b.jsonl", "/etc/passwd"), ("9/other", "/etc")):
        (landing / name).symlink_to(target)
        with pytest.raises(qbo_rs.ConfigError, match="is a link; its file may be anywhere"):
            qbo_rs.lake.write_files(landing, folder)
        (landing / name).unlink()
    (landing / "a:b.txt").write_text("")
    with pytest.raises(qbo_rs.ConfigError, match="source: 'a:b.txt' is no name for a file on every machine"):
        qbo_rs.lake.write_files(landing, folder)
    (landing / "a:b.txt").unlink()
    assert not (Path(folder) / "manifest.json").exists()
    os.mkfifo(landing / "pipe.jsonl")
    assert sorted(qbo_rs.lake.write_files(landing, folder).paths) == sorted(PATHS)
    with pytest.raises(qbo_rs.ConfigError, match="uri: it holds landing files; give a snapshot a directory of its own"):
        qbo_rs.lake.read_manifest(folder)
    # A single file, also by a link that is named itself.
    (tmp_path / "link.txt").symlink_to(landing / "books.txt")
    assert qbo_rs.lake.write_files(tmp_path / "link.txt", folder).paths == ("link.txt",)
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    about = {"entity": "invoices", "realm_id": "9", "until": "2025-01-01T00:00:00Z", "rows": 0}
    (snapshot / "manifest.json").write_text(json.dumps(about | {"files": [], "previous": []}))
    for call in (
        lambda: qbo_rs.lake.write_files(landing, str(snapshot)),
        lambda: qbo_rs.lake.read_files(str(snapshot), tmp_path / "back"),
    ):
        with pytest.raises(qbo_rs.ConfigError, match="uri: it holds no landing files, but a snapshot"):
            call()


def test_a_manifest_leads_to_no_place_outside_the_directory(tmp_path, landing):
    folder = tmp_path / "store"
    qbo_rs.lake.write_files(landing, str(folder))
    known = _manifest.Directory(str(folder), None).read()
    for path in (
        "../out.txt",
        "/out.txt",
        "9/../../out.txt",
        ".hidden.txt",
        "9/.x/a.txt",
        "a.exe",
        "9//a.txt",
        "c:a.txt",
    ):
        wrong = [_manifest.NamedFile(each.name, each.size, each.sha256, path) for each in known.files[:1]]
        _manifest.Directory(str(folder), None)._replace(_manifest._text(_manifest.Manifest(known.about, tuple(wrong))))
        with pytest.raises(qbo_rs.LandingError, match="manifest.json cannot be read: .it names "):
            qbo_rs.lake.read_files(str(folder), tmp_path / "back")
    twice = [_manifest.NamedFile(each.name, each.size, each.sha256, "a.txt") for each in known.files]
    _manifest.Directory(str(folder), None)._replace(_manifest._text(_manifest.Manifest(known.about, tuple(twice))))
    with pytest.raises(qbo_rs.LandingError, match="it names a file twice"):
        qbo_rs.lake.read_files(str(folder), tmp_path / "back")
    assert not (tmp_path / "back").exists()
    assert not (tmp_path / "out.txt").exists()


def test_no_other_user_can_read_landing_files_on_a_disk(landing, tmp_path):
    before = os.umask(0o022)
    try:
        qbo_rs.lake.write_files(landing, str(tmp_path / "made" / "store"))
        qbo_rs.lake.read_files(str(tmp_path / "made" / "store"), tmp_path / "made" / "back")
    finally:
        os.umask(before)
    there = [tmp_path / "made", *(tmp_path / "made").rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in there if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in there if path.is_dir()} == {0o700}


@pytest.mark.usefixtures("one_company")
@pytest.mark.parametrize("out", ["landing", "landing.parquet/", "text"])
def test_an_extract_goes_through_a_store_into_postgres(place, out, tmp_path, database):
    store, folder = place
    windows = qbo_rs.chunk_range(START, END, "year")
    source = tmp_path / out
    for entity in ("customers", "invoices"):
        if out == "text":
            source.mkdir(exist_ok=True)
        target = source / f"{entity}.txt" if out == "text" else f"{source}/"
        qbo_rs.extract(entity, windows, out=target).raise_for_failures()
    written = qbo_rs.lake.write_files(source, folder, filesystem=store)
    assert len(written.paths) == (2 if out == "text" else 4)
    back = tmp_path / "back"
    qbo_rs.lake.read_files(folder, back, filesystem=store)
    for path in written.paths if out == "text" else (".",):
        qbo_rs.upsert(back / path).raise_for_failures()
    for entity, count in (("customers", 40), ("invoices", 150)):
        assert len(database.rows(f"raw.qb_{entity}")) == count
        assert qbo_rs.verify(entity, START, END, "year", deep=True).ok
