# SPDX-License-Identifier: BSD-2-Clause
"""What `guestmem run --save` and `--restore` promise: a guest goes on in another process as it would
have in its own, from a file that is whole or not there; and any other file is refused in one line.

Usage: test_saved.py GUESTMEM PART ARGUMENT
  sleeping ECHO.bin  a guest that sleeps until input interrupts it
  u-boot VM.dts      U-Boot
  linux VM.dts       Debian's Linux"""
import gzip
import os
import random
import re
import stat
import struct
import subprocess
import sys
import tempfile
import time
import zlib

GUESTMEM, PART, ARGUMENT = sys.argv[1:]

HEADER = 16 + 8 + 32 + 8 + 8  # bytes before the ranges: magic, format, version, tree, how many
RECORD = 64 + 24 + 24 + 8 * 8  # of each range, before its device's state


def run(*arguments, input="", status=0, quiet=True, vm=None):
    done = subprocess.run((GUESTMEM, "run", *(("--quiet",) if quiet else ()), "--virtual-time",
                           "--max-seconds", "200", *arguments, vm or ARGUMENT),
                          input=input, capture_output=True, text=True, timeout=300)
    assert done.returncode == status, (arguments, done)
    return done


def restored(saved, input, *arguments, vm=None):
    done = run("--restore", saved, *arguments, input=input, vm=vm)
    assert done.stderr == "", done
    return done.stdout


def refused(saved, *says, vm=None):
    """Status 1 and one line, which names the file, and nothing of the guest."""
    done = run("--restore", saved, status=1, vm=vm)
    lines = done.stderr.splitlines()
    assert done.stdout == "" and len(lines) == 1, (says, done)
    assert lines[0].startswith(f"guestmem: {saved}: ") and len(lines[0]) > len(saved) + 20, lines
    for part in says:
        assert part in lines[0], (part, lines)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)


def change_description(folder, *changes, name="changed.dts", source=ARGUMENT):
    with open(source) as file:
        text = file.read()
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after, 1)
    path = os.path.join(folder, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def sleeping_description(folder):
    path = os.path.join(folder, "vm.dts")
    with open(path, "w") as file:
        file.write("""/dts-v1/;
/ { #address-cells = <2>; #size-cells = <2>; interrupt-parent = <&gic>;
    guestmem,entry = <0x40000000>;
    ram { reg = <0 0x40000000 0 0x10000>; guestmem,backing = "ram"; guestmem,load = "%s"; };
    more { reg = <0 0x50000000 0 0x1800>; guestmem,backing = "frames"; guestmem,map-on-fault; };
    serial { reg = <0 0x9000000 0 0x1000>; guestmem,backing = "emulated";
             guestmem,device = "pl011"; interrupts = <0 1 4>; };
    disk { reg = <0 0xa000000 0 0x1000>; guestmem,backing = "emulated"; guestmem,read-only;
           guestmem,device = "virtio-block"; guestmem,file = "disk"; };
    log { reg = <0 0xa001000 0 0x1000>; guestmem,backing = "emulated"; guestmem,read-only;
          guestmem,device = "virtio-console"; guestmem,file = "log"; };
    gic: gic { reg = <0 0x8000000 0 0x1000>, <0 0x8010000 0 0x1000>; interrupt-controller;
               #interrupt-cells = <3>; guestmem,backing = "emulated"; guestmem,device = "gic"; }; };
""" % ARGUMENT)
    write(os.path.join(folder, "disk"), bytes(1 << 20))
    return path


def test_sleeping(folder):
    vm = sleeping_description(folder)
    saved = os.path.join(folder, "saved")
    # On a wrong way: it never waits, it ends, it is not asked in time.
    write(saved, b"kept")
    done = run("--save", saved, input="q", status=1, vm=vm)
    assert (done.stdout, done.stderr.count("\n")) == (">q", 1) and saved in done.stderr, done
    done = run("--save", saved, "--max-instructions", "10", status=1, vm=vm)
    assert "did not come to wait" in done.stderr.splitlines()[0], done
    assert read(saved) == b"kept"
    # Input that is piped comes first.
    assert run("--save", saved, input="one\ntwo\n", vm=vm).stdout == ">one\n>two\n>"
    assert stat.S_IMODE(os.stat(saved).st_mode) == 0o600
    for _ in range(2):
        assert restored(saved, "three\nq", vm=vm) == "three\n>q"
        assert restored(saved, "three\n", "--restarts", "2", vm=vm) == "three\n>" * 3
    # A restored guest can be saved again, in the place of the one that it was.
    assert restored(saved, "four\n", "--save", saved, vm=vm) == "four\n>"
    assert restored(saved, "five\nq", vm=vm) == "five\n>q"
    assert sorted(os.listdir(folder)) == ["disk", "log", "saved", "vm.dts"]
    # What it was saved with and without: time by instructions or by the clock.
    done = subprocess.run((GUESTMEM, "run", "--quiet", "--restore", saved, vm), input="six\nq",
                          capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "six\n>q"), done
    # The file is what gzip reads and writes.
    content = gzip.decompress(read(saved))
    write(saved, gzip.compress(content))
    assert restored(saved, "six\nq", vm=vm) == "six\n>q"
    write(os.path.join(folder, "disk"), bytes(2 << 20))
    refused(saved, "/disk: guestmem,device", "another size", vm=vm)
    write(os.path.join(folder, "disk"), bytes(1 << 20))
    # A disk that could be written is known of before the guest runs.
    writable = change_description(folder, ("guestmem,read-only;", ""), source=vm)
    refused(saved, "/disk: guestmem,file", "make it read-only", vm=writable)
    for option in (("--save", saved), ("--restarts", "1")):
        done = run(*option, status=1, vm=writable)
        assert done.stdout == "" and "make it read-only" in done.stderr, done

    # Whatever is in it, with a good checksum: it is refused in a line, or a guest goes on.
    memory = content.index(b"unicorn") + 40
    changed = os.path.join(folder, "changed")
    chance = random.Random(1)
    refusals = 0
    for i in range(120):
        other = bytearray(content)
        for _ in range(chance.choice((1, 1, 4, 40))):
            at = chance.randrange(HEADER, memory + 2000) if i % 2 else chance.randrange(len(other))
            other[at] = chance.choice((0, 1, 0x7f, 0xff, chance.randrange(256)))
        write(changed, gzip.compress(bytes(other), 1))
        done = subprocess.run((GUESTMEM, "run", "--quiet", "--virtual-time", "--max-instructions",
                               "100000", "--restore", changed, vm), input="x\nq",
                              capture_output=True, text=True, errors="replace", timeout=300)
        assert done.returncode in (0, 1), (i, done)
        if changed in done.stderr:
            refusals += 1
            assert (done.stdout, done.stderr.count("\n")) == ("", 1), (i, done)
    assert 10 < refusals < 110, refusals
    # A program counter where nothing is, and no vector for that: the guest's fault is one line too.
    write(changed, gzip.compress(content[:memory] + b"\xff" * 8 + content[memory + 8:]))
    done = run("--restore", changed, status=1, vm=vm)
    assert "no vector to take it" in done.stderr and done.stderr.count("\n") == 1, done
    # What comes after the end, a piece that is missing, and a device's state that cannot be.
    write(changed, gzip.compress(content + b"\0"))
    refused(changed, "goes on after its end", vm=vm)
    for size in (0, 4, HEADER - 1, HEADER, HEADER + RECORD, memory, len(content) - 1):
        write(changed, gzip.compress(content[:size]))
        refused(changed, "ends before its end", vm=vm)
    page = struct.pack("<QQ4096x16x", 0x50001000, 4096)  # half of it is none's
    write(changed, gzip.compress(content[:-16] + page))
    refused(changed, "has 4096 bytes at 0x50001000", vm=vm)
    waiting = content.index(b"serial") + RECORD + 0x4c + 4096 + 8  # after registers, input, start
    for at, value in ((waiting, 4097), (waiting - 8, 4096)):
        write(changed, gzip.compress(content[:at] + value.to_bytes(8, "little") + content[at + 8:]))
        refused(changed, "/serial: guestmem,device", "more input", vm=vm)


# Memory that comes when it is touched.
MORE = ("\t/* A page that the VMM", """
\tmore@c000000 {
\t\treg = <0x0 0x0c000000 0x0 0x00100000>;
\t\tguestmem,backing = "frames";
\t\tguestmem,map-on-fault;
\t};
\t/* A page that the VMM""")


def test_u_boot(folder):
    saved = os.path.join(folder, "saved")
    commands = "random 41000000 1000\ncrc32 41000000 1000; mw.b 41000000 5a 1000\n"
    done = run("--save", saved, quiet=False)
    assert f"\nsaved: {saved}, in " in done.stdout and done.stderr == "", done
    boot = done.stdout.split("--- guest console ---\n")[1].split("\n--- guest stopped")[0]
    # Each process does the same, and so does one that starts again from the prompt.
    again = run("--restarts", "2", input=commands).stdout
    assert again.startswith(boot) and boot.endswith("=> ")
    once = again[len(boot):len(boot) + (len(again) - len(boot)) // 3]
    assert again == boot + once * 3 and once.count("==> ") == 1, again
    for _ in range(2):
        assert restored(saved, commands + "poweroff\n").startswith(once + "poweroff\n")
    assert restored(saved, commands, "--restarts", "1") == once * 2
    picture = os.path.join(folder, "picture")
    assert run("--save", saved + "2", "--svg", picture).stdout == boot
    assert read(saved) == read(saved + "2")  # so no address of a process is in it
    touched = re.search(r"ram; ~?([0-9.]+) MiB touched", read(picture).decode()).group(1)
    assert float(touched) < 64, touched  # of 128, by the guest, not by who saves it
    # Memory that is no RAM is saved too, and what is not there stays away.
    vm = change_description(folder, MORE)
    done = run("--save", saved, input="mw.l c000000 12345678\n", vm=vm, quiet=False)
    frames = re.search("\nframes: (.*)\n", done.stdout).group(0)
    assert "78 56 34 12" in restored(saved, "md.b c000000 4\npoweroff\n", vm=vm)
    done = run("--restore", saved, input="poweroff\n", vm=vm, quiet=False)
    assert frames in done.stdout and f"\nrestored: {saved}, in " in done.stdout, (frames, done)
    assert "--- guest console: the guest waits at its prompt ---\n" in done.stdout, done

    check_descriptions(folder, saved)
    check_damage(folder, saved, vm)
    check_places(folder, vm)
    for arguments in (("--save", saved, "--restarts", "1"), ("--restore", saved, "--append", "x")):
        done = run(*arguments, status=2, vm=vm)
        assert (done.stdout, done.stderr.count("\n")) == ("", 1), done


def check_descriptions(folder, saved):
    for changes, *says in (
            ([], "/shared-page@b000000: name", "more@c000000"),
            ([("0x08000000>;\n\t\tguestmem,backing = \"ram\"",
               "0x04000000>;\n\t\tguestmem,backing = \"ram\"")],
             "/memory@40000000: reg (size)", "0x8000000", "0x4000000"),
            ([("\"allocated-frame\"", "\"frames\"")],
             "/shared-page@b000000: guestmem,backing", '"allocated-frame"', '"frames"'),
            ([("device = \"zeros\"", "device = \"ones\"")], "/intc@8000000: guestmem,device"),
            ([("shared-page@b000000", "other-page@b000000")], "name", "shared-page@b000000"),
            ([("rights = \"ro\"", "rights = \"rw\"")], "/read-only-page@b001000: guestmem,rights"),
            ([("guestmem,map-on-fault;", "")], "/more@c000000: guestmem,map-on-fault"),
            ([("U-Boot on guestmem", "another model")], "another device tree", "vm.dts"),
            ([("guestmem,backing = \"emulated\";\n\t\tguestmem,device = \"ones\";\n\t};\n};", "};\n};")],
             "has 15 ranges", "had 16")):
        vm = change_description(folder, *([MORE] if changes else []), *changes, name="vm.dts")
        before = read(saved)
        refused(saved, *says, "use that description, or save the guest again", vm=vm)
        assert read(saved) == before


def check_damage(folder, saved, vm):
    content = read(saved)
    damaged = os.path.join(folder, "damaged")
    places = [0, 1, 2, 3, *range(10, 20), *range(20, len(content) - 8, len(content) // 30),
              *range(len(content) - 8, len(content))]  # but for what gzip says of time and system
    for at in places:
        write(damaged, content[:at] + bytes([content[at] ^ 0x5a]) + content[at + 1:])
        refused(damaged, vm=vm)
    for size in (0, 1, 9, 11, 100, len(content) // 2, len(content) - 8, len(content) - 1):
        write(damaged, content[:size])
        refused(damaged, vm=vm)
    write(damaged, gzip.decompress(content))  # without the checksum
    refused(damaged, "no saved guest", vm=vm)
    write(damaged, gzip.compress(b"something else" * 1000))
    refused(damaged, "no saved guest", vm=vm)
    plain = bytearray(gzip.decompress(content))
    plain[24:29] = b"9.9.9"
    write(damaged, gzip.compress(bytes(plain)))
    refused(damaged, "9.9.9", "save the guest again", vm=vm)
    plain = gzip.decompress(content).replace(b"unicorn 2.", b"unicorn 1.", 1)
    write(damaged, gzip.compress(plain))
    refused(damaged, "another engine", vm=vm)
    refused(os.path.join(folder, "none"), "No such file", vm=vm)
    refused(folder, "Is a directory", vm=vm)


def check_places(folder, vm):
    dangling = os.path.join(folder, "dangling")
    os.symlink("nothing", dangling)
    for place, says in (("/dev/full", "No space left"), (os.path.join(folder, "none", "f"), "No such"),
                        (folder, "Is a directory"), ("", "No such"), (dangling, "No such")):
        done = run("--save", place, status=1, vm=vm)
        assert done.stderr.count("\n") == 1 and f"guestmem: {place}: {says}" in done.stderr, done
        assert place == "/dev/full" or done.stdout == "", done  # so it is known before the guest runs
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode) and os.path.islink(dangling)
    # By a link, the file that it leads to; and a pipe.
    link, target = os.path.join(folder, "link"), os.path.join(folder, "target")
    os.symlink(target, link)
    write(target, b"old")
    run("--save", link, vm=vm)
    assert os.path.islink(link) and restored(target, "poweroff\n", vm=vm)
    fifo = os.path.join(folder, "fifo")
    os.mkfifo(fifo)
    with subprocess.Popen(("cp", fifo, link + "2")):
        run("--save", fifo, vm=vm)
    assert read(link + "2") == read(target)
    assert not [name for name in os.listdir(folder) if re.search(r"\.\w{6}$", name)]


def test_linux(folder):
    """Booted once, and gone on from the prompt in two processes; times are shown, not judged."""
    saved = os.path.join(folder, "saved")
    commands = ("mount -t proc proc /proc; mount -t devtmpfs dev /dev; cat /proc/uptime /proc/interrupts; ls -l /\n"
                "dd if=/dev/zero of=/zeros bs=1M count=32; md5sum /zeros /bin/busybox\npoweroff -f\n")
    start = time.monotonic()
    done = run("--save", saved)
    print(f"to the prompt by a boot, and saved: {time.monotonic() - start:.2f} s; "
          f"{os.path.getsize(saved) >> 20} MiB")
    assert "BusyBox v" in done.stdout and done.stderr == "", done
    outputs = [restored(saved, commands) for _ in range(2)]
    assert outputs[0] == outputs[1], outputs
    for part in ("arch_timer", "uart-pl011", "58f06dd588d8ffb3beb46ada6309436b  /zeros"):
        assert part in outputs[0], (part, outputs[0])
    start = time.monotonic()
    restored(saved, "poweroff -f\n")
    print(f"restored, and powered off: {time.monotonic() - start:.2f} s")


with tempfile.TemporaryDirectory() as folder:
    {"sleeping": test_sleeping, "u-boot": test_u_boot, "linux": test_linux}[PART](folder)
