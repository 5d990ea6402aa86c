"""tools/house_metrics.py, on made-up checkouts."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def metrics():
    spec = importlib.util.spec_from_file_location("house_metrics", ROOT / "tools" / "house_metrics.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def checkout(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_functions_are_measured_from_fn_to_their_closing_brace(metrics):
    source = """
fn short() {}
fn braces_in_literals() {
    let text = "}}}";
    let raw = r#"{"#; // {
    let letter = '{';
}
fn lifetimes<'a>(text: &'a str) -> [u8; 2] {
    [0; 2]
}
trait Shape { fn without_body(&self) -> f64; }
"""
    assert metrics.function_lengths(source) == [1, 5, 3]


def test_inline_tests_are_left_out(metrics):
    source = "fn kept() {}\n#[cfg(test)]\n#[allow(dead_code)]\nmod tests {\n    fn dropped() {}\n}\nfn kept_too() {}\n"
    assert metrics.function_lengths(metrics.without_tests(source)) == [1, 1]


def test_doc_blocks_are_judged_by_their_first_line(metrics, tmp_path):
    source = "//! Parses pages.\n\n/// What it does.\n/// How it does it.\nfn a() {}\n/// Whatever else.\nfn b() {}\n"
    measured = metrics.measure(checkout(tmp_path, {"src/lib.rs": source}))
    assert (measured.doc_blocks, measured.bad_doc_blocks) == (3, 1)


def test_wide_lines_are_counted(metrics, tmp_path):
    measured = metrics.measure(checkout(tmp_path, {"src/lib.rs": f"// {'x' * 98}\n// {'x' * 97}\n"}))
    assert (measured.wide_lines, measured.code_lines) == (1, 2)


def test_use_trees_are_split(metrics):
    assert metrics.split_use("crate::{a, b::{self, c as d}}") == [
        ["crate", "a"],
        ["crate", "b", "self"],
        ["crate", "b", "c"],
    ]


def test_circles_of_imports_are_found(metrics, tmp_path):
    files = {
        "src/lib.rs": "mod a; mod b; mod c; mod d;",
        "src/a.rs": "use crate::b::Thing;",
        "src/b/mod.rs": "mod part;\npub use self::part::Thing;\nuse crate::c;",
        "src/b/part.rs": "use super::super::c::Other;\npub struct Thing;",
        "src/c.rs": "use crate::{d, a::Name};",
        "src/d.rs": "// use crate::a;\n",
    }
    assert metrics.measure(checkout(tmp_path, files)).circles == [["a", "b", "c"]]


def test_the_table_has_a_column_for_each_checkout(metrics, tmp_path, capsys):
    named = checkout(tmp_path / "one", {"Cargo.toml": '[package]\nname = "ours"\n', "src/lib.rs": "fn a() {}\n"})
    other = checkout(tmp_path / "theirs", {"src/lib.rs": "", "tests/skipped.rs": "fn b() {}\n"})
    assert metrics.main([str(named), str(other)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "|  | ours | theirs |"
    assert "| functions | 1 | 0 |" in lines


def test_this_project_is_measured_by_default(metrics, capsys):
    assert metrics.main([]) == 0
    assert capsys.readouterr().out.startswith("|  | qbo_rs |")
