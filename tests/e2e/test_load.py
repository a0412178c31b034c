"""The load check (tests/load) in short: many clients at a time get the answers they get alone, and a burst is refused well."""

import json
import subprocess
import sys

from tandem_process import PATIENCE, ROOT, SANITIZED


def test_answers_under_load_are_those_given_alone():
    # Sanitized builds are slower by an order of magnitude; the same checks on less load.
    size = ["--clients", "20", "--requests", "20", "--burst", "300"] if SANITIZED else ["--requests", "120"]
    done = subprocess.run([sys.executable, ROOT / "tests" / "load" / "load_check.py", "--minutes", "0.1", *size],
                          capture_output=True, text=True, check=False, timeout=10 * PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["load"]["answers"] > 0
    assert report["burst"]["refused"] > 0
