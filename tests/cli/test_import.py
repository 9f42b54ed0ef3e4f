# Copyright 2026, the guestmem authors
# SPDX-License-Identifier: BSD-2-Clause
"""What `guestmem plan --microkit` and `guestmem import` promise: a VM that goes through both has the
memory that it had, as an XML parser that is not ours reads it too; and what is wrong is one line.

Usage: test_import.py GUESTMEM SYSTEM [VM.dts ...], with a system description of two VMs."""

import json
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

GUESTMEM, SYSTEM, *DESCRIPTIONS = sys.argv[1:]

EVERY_BACKING = """
/dts-v1/; / { #address-cells = <2>; #size-cells = <2>;
ram@40000000 { reg = <0 0x40000000 0 0x401000>; guestmem,backing = "ram"; };
same@68000000 { reg = <0 0x68000000 0 0x400000>; guestmem,backing = "ram-untyped"; };
at@50000000 { reg = <0 0x50000000 0 0x3000>; guestmem,backing = "untyped-at";
    guestmem,paddr = <0x60001000>; };
gpio@9030000 { reg = <0 0x09030000 0 0x1000>; guestmem,backing = "device-frame";
    guestmem,rights = "ro"; };
page@b000000 { reg = <0 0x0b000000 0 0x1000>; guestmem,backing = "allocated-frame"; };
page@b001000 { reg = <0 0x0b001000 0 0x1000>, <0 0x0b003000 0 0x1000>;
    guestmem,backing = "allocated-frame"; guestmem,rights = "ro"; };
bus { #address-cells = <2>; #size-cells = <2>; ranges;
    page@b000000 { reg = <0 0x0b00f000 0 0x1000>; guestmem,backing = "allocated-frame"; }; };
odd-name { reg = <0 0x0b007000 0 0x1000>; guestmem,backing = "allocated-frame"; };
odd_name { reg = <0 0x0b009000 0 0x1000>; guestmem,backing = "allocated-frame"; };
hidden@b005000 { reg = <0 0x0b005000 0 0x1000>; guestmem,backing = "allocated-frame";
    guestmem,rights = "none"; };
zeros--@1000 { reg = <0 0x1000 0 0x10>; guestmem,backing = "emulated"; guestmem,device = "zeros"; };
late@801ff800 { reg = <0 0x801ff800 0 0x402000>; guestmem,backing = "frames";
    guestmem,map-on-fault; };
region@c0000000 { reg = <0 0xc0000000 0 0x100000>; guestmem,backing = "anonymous"; };
placed { guestmem,size = <0x2000>; guestmem,backing = "frames"; };
}; """

REGION = '<memory_region name="m" size="0x200000"/>'
PAGE = '<memory_region name="p" size="0x1000" phys_addr="0x9030000"/>'


def vm(maps="", vcpu='<vcpu id="0"/>'):
    return f'<protection_domain name="d"><virtual_machine name="v">{vcpu}{maps}' \
        "</virtual_machine></protection_domain>"


def system(*inside):
    return "<system>\n" + "\n".join(inside) + "\n</system>"


MAP = '<map mr="m" vaddr="0x40000000"/>'
REFUSED = (  # the file, and what the line says
    ("", ":1: no element found"),
    ("<system>", ":1: no element found"),
    ("wool", ":1: syntax error"),
    ("/dts-v1/; / { };", ":1: "),
    ("<system></systems>", ":1: mismatched tag"),
    ("<system/><system/>", ":1: junk after document element"),
    ("<project/>", ":1: <project> is not the <system>"),
    ("<system><virtual_machine/></system>", ":1: <system> has no <virtual_machine>"),
    ("<system>wool</system>", ":1: text"),
    ('<!DOCTYPE s [<!ENTITY a "b">]><system/>', ":1: a document type declaration"),
    ("<system>" + 70 * "<protection_domain>", ":1: nested deeper than 64"),
    (system(), ": no virtual_machine"),
    (system("", '<memory_region size="0x1000"/>'), ":3: <memory_region>: no name"),
    (system('<memory_region name="m"/>'), ":2: <memory_region>: no size"),
    (system('<memory_region name="m" prefill_path="f"/>'), ':2: <memory_region> "m": no size'),
    (system('<memory_region name="m" size="0x1000" prefill_bootinfo="fdt"/>'), "prefill_bootinfo"),
    (system('<memory_region name="m" size="0"/>'), ":2: <memory_region> \"m\": size 0x0"),
    (system('<memory_region name="m" size="0x1800"/>'), "size 0x1800 is not a multiple of 0x1000"),
    (system('<memory_region name="m" size="0x1000" page_size="0x200000"/>'), "of 0x200000"),
    (system('<memory_region name="m" size="0x1000" page_size="64"/>'), "page_size"),
    (system('<memory_region name="m" size="4K"/>'), 'size: "4K" is no number'),
    (system('<memory_region name="m" size="0x"/>'), 'size: "0x" is no number'),
    (system('<memory_region name="m" size="-4096"/>'), 'size: "-4096" is no number'),
    (system('<memory_region name="m" size="0x10000000000000000"/>'), "more than 64 bits"),
    (system(f'<memory_region name="m" size="{"9" * 100}"/>'), "is no number"),
    (system('<memory_region name="m" size="0x1000" phys_addr="1"/>'), "phys_addr 0x1 is not"),
    (system('<memory_region name="m" size="0x2000" phys_addr="0xfffffffffffff000"/>'), "wrap"),
    (system('<memory_region name="m" size="0x1000" paddr="0"/>'), 'no attribute "paddr"'),
    (system('<memory_region name="m" size="0x1000"><map/></memory_region>'), "<map>"),
    (system(REGION, REGION), ':3: <memory_region>: "m" is there already, in line 2'),
    (system(vm(vcpu="")), '<virtual_machine> "v": no vcpu'),
    (system(vm(vcpu="<vcpu/>")), "<vcpu>: no id"),
    (system(vm("<irq/>")), "<virtual_machine> has no <irq>"),
    (system("<protection_domain><virtual_machine/></protection_domain>"), "no name"),
    (system(vm(MAP)), 'there is no memory_region "m"'),
    (system(REGION, vm('<map vaddr="0"/>')), ":3: <map>: no mr"),
    (system(REGION, vm('<map mr="m"/>')), ":3: <map>: no vaddr"),
    (system(REGION, vm('<map mr="m" vaddr="0" setvar_vaddr="s"/>')), "setvar_vaddr"),
    (system(REGION, vm('<map mr="m" vaddr="0x800"/>')), "vaddr 0x800 is not a multiple"),
    (system('<memory_region name="m" size="0x200000" page_size="0x200000"/>',
            vm('<map mr="m" vaddr="0x1000"/>')), "vaddr 0x1000 is not a multiple of 0x200000"),
    (system(vm(), vm()), ':3: <virtual_machine>: "v" is there already, in line 2'),
    (system(REGION, vm('<map mr="m" vaddr="0xfffffffffffff000"/>')), "wrap"),
    (system(REGION, vm('<map mr="m" vaddr="0" perms="w"/>')), 'perms: "w"'),
    (system(REGION, vm('<map mr="m" vaddr="0" perms=""/>')), 'perms: ""'),
    (system(REGION, vm('<map mr="m" vaddr="0" perms="rwz"/>')), 'perms: "rwz"'),
    (system(REGION, vm('<map mr="m" vaddr="0" cached="no"/>')), 'cached: "no"'),
    (system(REGION, PAGE, vm(MAP + '<map mr="p" vaddr="0x401ff000"/>')),
     'overlaps that of "m" [0x40000000, 0x401fffff]'),
    (system('<memory_region name="m" size="0x1000" prefill_path="&#233;"/>', vm(MAP)), "prefill_path"),
    (system('<memory_region name="m" size="0x1000" prefill_path=""/>', vm(MAP)), "prefill_path"),
)

SHARED = (  # what a node of one VM cannot say, and the pages of the VMs
    (system(REGION, vm(MAP + '<map mr="m" vaddr="0" perms="r"/>')),
     [[(0, 0x1fffff, "r-", True, None), (0x40000000, 0x401fffff, "rw", True, None)]]),
    (system(PAGE, vm('<map mr="p" vaddr="0" perms="r"/>')),
     [[(0, 0xfff, "r-", False, 0x9030000)]]),
    (system('<memory_region name="m" size="0x201000"/>', vm('<map mr="m" vaddr="0" perms="r"/>')),
     [[(0, 0x200fff, "r-", True, None)]]),
    # Two names that are one node's, and that of a VM, and one like those with a number.
    (system('<memory_region name="a/a" size="0x1000"/>', '<memory_region name="a?a" size="0x2000"/>',
            vm('<map mr="a/a" vaddr="0"/><map mr="a?a" vaddr="0x4000"/>').replace('"v"', '"a_a"'),
            vm('<map mr="a/a" vaddr="0x1000"/><map mr="a?a" vaddr="0x2000" perms="rx"/>')
            .replace('"v"', '"a_a-2"')),
     [[(0, 0xfff, "rw", True, None), (0x4000, 0x5fff, "rw", True, None)],
      [(0x1000, 0x1fff, "rw", True, None), (0x2000, 0x3fff, "r-", True, None)]]),
)


def guestmem(*arguments):
    return subprocess.run((GUESTMEM, *arguments), capture_output=True, text=True, timeout=300)


def output(*arguments):
    done = guestmem(*arguments)
    assert (done.returncode, done.stderr) == (0, ""), (arguments, done)
    return done.stdout


def equal(what, a, b):
    assert a == b, f"{what}: {a} is not {b}"


def write(folder, name, text):
    with open(folder + "/" + name, "w") as file:
        file.write(text)
    return folder + "/" + name


def memories(path):
    """Those of all VMs."""
    vms = json.loads(output("map", "--json", path))
    return [pages(vm) for vm in (vms if isinstance(vms, list) else [vms])]


def memory(path):
    (one,) = memories(path)
    return one


def pages(vm):
    """The pages of a VM that the guest can reach, with what Microkit can say of them: rights, whether
    memory at an address is cached, and that address. What comes on fault has no rights before."""
    ranges = []
    for row in vm["ranges"]:
        base, last = int(row["base"], 16) & ~0xfff, int(row["last"], 16) | 0xfff
        physical = int(row["paddr"], 16) & ~0xfff if row["paddr"] else \
            base if row["backing"] in ("untyped", "ram-untyped", "device-frame") else None
        rights = "rw" if row["map_on_fault"] else row["rights"] or "-"
        if rights[0] == "r":
            ranges.append((base, last, rights, physical is None or row["cacheable"], physical))
    return ranges


def check_microkit_rules(text):
    """What Microkit's manual says of regions and maps, of what the plan printed."""
    root = ElementTree.fromstring(text)
    regions = {}
    for region in root.findall("memory_region"):
        page = int(region.get("page_size"), 16)
        assert page in (0x1000, 0x200000) and region.get("name") not in regions
        assert int(region.get("size"), 16) % page == int(region.get("phys_addr", "0"), 16) % page == 0
        regions[region.get("name")] = page
    maps = root.findall("protection_domain/virtual_machine/map")
    for one in maps:
        assert int(one.get("vaddr"), 16) % regions[one.get("mr")] == 0, one.attrib
        assert one.get("perms") in ("r", "rw", "rx", "rwx") and one.get("cached") in ("true", "false")
    assert set(regions) == {one.get("mr") for one in maps}, regions
    assert root.find("protection_domain/virtual_machine/vcpu").get("id") == "0"


def round_trip(folder, path):
    text = output("plan", "--microkit", path)
    check_microkit_rules(text)
    imported = write(folder, "imported.dts", output("import", write(folder, "vm.system", text)))
    equal(path, memory(path), memory(imported))
    return text


with tempfile.TemporaryDirectory() as folder:
    text = round_trip(folder, write(folder, "vm.dts", EVERY_BACKING))
    for says in ('name="ram_40000000" size="0x401000" page_size="0x1000" />',
                 'name="same_68000000" size="0x400000" page_size="0x200000" phys_addr="0x68000000" />',
                 'name="at_50000000" size="0x3000" page_size="0x1000" phys_addr="0x60001000" />',
                 '<map mr="gpio_9030000" vaddr="0x9030000" perms="r" cached="false" />',
                 '<map mr="page_b00f000" vaddr="0xb00f000" perms="rwx" cached="true" />',
                 '<map mr="late_801ff800" vaddr="0x801ff000" perms="rwx" cached="true" />',
                 "<!-- 0xb005000 to 0xb005fff: faults, for hidden@b005000 -->",
                 "<!-- 0x1000 to 0x100f: faults, for zeros__@1000 -->"):
        assert says in text, (says, text)
    for path in DESCRIPTIONS:
        round_trip(folder, path)

    for text, expected in SHARED:
        imported = write(folder, "shared.dts", output("import", write(folder, "shared.system", text)))
        equal(text, memories(imported), expected)

    both = write(folder, "both.dts", output("import", SYSTEM))
    write(folder, "image.bin", "image")
    alone = [write(folder, "one.dts", output("import", "--vm", name, SYSTEM)) and
             memory(folder + "/one.dts") for name in ("one", "two")]
    equal("both VMs", memories(both), alone)
    one = output("import", "--vm", "one", "--board", "some-board", SYSTEM)
    for says in ('guestmem,board = "some-board";', "2 VCPUs", 'guestmem,rights = "ro";',
                 "serial@9000000"):
        assert says in one, (says, one)
    two = output("import", "--vm", "two", SYSTEM)
    assert 'guestmem,load = "image.bin";' in two and "Mapped 2 times" in two, two
    write(folder, "image.bin", "image")
    ranges = json.loads(output("map", "--json", write(folder, "two.dts", two)))["ranges"]
    equal("the second VM", [(row["name"], row["backing"], row["base"], row["size"]) for row in ranges],
          [("ram_2@0", "ram", "0x0", 0x200000), ("shared@400000", "frames", "0x400000", 0x1000)])

    odd = system('<memory_region name="&quot;*/ &#233; 7\\" size="0x1000"/>',
                 vm('<map mr="&quot;*/ &#233; 7\\" vaddr="0x1000"/>').replace('"v"', "'\"*/\\'"))
    imported = write(folder, "odd.dts", output("import", write(folder, "odd.system", odd)))
    equal(odd, memory(imported), [(0x1000, 0x1fff, "rw", True, None)])
    # File names are those that the system has.
    write(folder, '"a*\\b.bin', "image")
    said = system('<memory_region name="m" size="0x1000" prefill_path="&quot;a*\\b.bin"/>', vm(MAP))
    imported = write(folder, "said.dts", output("import", write(folder, "s.system", said)))
    equal(said, len(memory(imported)), 1)
    done = guestmem("import", "--board", "\u00e9.dts", folder + "/s.system")
    equal("a board", (done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1))

    for text, says in REFUSED:
        path = write(folder, "wrong.system", text)
        done = guestmem("import", path)
        equal(text, (done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1))
        assert done.stderr.startswith("guestmem: " + path) and says in done.stderr, (text, done)
    for path in (folder, folder + "/none", "/dev/null"):
        done = guestmem("import", path)
        equal(path, (done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1))
    done = guestmem("import", "--vm", "three", SYSTEM)
    assert done.returncode == 1 and 'no virtual_machine "three"; it has: one two' in done.stderr, done
for wrong in ([], ["a.system", "b.system"], ["--svg", "a.system"]):
    done = guestmem("import", *wrong)
    equal(wrong, (done.returncode, done.stdout), (2, ""))
    assert "guestmem import" in done.stderr, done.stderr
assert output("import", "--help").startswith("Usage: guestmem import")
