"""Compares the shape of Rust code bases: sizes, widths, doc comments, circular imports.

Usage: python tools/house_metrics.py [CHECKOUT ...]

Prints one Markdown table with a column for each checkout. Without arguments it measures this project. Only files that
Git tracks are read, where the checkout is a Git work tree. Vendored code, tests and benchmarks are left out.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

MAX_WIDTH = 100
LONG_FUNCTION = 50
IGNORED_PARTS = {".git", "benches", "examples", "fuzz", "target", "tests", "vendor", "xtask"}
BAD_OPENING = re.compile(r"(What|Where|How|Who|Whoever|Those|Of|As|Nothing|So many|Such)\b")
PACKAGE = re.compile(r"^\[package\][^\[]*?^name\s*=\s*\"([^\"]+)\"", re.MULTILINE)
TOKEN = re.compile(
    r"""
    //[^\n]*                                  # a line comment
    | /\*.*?\*/                               # a block comment
    | b?r(?P<hashes>\#*)".*?"(?P=hashes)      # a raw string
    | b?"(?:\\.|[^"\\])*"                     # a string
    | b?'(?:\\(?:u\{[^}]*\}|.)[^']*|[^'\\])'  # a character
    """,
    re.VERBOSE | re.DOTALL,
)
FUNCTION = re.compile(r"\bfn\s+\w+")
TESTS = re.compile(
    r"^[ \t]*\#\[cfg\([^\]\n]*\btest\b[^\]\n]*\)\]\s*(?:\#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))?\s+)?mod\s+\w+\s*\{",
    re.MULTILINE,
)
USE = re.compile(r"^[ \t]*(?:pub(?:\([^)]*\))?\s+)?use\s+((?:crate|self|super)\b[^;]*);", re.MULTILINE)


@dataclass
class Metrics:
    """Measurements of one checkout."""

    name: str
    file_lines: list[int] = field(default_factory=list)
    function_lines: list[int] = field(default_factory=list)
    code_lines: int = 0
    wide_lines: int = 0
    doc_blocks: int = 0
    bad_doc_blocks: int = 0
    circles: list[list[str]] = field(default_factory=list)


def blank(source: str) -> str:
    """Return `source` with comments and literals replaced by spaces, line breaks kept."""
    return TOKEN.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), source)


def matching_brace(code: str, start: int) -> int:
    """Return the position after the brace that closes the one at `start`, in blanked code."""
    depth = 0
    for brace in re.compile(r"[{}]").finditer(code, start):
        depth += 1 if brace.group() == "{" else -1
        if depth == 0:
            return brace.end()
    return len(code)


def without_tests(source: str) -> str:
    """Return `source` without its inline test modules."""
    code = blank(source)
    while found := TESTS.search(code):
        end = matching_brace(code, found.end() - 1)
        source, code = source[: found.start()] + source[end:], code[: found.start()] + code[end:]
    return source


def function_lengths(source: str) -> list[int]:
    """Return the length of each function that has a body, in lines from `fn` to its closing brace."""
    code = blank(source)
    lengths = []
    for function in FUNCTION.finditer(code):
        depth = 0
        for mark in re.compile(r"[()\[\]{;]").finditer(code, function.end()):
            depth += (mark.group() in "([") - (mark.group() in ")]")
            if depth == 0 and mark.group() in "{;":
                if mark.group() == "{":
                    lengths.append(code.count("\n", function.start(), matching_brace(code, mark.start())) + 1)
                break
    return lengths


def doc_openings(source: str) -> list[str]:
    """Return the first line of each block of `///` or `//!` comments."""
    openings = []
    previous = ""
    for line in source.splitlines():
        text = line.strip()
        marker = text[:3] if text.startswith(("///", "//!")) and not text.startswith("////") else ""
        if marker and marker != previous:
            openings.append(text[3:].strip())
        previous = marker
    return openings


def split_use(tree: str) -> list[list[str]]:
    """Return the paths of a `use` tree: `a::{b, c::d}` gives `a::b` and `a::c::d`, as lists of names."""
    tree = tree.strip()
    head, brace, rest = tree.partition("{")
    prefix = [part.strip() for part in head.split("::") if part.strip()]
    if not brace:
        return [[part.split(" as ")[0].strip() for part in prefix]]
    paths, depth, item = [], 0, ""
    for character in rest.rsplit("}", 1)[0] + ",":
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            if item.strip():
                paths += [prefix + path for path in split_use(item)]
            item = ""
        else:
            item += character
    return paths


def module_of(path: Path) -> tuple[str, ...]:
    """Return the module path of a file below `src`."""
    parts = path.with_suffix("").parts
    return parts[:-1] if parts[-1] in {"lib", "main", "mod"} else parts


def imports(module: tuple[str, ...], source: str, modules: set[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """Return the modules that a file imports with `use crate::`, `self::` or `super::`."""
    found = set()
    for use in USE.findall(blank(source)):
        for path in split_use(use):
            base = [] if path[0] == "crate" else list(module)
            for part in path:
                if part == "super":
                    base = base[:-1]
                elif part not in {"crate", "self"}:
                    base.append(part)
            target = tuple(base)
            while target and target not in modules:
                target = target[:-1]
            # A re-export by a parent, or a parent's use of its own parts, is how a folder is put together.
            if target and target != module and module[: len(target)] != target and target[: len(module)] != module:
                found.add(target)
    return found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected components of more than one node, by Kosaraju's algorithm."""
    order: list[str] = []
    seen: set[str] = set()

    def walk(start: str, edges: dict[str, set[str]], into: list[str]) -> None:
        stack = [(start, iter(sorted(edges.get(start, ()))))]
        seen.add(start)
        while stack:
            node, following = stack[-1]
            fresh = next((other for other in following if other not in seen), None)
            if fresh is None:
                into.append(node)
                stack.pop()
            else:
                seen.add(fresh)
                stack.append((fresh, iter(sorted(edges.get(fresh, ())))))

    for node in sorted(graph):
        if node not in seen:
            walk(node, graph, order)
    reverse: dict[str, set[str]] = defaultdict(set)
    for node, targets in graph.items():
        for target in targets:
            reverse[target].add(node)
    seen.clear()
    components = []
    for node in reversed(order):
        if node not in seen:
            component: list[str] = []
            walk(node, reverse, component)
            components.append(sorted(component))
    return sorted(component for component in components if len(component) > 1)


def rust_files(checkout: Path) -> list[Path]:
    """Return the Rust files of a checkout, relative to it, without tests and vendored code."""
    listing = subprocess.run(  # noqa: S603 - a fixed command
        ["git", "-C", str(checkout), "ls-files", "*.rs"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    tracked = [Path(line) for line in listing.stdout.splitlines()]
    files = tracked or [path.relative_to(checkout) for path in checkout.rglob("*.rs")]
    return sorted(
        path
        for path in files
        if "src" in path.parts
        and not IGNORED_PARTS & set(path.parts)
        and path.stem not in {"tests", "testing"}
        and (checkout / path).is_file()
    )


def name_of(checkout: Path) -> str:
    """Return the name of the package at the root of a checkout, or the name of its folder."""
    manifest = checkout / "Cargo.toml"
    package = PACKAGE.search(manifest.read_text(encoding="utf-8")) if manifest.is_file() else None
    return package[1] if package else checkout.resolve().name


def measure(checkout: Path) -> Metrics:
    """Return the metrics of all crates in a checkout."""
    metrics = Metrics(name_of(checkout))
    crates: dict[Path, dict[tuple[str, ...], str]] = defaultdict(dict)
    for path in rust_files(checkout):
        source = without_tests((checkout / path).read_text(encoding="utf-8"))
        lines = source.splitlines()
        metrics.file_lines.append(len(lines))
        metrics.function_lines += function_lengths(source)
        metrics.code_lines += len(lines)
        metrics.wide_lines += sum(len(line) > MAX_WIDTH for line in lines)
        openings = doc_openings(source)
        metrics.doc_blocks += len(openings)
        metrics.bad_doc_blocks += sum(bool(BAD_OPENING.match(opening)) for opening in openings)
        position = path.parts.index("src")
        crate = Path(*path.parts[:position])
        crates[crate][module_of(Path(*path.parts[position + 1 :]))] = source
    for crate, sources in sorted(crates.items()):
        modules = set(sources)
        graph = {
            "::".join((*crate.parts, *module)): {
                "::".join((*crate.parts, *target)) for target in imports(module, source, modules)
            }
            for module, source in sources.items()
        }
        metrics.circles += circles(graph)
    return metrics


def spread(values: list[int]) -> str:
    """Return median, 90th percentile and maximum."""
    if not values:
        return "-"
    ordered = sorted(values)
    return f"{statistics.median_low(ordered)} / {ordered[(len(ordered) * 9) // 10]} / {ordered[-1]}"


def share(part: int, whole: int) -> str:
    """Return a percentage with one decimal place."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def table(measured: list[Metrics]) -> str:
    """Return the Markdown table: a row for each measurement, a column for each checkout."""
    rows: list[tuple[str, list[str]]] = [
        ("", [metrics.name for metrics in measured]),
        ("---", ["---"] * len(measured)),
        ("files", [str(len(metrics.file_lines)) for metrics in measured]),
        ("lines a file: median / p90 / max", [spread(metrics.file_lines) for metrics in measured]),
        ("functions", [str(len(metrics.function_lines)) for metrics in measured]),
        ("lines a function: median / p90 / max", [spread(metrics.function_lines) for metrics in measured]),
        (
            f"functions over {LONG_FUNCTION} lines",
            [
                share(sum(length > LONG_FUNCTION for length in metrics.function_lines), len(metrics.function_lines))
                for metrics in measured
            ],
        ),
        (
            f"lines over {MAX_WIDTH} columns",
            [share(metrics.wide_lines, metrics.code_lines) for metrics in measured],
        ),
        (
            "doc comments that open with What, Where, How, Of, ...",
            [share(metrics.bad_doc_blocks, metrics.doc_blocks) for metrics in measured],
        ),
        (
            "circular imports: circles / files in them",
            [f"{len(metrics.circles)} / {sum(map(len, metrics.circles))}" for metrics in measured],
        ),
    ]
    return "\n".join(f"| {name} | {' | '.join(cells)} |" for name, cells in rows)


def main(arguments: list[str]) -> int:
    """Print the table, and with `--circles` the files of each circle."""
    parser = argparse.ArgumentParser(description="Compare the shape of Rust code bases.")
    parser.add_argument("checkouts", nargs="*", type=Path, help="folders to measure; default: this project")
    parser.add_argument("--circles", action="store_true", help="also list the files of each circle of imports")
    options = parser.parse_args(arguments)
    measured = [measure(path) for path in options.checkouts or [Path(__file__).resolve().parent.parent]]
    print(table(measured))  # noqa: T201
    if options.circles:
        for metrics in measured:
            for circle in metrics.circles:
                print(f"{metrics.name}: {', '.join(circle)}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
