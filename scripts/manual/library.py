# SPDX-License-Identifier: BSD-2-Clause
"""Section 3: a page for each function and type, and one for each header."""

import re
import textwrap

import roff


def lowered(text):
    """A sentence after "name - ": its first letter is small, but of a word in capitals."""
    return text if re.match(r"[A-Z]{2}", text) else text[0].lower() + text[1:]


def declared(part):
    type_, array = re.fullmatch(r"(.*?)(\[\w+\])?", part.type).groups("")
    return f"{type_}{'' if type_.endswith('*') else ' '}{part.name}{array}"


def declaration(item):
    """As it would be in a program, in lines that fit a page."""
    if item.kind in ("struct", "enum"):
        members = [f"    {declared(part)};" if item.kind == "struct" else f"    {part.name},"
                   for part in item.parts]
        return "\n".join([f"typedef {item.kind} {item.name.removesuffix('_t')} {{", *members,
                          f"}} {item.name};"])
    if item.kind in ("macro", "type"):
        return item.declaration
    space = "" if item.result.endswith("*") else " "
    start = (f"typedef {item.result}{space}(*{item.name})(" if item.kind == "callback"
             else f"{item.result}{space}{item.name}(")
    params = ", ".join(declared(part).replace(" ", "\0") for part in item.parts) or "void"
    lines = textwrap.wrap(f"{start}{params});", 72, break_long_words=False, subsequent_indent=" " * 8)
    return "\n".join(lines).replace("\0", " ")


def item_page(item, header, names, edition):
    words = set(re.findall(r"\w+", " ".join(
        [*item.text, item.returns, item.result,
         *(f"{part.text} {part.type}" for part in item.parts)])))
    related = sorted(words & names - {item.name})
    heading = {"struct": "Members", "enum": "Values"}.get(item.kind, "Parameters")
    return roff.page(
        item.name, 3, lowered(item.brief),
        roff.section("Synopsis", roff.synopsis(
            f"#include <{header.path}>\n\n{declaration(item)}")),
        roff.section("Description", *(roff.paragraph(text) for text in item.text)),
        roff.section(heading, *(roff.tagged(part.name, part.text) for part in item.parts)),
        roff.section("Return value", roff.paragraph(item.returns)) if item.returns else "",
        roff.see_also([(header.page, 3), *((name, 3) for name in related)]),
        edition=edition)


def header_page(header, headers, edition):
    def listed(kinds):
        return [roff.tagged(f"{item.name}(3)", item.brief) for item in header.of_kind(*kinds)]
    macros = [roff.tagged(item.name, " ".join(item.text)) for item in header.of_kind("macro")]
    brief = re.split(r"[.:;](?=\s|$)", header.text[0])[0]
    return roff.page(
        header.page, 3, lowered(brief),
        roff.section("Synopsis", roff.synopsis(f"#include <{header.path}>")),
        roff.section("Description", *(roff.paragraph(text) for text in header.text)),
        roff.section("Functions", *listed(["function"])),
        roff.section("Types", *listed(["callback", "struct", "enum", "type"])),
        roff.section("Macros", *macros),
        roff.see_also([(other.page, 3) for other in headers if other is not header]),
        edition=edition)


def pages(headers, edition):
    names = {item.name for header in headers for item in header.items if item.kind != "macro"}
    result = {}
    for header in headers:
        result[f"man3/{header.page}.3"] = header_page(header, headers, edition)
        for item in header.items:
            if item.kind != "macro":
                result[f"man3/{item.name}.3"] = item_page(item, header, names, edition)
    return result
