# Copyright 2026, the guestmem authors
# SPDX-License-Identifier: BSD-2-Clause
"""What `guestmem plan` promises: its counts are those that `guestmem map` and `guestmem run` have at
their end, its JSON says the same as its text, what it prints for CAmkES is what the VM needs, and what
cannot be built is one line.

Usage: test_plan.py GUESTMEM [VM.dts ...], with descriptions whose guests touch every page that is
mapped on fault and switch themselves off."""

import json
import re
import subprocess
import sys
import tempfile

GUESTMEM, *GUESTS = sys.argv[1:]
PARTS = ("vm", "memory", "vcpu", "on_fault")

EVERY_BACKING = """
ram@40000000 { reg = <0 0x40000000 0 0x401000>; guestmem,backing = "ram";
    guestmem,device-tree = "self"; };
same@68000000 { reg = <0 0x68000000 0 0x201000>; guestmem,backing = "ram-untyped"; };
at@50000000 { reg = <0 0x50000000 0 0x3000>; guestmem,backing = "untyped-at";
    guestmem,paddr = <0x60001000>; };
gpio@9030000 { reg = <0 0x09030000 0 0x1000>; guestmem,backing = "device-frame"; };
page@b000000 { reg = <0 0x0b000000 0 0x1000>; guestmem,backing = "allocated-frame"; };
late@801ff800 { reg = <0 0x801ff800 0 0x402000>; guestmem,backing = "frames";
    guestmem,map-on-fault; };
region@c0000000 { reg = <0 0xc0000000 0 0x100000>; guestmem,backing = "anonymous"; };
placed { guestmem,size = <0x2000>; guestmem,backing = "frames"; };
"""

REFUSED = (  # a node, and what the error line names
    ('reg = <0x1 0 0x10 0>; guestmem,backing = "ram";', "guestmem,backing"),
    ('reg = <0x1 0 0x10 0>; guestmem,backing = "frames"; guestmem,map-on-fault;',
     "guestmem,backing"),
    ('reg = <0 0x1000 0 0x1000>; guestmem,backing = "wool";', "guestmem,backing"),
    ('guestmem,size = <0x1000>; guestmem,backing = "ram";', "guestmem,size"),
)


GIC = """
intc@8000000 { compatible = "arm,cortex-a15-gic"; interrupt-controller; #interrupt-cells = <3>;
    reg = <0 0x8000000 0 0x10000>, <0 0x8010000 0 0x1000>;
    guestmem,backing = "emulated"; guestmem,device = "gic"; };
"""
CONSOLE = """
virtio@a000000 { compatible = "virtio,mmio"; reg = <0 0x0a000000 0 0x200>;
    guestmem,backing = "emulated"; guestmem,device = "virtio-console"; };
"""
LINUX = """guestmem,load = "kernel.bin", "initrd.bin"; guestmem,load-offset = <0x80000 0xd700000>;"""
PCI = """
pci@10040000 { reg = <0 0x10040000 0 0x20000>; guestmem,backing = "untyped"; };
io@3eff0000 { reg = <0 0x3eff0000 0 0x10000>; guestmem,backing = "untyped"; };
"""
SPLIT = """
ram@80000000 { reg = <0 0x80001000 0 0x0303e000>; guestmem,backing = "ram"; };
more@90000000 { reg = <0 0x90000000 0 0x1e00000>; guestmem,backing = "frames"; };
page@b000000 { reg = <0 0x0b000000 0 0x1000>; guestmem,backing = "allocated-frame"; };
gpio@9030000 { reg = <0 0x09030000 0 0x1000>; guestmem,backing = "device-frame"; };
"""


def ram(base, size, backing="ram", more=""):
    return (f'ram@{base:x} {{ reg = /bits/ 64 <{base} {size}>; guestmem,backing = "{backing}"; '
            f'{more} }};')


# VMs and their attributes. On seL4 a VMM that had exactly these made each of them, and one that had
# half of any of them did not (docs/vm-description.md); the first boots Linux in camkes-vm.
CAMKES = (
    (GIC + ram(0x40000000, 0x20000000, "ram-untyped", LINUX),
     {"simple_untyped19_pool": 1, "cnode_size_bits": 11, "allocator_mempool_size": 0x19000},
     ["0x8040000:12", "0x40000000:29"]),
    (GIC + ram(0x40000000, 0x20000000, "ram", LINUX),
     {"simple_untyped24_pool": 32, "simple_untyped19_pool": 1, "cnode_size_bits": 11,
      "allocator_mempool_size": 0x1a000}, ["0x8040000:12"]),
    (CONSOLE + GIC + ram(0x40000000, 0x20000000, "ram-untyped"),
     {"simple_untyped22_pool": 1, "cnode_size_bits": 12, "allocator_mempool_size": 0x37000},
     ["0x8040000:12", "0x40000000:29"]),
    (CONSOLE + GIC + PCI + ram(0x40000000, 0x8000000, "ram-untyped"),
     {"simple_untyped20_pool": 1, "cnode_size_bits": 11, "allocator_mempool_size": 0x19000},
     ["0x8040000:12", "0x10040000:17", "0x3eff0000:16", "0x40000000:27"]),
    (CONSOLE + GIC + ram(0x41000000, 0x8000000, "ram-untyped"),
     {"simple_untyped20_pool": 1, "cnode_size_bits": 10, "allocator_mempool_size": 0x13000},
     ["0x8040000:12", "0x41000000:24", "0x42000000:25", "0x44000000:26", "0x48000000:24"]),
    (CONSOLE + GIC + ram(0x10000000, 0x10000000),
     {"simple_untyped24_pool": 16, "simple_untyped21_pool": 1, "cnode_size_bits": 11,
      "allocator_mempool_size": 0x1f000}, ["0x8040000:12"]),
    (CONSOLE + GIC + ram(0x80000000, 0x8000000),
     {"simple_untyped24_pool": 8, "simple_untyped20_pool": 1, "cnode_size_bits": 10,
      "allocator_mempool_size": 0x13000}, ["0x8040000:12"]),
    (CONSOLE + ram(0x80000000, 0x5000),
     {"simple_untyped18_pool": 1, "cnode_size_bits": 9, "allocator_mempool_size": 0x7000}, []),
    (CONSOLE + GIC + SPLIT,
     {"simple_untyped24_pool": 5, "cnode_size_bits": 12, "allocator_mempool_size": 0x33000},
     ["0x8040000:12", "0x9030000:12"]),
)


def guestmem(*arguments, input=""):
    return subprocess.run((GUESTMEM, *arguments), input=input, capture_output=True, text=True,
                          timeout=300)


def output(*arguments, input=""):
    done = guestmem(*arguments, input=input)
    assert done.returncode == 0, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout


def equal(what, a, b):
    assert a == b, f"{what}: {a} is not {b}"


def plan_of(path):
    """The plan, from the JSON; the text must have the same numbers in each row."""
    plan = json.loads(output("plan", "--json", path))
    text = re.findall(r"^\D.*?((?: +\d+){5})$", output("plan", path), re.MULTILINE)
    text = [[int(number) for number in row.split()] for row in text]
    rows = [[plan[part][key] for part in PARTS] for key in plan["vm"]]
    equal("text and JSON", [row for row in text if any(row)],
          [row + [sum(row)] for row in rows if any(row)])
    return plan


def check_against_map(path, plan):
    frames = json.loads(output("map", "--json", path))["frames"]
    equal("frames of the map", [plan["memory"]["frames_" + size] for size in frames],
          list(frames.values()))


def check_against_run(path, plan):
    ran = output("run", "--max-seconds", "120", path, input="poweroff\n")
    both = {key: sum(plan[part][key] for part in PARTS) for key in plan["vm"]}
    report = ran[ran.rindex("\nframes:"):]
    frames = re.search(r"(\d+) x 4K, (\d+) x 2M, (\d+) x 1G", report).groups()
    equal("frames", [both["frames_4k"], both["frames_2m"], both["frames_1g"]],
          [int(count) for count in frames])
    equal("invocations", both["invocations"], int(re.search(r"invocations: (\d+)", report)[1]))
    kinds = re.findall(r"^ +(\d+)  \w", report, re.MULTILINE)
    retypes = both["untyped_retype"] + both["untyped_retype_splits"]
    names = list(both)[list(both).index("cnode_copy"):]
    equal("invocations by kind", [retypes] + [both[name] for name in names if both[name] > 0],
          [int(count) for count in kinds])


def write(folder, nodes):
    path = folder + "/vm.dts"
    with open(path, "w") as file:
        file.write("/dts-v1/;\n/ { #address-cells = <2>; #size-cells = <2>;\n" + nodes + "};\n")
    return path


def board_with(folder, pools, mmios):
    """A board whose free memory is exactly these pools, apart from each other, and whose other memory
    is at those addresses; and as much as the kernel's image takes. The smallest comes in halves: the
    hosted allocator cuts up to 2 MiB into pages at once, and a VM has one object of two pages."""
    pools = [*pools[:-1], pools[-1] - 1, pools[-1] - 1]
    banks = [f"{0x100000000 + (i << 26)} {1 << bits}" for i, bits in enumerate(pools)]
    others = []
    for mmio in mmios:
        base, bits = mmio.split(":")
        others.append(f"m@{base[2:]} {{ reg = /bits/ 64 <{base} {1 << int(bits)}>; }};")
    with open(folder + "/board.dts", "w") as file:
        file.write("/dts-v1/; / { #address-cells = <2>; #size-cells = <2>;"
                   'interrupt-controller@8000000 { compatible = "arm,cortex-a15-gic";'
                   "reg = <0 0x8000000 0 0x10000>, <0 0x8010000 0 0x10000>, <0 0x8030000 0 0x10000>,"
                   "<0 0x8040000 0 0x10000>; };" + "".join(others) +
                   'memory@c0000000 { device_type = "memory"; reg = /bits/ 64 <0xc0000000 0x239000 ' +
                   " ".join(banks) + ">; }; };")
    return folder + "/board.dts"


def check_camkes(folder, nodes, attributes, mmios):
    """The attributes are the measured ones, and memory of that size suffices, but no less of the large
    pools. (The hosted VMM needs less of the small ones: its own page tables are the host's.)"""
    path = write(folder, nodes)
    wide = board_with(folder, [24] * 48, mmios)
    text = output("plan", "--camkes", "--board", wide, path)
    found = {name: int(value, 0) for name, value in re.findall(r"^vm0\.(\w+) = (\w+);", text, re.M)}
    equal("attributes of " + nodes, found, attributes)
    equal("untyped_mmios of " + nodes, re.findall('^    "(.*)",', text, re.M), mmios)
    plan = json.loads(output("plan", "--json", "--board", wide, path))
    assert 1 << found["cnode_size_bits"] > sum(plan[part]["slots"] for part in PARTS), (text, plan)
    pools = [int(name[14:-5]) for name, count in found.items() if name.startswith("simple_untyped")
             for _ in range(count)]
    output("plan", "--board", board_with(folder, pools, mmios), path)
    if pools.count(24) > 0:
        done = guestmem("plan", "--board", board_with(folder, pools[1:], mmios), path)
        assert done.returncode == 1 and "no free" in done.stderr, done


with tempfile.TemporaryDirectory() as folder:
    for name, size in (("kernel.bin", 34000000), ("initrd.bin", 900000)):
        with open(folder + "/" + name, "wb") as file:
            file.truncate(size)
    for row in CAMKES:
        check_camkes(folder, *row)
    # Of a device that is smaller than a page, the page, and not the next one.
    text = output("plan", "--camkes", write(
        folder, 'uart { reg = <0 0x9000040 0 0x40>; guestmem,backing = "untyped"; };'))
    equal("pages of a small device", re.findall('^    "(.*)",', text, re.M), ["0x9000000:12"])
    # A heap of more than the usual is an attribute: with frames of 4 KiB, each takes some.
    many = "".join(f"f@{i:x} {{ reg = /bits/ 64 <{i} 0x1ff000>; guestmem,backing = \"frames\"; }};"
                   for i in range(0x10001000, 0x10001000 + 300 * 0x400000, 0x400000))
    text = output("plan", "--camkes", write(folder, many))
    assert int(re.search(r"^vm0.heap_size = (\w+); // instead", text, re.M)[1], 0) > 0x300000, text
    path = write(folder, EVERY_BACKING)
    plan = plan_of(path)
    check_against_map(path, plan)
    # The range on fault: the end of a page table, two frames of 2 MiB, and 1.5 pages.
    late = [plan["on_fault"][key] for key in
            ("frames_4k", "frames_2m", "page_tables_1g", "page_tables_2m", "page_map", "slots")]
    equal("what is on fault", late, [3, 2, 1, 2, 5, 8])
    # The board has 4 GiB, of which 16 MiB are reserved and 0x228000 are the kernel's. The GPIO controller's page is none of them,
    # and RAM and the memory of any kind come from the reserved ones.
    all_bytes = sum(plan[part]["untyped_bytes"] for part in PARTS) - 0x1000 - 0x401000
    equal("memory of the board", plan["free_bytes"] + all_bytes, 0xff000000 - 0x228000)
    for node, named in REFUSED:
        done = guestmem("plan", write(folder, "n { " + node + " };"))
        equal(node, (done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1))
        assert "/n: " + named in done.stderr, done.stderr
for wrong in ([], ["a.dts", "b.dts"], ["--svg", "a.dts"]):
    done = guestmem("plan", *wrong)
    equal(wrong, (done.returncode, done.stdout), (2, ""))
    assert "guestmem plan" in done.stderr, done.stderr
assert output("plan", "--help").startswith("Usage: guestmem plan")
for path in GUESTS:
    plan = plan_of(path)
    check_against_map(path, plan)
    check_against_run(path, plan)
