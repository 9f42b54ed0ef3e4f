# SPDX-License-Identifier: BSD-2-Clause
"""The Markdown of docs/, as far as docs/vm-description.md uses it, as sections of a manual page."""

import re

import roff

SHORT = 25  # a last column that is never longer is a value, no sentence


def split_sections(text):
    """Headings of the second level, and what is below each; what comes before the first is under ""."""
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    return dict([("", re.sub(r"^# .*$", "", parts[0], flags=re.MULTILINE)),
                 *zip(parts[1::2], parts[2::2])])


def cells(row):
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def table(lines):
    """A list: the first cell of a row is the tag, the last is what it means. The head is an entry
    too, if it says more than a word does."""
    head, _, *rows = [cells(line) for line in lines]
    short = len(head) > 2 and all(len(row[-1]) <= SHORT for row in rows)
    result = [roff.tagged(head[0].replace("`", ""), head[-1])] if " " in head[0] else []
    for row in rows:
        values = [f"{what}: {value}" for what, value in zip(head[1:-1], row[1:-1]) if value]
        if short:
            values.append(f"{head[-1]}: {row.pop()}")
        result.append(roff.tagged(row[0].replace("`", ""), "; ".join(values),
                                  "" if short else row[-1]))
    return "\n".join(result)


def block(lines):
    first = lines[0]
    if first.startswith("```"):
        return roff.literal("\n".join(lines[1:-1]))
    if first.startswith("|"):
        return table(lines)
    if first.startswith("* "):
        items = re.split(r"^\* ", "\n".join(lines), flags=re.MULTILINE)[1:]
        return "\n".join(roff.bullet(item) for item in items)
    picture = re.fullmatch(r"!\[.*\]\((.*)\)", first)
    return roff.paragraph(f"(The picture is docs/{picture[1]}.)" if picture else " ".join(lines))


def blocks(text):
    """The lines of each paragraph, list, table or heading, and of each piece of code."""
    found, code = [], False
    for line in text.split("\n") + [""]:
        fence = line.startswith("```")
        if found and not code and (fence or not line):
            yield found
            found = []
        if code or line:
            found.append(line)
        if fence and code:
            yield found
            found = []
        code ^= fence


def to_man(text):
    parts = re.split(r"^### (.*)$", text, flags=re.MULTILINE)
    content = ["\n".join(block(lines) for lines in blocks(part)) for part in parts[::2]]
    return "\n".join([content[0], *(roff.heading("SS", title, part)
                                    for title, part in zip(parts[1::2], content[1:]))])
