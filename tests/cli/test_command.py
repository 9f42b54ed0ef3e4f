# SPDX-License-Identifier: BSD-2-Clause
"""What the `guestmem` command promises: one clear line for what is broken, maps that are what they
claim to be, and, where there are guests, their exact output, piped or on a terminal.

Usage: test_command.py GUESTMEM PART [ARGUMENTS]
  broken                     descriptions that are refused, and wrong usage
  map                        the forms of a map, and where descriptions and boards come from
  board                      boards and their overlays
  sources                    descriptions with macros, and from pipes
  guest EXAMPLE EXPECTED     the example guest, and the folder with what it prints
  sleeping ECHO.bin          a guest that sleeps until input interrupts it
  u-boot VM.dts              U-Boot, with piped input
  terminal VM.dts            U-Boot, on a terminal"""
import json
import os
import pty
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import zlib
import xml.etree.ElementTree as ElementTree

GUESTMEM, PART, *ARGUMENTS = sys.argv[1:]


def guestmem(*arguments, input="", environment=None):
    return subprocess.run((GUESTMEM, *arguments), input=input, capture_output=True, text=True,
                          timeout=300, env=environment)


def write(folder, nodes, name="vm.dts", cells=2):
    path = os.path.join(folder, name)
    with open(path, "w") as file:
        file.write(f"/dts-v1/;\n/ {{ #address-cells = <{cells}>; #size-cells = <{cells}>;\n"
                   f"{nodes}\n}};\n")
    return path


def refused(what, path, *says, environment=None):
    """Exit status 1, nothing on standard output, one line that names the file and the reason."""
    for command in ("map", "run"):
        done = guestmem(command, path, environment=environment)
        lines = done.stderr.splitlines()
        assert (done.returncode, done.stdout, len(lines)) == (1, "", 1), (what, done)
        assert lines[0].startswith("guestmem: ") and path in lines[0], (what, lines)
        for part in says:
            assert part in lines[0], f"{what}: no {part!r} in {lines[0]}"


def check_lost(*arguments):
    """Output that cannot be written is a failure, in one line, after what the guest did."""
    with open("/dev/full", "w") as full:
        done = subprocess.run((GUESTMEM, *arguments), stdin=subprocess.DEVNULL, stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 1, (arguments, done)
    assert done.stderr.splitlines()[-1] == "guestmem: standard output cannot be written", done
    assert done.stderr.count("cannot be written") == 1, done


def node(name, base, size, backing, more=""):
    return (f'{name} {{ reg = /bits/ 64 <{base} {size}>; guestmem,backing = "{backing}"; {more} }};')


ONES = 'guestmem,device = "ones";'
LOAD = 'guestmem,load = "vm.dts";'
TREE = 'guestmem,device-tree = "self";'
BROKEN = (  # what is wrong, the nodes, what the line says
    ("overlap", node("ram@40000000", "0x40000000", "0x100000", "ram") +
     node("page@40001000", "0x40001000", "0x1000", "allocated-frame"),
     "/page@40001000: reg [0x40001000, 0x40001fff]", "ram@40000000", "0x400fffff"),
    ("overlap of emulated ranges", node("a@1000", "0x1000", "0x20", "emulated", ONES) +
     node("b@101f", "0x101f", "0x10", "emulated", ONES), "/b@101f: reg [0x101f, 0x102e]", "a@1000"),
    ("overlap with an anonymous region", node("region", "0x80000000", "0x100000", "anonymous") +
     node("ram", "0x800ff000", "0x2000", "ram"), "/ram: reg [0x800ff000, 0x80100fff]", "0x80000000"),
    ("a mapped range that shares a page", node("a@1000", "0x1000", "0x20", "emulated", ONES) +
     node("b@1800", "0x1800", "0x100", "frames"), "/b@1800: reg [0x1800, 0x18ff]", "a@1000"),
    ("misaligned frame", node("page", "0xb000800", "0x1000", "allocated-frame"),
     "/page: reg [0xb000800, 0xb0017ff]"),
    ("misaligned physical address",
     node("r", "0x50000000", "0x1000", "untyped-at", "guestmem,paddr = <0x60000800>;"),
     "/r: guestmem,paddr [0x50000000, 0x50000fff]", "0x60000800"),
    ("out of memory", node("ram", "0x40000000", "0x4000000000", "ram"), "/ram: ",
     "[0x40000000, 0x403fffffff]"),
    ("physical memory that no untyped has", node(
        "r", "0x50000000", "0x1000", "untyped-at", "guestmem,paddr = /bits/ 64 <0x10000000000>;"),
     "/r: guestmem,paddr [0x50000000, 0x50000fff]", "0x10000000000"),
    ("the kernel's distributor", node("r", "0x8000000", "0x10000", "untyped"),
     "/r: guestmem,backing [0x8000000, 0x800ffff]: physical [0x8000000, 0x8000fff]",
     "the kernel keeps it (the interrupt distributor)"),
    ("the kernel's image", node("r", "0x40000000", "0x200000", "ram-untyped"),
     "/r: guestmem,backing [0x40000000, 0x401fffff]: physical [0x40010000, 0x40237fff]",
     "the kernel's image"),
    ("the kernel's page by another address", node(
        "r", "0x50000000", "0x1000", "untyped-at", "guestmem,paddr = <0x8010000>;"),
     "/r: guestmem,paddr [0x50000000, 0x50000fff]: physical [0x8010000, 0x8010fff]", "CPU interface"),
    ("the same physical memory twice",
     node("a", "0x50000000", "0x1000", "untyped-at", "guestmem,paddr = <0x60000000>;") +
     node("b", "0x60000000", "0x1000", "untyped"), "/b: guestmem,backing [0x60000000, 0x60000fff]"),
    ("a device page of the kernel", node("d", "0x8030000", "0x1000", "device-frame"),
     "/d: guestmem,backing [0x8030000, 0x8030fff]: physical [0x8030000", "virtual control"),
    ("beyond the guest's address space", node("r", "0x10000000000", "0x1000", "frames"), "/r: ",
     "[0x10000000000, 0x10000000fff]"),
    ("missing file", node("ram", "0x40000000", "0x1000", "ram", 'guestmem,load = "no-such-file";'),
     "/ram: guestmem,load [0x40000000, 0x40000fff]", "no-such-file", "No such file or directory"),
    ("a folder as file", node("ram", "0x40000000", "0x1000", "ram", 'guestmem,load = ".";'),
     "/ram: guestmem,load [0x40000000, 0x40000fff]", "Is a directory"),
    ("a file that is too large", node("ram", "0x40000000", "0x1000", "ram",
                                      LOAD + "guestmem,load-offset = <0xff8>;"),
     "/ram: guestmem,load [0x40000000, 0x40000fff]", "do not fit", "8 from offset 0xff8"),
    ("a tree that is too large", node("ram", "0x40000000", "0x1000", "ram",
                                      TREE + "guestmem,device-tree-offset = <0xff8>;"),
     "/ram: guestmem,device-tree [0x40000000, 0x40000fff]", "do not fit"),
    ("a tree over a file", node("ram", "0x40000000", "0x10000", "ram", LOAD + TREE),
     "/ram: guestmem,device-tree [0x40000000, 0x4000ffff]", "overlaps"),
    ("content without frames",
     node("n", "0x1000", "0x1000", "frames", LOAD + "guestmem,map-on-fault;"),
     "/n: guestmem,map-on-fault: ", "guestmem,load"),
    ("unknown device", node("d", "0x1000", "0x1000", "emulated", 'guestmem,device = "toaster";'),
     "/d: guestmem,device [0x1000, 0x1fff]", 'unknown device "toaster"'),
    ("no region to place a range in", 'n { guestmem,size = <0x1000>; guestmem,backing = "frames"; };',
     "/n: guestmem,size (4096 bytes): "),
    ("a region that is too small", node("region", "0x80000000", "0x1000", "anonymous") +
     'n { guestmem,size = <0x2000>; guestmem,backing = "ram"; };', "/n: guestmem,size (8192 bytes): "),
    ("unknown engine", 'guestmem,engine = "steam";', "/: guestmem,engine: ", '"steam"'),
    ("unknown board", 'guestmem,board = "surf-board";', "/: guestmem,board: ", '"surf-board"'),
    ("missing board file", 'guestmem,board = "./none.dts";', "/: guestmem,board: ",
     "none.dts: No such file or directory"),
    ("a syntax error", "n { ", "vm.dts:", "syntax error"),
    # What the parser of descriptions refuses.
    ("no backing", 'n { reg = <0 0 0 0x1000>; guestmem,load = "f"; };', "/n: guestmem,load: ",
     "without guestmem,backing"),
    ("unknown backing", node("n", "0x1000", "0x1000", "wool"),
     '/n: guestmem,backing: unknown backing "wool"'),
    ("unknown property", node("n", "0x1000", "0x1000", "ram", 'guestmem,colour = "red";'),
     "/n: guestmem,colour: no such property"),
    ("a switch with a value", node("n", "0x1000", "0x1000", "frames", "guestmem,map-on-fault = <0>;"),
     "/n: guestmem,map-on-fault: must have no value"),
    ("rights of RAM", node("n", "0x1000", "0x1000", "ram", 'guestmem,rights = "ro";'),
     "/n: guestmem,rights: has no effect"),
    ("an address of RAM", node("n", "0x1000", "0x1000", "ram", "guestmem,paddr = <0>;"),
     "/n: guestmem,paddr: has no effect"),
    ("an offset of nothing", node("n", "0x1000", "0x1000", "ram", "guestmem,load-offset = <0>;"),
     "has no effect without guestmem,load"),
    ("two strings", node("n", "0x1000", "0x1000", "emulated", 'guestmem,device = "ones", "zeros";'),
     "/n: guestmem,device: must be one string, is 2"),
    ("two trees", node("n", "0x1000", "0x1000", "ram", 'guestmem,device-tree = "self", "b";'),
     "/n: guestmem,device-tree: must be one string, is 2"),
    ("two files at no offset", node("n", "0x1000", "0x1000", "ram", 'guestmem,load = "a", "b";'),
     "/n: guestmem,load-offset: missing, but guestmem,load has 2 files"),
    ("three offsets of two files", node("n", "0x1000", "0x1000", "ram", 'guestmem,load = "a", "b";'
     "guestmem,load-offset = <0 1 2>;"), "/n: guestmem,load-offset: must be 2 numbers of 32 or 64 "
     "bits, has 12 bytes"),
    ("an offset outside", node("n", "0x1000", "0x1000", "ram", 'guestmem,load = "a", "b";'
     "guestmem,load-offset = <0 0x1000>;"),
     "/n: guestmem,load-offset [0x1000, 0x1fff]: 0x1000 is not less than the size 0x1000"),
    ("an initrd outside RAM", node("n", "0x1000", "0x1000", "frames", 'guestmem,initrd = "a";'),
     '/n: guestmem,initrd: has no effect with guestmem,backing = "frames"'),
    ("an offset of no initrd", node("n", "0x1000", "0x1000", "ram", "guestmem,initrd-offset = <0>;"),
     "/n: guestmem,initrd-offset: has no effect without guestmem,initrd"),
    ("an initrd that nobody finds", node("n", "0x1000", "0x1000", "ram", 'guestmem,initrd = "a";'),
     "/n: guestmem,initrd [0x1000, 0x1fff]: has no effect without guestmem,device-tree = "
     '"self"'),
    ("two initrds", node("n", "0x1000", "0x1000", "ram", 'guestmem,initrd = "a";') +
     node("m", "0x2000", "0x1000", "ram", 'guestmem,initrd = "a"; guestmem,device-tree = "self";'),
     "/m: guestmem,initrd [0x2000, 0x2fff]: /n has one already"),
    ("no string", node("n", "0x1000", "0x1000", "ram", "guestmem,load = [61 62];"),
     "/n: guestmem,load: must be one string"),
    ("an empty string", node("n", "0x1000", "0x1000", "ram", 'guestmem,load = "";'),
     "/n: guestmem,load: must be one string"),
    ("a property without value", node("n", "0x1000", "0x1000", "ram", "guestmem,load;"),
     "/n: guestmem,load: must be one string"),
    ("two lines", node("n", "0x1000", "0x1000", "ram", 'guestmem,load = "a\\nb";'), "printable"),
    ("unknown rights", node("n", "0x1000", "0x1000", "allocated-frame", 'guestmem,rights = "rwx";'),
     '"rwx" is none of'),
    ("no address", node("n", "0x1000", "0x1000", "untyped-at"), "/n: guestmem,paddr: missing"),
    ("no number", node("n", "0x1000", "0x1000", "untyped-at", "guestmem,paddr = [61 62 63];"),
     "must be 1 number of 32 or 64 bits, has 3 bytes"),
    ("an address that wraps", node("n", "0x1000", "0x1000", "untyped-at",
                                   "guestmem,paddr = /bits/ 64 <0xffffffffffffffff>;"),
     "wraps around"),
    ("no device", node("n", "0x1000", "0x1000", "emulated"), "/n: guestmem,device: missing"),
    ("reg and size", node("n", "0x1000", "0x1000", "ram", "guestmem,size = <0x1000>;"),
     "not allowed together with reg"),
    ("no reg", 'n { guestmem,backing = "ram"; };', "/n: reg: missing"),
    ("wrong cells", 'n { reg = <0>; guestmem,backing = "ram"; };',
     "/n: reg: has 4 bytes, not a multiple of the 16"),
    ("size 0", node("n", "0x1000", "0", "ram"), "/n: reg: ", "0x1000 has size 0"),
    ("placed size 0", 'n { guestmem,size = <0>; guestmem,backing = "ram"; };',
     "/n: guestmem,size: ", "must not be 0"),
    ("wrap-around", node("n", "0xfffffffffffff000", "0x2000", "ram"), "/n: reg: ",
     "0xfffffffffffff000", "wraps around"),
    ("a large frame", node("n", "0x1000", "0x2000", "allocated-frame"),
     "/n: reg [0x1000, 0x2fff]: ", "must be 0x1000"),
    ("three cells", "bus { #address-cells = <3>; #size-cells = <2>; ranges; " +
     node("n", "0", "0x1000", "ram") + " };", "/bus: #address-cells: ", "must be 1 or 2"),
    ("a bus that passes nothing on", "bus { #address-cells = <2>; #size-cells = <2>; " +
     node("n", "0x3000", "0x1000", "ram") + " };", "/bus: ranges: ", "no guest-physical address"),
    ("outside the ranges of a bus", "bus { #address-cells = <2>; #size-cells = <2>;"
     "ranges = <0 0 0 0x10000000 0 0x1000>; " + node("n", "0x3000", "0x1000", "ram") + " };",
     "/bus/n: reg: ", "outside the ranges of its bus"),
    ("an entry between instructions", "guestmem,entry = <2>;", "/: guestmem,entry: ",
     "0x2 is not a multiple of 4"),
    ("unknown property of the root", "guestmem,x4 = <0>;", "/: guestmem,x4: ",
     "no such property of the root node"),
    ("a node's property at the root", "guestmem,hidden;", "no such property of the root node"),
    ("nodes in nodes", "n { " * 40 + "};" * 40, "/n/n/", "nested deeper"),
)


# Overlays that a board is refused with: file, content, what the line says.
OVERLAYS = (
    ("label.dts", '/dts-v1/; /plugin/; &serial9 { status = "okay"; };', '"serial9"',
     "which", "qemu-arm-virt"),
    ("path.dts", '/dts-v1/; /plugin/; &{/nowhere} { status = "okay"; };', "/fragment@0: target-path",
     'has no node "/nowhere"'),
    ("tree.dtb", "/dts-v1/; / { }; // and more than a header", "not a flattened device tree"),
    ("syntax.dts", "/ { chosen { oops }; };", "syntax.dts:1.", "syntax error"),
    ("plugin.dts", "/dts-v1/; /plugin/; / { };", "no overlay"),
    ("header.dts", '#include "missing.h"', "missing.h"),
    # Written by hand, not as /plugin/ makes them: places that are not there.
    ("far.dtbo", "/dts-v1/; / { fragment@0 { target = <0>; __overlay__ { }; };"
     '__fixups__ { gic = "/fragment@0:target:4294967294"; }; };', "/__fixups__", "no such place"),
    ("local.dtbo", "/dts-v1/; / { fragment@0 { target = <0>; __overlay__ { }; };"
     "__local_fixups__ { fragment@0 { target = <4>; }; }; };", "/__local_fixups__"),
)


def test_broken(folder):
    for what, nodes, *says in BROKEN:
        refused(what, write(folder, nodes), *says)
    for name, content, says in (
            ("empty.dtb", b"", "truncated"),
            ("cut.dtb", b"\xd0\x0d\xfe\xed\0\0\1\0", "truncated"),
            ("text.dtb", b"no device tree, though long enough for a header " * 2,
             "not a flattened device tree"),
            ("empty.dts", b"", "empty.dts: empty"),
            # Which dtc takes for the end of the source.
            ("mark.dts", b"\xef\xbb\xbf/dts-v1/; / { };", "mark.dts:1: byte 0xef"),
            ("blank.dts", b"/dts-v1/; // \xc2\xa0\n/ { };\n\xc2\xa0&{/} { wool; };", ":3: byte 0xc2"),
            ("zero.dts", b"/dts-v1/; / { };\n\0 wool", ":2: byte 0x00")):
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            file.write(content)
        refused(name, path, says)
        tree = node("n", "0", "0x1000", "frames", f'guestmem,device-tree = "{name}";')
        refused("a guest's " + name, write(folder, tree), "/n: guestmem,device-tree", says)
    refused("no file", "/no/such/vm.dts", "No such file or directory")
    refused("a folder", "/", "Is a directory")
    refused("no dtc", write(folder, ""), "device-tree-compiler",
            environment={**os.environ, "PATH": folder})
    refused("no cpp", write(folder, "#define X\n"), "cpp is not installed", "from line 3 on",
            environment={**os.environ, "PATH": folder})
    refused("no header", write(folder, '#include "none.h"\n'), "vm.dts:3:10: ", "none.h")
    refused("an error below a macro", write(folder, "#define X\nn { X oops };"), "vm.dts:4.")
    # Without a bound on the tools' memory, these end with the machine's.
    refused("a file without end", write(folder, 'x = /incbin/("/dev/zero");'), "dtc: ", "failed")
    refused("a header without end", write(folder, '#include "/dev/zero"\n'), "cpp: ", "memory")
    source = write(folder, "")
    for name, content, *says in OVERLAYS:
        path = os.path.join(folder, name)
        with open(path, "w") as file:
            file.write(content)
        if name.endswith(".dtbo"):
            subprocess.run(["dtc", "-q", "-I", "dts", "-O", "dtb", "-o", path, path], check=True)
        for command in (["map"], ["run", source], ["plan", source]):
            done = guestmem(*command, "--board", "qemu-arm-virt", "--overlay", path)
            assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done
            assert all(part in done.stderr for part in (name, *says)), (says, done)
    refused("an overlay as description", os.path.join(folder, "label.dts"), "this is an overlay")
    for wrong in ([], ["fly"], ["run"], ["map"], ["run", "a.dts", "b.dts"],
                  ["map", "--yaml", "a.dts"], ["run", "--max-seconds", "soon"],
                  ["run", "--max-seconds", "-1"], ["run", "--max-instructions", "0"],
                  ["run", "--max-instructions", "-5"], ["run", "--restarts", "0"]):
        done = guestmem(*wrong)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
        assert done.stderr.startswith("guestmem"), done
    for right, says in ((["--help"], "Usage: guestmem COMMAND"), (["-h"], "pl011"),
                        (["run", "--help"], "Usage: guestmem run"),
                        (["map", "--help"], "Usage: guestmem map"), (["--version"], "guestmem 0.")):
        done = guestmem(*right)
        assert (done.returncode, done.stderr) == (0, "") and says in done.stdout, done


MAP = """
model = "a <small> & \\"quoted\\" machine";
ram@40000000 { reg = <0 0x40000000 0 0x100000>; guestmem,backing = "ram"; };
rom@0 { reg = <0 0 0 0x3000>; guestmem,backing = "frames"; };
lazy@100000 { reg = <0 0x100000 0 0x3000>; guestmem,backing = "frames"; guestmem,map-on-fault; };
at@200000 { reg = <0 0x200000 0 0x2000>; guestmem,backing = "untyped-at";
    guestmem,paddr = <0x60000000>; };
page@300000 { reg = <0 0x300000 0 0x1000>; guestmem,backing = "allocated-frame";
    guestmem,rights = "ro"; guestmem,device = "log"; };
dev@400000 { reg = <0 0x400000 0 0x18>; guestmem,backing = "emulated";
    guestmem,device = "zeros"; };
region@80000000 { reg = <0 0x80000000 0 0x100000>; guestmem,backing = "anonymous"; };
placed { guestmem,size = <0x2000>; guestmem,backing = "frames"; };
top@ff00000000 { reg = <0xff 0 1 0>; guestmem,backing = "emulated"; guestmem,device = "ones"; };
"""
NAMES = ("rom@0", "lazy@100000", "at@200000", "page@300000", "dev@400000", "ram@40000000",
         "region@8", "placed", "top@ff00000000")
BOARD = """memory@200000000 { device_type = "memory"; reg = <2 0 0 0x4000000>; };"""
ON_BOARD = """n { reg = <0 0x8000000 0 0x1000>; guestmem,backing = "untyped"; };"""


def printed(*arguments):
    done = guestmem("map", *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def check_text(text):
    at = 0
    for name in NAMES:
        at = text.find(name, at)
        assert at >= 0, f"{name} is missing or out of order in:\n{text}"
    for part in ("0x0000000000000000-0000000000002fff", "0x0000000080000000-0000000080001fff",
                 "untyped-at 0x60000000", "allocated-frame: log", "on fault", "9 ranges"):
        assert part in text, (part, text)


def check_json(text):
    tree = json.loads(text)
    assert tree["title"] == 'a <small> & "quoted" machine', tree
    rows = {row["name"]: row for row in tree["ranges"]}
    assert len(rows) == 9, rows
    rom = rows["rom@0"]
    assert (rom["base"], rom["last"], rom["size"]) == ("0x0", "0x2fff", 0x3000), rom
    assert (rom["frames"]["4k"], rom["rights"], rom["cacheable"]) == (3, "rw", True), rom
    lazy, page, placed = rows["lazy@100000"], rows["page@300000"], rows["placed"]
    assert lazy["map_on_fault"] and lazy["frames"]["4k"] == 0, lazy
    assert rows["at@200000"]["paddr"] == "0x60000000", rows
    assert (page["rights"], page["device"]) == ("r-", "log"), page
    assert rows["dev@400000"]["rights"] is None, rows
    assert (placed["anonymous"], placed["base"]) == (True, "0x80000000"), placed
    assert tree["frames"]["4k"] == sum(row["frames"]["4k"] for row in tree["ranges"]), tree


def check_svg(text):
    """Boxes do not overlap, and no two texts of a column are nearer than a line."""
    assert "&lt;small&gt; &amp; &quot;quoted&quot;" in text, text
    root = ElementTree.fromstring(text)
    svg = "{http://www.w3.org/2000/svg}"
    assert root.tag == svg + "svg", root.tag
    boxes = sorted((int(box.get("y")), int(box.get("height")))
                   for box in root.iter(svg + "rect") if box.get("rx") == "3")
    assert len(boxes) == 9, boxes
    for (y, height), (below, _) in zip(boxes, boxes[1:] + [(int(root.get("height")), 0)]):
        assert y + height <= below, boxes
    columns = {}
    for line in root.iter(svg + "text"):
        columns.setdefault(line.get("x"), []).append(int(line.get("y")))
    for column in columns.values():
        column.sort()
        assert all(below - y >= 11 for y, below in zip(column, column[1:])), column


def test_map(folder):
    path = write(folder, MAP)
    check_text(printed("--text", path))
    check_json(printed("--json", path))
    check_svg(printed("--svg", path))

    flat = os.path.join(folder, "flat")
    subprocess.run(["dtc", "-q", "-I", "dts", "-O", "dtb", "-o", flat, path], check=True)
    assert printed(flat) == printed(path), "a flattened description is the same machine"

    for arguments in (["--help"], ["--version"], ["map", "--help"], ["map", path], ["plan", path]):
        check_lost(*arguments)

    boards = os.path.join(folder, "boards")
    os.mkdir(boards)
    small = write(folder, BOARD, "small.dts")
    write(boards, BOARD, "tiny.dts")
    with_data = {**os.environ, "GUESTMEM_DATA": folder}
    for board, options, environment, status in (
            ("", (), None, 1),  # the default board has its interrupt distributor there
            ("small.dts", (), None, 0), ("./small.dts", (), None, 0), ("", ("--board", small), None, 0),
            ("small.dts", ("--board", "qemu-arm-virt"), None, 1),
            ("tiny", (), with_data, 0), ("tiny", (), None, 1)):
        wanted = f'guestmem,board = "{board}";\n' if board else ""
        done = guestmem("map", write(folder, wanted + ON_BOARD), *options, environment=environment)
        assert done.returncode == status, (board, options, done)


BARE = "/ { #address-cells = <2>; #size-cells = <2>; memory@40000000 { device_type = \"memory\"; " \
    "reg = <0 0x40000000 0 0x10000000>; }; gic: controller@8000000 { compatible = \"arm,gic-400\"; " \
    "reg = <0 0x8000000 0 0x10000>, <0 0x8010000 0 0x10000>; }; };"
VM_HOLE = "/ { reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges; hole { no-map; " \
    "reg = <0 0x48000000 0 0x1000000>; }; }; };"


def test_board(folder):
    """What a board's addresses are, with overlays of each kind, on sources and flattened trees."""
    def board(name, text, *options):
        path = os.path.join(folder, name)
        with open(path, "w") as file:
            file.write(text)
        if options:
            subprocess.run(["dtc", "-q", *options, "-O", "dtb", "-o", path + ".dtb", path], check=True)
        return path + (".dtb" if options else "")

    def ranges(base, *overlays):
        options = [part for overlay in overlays for part in ("--overlay", overlay)]
        rows = json.loads(printed("--json", "--board", base, *options))["ranges"]
        assert rows[0]["base"] == "0x0" and rows[-1]["last"] == "0xffffffffff", rows
        assert all(int(low["last"], 16) + 1 == int(high["base"], 16)
                   for low, high in zip(rows, rows[1:])), rows
        return [(row["backing"], row["base"]) for row in rows]

    bare = [("device", "0x0"), ("kernel", "0x8000000"), ("device", "0x8001000"),
            ("kernel", "0x8010000"), ("device", "0x8011000"), ("memory", "0x40000000"),
            ("kernel", "0x40010000"), ("memory", "0x40238000"), ("device", "0x50000000")]
    hole = bare[:-1] + [("reserved", "0x48000000"), ("memory", "0x49000000")] + bare[-1:]
    given = [("device", "0x0")] + bare[5:]
    trees = [board("source.dts", "/dts-v1/; " + BARE), board("flat.dts", "/dts-v1/; " + BARE, "-@"),
             board("macro.dts", "#define GIC 1\n#if GIC\n/dts-v1/;\n#endif\n" + BARE)]
    append = board("append.dts", VM_HOLE)
    plugin = "/dts-v1/; /plugin/; &{/}" + VM_HOLE[1:]
    off = '/dts-v1/; /plugin/; &gic { status = "disabled"; };'
    for tree in trees:
        assert ranges(tree) == bare, tree
        for overlay in (append, board("header.dts", "/dts-v1/; " + VM_HOLE), board("plugin.dts", plugin),
                        board("comment.dts", "/* no /plugin/, no /dts-v1/ */ // \"\n" + VM_HOLE),
                        board("flat-plugin.dts", plugin, "-@")):
            assert ranges(tree, overlay) == hole, (tree, overlay)
        assert ranges(tree, board("off.dts", off)) == given, tree
        assert ranges(tree, board("off.dts", off), append)[-3:] == hole[-3:], tree
    without_labels = board("plain.dts", "/dts-v1/; " + BARE, "-q")
    done = guestmem("map", "--board", without_labels, "--overlay", board("off.dts", off))
    assert done.returncode == 1 and '"gic"' in done.stderr and "dtc's option -@" in done.stderr, done
    done = guestmem("map", "--board", trees[0], *["--overlay", append] * 16)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done
    # And a VM on it: its memory at the same address is there only with the overlay.
    path = write(folder, node("vm", "0x48000000", "0x1000000", "ram-untyped"))
    for base in ([], ["--overlay", append]):
        assert "8 x 2M" in printed("--board", trees[0], *base, path)


def only_dtc(folder):
    os.symlink(shutil.which("dtc"), os.path.join(folder, "dtc"))
    return folder


def test_sources(folder):
    """Descriptions through the preprocessor and pipes, and what a guest reaches."""
    nodes = ("#define BASE 0x10000000\n" + node("window", "BASE", "0x200000", "untyped") +
             node("uart", "0x9000040", "0x40", "untyped") + '\n#include "more.dtsi"\n')
    with open(os.path.join(folder, "more.dtsi"), "w") as file:
        file.write(node("load", "0x80000000", "0x1000", "frames", LOAD))
    done = guestmem("map", write(folder, "/* Without\n#define */ // it's \n"), environment={
        **os.environ, "PATH": only_dtc(folder)})
    assert done.returncode == 0, done
    path = write(folder, nodes)
    map_text = printed(path)
    for part in ("0x0000000010000000-00000000101fffff", "1 x 2M", "2 x 4K",
                 "0x0000000009000000-0000000009000fff", "uart: 0x9000040-900007f was asked for"):
        assert part in map_text, (part, map_text)
    rows = {row["name"]: row for row in json.loads(printed("--json", path))["ranges"]}
    assert [rows["uart"][key] for key in ("base", "last", "size", "reached_base", "reached_last")] \
        == ["0x9000040", "0x900007f", 0x40, "0x9000000", "0x9000fff"], rows
    source = open(path).read()
    for content in (source, subprocess.run(
            ["cpp", "-nostdinc", "-undef", "-x", "assembler-with-cpp", path], check=True,
            capture_output=True, text=True).stdout):
        done = subprocess.run((GUESTMEM, "map", "/dev/stdin"), input=content, capture_output=True,
                              text=True, cwd=folder)
        assert (done.returncode, done.stderr) == (0, ""), done
        assert done.stdout.splitlines()[1:] == map_text.splitlines()[1:], done
    done = guestmem("map", "/dev/stdin", input="/" * (1 << 26))  # of a pipe without end, no more is read
    assert (done.returncode, done.stderr) == (1, "guestmem: /dev/stdin: too large to read\n"), done


def test_guest(folder):
    example, expected = ARGUMENTS
    done = guestmem("run", "--quiet", "--max-seconds", "60", example)
    with open(os.path.join(expected, "expected-output.txt")) as output:
        assert done.stdout == output.read(), done
    with open(os.path.join(expected, "expected-messages.txt")) as messages:
        assert done.stderr == messages.read(), done
    assert done.returncode == 0, done
    check_lost("run", example)
    check_lost("run", "--quiet", example)
    for nodes, says in (("", "0x1000"), (node("n", "0", "0x2000", "frames"), "undefined"),
                        (node("dev@1000", "0x1000", "0x1000", "emulated", ONES), "dev@1000")):
        path = write(folder, "guestmem,entry = <0x1000>;\n" + nodes)
        done = guestmem("run", "--quiet", "--max-seconds", "60", path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done
        assert says in done.stderr, done


    done = guestmem("run", "--quiet", "--restarts", "1", example)
    assert done.returncode == 1 and "never waited for input" in done.stderr.splitlines()[-1], done
    check_picture(folder)


def check_picture(folder):
    """The picture of a run that ends with a fault outside of all ranges: ldr w4, [x1];
    str w4, [x2]; ldr w4, [x3]."""
    with open(os.path.join(folder, "code.bin"), "wb") as code:
        code.write(b"".join(word.to_bytes(4, "little") for word in (0xb9400024, 0xb9000044, 0xb9400064)))
    path = write(folder, "guestmem,entry = <0x40000000>; guestmem,x1 = <0x40401000>;"
                 "guestmem,x2 = <0x1000>; guestmem,x3 = <0x90000000>;" +
                 node("memory", "0x40000000", "0x1000000", "frames", 'guestmem,load = "code.bin";') +
                 node("dev", "0x1000", "0x100", "emulated", ONES) +
                 node("still", "0x1100", "0x100", "emulated", ONES))
    picture = os.path.join(folder, "run.svg")
    done = guestmem("run", "--quiet", "--max-seconds", "60", "--svg", picture, path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1) and "0x90000000" in done.stderr, done
    root = ElementTree.parse(picture).getroot()
    texts = [text.text for text in root.iter() if text.tag.endswith("text")]
    for says in ("frames; 4 KiB touched; 4 KiB loaded", "emulated: ones; 1 fault",
                 "emulated: ones", "1 fault, the first page 0x90000000"):
        assert texts.count(says) == 1, (says, texts)
    strips = [(box.get("fill"), float(box.get("x")), float(box.get("width")), box.get("fill-opacity"))
              for box in root.iter() if box.get("fill-opacity")]
    # Of eight pieces of 50 each, the first was loaded and the third touched.
    assert strips == [("#d00000", 210, 400, "0.40"), ("#14213d", 310, 50, "0.40"),
                      ("#6c757d", 210, 50, "0.40")], strips
    # Faults at more pages than are remembered: ldr w4, [x1]; add x1, x1, #4096; cmp x1, x2; b.ne.
    with open(os.path.join(folder, "scan.bin"), "wb") as code:
        code.write(b"".join(word.to_bytes(4, "little")
                            for word in (0xb9400024, 0x91400421, 0xeb02003f, 0x54ffffa1)))
    many = write(folder, "guestmem,entry = <0x1000>; guestmem,x1 = <0x40000000>;"
                 "guestmem,x2 = <0x44000000>;" +
                 node("code", "0x1000", "0x1000", "frames", 'guestmem,load = "scan.bin";') +
                 node("dev", "0x40000000", "0x4000000", "emulated", ONES), "many.dts")
    guestmem("run", "--quiet", "--max-seconds", "60", "--svg", picture, many)
    assert re.search(r"; 16384 faults, \d+ of them not drawn", open(picture).read()), picture
    for place, status in ((os.path.join(folder, "none", "run.svg"), 1), ("/dev/full", 1)):
        done = guestmem("run", "--quiet", "--max-seconds", "60", "--svg", place, path)
        assert (done.returncode, done.stdout) == (status, "") and place in done.stderr, done


def test_sleeping(folder):
    path = write(folder, "interrupt-parent = <&gic>; guestmem,entry = <0x40000000>;" + node(
        "ram", "0x40000000", "0x10000", "ram", f'guestmem,load = "{ARGUMENTS[0]}";') + node(
        "serial", "0x9000000", "0x1000", "emulated",
        'guestmem,device = "pl011"; interrupts = <0 1 4>;') + """
        gic: gic { reg = <0 0x8000000 0 0x1000>, <0 0x8010000 0 0x1000>; interrupt-controller;
        #interrupt-cells = <3>; guestmem,backing = "emulated"; guestmem,device = "gic"; };""")
    run = ("run", "--quiet", "--max-seconds", "120", path)
    done = guestmem(*run, input="one\ntwo\nq")
    assert (done.returncode, done.stdout, done.stderr) == (0, ">one\n>two\n>q", ""), done
    done = guestmem("run", "--progress", path, input="one\n")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "guest stopped: the input has ended and the guest waits for more" in done.stdout, done
    assert "\npages with the most faults:\n" in done.stdout, done.stdout
    assert "  0x9000000  serial\n" in done.stdout, done.stdout
    assert "\ninterrupts: 4\n           4   33 serial\n" in done.stdout, done.stdout

    # Started again from its prompt, it gets the same input, also after it has powered off.
    for end in "q", "":
        done = guestmem(*run, "--restarts", "3", input="one\ntwo\n" + end)
        assert (done.returncode, done.stderr) == (0, ""), done
        assert done.stdout == ">" + ("one\n>two\n>" + end) * 4, done
    done = guestmem("run", "--restarts", "5", path)
    assert "\nrestarts: 5, each in " in done.stdout and done.returncode == 0, done

    # In virtual time, it does not matter when input comes; but the end of the run does not wait.
    with subprocess.Popen((GUESTMEM, "run", "--virtual-time", "--max-seconds", "2", path), text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as held:
        assert held.wait(60) == 1 and "still running after 2000 ms" in held.stderr.read()

    # Progress is shown of a guest that works, and not of one that sleeps.
    loop = os.path.join(folder, "loop")
    with open(loop, "wb") as file:
        file.write(b"\x00\x00\x00\x14")
    path = write(folder, "guest { reg = <0 0 0 0x1000>; guestmem,backing = \"ram\";"
                 f'guestmem,load = "{loop}"; }};')
    done = guestmem("run", "--progress", "--max-seconds", "2.5", path)
    lines = done.stderr.splitlines()
    assert lines[0].startswith("guestmem: after ") and "pc 0x0" in lines[0], lines
    assert lines[-1].endswith("still running after 2500 ms"), lines


def test_u_boot(_):
    # md looks for Ctrl-C while it prints, and would eat what follows.
    done = guestmem("run", "--max-seconds", "120", ARGUMENTS[0],
                    input="md.l 40000000 100\necho first; md.l 40000000 40\necho second\n"
                          "version\npoweroff\n")
    assert done.returncode == 0 and "Unknown command" not in done.stdout, done
    for part in ("\nfirst", "\nsecond", "\nU-Boot 20", "edfe0dd0", "memory@40000000",
                 "ARM_Page_Map", "pl011@9000000"):
        assert part in done.stdout, (part, done)
    # Again and again from its prompt: in virtual time each is the same.
    done = guestmem("run", "--quiet", "--virtual-time", "--restarts", "3", ARGUMENTS[0],
                    input="random 41000000 1000\ncrc32 41000000 1000; mw.b 41000000 5a 1000\n")
    sums = [line for line in done.stdout.splitlines() if "==>" in line]
    assert (done.returncode, done.stderr, len(sums), len(set(sums))) == (0, "", 4, 1), done
    done = guestmem("run", "--quiet", "--max-seconds", "120", ARGUMENTS[0], input="reset\n")
    assert (done.returncode, done.stderr) == (0, ""), done
    # The end of piped input ends an idle guest.
    done = guestmem("run", "--quiet", "--max-seconds", "120", ARGUMENTS[0], input="echo still here")
    assert (done.returncode, done.stderr) == (0, "") and "=> " in done.stdout, done


def test_disk(folder):
    """A file system made by Debian's tools, read and written by U-Boot's virtio driver."""
    files = os.path.join(folder, "files")
    image = os.path.join(folder, "disk.img")
    os.mkdir(files)
    with open(os.path.join(files, "note"), "w") as note:
        note.write("in a file\n")
    content = random.Random(1).randbytes(5 << 20)
    with open(os.path.join(files, "data"), "wb") as file:
        file.write(content)
    subprocess.run(("mke2fs", "-q", "-t", "ext4", "-d", files, image, "32M"), check=True,
                   env={**os.environ, "PATH": os.environ["PATH"] + ":/sbin:/usr/sbin"})
    with open(ARGUMENTS[0]) as description:
        text = description.read()
    text = text.replace('"virtio-empty"', f'"virtio-block"; guestmem,file = "{image}"', 1)
    path = os.path.join(folder, "disk.dts")

    def describe(more=""):
        with open(path, "w") as description:
            description.write(text.replace("guestmem,file", more + "guestmem,file"))

    def run(*commands):
        done = guestmem("run", "--max-seconds", "120", path, input="\n".join(commands) + "\n")
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    describe()
    shown = run("virtio scan", "virtio info", "ls virtio 0", "load virtio 0 41000000 data",
                "crc32 41000000 ${filesize}", "load virtio 0 42000000 note",
                "md.b 42000000 ${filesize}", "poweroff")
    for part in ("VirtIO Block Device", "Capacity: 32.0 MB", " 5242880 data", "5242880 bytes read",
                 "==> %08x" % zlib.crc32(content), "in a file"):
        assert part in shown, (part, shown)
    # The ring is used where it is: more reading takes no more kernel invocations.
    taken = [run("virtio scan", *["virtio read 41000000 0 8000"] * times, "poweroff")
             .split("\ninvocations: ")[1].split()[0] for times in (1, 8)]
    assert taken[0] == taken[1], taken
    # What the guest writes is in the file, unless it may only be read; so it is not started again.
    done = guestmem("run", "--quiet", "--restarts", "1", path)
    assert done.returncode == 1 and "make it read-only" in done.stderr, done
    write_name = ("virtio scan", "mw.b 41000000 5a 400", "virtio write 41000000 f000 2", "poweroff")
    run(*write_name)
    with open(image, "rb") as disk:
        disk.seek(0xf000 * 512)
        assert disk.read(1025) == b"\x5a" * 1024 + b"\0"
    describe("guestmem,read-only; ")
    run("virtio scan", "mw.b 41000000 a5 400", "virtio write 41000000 f000 2", "poweroff")
    with open(image, "rb") as disk:
        disk.seek(0xf000 * 512)
        assert disk.read(1024) == b"\x5a" * 1024


def test_linux(_):
    """Debian's kernel to its shell and off again, twice at once: in virtual time both are the same."""
    commands = """mount -t proc proc /proc && mount -t tmpfs tmpfs /mnt && mount -t devtmpfs dev /dev
uname -a
cat /proc/meminfo
cat /proc/interrupts
dd if=/dev/zero of=/mnt/zeros bs=1M count=64
md5sum /mnt/zeros
poweroff -f
"""
    runs = [subprocess.Popen(
        (GUESTMEM, "run", "--virtual-time", "--max-seconds", "500", ARGUMENTS[0]), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for run in runs:
        run.stdin.write(commands)
        run.stdin.close()
        run.stdin = None
    outputs = [run.communicate() for run in runs]
    for run, (output, errors) in zip(runs, outputs):
        assert (run.returncode, errors) == (0, ""), (errors, output[-8000:])
    output = outputs[0][0]
    for part in ("BusyBox v", "Linux (none) 6.", "aarch64 GNU/Linux", "\nMemTotal:", "arch_timer",
                 "uart-pl011", "7f614da9329cd3aebf59b91aadc30bf0  /mnt/zeros", "the guest powered off",
                 "RAM's CRC-32"):
        assert part in output, (part, output[-8000:])
    # All of the RAM is there, but for what the kernel keeps to itself.
    total = int(output.split("MemTotal:")[1].split()[0])
    assert 480000 < total < 524288, total
    # The only faults are those of the emulated devices.
    faults = output.split("\nfaults: ")[1].split("\npages with")[0].splitlines()
    assert [line.split()[1] for line in faults[1:]] == ["intc@8000000", "pl011@9000000"], faults
    assert sum(int(line.split()[0]) for line in faults[1:]) == int(faults[0]), faults
    same = [[line for line in text.splitlines() if not line.startswith("time: ")]
            for text, _ in outputs]
    assert same[0] == same[1], [pair for pair in zip(*same) if pair[0] != pair[1]]


class Terminal:
    """The command on a terminal of its own, of which we hold both sides."""

    def __init__(self):
        self.keyboard, self.line = pty.openpty()
        self.modes = termios.tcgetattr(self.line)
        self.shown = ""
        self.child = subprocess.Popen(
            (GUESTMEM, "run", "--quiet", "--max-seconds", "120", ARGUMENTS[0]), stdin=self.line,
            stdout=self.line, stderr=self.line, start_new_session=True)
        self.expect("=> ")

    def expect(self, text):
        """Read what is shown until a text has come, and forget it."""
        while text not in self.shown:
            ready = select.select([self.keyboard], [], [], 60)[0]
            assert ready, f"{text!r} does not come after: {self.shown}"
            self.shown += os.read(self.keyboard, 4096).decode("latin-1")
        self.shown = self.shown.split(text, 1)[1]

    def type(self, keys):
        os.write(self.keyboard, keys.encode())

    def finish(self):
        """Wait for the command's end, and check that the terminal is as it was. @return status"""
        while self.child.poll() is None:
            if select.select([self.keyboard], [], [], 0.01)[0]:
                os.read(self.keyboard, 4096)
        assert termios.tcgetattr(self.line) == self.modes, "the terminal's modes are others"
        os.close(self.keyboard)
        os.close(self.line)
        return self.child.returncode


def test_terminal(_):
    terminal = Terminal()
    raw = termios.tcgetattr(terminal.line)[3]
    assert raw & (termios.ICANON | termios.ECHO | termios.ISIG) == 0, raw
    terminal.type('echo o"k"\r')
    terminal.expect("\nok")
    terminal.expect("=> ")
    terminal.type("\x01x")  # Ctrl-A x leaves
    assert terminal.finish() == 0

    terminal = Terminal()
    terminal.type("sleep 1000\r")
    terminal.expect("1000")
    terminal.type("\x03")  # Ctrl-C is the guest's, and ends its command
    terminal.expect("=> ")
    # So is Ctrl-A, typed twice: it goes to the start of the line, and what is typed then comes first.
    terminal.type("z\x01\x01version; echo y\r")
    terminal.expect("U-Boot 20")
    terminal.expect("\nyz")
    terminal.expect("=> ")
    terminal.type("poweroff\r")
    assert terminal.finish() == 0

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGABRT, signal.SIGSEGV):
        terminal = Terminal()
        terminal.child.send_signal(number)
        assert terminal.finish() == -number


with tempfile.TemporaryDirectory() as folder:
    {"broken": test_broken, "map": test_map, "board": test_board, "sources": test_sources,
     "guest": test_guest, "sleeping": test_sleeping, "u-boot": test_u_boot, "disk": test_disk,
     "linux": test_linux, "terminal": test_terminal}[PART](folder)
