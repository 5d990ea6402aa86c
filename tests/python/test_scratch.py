"""Temporary directories that a killed process does not leave for ever."""

from __future__ import annotations

import errno
import sys
import tempfile

import pytest

from qbo_rs import _scratch

if sys.platform == "win32":
    pytest.skip("directories cannot be locked there", allow_module_level=True)


@pytest.fixture
def parent(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left(parent):
    """Make the directory of a process that was killed."""
    directory = parent / f"qbo_rs-lake.{'0' * 32}.qbo-scratch"
    directory.mkdir()
    (directory / "rows.arrow").write_text("records")
    return directory


def refusing(monkeypatch, number):
    def refuse(*_):
        raise OSError(number, "refused")

    monkeypatch.setattr(_scratch.fcntl, "flock", refuse)


def test_what_a_killed_process_left_is_removed_and_what_another_holds_stays(parent):
    killed = left(parent)
    with _scratch.scratch("lake") as held, _scratch.scratch("lake") as other:
        assert not killed.exists()
        assert {path.stat().st_mode & 0o777 for path in (held, other)} == {0o700}
    assert list(parent.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
def test_where_directories_cannot_be_locked_one_is_used_without_and_no_other_is_removed(number, parent, monkeypatch):
    killed = left(parent)
    refusing(monkeypatch, number)
    with _scratch.scratch("lake") as directory:
        assert set(parent.iterdir()) == {killed, directory}
    assert list(parent.iterdir()) == [killed]


def test_whoever_never_gets_a_directory_is_told(parent, monkeypatch):
    refusing(monkeypatch, errno.EWOULDBLOCK)
    with pytest.raises(OSError, match="another process removes"), _scratch.scratch("lake"):
        pass
    assert len(list(parent.iterdir())) <= 20
