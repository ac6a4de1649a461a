# SPDX-License-Identifier: GPL-2.0-or-later
"""What a govd leaves in the kernel so that connects stay paced without it: for the demo, the host tests and the bench, which
have a govd of their own."""

import os
import shutil
import subprocess

UMOUNT_S = 20


def pin_dirs_of(runtime_dir, slice_name):
    """Where this govd has pins: on a bpffs of its own or on the host's."""
    own, host = os.path.join(runtime_dir, "bpf"), "/sys/fs/bpf/govd/" + slice_name.removesuffix(".slice")
    return [path for path in (own, host) if os.path.ismount(path) or path == host and os.path.exists(path)]


def remove_pins_of(runtime_dir, slice_name):
    """What a govd that was killed has left."""
    for path in pin_dirs_of(runtime_dir, slice_name):
        if os.path.ismount(path):
            subprocess.run(["umount", path], check=True, timeout=UMOUNT_S)
        else:
            shutil.rmtree(path)
