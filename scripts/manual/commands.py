# SPDX-License-Identifier: BSD-2-Clause
"""Sections 1 and 5: the command from what its --help prints, and from docs/vm-description.md."""

import re
import subprocess

import markdown
import roff

DESCRIPTION = "guestmem-vm-description"
LIBRARY = "guest_memory_util"


def help_of(program, *words):
    return subprocess.run([program, *words, "--help"], check=True, capture_output=True,
                          text=True).stdout


def entries(text):
    """What --help prints, as (kind, tag, text): "usage", "text", "option", "item", "status"."""
    result = []
    for block in text.strip("\n").split("\n\n"):
        lines = block.split("\n")
        if lines[0].startswith("Usage: "):
            result += [("usage", line[len("Usage: "):], "") for line in lines]
            continue
        result.append(["text", "", ""])
        for line in lines:
            if entry := re.fullmatch(r"  (\S.*?)  +(\S.*)", line):
                kind = "option" if entry[1].startswith("-") else "item"
                result.append([kind, entry[1], entry[2]])
            elif line.startswith("  "):
                result[-1][2] += " " + line.strip()
            elif result[-1][0] == "text":
                result[-1][2] += " " + line
            else:
                result.append(["text", "", line])
        for entry in result:
            if entry[0] == "text" and entry[2].strip().startswith("Exit status: "):
                entry[0], entry[2] = "status", entry[2].strip().removeprefix("Exit status: ")
    return [(kind, tag, text.strip().replace("docs/vm-description.md", f"`{DESCRIPTION}`(5)"))
            for kind, tag, text in result if tag or text.strip()]


def command_page(name, brief, printed, more, others, edition):
    of_kind = {kind: [] for kind in ("usage", "text", "option", "item", "status")}
    description = []
    for kind, tag, text in entries(printed):
        of_kind[kind].append((tag, text))
        if kind == "text":
            description.append(roff.paragraph(text))
        elif kind == "item":
            description.append(roff.tagged(tag, text))
    return roff.page(
        name, 1, brief,
        roff.section("Synopsis", roff.synopsis("\n".join(tag for tag, _ in of_kind["usage"]))),
        roff.section("Description", *description),
        roff.section("Options", *(roff.tagged(*option) for option in of_kind["option"])),
        more,
        roff.section("Exit status", *(roff.paragraph(text) for _, text in of_kind["status"])),
        roff.see_also([*((other, 1) for other in others if other != name), (DESCRIPTION, 5),
                       (LIBRARY, 3)]),
        edition=edition)


def pages(program, document, edition):
    printed = entries(help_of(program))
    commands = {f"guestmem-{tag}": (tag, text) for kind, tag, text in printed
                if kind == "item" and f"\n## `guestmem {tag}`\n" in document}
    sections = markdown.split_sections(document)
    names = ["guestmem", *commands]
    brief = next(text for kind, _, text in printed if kind == "text")
    result = {"man1/guestmem.1": command_page(
        "guestmem", brief[0].lower() + brief[1:].rstrip("."), help_of(program), "", names, edition)}
    for name, (word, text) in commands.items():
        more = roff.section("Details", markdown.to_man(sections[f"`guestmem {word}`"]))
        result[f"man1/{name}.1"] = command_page(name, text, help_of(program, word), more, names,
                                                edition)
    result[f"man5/{DESCRIPTION}.5"] = roff.page(
        DESCRIPTION, 5, "device trees that describe a virtual machine",
        roff.section("Description", markdown.to_man(sections[""])),
        *(roff.section(title.replace("`", ""), markdown.to_man(text))
          for title, text in sections.items() if title and not title.startswith("`guestmem ")),
        roff.see_also([(name, 1) for name in names]),
        edition=edition)
    return result
