"""Counting of suites for the summary of scripts/test.sh."""

import tempfile
import unittest
from pathlib import Path

from junit_counts import counts

REPORT = """<testsuites><testsuite>
<testcase name="a"/><testcase name="b"><skipped/></testcase><testcase name="c"><failure/></testcase>
<testcase name="d"><error/></testcase><testcase name="e"/>
</testsuite></testsuites>"""


class JunitCountsTest(unittest.TestCase):
    def count(self, report, status):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "report.xml")
            if report is not None:
                path.write_text(report, encoding="utf-8")
            return counts(path, status)

    def test_counts_the_cases_of_a_report(self):
        self.assertEqual(self.count(REPORT, 1), (2, 2, 1))

    def test_a_suite_without_a_report_is_one_test(self):
        self.assertEqual(self.count(None, 0), (1, 0, 0))
        self.assertEqual(self.count(None, 1), (0, 1, 0))

    def test_a_suite_that_fails_outside_its_cases_has_failed(self):
        self.assertEqual(self.count('<testsuite><testcase name="a"/></testsuite>', 2), (1, 1, 0))


if __name__ == "__main__":
    unittest.main()
