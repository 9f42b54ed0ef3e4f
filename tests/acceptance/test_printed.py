# Copyright 2026, the guestmem authors
# SPDX-License-Identifier: BSD-2-Clause
"""Commands in a page of the documentation print what the page says, and C that is quoted is in the
examples.

Usage: test_printed.py PAGE.md BUILD. A block of shell that another one without a language follows is
run, with BUILD in place of build/default, and must print that one; so is a command in a line before such
a block ("`COMMAND` prints"). Of what "[...]" stands for, anything may be printed."""

import glob
import os
import re
import subprocess
import sys

PAGE, BUILD = sys.argv[1:]
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

with open(PAGE) as file:
    text = file.read()
runs = re.findall(r"```sh\n((?:(?!```).)*)```\n```\n(.*?)```", text, re.S)
runs += re.findall(r"`([^`]*)` prints\n\n```\n(.*?)```", text, re.S)
assert runs, f"{PAGE}: nothing to run"
for command, expected in runs:
    done = subprocess.run(command.replace("build/default", BUILD), shell=True, cwd=ROOT, text=True,
                          capture_output=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, ""), (command, done)
    first, *parts = expected.split("[...]\n")
    good = done.stdout.startswith(first) and done.stdout.endswith(parts[-1] if parts else first)
    at = len(first)
    for part in parts:
        at = done.stdout.find(part, at)
        good = good and at >= 0
        at += len(part)
    assert good and (parts or done.stdout == first), \
        f"{command} prints:\n{done.stdout}and not:\n{expected}"
sources = "".join(open(path).read() for path in glob.glob(ROOT + "/examples/*/*.c"))
for quoted in re.findall(r"```c\n(.*?)```", text, re.S):
    assert quoted in sources, f"not in examples/:\n{quoted}"
