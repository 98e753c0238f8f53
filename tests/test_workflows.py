"""The files that publish and test the project elsewhere follow their schemas."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    "vendor.github-workflows": sorted((ROOT / ".github" / "workflows").glob("*.yaml")),
    "vendor.readthedocs": [ROOT / ".readthedocs.yaml"],
}


def check(schema, *files):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *files]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("schema", FILES)
def test_the_files_follow_their_schema(schema):
    assert FILES[schema]
    run = check(schema, *FILES[schema])
    assert run.returncode == 0, run.stdout


def test_a_wrong_key_is_found(tmp_path):
    file = tmp_path / "book.yaml"
    file.write_text(FILES["vendor.github-workflows"][0].read_text().replace("runs-on:", "runs-at:"))
    assert check("vendor.github-workflows", file).returncode == 1
