# Copyright 2026, the guestmem authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the manual promises: a page for all that is public, every option of the command, pages that
mandoc finds nothing wrong with; and docs/api, made from the headers as they are, whose page of
guest_memory_util.h has what the documentation of seL4's libraries has.

Usage: test_manual.py SOURCE PAGES GUESTMEM"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE, PAGES = map(pathlib.Path, sys.argv[1:3])
GUESTMEM = sys.argv[3]

VM = ("vm", "vm_t *")
RESERVATION = ("reservation", "vm_memory_reservation_t *")
ADDRESS = "the page in the VMM's address space"  # what a function returns, in the page's words
STATUS = "0; -1 on failure"
DOCUMENTED = {  # by seL4
    "create_allocated_reservation_frame": (
        ADDRESS, VM, ("addr", "uintptr_t"), ("rights", "seL4_CapRights_t"),
        ("alloc_fault_callback", "memory_fault_callback_fn"), ("alloc_fault_cookie", "void *")),
    "create_device_reservation_frame": (
        ADDRESS, VM, ("addr", "uintptr_t"), ("rights", "seL4_CapRights_t"),
        ("fault_callback", "memory_fault_callback_fn"), ("fault_cookie", "void *")),
    "map_ut_alloc_reservation_with_base_paddr": (STATUS, VM, ("paddr", "uintptr_t"), RESERVATION),
    "map_ut_alloc_reservation": (STATUS, VM, RESERVATION),
    "map_frame_alloc_reservation": (STATUS, VM, RESERVATION),
    "map_maybe_device_reservation": (STATUS, VM, RESERVATION),
}


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def equal(seen, expected, what):
    if seen != expected:
        sys.exit(f"{what}: {seen!r}, not {expected!r}")


def page(number, name):
    """A page's text, without fonts and escapes."""
    text = (PAGES / f"man{number}" / f"{name}.{number}").read_text()
    return re.sub(r"\\f[BIR]|\\&", "", text).replace(r"\-", "-")


def the_interface_has_what_sel4_documents():
    text = (SOURCE / "docs/api/guest_memory_util.md").read_text()
    brief, functions = text.split("\n## Functions\n")
    signatures = [f"{name}({', '.join(param for param, _ in params)})"
                  for name, (_, *params) in DOCUMENTED.items()]
    equal(re.findall(r"^> \[`(.*)`\]", brief, re.MULTILINE), signatures, "the brief content")
    equal(re.findall(r"^### Function `(.*)`$", functions, re.MULTILINE), signatures, "the functions")
    for (name, (returns, *params)), function in zip(DOCUMENTED.items(),
                                                    functions.split("\n### Function ")[1:]):
        equal(re.findall(r"^- `(\w+) \{(.*)\}`: \S", function, re.MULTILINE), params, name)
        returned = re.search(r"\*\*Returns:\*\*\n\n- (.*)", function)[1]
        equal(returned[:len(returns)], returns, f"{name} returns")
        equal("NULL on failure" in returned, returns == ADDRESS, f"{name} returns NULL on failure")


def links_lead_to_headings():
    for path in (SOURCE / "docs/api").glob("*.md"):
        text = path.read_text()
        headings = re.findall(r"^##+ (.*)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        equal(set(re.findall(r"\]\(#(.+?)\)", text)) - anchors, set(), f"{path}: dead links")
        for name in re.findall(r"\]\(([^#)]+)\)", text):
            equal((path.parent / name).exists(), True, f"{path}: {name} exists")


def the_pages_of_headers_are_current():
    with tempfile.TemporaryDirectory() as folder:
        made = pathlib.Path(folder) / "api"
        run(sys.executable, "-B", SOURCE / "scripts/manual", "api", SOURCE / "include", made,
            check=True)
        difference = run("diff", "-ru", SOURCE / "docs/api", made)
        if difference.returncode != 0:
            sys.exit("docs/api is not what the headers say; run: python3 scripts/manual api include "
                     f"docs/api\n{difference.stdout}")


def all_that_is_public_has_a_page():
    headers = {path: re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
               for path in (SOURCE / "include").rglob("*.h")}
    code = "\n".join(headers.values())
    functions = re.findall(r"^    (\w+);$", (SOURCE / "src/guestmem.map").read_text(), re.MULTILINE)
    types = re.findall(r"^(?:typedef struct \w+|\}) (\w+);$|^typedef [^;{]*\(\*(\w+)\)", code,
                       re.MULTILINE)
    names = functions + ["".join(name) for name in types]
    headers_named = [path.stem if path.parent.name != "guestmem" else f"guestmem-{path.stem}"
                     for path in headers]
    equal(sorted(path.stem for path in (PAGES / "man3").iterdir()), sorted(names + headers_named),
          "the pages of section 3")
    for name in functions:
        text = page(3, name)
        declaration = re.search(rf"^\w[\w ]*[ *]{name}\(.*?\);", code, re.DOTALL | re.MULTILINE)[0]
        equal(" ".join(declaration.split()) in " ".join(text.split()), True, f"{declaration} is there")
    for macro in re.findall(r"^#define (\w+)", code, re.MULTILINE):
        equal(any(macro in page(3, name) for name in headers_named), True, f"{macro} is described")


def options_are_those_of_help():
    words = re.findall(r"^  (\w+) ", run(GUESTMEM, "--help").stdout.split("Commands:")[1].split(
        "\n\n")[0], re.MULTILINE)
    names = {"guestmem": [], **{f"guestmem-{word}": [word] for word in words}}
    equal({path.stem for path in (PAGES / "man1").iterdir()}, set(names), "the pages of section 1")
    for name, command in names.items():
        help_ = run(GUESTMEM, *command, "--help", check=True).stdout
        options = re.findall(r"^  (--[\w-]+(?: [A-Z]+)?)  ", help_, re.MULTILINE)
        listed = re.findall(r"^\.TP\n(--.*)$", page(1, name), re.MULTILINE)
        equal(len(options) > 1 and listed, options, f"the options of {name}")
        for option in options:
            known = run(GUESTMEM, *command, option.split()[0], "/dev/null", stdin=subprocess.DEVNULL)
            equal("unrecognized option" in known.stderr or "no command" in known.stderr, False,
                  f"{name} does not know {option}")


def the_description_has_every_property():
    text = page(5, "guestmem-vm-description")
    source = (SOURCE / "cli").glob("description*.c")
    properties = set(re.findall(r'"(guestmem,[\w-]+)"', "\n".join(map(pathlib.Path.read_text, source))))
    equal({name for name in properties if name not in text}, set(), "properties that are missing")
    equal(len(properties) > 10, True, f"{properties} are all")


def mandoc_finds_nothing_wrong():
    if shutil.which("mandoc") is None:
        return
    pages = sorted(PAGES.glob("man?/*"))
    found = run("mandoc", "-T", "lint", *pages, env={**os.environ, "MANPATH": str(PAGES)})
    equal((found.stdout, found.returncode), ("", 0), "what mandoc says")
    for path in pages:
        text = run("mandoc", "-T", "ascii", path, check=True).stdout
        equal(len(text.splitlines()) > 10, True, f"{path} has text")


for test in [the_interface_has_what_sel4_documents, links_lead_to_headings,
             the_pages_of_headers_are_current, all_that_is_public_has_a_page,
             options_are_those_of_help, the_description_has_every_property,
             mandoc_finds_nothing_wrong]:
    test()
    print(test.__name__)
