#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""govd killed (-9) at random while agents start, leak and stop; CHAOS_KILLS times, 50 in guests."""

import os
import unittest

from chaos_case import ChaosCase


class ChaosTest(ChaosCase):
    kills = int(os.environ.get("CHAOS_KILLS", "12"))

    def test_killed_at_random(self):
        self.check_chaos()


if __name__ == "__main__":
    unittest.main()
