/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What `guestmem map` promises: text, JSON and SVG that tell the memory that was built, and are
 * what they claim to be.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char source[] =
    "/dts-v1/;\n"
    "/ { model = \"a <small> & \\\"quoted\\\" machine\"; #address-cells = <2>; #size-cells = <2>;\n"
    "ram@40000000 { reg = <0 0x40000000 0 0x100000>; guestmem,backing = \"ram\"; };\n"
    "rom@0 { reg = <0 0 0 0x3000>; guestmem,backing = \"frames\"; };\n"
    "lazy@100000 { reg = <0 0x100000 0 0x3000>; guestmem,backing = \"frames\";\n"
    "    guestmem,map-on-fault; };\n"
    "at@200000 { reg = <0 0x200000 0 0x2000>; guestmem,backing = \"untyped-at\";\n"
    "    guestmem,paddr = <0x60000000>; };\n"
    "page@300000 { reg = <0 0x300000 0 0x1000>; guestmem,backing = \"allocated-frame\";\n"
    "    guestmem,rights = \"ro\"; guestmem,device = \"log\"; };\n"
    "dev@400000 { reg = <0 0x400000 0 0x18>; guestmem,backing = \"emulated\";\n"
    "    guestmem,device = \"zeros\"; };\n"
    "region@80000000 { reg = <0 0x80000000 0 0x100000>; guestmem,backing = \"anonymous\"; };\n"
    "placed { guestmem,size = <0x2000>; guestmem,backing = \"frames\"; };\n"
    "top@ff00000000 { reg = <0xff 0 1 0>; guestmem,backing = \"emulated\";\n"
    "    guestmem,device = \"ones\"; };\n"
    "};\n";

/** Print the map of `source` in that form. @return to be freed */
static char *print_map(const char *form)
{
    char *folder = command_make_folder();
    char *path = command_write_file(folder, "vm.dts", source, strlen(source));
    const char *arguments[] = {"map", form, path, NULL};
    command_result_t result = command_run(arguments, NULL);
    char *output = result.output;

    if (result.status != 0) {
        fail_msg("status %d: %s", result.status, result.messages);
    }
    assert_string_equal(result.messages, "");
    free(result.messages);
    free(path);
    command_remove_folder(folder);
    return output;
}

/** Give `text` to a program of python3's standard library: it ends with 0 if it is happy. */
static void python_accepts(const char *text, const char *program)
{
    char *command;
    FILE *python;

    assert_true(asprintf(&command, "%s -c '%s'", GUESTMEM_PYTHON, program) > 0);
    python = popen(command, "w");
    assert_non_null(python);
    assert_int_equal(fwrite(text, 1, strlen(text), python), strlen(text));
    if (pclose(python) != 0) {
        fail_msg("%s refuses: %s", command, text);
    }
    free(command);
}

static void must_have(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("\"%s\" is not in:\n%s", part, text);
    }
}

static void text_has_a_row_for_each_range_in_order(void **state)
{
    static const char *const names[] = {"rom@0",       "lazy@100000", "at@200000",
                                        "page@300000", "dev@400000",  "ram@40000000",
                                        "region@8",    "placed",      "top@ff00000000"};
    char *text = print_map("--text");
    const char *at = text;

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        at = strstr(at, names[i]);
        if (at == NULL) {
            fail_msg("%s is missing or out of order in:\n%s", names[i], text);
        }
    }
    must_have(text, "0x0000000000000000-0000000000002fff");
    must_have(text, "0x0000000080000000-0000000080001fff");
    must_have(text, "untyped-at 0x60000000");
    must_have(text, "allocated-frame: log");
    must_have(text, "on fault");
    must_have(text, "9 ranges");
    free(text);
}

static void json_is_json_and_tells_the_same(void **state)
{
    char *json = print_map("--json");

    (void)state;
    python_accepts(json, "import json, sys\n"
                         "m = json.load(sys.stdin)\n"
                         "assert m[\"title\"] == \"a <small> & \\\"quoted\\\" machine\", m\n"
                         "r = {x[\"name\"]: x for x in m[\"ranges\"]}\n"
                         "assert len(r) == 9, r\n"
                         "rom = r[\"rom@0\"]\n"
                         "assert rom[\"base\"] == \"0x0\" and rom[\"last\"] == \"0x2fff\"\n"
                         "assert rom[\"size\"] == 0x3000 and rom[\"frames\"][\"4k\"] == 3\n"
                         "assert rom[\"rights\"] == \"rw\" and rom[\"cacheable\"]\n"
                         "assert r[\"lazy@100000\"][\"map_on_fault\"]\n"
                         "assert r[\"lazy@100000\"][\"frames\"][\"4k\"] == 0\n"
                         "assert r[\"at@200000\"][\"paddr\"] == \"0x60000000\"\n"
                         "assert r[\"page@300000\"][\"rights\"] == \"r-\"\n"
                         "assert r[\"page@300000\"][\"device\"] == \"log\"\n"
                         "assert r[\"dev@400000\"][\"rights\"] is None\n"
                         "assert r[\"placed\"][\"anonymous\"]\n"
                         "assert r[\"placed\"][\"base\"] == \"0x80000000\"\n"
                         "total = sum(x[\"frames\"][\"4k\"] for x in m[\"ranges\"])\n"
                         "assert m[\"frames\"][\"4k\"] == total\n");
    free(json);
}

/* Boxes must not overlap (but for what lies in an anonymous region, which is drawn below it), and
 * no two texts with the same column may be nearer than a line. */
static void svg_is_well_formed_and_nothing_overlaps(void **state)
{
    char *svg = print_map("--svg");

    (void)state;
    must_have(svg, "&lt;small&gt; &amp; &quot;quoted&quot;");
    python_accepts(svg, "import sys, xml.etree.ElementTree as E\n"
                        "r = E.parse(sys.stdin).getroot()\n"
                        "n = \"{http://www.w3.org/2000/svg}\"\n"
                        "assert r.tag == n + \"svg\"\n"
                        "h = int(r.get(\"height\"))\n"
                        "b = [x for x in r.findall(n + \"rect\") if x.get(\"rx\") == \"3\"]\n"
                        "b = sorted((int(x.get(\"y\")), int(x.get(\"height\"))) for x in b)\n"
                        "assert len(b) == 9, b\n"
                        "for (y, s), (z, _) in zip(b, b[1:]): assert y + s <= z, b\n"
                        "assert b[-1][0] + b[-1][1] < h\n"
                        "t = {}\n"
                        "for x in r.findall(n + \"text\"):\n"
                        "    t.setdefault(x.get(\"x\"), []).append(int(x.get(\"y\")))\n"
                        "for c in t.values():\n"
                        "    c.sort()\n"
                        "    for y, z in zip(c, c[1:]): assert z - y >= 11, c\n");
    free(svg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_has_a_row_for_each_range_in_order),
        cmocka_unit_test(json_is_json_and_tells_the_same),
        cmocka_unit_test(svg_is_well_formed_and_nothing_overlaps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
