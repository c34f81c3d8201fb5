"""Files that are written whole: a write that fails leaves what was there, and nothing beside it."""

import os

import pytest

from codegen.whole_file import write_whole


def test_a_file_is_made_and_put_in_the_place_of_another(tmp_path):
    for contents in (b"first", b"second", b""):
        write_whole(tmp_path / "file", contents)
        assert (tmp_path / "file").read_bytes() == contents
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    write_whole(tmp_path / "file", b"first")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
