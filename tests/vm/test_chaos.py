#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""govd killed (-9) 50 times at random while 20 agents start, leak and stop, with the backend that `auto` chooses."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "host"))

from chaos_case import ChaosCase  # noqa: E402


class ChaosTest(ChaosCase):
    kills = int(os.environ.get("CHAOS_KILLS", "50"))

    def test_killed_fifty_times_at_random(self):
        self.check_chaos()


if __name__ == "__main__":
    unittest.main()
