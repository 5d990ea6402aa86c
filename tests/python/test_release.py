"""What is published was tested: the workflow of a release, and the script that tries its wheels."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from fnmatch import fnmatch

import pytest
import yaml
from conftest import ROOT

import qbo_rs

WORKFLOWS = ROOT / ".github/workflows"
JOBS = yaml.safe_load((WORKFLOWS / "release.yml").read_text())["jobs"]
# As the build of a platform names its file.
WHEELS = [
    ("linux", "wheel-manylinux2014-x86_64"),
    ("linux", "wheel-musllinux_1_2-aarch64"),
    ("macos", "wheel-macos-aarch64"),
    ("windows", "wheel-windows-x86_64"),
]


def needed(job: str) -> set[str]:
    """Return the jobs that have to succeed before a job."""
    direct = JOBS[job].get("needs", [])
    return {*direct}.union(*map(needed, direct))


def published() -> set[str]:
    """Return the wheels that are downloaded to be published."""
    [download] = [step for step in JOBS["publish"]["steps"] if "download-artifact" in step.get("uses", "")]
    patterns = download["with"]["pattern"].strip("{}").split(",")
    return {name for _, name in WHEELS if any(fnmatch(name, pattern) for pattern in patterns)}


@pytest.mark.parametrize("job", ["publish", "crates"])
def test_nothing_is_published_without_the_tests_and_the_right_tag(job):
    assert needed(job) >= {"ci", "tag", "linux", "macos", "sdist"}
    assert JOBS["ci"]["uses"] == "./.github/workflows/ci.yml"
    # YAML reads `on` as true.
    assert "workflow_call" in yaml.safe_load((WORKFLOWS / "ci.yml").read_text())[True]
    assert not any(JOBS[each].get("continue-on-error") for each in needed(job))


def test_every_wheel_that_is_published_was_installed_and_run():
    assert published() == {name for job, name in WHEELS if job != "windows"}
    for job in ("linux", "macos"):
        steps = JOBS[job]["steps"]
        tried = [number for number, step in enumerate(steps) if "tools/try_wheel.py" in step.get("run", "")]
        uploaded = [number for number, step in enumerate(steps) if "upload-artifact" in step.get("uses", "")]
        # The images of the C libraries differ, so that there may be a step for each.
        assert tried, job
        assert max(tried) < min(uploaded), job
        conditions = {steps[number].get("if") for number in tried}
        assert conditions in ({None}, {f"matrix.libc {sign} 'musllinux_1_2'" for sign in ("==", "!=")}), job


@pytest.mark.parametrize(("tag", "is_right"), [("", True), ("9", False), (".1", False), ("rc1", False)])
def test_a_tag_of_another_version_stops_the_release(tag, is_right):
    [line] = [step["run"] for step in JOBS["tag"]["steps"] if "run" in step]
    environment = os.environ | {"GITHUB_REF_NAME": f"v{qbo_rs.__version__}{tag}"}
    done = subprocess.run(
        [shutil.which("bash"), "-ec", line], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) == is_right, done.stderr


@pytest.mark.parametrize("job", ["linux", "macos", "windows"])
def test_no_wheel_is_tried_or_uploaded_before_the_place_of_its_build_is_taken_out(job):
    steps = [step.get("run", "") + step.get("uses", "") for step in JOBS[job]["steps"]]
    [tidied] = [number for number, step in enumerate(steps) if "tools/tidy_wheel.py dist" in step]
    assert [number for number, step in enumerate(steps) if "maturin-action" in step] == [tidied - 1]
    later = [number for number, step in enumerate(steps) if "try_wheel" in step or "upload-artifact" in step]
    assert min(later) > tidied
    assert "if" not in JOBS[job]["steps"][tidied]


# Cargo leaves out a name that is that of the directory.
@pytest.mark.parametrize("place", ["/home/me/qbo_rs#", "/D:/a b/work#qbo_rs@", "/build#qbo_rs@"])
def test_nothing_of_a_wheel_changes_but_the_place_of_its_build(place, tmp_path):
    ours, other = f"path+file://{place}0.1.0", "registry+https://github.com/rust-lang/crates.io-index#ring@0.17.14"
    listed = {
        "metadata": {"component": {"bom-ref": ours, "components": [{"bom-ref": f"{ours} bin-target-0"}]}},
        "dependencies": [{"ref": ours, "dependsOn": [other]}, {"ref": other, "dependsOn": []}],
    }
    folder = "qbo_rs-0.1.0.dist-info"
    name = f"{folder}/sboms/qbo_rs.cyclonedx.json"
    files = {
        "qbo_rs/__init__.py": b"pass\n",
        name: json.dumps(listed).encode(),
        f"{folder}/RECORD": f"qbo_rs/__init__.py,sha256=x,5\n{name},sha256=y,1\n".encode(),
    }
    wheel = tmp_path / "qbo_rs-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as new:
        for file, content in files.items():
            new.writestr(file, content)
    tidy = [sys.executable, str(ROOT / "tools/tidy_wheel.py"), str(tmp_path)]
    for _ in range(2):
        subprocess.run(tidy, check=True, timeout=60)
        with zipfile.ZipFile(wheel) as made:
            assert made.namelist() == list(files)
            init, text, record = [made.read(file) for file in files]
        assert init == files["qbo_rs/__init__.py"]
        assert json.loads(text) == json.loads(json.dumps(listed).replace(ours, "qbo_rs@0.1.0"))
        digest = base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()
        kept, changed = record.decode().splitlines()
        assert kept == "qbo_rs/__init__.py,sha256=x,5"
        assert changed == f"{name},sha256={digest},{len(text)}"
    assert list(tmp_path.iterdir()) == [wheel]
    # A file in place of its directory would leave it as it is.
    refused = subprocess.run([*tidy[:2], str(wheel)], capture_output=True, text=True, timeout=60, check=False)
    assert (refused.returncode, refused.stderr) == (1, f"{wheel} is no directory with wheels\n")


def try_wheel(wheels, root=ROOT) -> subprocess.CompletedProcess:
    line = [sys.executable, str(root / "tools/try_wheel.py"), str(wheels)]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)


def test_a_wheel_is_tried_before_it_is_published(tmp_path):
    done = try_wheel(ROOT / "dist")
    assert done.returncode == 0, done.stderr
    assert f"qbo-rs {qbo_rs.__version__}" in done.stdout
    # A wheel of another version than that of the source.
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/try_wheel.py", tmp_path / "tools")
    (tmp_path / "Cargo.toml").write_text('[workspace.package]\nversion = "99.0.0"\n')
    done = try_wheel(ROOT / "dist", tmp_path)
    assert done.returncode == 1
    assert f"the wheel is {qbo_rs.__version__}, the source 99.0.0" in done.stderr
    (tmp_path / "qbo_rs-0.1.0-cp310-abi3-win_arm64.whl").write_bytes(b"not a wheel")
    assert try_wheel(tmp_path).returncode != 0
