"""Addresses as people write them, and what is refused with words of ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyarrow import fs

import qbo_rs
import qbo_rs.lake


@pytest.fixture
def terms(one_company, tmp_path, monkeypatch):
    assert "DATABASE_URL" in one_company
    qbo_rs.sync("terms")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(home))
    return qbo_rs.table("terms").to_arrow().num_rows


@pytest.mark.parametrize(
    "form", ["lake/terms", "./lake/terms", "~/terms", Path("lake/terms"), Path("~/terms")], ids=repr
)
def test_a_path_may_be_relative_of_the_home_or_a_path_of_python(form, terms, tmp_path):
    written = qbo_rs.lake.write_delta(form, "terms")
    assert written.inserted == terms
    place = tmp_path / "home/terms" if "~" in str(form) else tmp_path / "lake/terms"
    assert DeltaTable(place).version() == written.version
    parquet = f"{form}-parquet" if isinstance(form, str) else form.with_name("terms-parquet")
    snapshot = qbo_rs.lake.write_parquet(parquet, "terms")
    assert snapshot == qbo_rs.lake.read_manifest(parquet)
    assert [Path(file).parent for file in snapshot.files] == [place.with_name("terms-parquet")]
    assert not Path("~").exists()


def test_landing_files_go_by_the_same_addresses(terms, tmp_path):
    assert terms
    Path("landing").mkdir()
    Path("landing/terms.jsonl").write_text("")
    assert qbo_rs.lake.write_files("landing", "~/landing") == qbo_rs.lake.write_files("landing", Path("stored"))
    assert qbo_rs.lake.write_files("landing", Path("inside"), filesystem=_below(tmp_path)).paths == ("terms.jsonl",)
    for address, back in (("~/landing", "~/back"), (Path("stored"), Path("back")), ("inside", "other")):
        assert qbo_rs.lake.read_files(address, back).paths == ("terms.jsonl",)
        assert (Path(back).expanduser() / "terms.jsonl").exists()
    assert not Path("~").exists()


def _below(folder: Path) -> fs.FileSystem:
    return fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())


def calls(address):
    yield lambda: qbo_rs.lake.write_delta(address, "terms")
    yield lambda: qbo_rs.lake.write_parquet(address, "terms")
    yield lambda: qbo_rs.lake.read_manifest(address)
    yield lambda: qbo_rs.lake.write_files(os.curdir, address)
    yield lambda: qbo_rs.lake.read_files(address, os.curdir)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (["lake/terms"], "it is of the type list; give one address"),
        (None, "it is of the type NoneType; give one address"),
        ("", "it is empty"),
        ("s3a://key:secret@books/terms", "s3a is Hadoop's name of a store that is s3 here; write s3://bucket/folder"),
    ],
    ids=repr,
)
def test_what_is_no_address_is_refused(address, reason):
    for call in calls(address):
        with pytest.raises(qbo_rs.ConfigError, match=f"uri: {reason}") as caught:
            call()
        assert "secret" not in str(caught.value)


def test_a_list_of_entities_is_refused(tmp_path):
    for write in (qbo_rs.lake.write_delta, qbo_rs.lake.write_parquet):
        with pytest.raises(qbo_rs.ConfigError, match="entity: it is of the type list; give the name of one entity"):
            write(tmp_path / "table", ["invoices"])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(qbo_rs.ConfigError, match="entity: it is of the type list"):
        qbo_rs.table(["invoices"])
