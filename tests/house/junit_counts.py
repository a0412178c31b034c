"""Prints "passed failed skipped" of a suite: junit_counts.py JUNIT_XML EXIT_STATUS

Without a JUnit file the suite is one test that passed when its exit status is 0. A suite that exits non-zero although
no test case failed (a crash, a collection error) counts one failure.
"""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def counts(path, status):
    if not path.exists():
        return (1, 0, 0) if status == 0 else (0, 1, 0)
    cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    passed = len(cases) - failed - skipped
    return passed, max(failed, 1) if status != 0 else failed, skipped


if __name__ == "__main__":
    print(*counts(Path(sys.argv[1]), int(sys.argv[2])))
