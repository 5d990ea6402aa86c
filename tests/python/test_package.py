"""The package as it is imported: each name is found where type checkers see it, and nothing is imported too early."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import qbo_rs

SOURCE = ast.parse(Path(qbo_rs.__file__).read_text())


def names_by_module() -> dict[str, str]:
    """Return the module of each name that ``__init__.py`` imports for type checkers."""
    [checked] = [node for node in SOURCE.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for node in checked.body if isinstance(node, ast.ImportFrom) and node.module != "qbo_rs"]
    assert len(imports) > 5
    return {alias.name: node.module.removeprefix("qbo_rs.") for node in imports for alias in node.names}


def test_names_come_from_the_modules_that_type_checkers_see():
    assert names_by_module() == qbo_rs._MODULES
    assert sorted({*qbo_rs._MODULES, "exceptions", "__version__"}) == sorted(qbo_rs.__all__)
    for name in qbo_rs.__all__:
        assert getattr(qbo_rs, name) is not None, name
    assert set(dir(qbo_rs)) == set(qbo_rs.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'qbo_rs' has no attribute 'backfil'"):
        _ = qbo_rs.backfil
    with pytest.raises(ImportError, match="cannot import name 'backfil'"):
        from qbo_rs import backfil  # noqa: F401


def test_the_command_imports_no_modules_of_results():
    # Their classes take longer to make than the command's help takes to print.
    show = "import sys, qbo_rs.__main__; print(*sorted(name for name in sys.modules if name.startswith('qbo_rs')))"
    loaded = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True, timeout=60).stdout
    assert loaded.split() == ["qbo_rs", "qbo_rs.__main__", "qbo_rs._core"]
    heavy = "import sys, qbo_rs; print(*{'dataclasses', 'typing', 'inspect', 'asyncio'} & set(sys.modules))"
    loaded = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(Path(qbo_rs.__file__).parent.parent)!r}); {heavy}",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert loaded.split() == []
