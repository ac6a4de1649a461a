# SPDX-License-Identifier: GPL-2.0-or-later
"""The package that was built for this guest, for those who install it."""

import glob
import os
import subprocess

from harness import BUILD


def run(*words, code=0):
    """The output; any exit status but this one is an error, with None none is."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=300, check=False)
    if code is not None and done.returncode != code:
        raise AssertionError(f"{' '.join(words)}: {done.returncode}, wanted {code}: {done.stdout}")
    return done.stdout.strip()


def install():
    packages = glob.glob(os.path.join(BUILD, "deb", "govd_*.deb"))
    if len(packages) != 1:
        raise AssertionError(f"one package is to be there, not {packages}")
    run("apt-get", "-y", "-q", "install", packages[0])


def purge(code=0):
    run("apt-get", "-y", "-q", "purge", "govd", code=code)
