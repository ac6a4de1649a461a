# SPDX-License-Identifier: GPL-2.0-or-later
"""What came of a suite, from what it has written: for run-tests."""

import json
import re

SUMMARY = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")
EXIT_SKIPPED = 77


class Outcome:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.skips, self.problems = [], []

    def fail(self, why):
        self.failed += 1
        self.problems.append(why)

    def skip(self, what, why):
        self.skipped += 1
        self.skips.append((what, why))


def read_criterion(report, outcome):
    with open(report, encoding="utf-8", errors="replace") as file:
        result = json.load(file)
    outcome.passed, outcome.failed = result["passed"], result["failed"]
    for suite in result["test_suites"]:
        for test in suite["tests"]:
            if test["status"] == "SKIPPED":
                outcome.skip(f"{suite['name']}::{test['name']}", " ".join(test.get("messages", ["no reason given"])))


def read_unittest(text, words, outcome):
    ran = re.search(r"^Ran (\d+) tests? in", text, re.M)
    last = text.rstrip().rpartition("\n")[2]
    if not ran or not re.match(r"(OK|FAILED|NO TESTS RAN)\b", last):
        raise ValueError("no summary")
    counts = {name: int(number) for name, number in re.findall(r"([a-z ]+)=(\d+)", last)}
    counts = {name.strip(): number for name, number in counts.items()}
    failed = counts.get("failures", 0) + counts.get("errors", 0) + counts.get("unexpected successes", 0)
    skipped = counts.get("skipped", 0)
    outcome.failed = failed
    # A class or module that is skipped as a whole is not among those that ran.
    outcome.passed = max(0, int(ran.group(1)) - failed - skipped)
    reasons = re.findall(r"^(.*?) \.\.\. skipped ['\"](.*)['\"]$", text, re.M)
    for what, why in reasons[:skipped]:
        outcome.skip(what, why)
    outcome.skipped = skipped
    # Of what is skipped as a whole no test is named.
    if re.search(r"^setUp(Module|Class) \(.*\.\.\. skipped ", text, re.M):
        return
    for word in words:
        if not re.search(rf"^{re.escape(word.rpartition('.')[2])} \(", text, re.M):
            outcome.problems.append(f"has no test {word}")


def read_plain(text, status, outcome, name):
    last = text.rstrip().rpartition("\n")[2]
    counts = SUMMARY.match(last)
    if counts:
        outcome.passed, outcome.failed, outcome.skipped = (int(number) for number in counts.groups())
        # As main() prints them.
        for block in re.findall(r"^skipped:\n((?:  .*\n)+)", text, re.M):
            for line in block.splitlines():
                outcome.skips.append((f"{name} {line.strip().partition(': ')[0]}", line.partition(": ")[2]))
    elif status == EXIT_SKIPPED:
        outcome.skip(name, last or "no reason given")
    elif status == 0:
        outcome.passed = 1
