# SPDX-License-Identifier: BSD-2-Clause
"""Manual pages in the macros of man(7)."""

import re
import textwrap

WIDTH = 78


def escape(text):
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")
    text = text.replace("`", r"\(ga").replace("^", r"\(ha").replace("~", r"\(ti")
    return "".join(c if ord(c) < 128 else rf"\[u{ord(c):04X}]" for c in text)


def running(text):
    """Running text, with `code`, *emphasis* and [links](of Markdown)."""
    text = re.sub(r"\[([^]`]*|`[^`]*`)\]\(([^)\s]*)\)",
                  lambda link: f"docs/{link[1]}" if link[1] == link[2] else link[1], text)
    pieces = re.split(r"(`[^`]+`|(?<![\w*])\*\w[^*]*\*(?!\w))", text)
    result = ""
    for piece in pieces:
        if piece[:1] == "`":
            result += rf"\fB{escape(piece[1:-1])}\fR"
        elif piece[:1] == "*":
            result += rf"\fI{escape(piece[1:-1])}\fR"
        else:
            piece = escape(piece).replace(r"\-", "-").replace(r"\(aq", "'")
            result += re.sub(r"(?<!\S)--(?=\w)", r"\\-\\-", piece)
    return result


def protect(line):
    """A line that roff must not take for a request."""
    return rf"\&{line}" if line[:1] in (".", "'") else line


def wrapped(text):
    return "\n".join(protect(line) for line in textwrap.wrap(
        " ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False))


def paragraph(text):
    return f".PP\n{wrapped(running(text))}"


def tagged(tag, *lines):
    """An entry of a list. The tag is bold; lines of text may be empty."""
    text = "\n.br\n".join(wrapped(running(line)) for line in lines if line)
    return f".TP\n\\fB{escape(tag)}\\fR\n{text or chr(92) + '&'}"


def bullet(text):
    return f".IP \\(bu 2\n{wrapped(running(text))}"


def literal(text):
    lines = "\n".join(protect(escape(line.expandtabs(8))) for line in text.splitlines())
    return f".PP\n.RS 4\n.nf\n{lines}\n.fi\n.RE"


def synopsis(text):
    return ".nf\n" + "\n".join(
        rf"\fB{escape(line)}\fR" if line else "" for line in text.splitlines()) + "\n.fi"


def heading(request, title, content):
    """The first paragraph after a heading needs no request."""
    return f'.{request} "{title}"\n{content.removeprefix(".PP" + chr(10))}'


def section(title, *content):
    """A section, or nothing if it has no content."""
    content = "\n".join(block for block in content if block)
    return heading("SH", title.upper(), content) if content else ""


def see_also(names):
    return section("See also", ",\n".join(
        rf"\fB{escape(page)}\fR({number})" for page, number in names))


def page(name, number, brief, *sections, edition):
    """A whole page; `edition` is the date and what it is a part of."""
    kind = {1: "User commands", 3: "Library functions", 5: "File formats"}[number]
    head = (f'.\\" SPDX-License-Identifier: BSD-2-Clause\n.\\" Made by scripts/manual.\n'
            f'.TH "{name.upper()}" {number} {edition} "{kind}"\n'
            '.nh\n.ad l')
    about = section("Name", wrapped(f"{escape(name)} \\- {running(brief)}"))
    return "\n".join(block for block in (head, about, *sections) if block) + "\n"
