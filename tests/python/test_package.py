"""The package as it is imported: each name is found where type checkers see it, and nothing is imported too early."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
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


WITHOUT = """
import sys
sys.modules[{package!r}] = None  # as if it were not installed
{code}
"""


def without(package: str, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", WITHOUT.format(package=package, code=code)]
    return subprocess.run(line, check=False, capture_output=True, text=True, timeout=60, env=os.environ | environment)


@pytest.mark.parametrize(
    ("code", "package", "install"),
    [
        ("import qbo_rs.lake", "deltalake", "'qbo-rs[lake]'"),
        ("import qbo_rs.lake", "pyarrow", "'qbo-rs[lake]'"),
        ("import qbo_rs.spark; qbo_rs.spark.QboDataSource", "pyspark", "'pyspark>=4'"),
        ("import qbo_rs.airflow", "airflow", "'apache-airflow>=3'"),
        ("import qbo_rs.dagster", "dagster", "dagster"),
        ("import qbo_rs.prefect", "prefect", "prefect"),
    ],
)
def test_a_module_without_its_package_says_how_to_install_it(code, package, install):
    module = code.removeprefix("import ").partition(";")[0]
    last = without(package, code).stderr.splitlines()[-1]
    # Others of its packages may be absent here, too.
    assert re.fullmatch(
        rf"ModuleNotFoundError: \w+ is not installed, and {module} needs it: pip install {re.escape(install)}", last
    )


def test_events_without_their_client_end_the_command_before_it_runs():
    code = "import runpy; sys.argv = ['lineage', 'sync']; runpy.run_module('qbo_rs.lineage', run_name='__main__')"
    reason = "error: openlineage is not installed, and qbo_rs.lineage needs it: pip install 'qbo-rs[lineage]'\n"
    for place in ("http://127.0.0.1:1", ""):
        ended = without("openlineage", code, OPENLINEAGE_URL=place)
        assert (ended.returncode, ended.stderr, ended.stdout) == (2, reason, "")


def test_the_command_with_events_helps_without_their_client():
    code = "import runpy; sys.argv = ['lineage', *{!r}]; runpy.run_module('qbo_rs.lineage', run_name='__main__')"
    for arguments, expected in (
        (["--help"], "usage: python -m qbo_rs.lineage COMMAND"),
        (["sync", "--help"], "--account"),
    ):
        shown = without("openlineage", code.format(arguments))
        assert (shown.returncode, shown.stderr) == (0, "")
        assert expected in shown.stdout


def test_events_without_their_client_are_told_once_in_a_run():
    code = """
from qbo_rs.lineage._outcome import Outcome
from qbo_rs.lineage._teller import Teller
teller = Teller("sync", [], None, {})
teller.start()
teller.end(Outcome())
"""
    told = without("openlineage", code).stderr
    reason = "openlineage is not installed, and qbo_rs.lineage needs it: pip install 'qbo-rs[lineage]'"
    assert told == f"no OpenLineage events: {reason}\n"


def test_the_extra_of_spark_brings_no_file_of_an_installed_pyspark():
    of_extras = [line for line in importlib.metadata.requires("qbo_rs") or () if "extra ==" in line]
    by_extra = {
        extra: {re.match(r"[\w-]+", line)[0] for line in of_extras if re.search(rf"extra == .{extra}.$", line)}
        for extra in ("spark", "spark-connect", "lake", "lineage")
    }
    # The client has the same files as pyspark, of its own version.
    assert by_extra["spark-connect"] == {"pyarrow", "pyspark-client"}
    assert by_extra["spark"] == {"pyarrow"}
    assert not [name for extra in ("lake", "lineage") for name in by_extra[extra] if name.startswith("pyspark")]
