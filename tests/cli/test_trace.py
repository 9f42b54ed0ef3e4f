# Copyright 2026, the guestmem authors
# SPDX-License-Identifier: BSD-2-Clause
"""What `guestmem run --trace` promises: a JSON object for each event, as many as the report counts, in
order of time; and a run that is the same but for it.

Usage: test_trace.py GUESTMEM VM.dts, with a description whose guest switches itself off."""

import json
import subprocess
import sys
import tempfile

GUESTMEM, VM = sys.argv[1:]


def run(*arguments):
    return subprocess.run((GUESTMEM, "run", "--max-seconds", "120", *arguments), capture_output=True,
                          text=True, timeout=300, stdin=subprocess.DEVNULL)


def traced(*arguments):
    path = f"{folder}/trace"
    done = run("--trace", path, *arguments, VM)
    assert done.returncode == 0, done
    with open(path) as file:
        events = [json.loads(line) for line in file]
    times = [event["us"] for event in events]
    assert events and times == sorted(times), times
    return done.stdout, events


def number_after(text, words):
    return int(text.split("\n" + words)[1].split()[0])


with tempfile.TemporaryDirectory() as folder:
    output, events = traced()
    faults = [event for event in events if event["event"] == "fault"]
    assert len(faults) == number_after(output, "faults: "), (len(faults), output)
    assert {event["event"] for event in events} <= {"fault", "irq", "hypercall"}, events
    off = events[-1]
    assert (off["event"], off["function"]) == ("hypercall", "0x84000008"), off
    serial = "".join(chr(int(event["value"], 16)) for event in faults
                     if event["range"] == "pl011@9000000" and event["access"] == "write"
                     and event["gpa"] == "0x9000000")
    assert serial and serial in output, (serial, output)
    restarts = [event for event in faults if event["result"] == "restart"]
    assert restarts and all(event["invocations"] > 0 and event["value"] is None
                            for event in restarts), restarts

    output, events = traced("--trace-events", "invocations,faults")
    kinds = {}
    for event in events:
        if event["event"] == "invocation":
            kinds[event["name"]] = kinds.get(event["name"], 0) + 1
            assert event["error"] == 0, event
    assert sum(event["invocations"] for event in events if event["event"] == "fault") <= \
        sum(kinds.values()) <= number_after(output, "invocations: "), (kinds, output)
    assert kinds.get("Untyped_Retype", 0) > 0, kinds

    for arguments, says in ((("--trace-events", "faults", VM), "no effect without --trace FILE"),
                            (("--trace", folder + "/t", "--trace-events", "faults,", VM), "faults,:"),
                            (("--trace", folder + "/t", "--trace-events", "wool", VM), "wool: must be"),
                            (("--trace", folder + "/t", "--trace-events", "", VM), ": must be some of")):
        done = run(*arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
        assert says in done.stderr, (says, done)
    done = run("--trace", folder, VM)
    assert done.returncode == 1 and "Is a directory" in done.stderr, done
    done = run("--quiet", "--trace", "/dev/full", VM)
    assert done.returncode == 1 and "/dev/full: cannot be written" in done.stderr, done
