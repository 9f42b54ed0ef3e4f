# Copyright 2026, the guestmem authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the command promises of a description with several VMs: all are mapped and planned, one is
run, they have the memory that they share once, and what cannot be is one line.

Usage: test_several.py GUESTMEM [run], with "run" if there is an engine for guests."""

import json
import struct
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

GUESTMEM, *RUN = sys.argv[1:]

# A guest that prints the string at the shared memory, and switches itself off.
PRINTER = (0xd2aa0000,  # movz x0, #0x5000, lsl #16
           0xd2a12001,  # movz x1, #0x0900, lsl #16
           0x38401402,  # ldrb w2, [x0], #1
           0x34000062,  # cbz w2, off
           0xb9000022,  # str w2, [x1]
           0x17fffffd,  # b the ldrb
           0x52800100,  # off: mov w0, #8
           0x72b08000,  # movk w0, #0x8400, lsl #16
           0xd4000002)  # hvc #0

RING = "ring: ring { guestmem,shared; guestmem,size = <0x200000>; };"
BUSES = "#address-cells = <1>; #size-cells = <1>;"
GIC = """intc@8000000 { reg = <0x8000000 0x10000>, <0x8010000 0x1000>;
    guestmem,backing = "emulated"; guestmem,device = "gic"; };"""
HAS_FRAMES = 'guestmem,backing = "frames";'
HAS_RING = 'guestmem,backing = "shared"; guestmem,shared = <&ring>;'


def several(*nodes):
    return "/dts-v1/; / {\n" + "\n".join(nodes) + "\n};\n"


def vm(name, *inside):
    return f"{name} {{ guestmem,vm; {BUSES}\n" + "\n".join(inside) + "\n};"


def ring(inside=HAS_RING, at=0x50000000, size=0x200000):
    return f"ring@{at:x} {{ reg = <{at:#x} {size:#x}>; {inside} }};"


GOOD = several(
    'guestmem,board = "qemu-arm-virt";', RING,
    "log: log { guestmem,shared; guestmem,size = <0x3000>; guestmem,paddr = <0x60000000>; };",
    vm("one", 'model = "the first";', GIC,
       'ram@40000000 { reg = <0x40000000 0x400000>; guestmem,backing = "ram";'
       ' guestmem,device-tree = "self"; guestmem,device-tree-offset = <0x200000>; };',
       ring(HAS_RING + ' guestmem,load = "text.bin";', 0x70200000),
       'log@51000000 { reg = <0x51000000 0x3000>; guestmem,backing = "shared";'
       ' guestmem,shared = <&log>; };'),
    vm("two", "guestmem,entry = <0x40000000>;", GIC,
       'ram@40000000 { reg = <0x40000000 0x200000>; guestmem,backing = "ram";'
       ' guestmem,load = "printer.bin"; };',
       'pl011@9000000 { reg = <0x9000000 0x1000>; guestmem,backing = "emulated";'
       ' guestmem,device = "pl011"; };',
       ring(HAS_RING + ' guestmem,rights = "ro";'),
       'log@51001000 { reg = <0x51001000 0x3000>; guestmem,backing = "shared";'
       ' guestmem,shared = <&log>; guestmem,rights = "ro"; };'),
    'gone { status = "disabled"; guestmem,vm; };')

RAM = 'ram { reg = <0x60000000 0x200000>; guestmem,backing = "ram-untyped"; };'

REFUSED = (  # the file, and what the line says
    (several(RING, vm("one")), "/ring: guestmem,shared: no VM has it"),
    (several(RING, vm("one", ring("guestmem,shared = <&ring>;"))), "without guestmem,backing"),
    (several(RING, vm("one", ring('guestmem,backing = "shared";'))),
     "/one/ring@50000000: guestmem,shared: missing"),
    (several(RING, vm("one", ring('guestmem,backing = "shared"; guestmem,shared = <&{/}>;'))),
     "/one/ring@50000000: guestmem,shared: must be <&LABEL>"),
    (several(RING, vm("one", ring('guestmem,backing = "shared"; guestmem,shared = "ring";'))),
     "/one/ring@50000000: guestmem,shared: must be 1 number"),
    (several(RING, vm("one", ring(size=0x1000))), 'reg [0x50000000, 0x50000fff]: must be all of "ring"'),
    (several(RING, vm("one", ring(at=0x50000800))), "at a multiple of 4 KiB"),
    (several(RING, vm("one", "r { reg = <0x50000000 0x200000>, <0x60000000 0x200000>; %s };" % HAS_RING)),
     "/one/r: reg [0x60000000, 0x601fffff]: must be all"),
    (several(RING, vm("one", ring(HAS_RING + ' guestmem,device = "ones";'))), "guestmem,device: has no"),
    (several(RING, vm("one", ring(HAS_RING + " guestmem,paddr = <0>;"))), "guestmem,paddr: has no"),
    (several(RING, vm("one", ring(), ring(at=0x50100000))), "/one/ring@50100000: reg"),
    (several(RING.replace("0x200000", "0x1800"), vm("one")), "/ring: guestmem,size: must be a multiple"),
    (several(RING.replace("<0x200000>", "<0>"), vm("one")), "/ring: guestmem,size: must be a multiple"),
    (several("ring: ring { guestmem,shared; };", vm("one")), "/ring: guestmem,size: must be"),
    (several(RING.replace("size", "wool"), vm("one")), "/ring: guestmem,wool: has no effect"),
    (several(RING.replace("; }", "; guestmem,paddr = <0x800>; }"), vm("one", ring())),
     "/ring: guestmem,paddr: 0x800 must be a multiple"),
    (several(RING.replace("; }", "; guestmem,paddr = <0x8000000>; }"),
             vm("one", ring())), "the kernel keeps it (the interrupt distributor)"),
    (several(RAM, vm("one")), "/ram: guestmem,backing: has no effect there: put it in one of"),
    (several("a { b { guestmem,hidden; }; };", vm("one")), "/a/b: guestmem,hidden: has no effect there"),
    (several("guestmem,entry = <0>;", vm("one")), "/: guestmem,entry: has no effect there"),
    (several(vm("one", 'guestmem,board = "b";')), "/one: guestmem,board: no such property of a VM"),
    (several(vm("one", "guestmem,entry = <2>;")), "/one: guestmem,entry: 0x2 is not a multiple of 4"),
    (several(vm("one"), vm("two", 'guestmem,engine = "wool";')), "/two: guestmem,engine: this build has no"),
    (several(vm("one", vm("two"))), "/one/two: guestmem,vm: no such property"),
    (several("one { guestmem,vm = <0>; };"), "/one: guestmem,vm: must have no value"),
    (several('one { guestmem,vm; status = "disabled"; };'), "all nodes with guestmem,vm are switched off"),
    (several(vm("one", RAM), vm("two", "p@0 { reg = <0 0x1000>; guestmem,backing = \"untyped-at\";"
                                " guestmem,paddr = <0x601ff000>; };")),
     "/two/p@0: guestmem,paddr [0x0, 0xfff]: this physical memory is taken by /one/ram"),
    (several(BUSES, RING, ring()), "guestmem,backing"),
)


def guestmem(*arguments):
    return subprocess.run((GUESTMEM, *arguments), capture_output=True, text=True, timeout=300)


def output(*arguments):
    done = guestmem(*arguments)
    assert (done.returncode, done.stderr) == (0, ""), (arguments, done)
    return done.stdout


def equal(a, b):
    assert a == b, f"{a} is not {b}"


def write(name, content):
    path = f"{folder}/{name}"
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())
    return path


def ranges(path):
    return [(vm["name"], [(row["base"], row["size"], row["rights"], row["shared"], row["paddr"])
                          for row in vm["ranges"] if row["rights"]])
            for vm in json.loads(output("map", "--json", path))]


def check_maps(path):
    equal(ranges(path), [
        ("one", [("0x8010000", 0x1000, "rw", None, None),
                 ("0x40000000", 0x400000, "rw", None, None),
                 ("0x51000000", 0x3000, "rw", "log", "0x60000000"),
                 ("0x70200000", 0x200000, "rw", "ring", None)]),
        ("two", [("0x8010000", 0x1000, "rw", None, None),
                 ("0x40000000", 0x200000, "rw", None, None),
                 ("0x50000000", 0x200000, "r-", "ring", None),
                 ("0x51001000", 0x3000, "r-", "log", "0x60000000")])])
    text = output("map", path)
    for part in ("Memory of the first on", "\n\nMemory of two on", "shared: ring", "1 x 2M",
                 "shared 0x60000000: log"):
        assert part in text, (part, text)
    svg = "{http://www.w3.org/2000/svg}"
    root = ElementTree.fromstring(output("map", "--svg", path))
    equal([box.get("transform") for box in root.findall(svg + "g")],
          ["translate(0 0)", f"translate({int(root.get('width')) // 2} 0)"])


def check_plans(path):
    """What is shared is taken once, and no VM takes what is another's."""
    plans = json.loads(output("plan", "--json", path))
    equal([plan["name"] for plan in plans], ["one", "two"])
    equal([plan["memory"]["frames_2m"] for plan in plans], [3, 1])
    equal([plan["memory"]["frames_4k"] for plan in plans], [4, 0])
    bytes_of = [plan["memory"]["untyped_bytes"] for plan in plans]
    assert 0x600000 < bytes_of[0] < 0x640000 and 0x200000 < bytes_of[1] < 0x240000, bytes_of
    equal(output("plan", path).count("Plan of "), 2)
    camkes = output("plan", "--camkes", path)
    for part in ("vm0.simple_untyped", "vm1.cnode_size_bits", '0x200000 bytes at 0x70200000 are a dataport,'
                 ' "ring" (read and write)', '0x51001000 are a dataport, "log" (read only)'):
        assert part in camkes, (part, camkes)


def check_microkit(path):
    text = output("plan", "--microkit", path)
    root = ElementTree.fromstring(text)
    regions = [region.get("name") for region in root.findall("memory_region")]
    equal(regions, ["one/intc_8010000", "one/ram_40000000", "log", "ring", "two/ram_40000000"])
    alike = several(RING, RING.replace("ring", "ring_a").replace("ring_a {", "ring-a {"),
                    "b: ring_a { guestmem,shared; guestmem,size = <0x1000>; };",
                    vm("a", ring(), "b_c { reg = <0 0x1000>; %s };" % HAS_FRAMES),
                    vm("a_b", ring(HAS_RING.replace("ring", "ring_a")),
                       ring(HAS_RING.replace("ring", "b"), 0x70000000, 0x1000),
                       "c { reg = <0 0x1000>; %s };" % HAS_FRAMES))
    output("import", write("alike.system", output("plan", "--microkit", write("alike.dts", alike))))
    imported = write("imported.dts", output("import", write("vm.system", text)))
    equal(ranges(imported), ranges(path))
    alone = write("alone.dts", output("import", "--vm", "two", f"{folder}/vm.system"))
    equal(json.loads(output("map", "--json", alone))["name"], "two")


def check_run(path):
    done = guestmem("run", path)
    equal((done.returncode, done.stdout), (1, ""))
    assert "which VM? --vm one of: one two\n" in done.stderr, done
    done = guestmem("run", "--vm", "three", path)
    equal((done.returncode, done.stdout), (1, ""))
    assert 'no VM "three"; it has: one two\n' in done.stderr, done
    if RUN:
        equal(output("run", "--quiet", "--vm", "two", "--max-seconds", "60", path), "written for one")


with tempfile.TemporaryDirectory() as folder:
    write("text.bin", b"written for one\0")
    write("printer.bin", struct.pack("<9I", *PRINTER))
    good = write("good.dts", GOOD)
    check_maps(good)
    check_plans(good)
    check_microkit(good)
    check_run(good)
    for text, says in REFUSED:
        path = write("wrong.dts", text)
        done = guestmem("map", path)
        equal((text, done.returncode, done.stdout, done.stderr.count("\n")), (text, 1, "", 1))
        assert done.stderr.startswith("guestmem: " + path) and says in done.stderr, (text, done)
