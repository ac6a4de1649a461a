#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""govctl incidents: reads the history without govd."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import time
import unittest

from govctl_case import AGENT, CONTROL, GOVCTL, HOSTILE, ROOT, GovctlTest, a_dict


class Incidents(GovctlTest):
    BASE = 1795255200  # 2026-11-21 10:00 UTC

    def make(self, directory=None, rows=None, wal=True):
        directory = directory or os.path.join(self.dir, "lib")
        os.makedirs(directory, exist_ok=True)
        header = os.path.join(ROOT, "include", "gov", "incident.h")
        with open(header, encoding="utf-8") as file:
            schema = "".join(re.findall(r'"([^"]*)"', file.read().split("#define GOV_INCIDENT_SCHEMA", 1)[1]))
        db = sqlite3.connect(os.path.join(directory, "incidents.db"), isolation_level=None)
        self.addCleanup(db.close)
        if wal:
            db.execute("PRAGMA journal_mode=WAL")
        db.executescript(schema + "PRAGMA user_version=1;")
        if rows is None:
            rows = [(i * 60, kind, f"1a2b3c4{i}", policy, f"k{i}") for i, (kind, policy) in
                    enumerate([("placed", "bots"), ("stopped", "bots"), ("placed", "claude"), ("lost", "")])]
        for offset, kind, agent, policy, key in rows:
            db.execute("INSERT INTO incidents (time, kind, agent, policy, key, rule, evidence, action, result, by) "
                       "VALUES (?,?,?,?,?,?,?,?,?,?)",
                       ((self.BASE + offset) * 1000 + 7, kind, agent, policy, key, "match",
                        '{"pid": 12, "exe": "/bin/x", "size_bytes": 1048576}', "place", "done", "govd"))
        return db

    def query(self, *args, **options):
        return json.loads(self.govctl("incidents", "--json", "--state-dir", os.path.join(self.dir, "lib"), *args, **options).stdout)

    def agents(self, *args, **options):
        return [incident["agent"][-1] for incident in self.query(*args, **options)]

    def test_fields(self):
        self.make()
        self.assertEqual(self.query()[0], {
            "time": "2026-11-21T10:00:00.007Z", "kind": "placed", "agent": "1a2b3c40", "policy": "bots", "key": "k0",
            "rule": "match", "evidence": {"pid": 12, "exe": "/bin/x", "size_bytes": 1048576}, "action": "place",
            "result": "done", "by": "govd"})
        pretty = self.govctl("incidents", "--json=pretty", "--state-dir", os.path.join(self.dir, "lib")).stdout
        self.assertEqual(json.loads(pretty), self.query())

    def test_filters(self):
        self.make()
        self.assertEqual(self.agents(), ["0", "1", "2", "3"])
        self.assertEqual(self.agents("--kind", "placed"), ["0", "2"])
        self.assertEqual(self.agents("--policy", "bots"), ["0", "1"])
        self.assertEqual(self.agents("--agent", "1a2b3c41"), ["1"])
        self.assertEqual(self.agents("--agent", "1a2b"), ["0", "1", "2", "3"])
        self.assertEqual(self.agents("--agent", "claude/k2"), ["2"])
        self.assertEqual(self.agents("-n", "2"), ["2", "3"])
        self.assertEqual(self.agents("-n2", "--policy=bots", "--kind=placed"), ["0"])
        self.assertEqual(self.agents("--kind", "x' OR 1=1 --"), [])

    def test_since(self):
        now = int(time.time())
        self.make(rows=[(now - self.BASE - age, "placed", str(i), "p", "") for i, age in enumerate((86400 * 3, 7200, 60))])
        date = time.strftime("%Y-%m-%d", time.gmtime(now - 86400 * 2))
        for since, wanted in (("1h", ["2"]), ("3h", ["1", "2"]), ("1h 59min", ["2"]), ("7d", ["0", "1", "2"]),
                              (f"@{now - 61}", ["2"]), ("@0", ["0", "1", "2"]), (date, ["1", "2"]), (f"{date} 10:00", ["1", "2"]),
                              (f"{date}T10:00:59Z", ["1", "2"]), ("2999-01-01", []), ("9999d", ["0", "1", "2"])):
            with self.subTest(since=since):
                self.assertEqual(self.agents("--since", since), wanted)
        for since in ("", "h", "-1h", "2026-13-01", "2026-04-31", "2026-11-21 25:00", "2026-11-21x", "@", "@x", "1y",
                      "99999999999999999999d"):
            with self.subTest(since=since):
                self.assertIn("--since is", self.govctl("incidents", "--since", since, code=2).stderr)

    def test_since_is_local_time(self):
        self.make(rows=[(0, "placed", "0", "p", "")])
        self.assertEqual(self.agents("--since", "2026-11-21 12:00:00", env={"TZ": "Etc/GMT-2"}), ["0"])
        self.assertEqual(self.agents("--since", "2026-11-21 12:00:01", env={"TZ": "Etc/GMT-2"}), [])
        text = self.govctl("incidents", "--state-dir", os.path.join(self.dir, "lib"), env={"TZ": "Etc/GMT-2"}).stdout
        self.assertIn("2026-11-21 12:00:00", text)

    def test_while_it_is_written(self):
        db = self.make()
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO incidents SELECT 99, time, kind, '5', policy, key, rule, evidence, action, result, by FROM "
                   "incidents WHERE id = 1")
        self.assertEqual(self.agents(), ["0", "1", "2", "3"])
        db.execute("COMMIT")
        self.assertEqual(sorted(self.agents()), ["0", "1", "2", "3", "5"])

    def test_as_a_reader_without_write_access(self):
        if os.geteuid() != 0:
            self.skipTest("only root can become another user")
        state = os.path.join(self.dir, "lib")
        db = self.make()
        copy = shutil.copy(GOVCTL, os.path.join(self.dir, "govctl"))
        os.chmod(self.dir, 0o755)

        def read(code):
            done = subprocess.run([copy, "incidents", "--json", "--state-dir", state], capture_output=True, text=True,
                                  env=self.env, check=False, user=65534, group=65534, extra_groups=[])
            self.assertEqual(done.returncode, code, done.stderr)
            return len(json.loads(done.stdout or "[]")), done.stderr

        # While the recorder has it open, with rows that only the write-ahead log has.
        self.assertEqual(read(0), (4, ""))
        # After the recorder was killed: its -wal and -shm stay, and the reader can't make one.
        kept = os.path.join(self.dir, "kept")
        shutil.copytree(state, kept)
        db.close()
        self.assertEqual(read(0), (4, ""))
        shutil.rmtree(state)
        shutil.move(kept, state)
        self.assertEqual(read(0), (4, ""))
        os.unlink(os.path.join(state, "incidents.db-shm"))
        _, words = read(1)
        self.assertIn("only root can read", words)
        self.assertIn("you may not read", words)
        self.assertEqual(len(self.query()), 4)  # root
        os.chmod(os.path.join(state, "incidents.db"), 0o600)
        self.assertIn("you may not read", read(1)[1])

    def test_found_by_the_link_beside_the_socket(self):
        self.make(os.path.join(self.dir, "else where?#%"))
        os.symlink(os.path.join(self.dir, "else where?#%"), os.path.join(self.dir, "state"))
        self.assertEqual(len(json.loads(self.govctl("incidents", "--json").stdout)), 4)

    def test_missing_foreign_damaged_newer(self):
        state = os.path.join(self.dir, "lib")
        os.mkdir(state)
        path = os.path.join(state, "incidents.db")
        self.assertIn("has govd ever run", self.govctl("incidents", "--state-dir", state, code=1).stderr)
        with open(path, "wb") as file:
            file.write(b"not a database" * 1000)
        self.assertIn("isn't a database of incidents", self.govctl("incidents", "--state-dir", state, code=1).stderr)
        os.unlink(path)
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE x (y)")
        db.close()
        self.assertIn("isn't a database of incidents", self.govctl("incidents", "--state-dir", state, code=1).stderr)
        os.unlink(path)
        self.make().execute("PRAGMA user_version=2")
        self.assertIn("newer govd", self.govctl("incidents", "--state-dir", state, code=1).stderr)

    def test_table(self):
        db = self.make(rows=[(i, "placed", "1a2b3c4d", "bots", "k") for i in range(300)])
        where = ["--state-dir", os.path.join(self.dir, "lib")]
        for columns in (40, 80, 200):
            lines = self.govctl("incidents", *where, env={"COLUMNS": str(columns)}).stdout.splitlines()
            self.assertEqual(len(lines), 201)
            self.assertLessEqual(max(map(len, lines)), columns)
        self.assertIn("pid=12 exe=/bin/x size_bytes=1.0M", lines[1])
        self.assertEqual(len(self.govctl("incidents", "-n", "0", *where).stdout.splitlines()), 301)
        db.execute("DELETE FROM incidents")
        self.assertEqual(self.govctl("incidents", *where).stdout, "No incidents.\n")

    def test_hostile_rows(self):
        db = self.make(rows=[])
        for evidence in (json.dumps({HOSTILE: HOSTILE}), "not json \x1b[1m", "[1]", ""):
            db.execute("INSERT INTO incidents (time, kind, agent, policy, key, rule, evidence, action, result, by) "
                       "VALUES (1, ?, ?, ?, CAST(? AS TEXT), ?, ?, ?, ?, ?)",
                       (HOSTILE, HOSTILE, HOSTILE, b"\xff\xfe\x1b", HOSTILE, evidence, HOSTILE, HOSTILE, HOSTILE))
        where = ["--state-dir", os.path.join(self.dir, "lib")]
        for mode in ("off", "short", "pretty"):
            text = self.on_terminal("incidents", f"--json={mode}", *where, env={"NO_COLOR": "1"}, columns=500)
            self.assertNotRegex(text, CONTROL)
        rows = self.query()
        self.assertEqual(rows[0]["evidence"], {HOSTILE: HOSTILE})
        self.assertEqual(rows[1]["evidence"], {"text": "not json \x1b[1m"})
        self.assertTrue(all(isinstance(row["evidence"], dict) for row in rows))

    def test_show_adds_the_recent_ones(self):
        self.make(os.path.join(self.dir, "state"), rows=[(i, "placed", "1a2b3c4d", "bots", "k") for i in range(15)])
        self.serve(ShowAgent=a_dict({**AGENT, "limits": {"memory_max_bytes": 1048576, "cpu_max_pct": 150}}))
        show = json.loads(self.govctl("show", "1a", "--json").stdout)
        self.assertEqual(len(show["incidents"]), 10)
        self.assertEqual(show["incidents"][-1]["time"], "2026-11-21T10:00:14.007Z")
        text = self.govctl("show", "1a").stdout
        self.assertRegex(text, r"(?m)^    memory max +1.0M$")
        self.assertIn("Recent incidents", text)


if __name__ == "__main__":
    unittest.main()
