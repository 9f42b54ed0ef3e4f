# SPDX-License-Identifier: BSD-2-Clause
"""docs/api: a page for each public header, in the form of the documentation of seL4's libraries."""

import re

SECTIONS = [
    ("function", "Function", "functions", "Parameters"),
    ("callback", "Callback", "types of callbacks", "Parameters"),
    ("struct", "Struct", "structs", "Elements"),
    ("enum", "Enum", "enumerations", "Values"),
    ("type", "Type", "types", ""),
    ("macro", "Macro", "macros", ""),
]


def anchor(heading):
    """What a heading becomes as the target of a link."""
    return "#" + re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def inline(text, headers):
    pages = {header.path: header.page for header in headers}

    def reference(found):
        page = pages.get(found[1])
        return f"[`<{found[1]}>`]({page}.md)" if page else f"`<{found[1]}>`"
    return re.sub(r"<([\w/]+\.h)>", reference, text)


def title(item):
    return item.signature if item.kind in ("function", "callback") else item.name


def details(item, heading, parts_word, back, headers):
    yield f"### {heading} `{title(item)}`"
    yield from (inline(paragraph, headers) for paragraph in item.text)
    if item.kind == "macro":
        yield f"```c\n{item.declaration}\n```"
    if item.parts:
        yield f"**{parts_word}:**"
        yield "\n".join(
            f"- `{part.name}{f' {{{part.type}}}' if part.type else ''}`"
            f"{f': {inline(part.text, headers)}' if part.text else ''}" for part in item.parts)
    if item.kind in ("function", "callback"):
        yield "**Returns:**"
        yield f"- {inline(item.returns, headers) if item.returns else 'No return'}"
    yield back


def blocks(header, headers):
    name = header.path.rsplit("/", 1)[1]
    heading = f"Interface `{name}`"
    back = f"Back to [interface description]({anchor(heading)})."
    present = [section for section in SECTIONS if header.of_kind(section[0])]

    yield f"<!-- Made from include/{header.path} by scripts/manual; change that. -->"
    yield f"## {heading}"
    yield f"`#include <{header.path}>`"
    yield from (inline(paragraph, headers) for paragraph in header.text)
    yield "### Brief content:"
    for kind, word, _, _ in present:
        yield f"**{word}s**:"
        for item in header.of_kind(kind):
            yield f"> [`{title(item)}`]({anchor(f'{word} `{title(item)}`')})"
    for kind, word, what, parts_word in present:
        yield f"## {word}s"
        yield f"The interface `{name}` defines the following {what}."
        for item in header.of_kind(kind):
            yield from details(item, word, parts_word, back, headers)
    yield "Back to [top](#)."


def pages(headers):
    return {f"{header.page}.md": "\n\n".join(blocks(header, headers)) + "\n" for header in headers}
