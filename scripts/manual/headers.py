# SPDX-License-Identifier: BSD-2-Clause
"""The public headers as objects: what each declares, and what its docstrings say about it.

It relies on what clang-format and doxygen check: declarations begin in the first column, each with a
docstring before it.
"""

import dataclasses
import pathlib
import re

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
DOCSTRING = re.compile(r"^/\*\*(.*?)\*/\n", re.DOTALL | re.MULTILINE)
MEMBER = re.compile(r"^\s+(\w[^;/]*);\s*/\*\*<(.*?)\*/", re.DOTALL | re.MULTILINE)
VALUE = re.compile(r"^\s+(\w+)(?:\s*=[^,/\n]*)?,?[ \t]*(?:/\*\*<(.*?)\*/)?", re.DOTALL | re.MULTILINE)
FUNCTION = re.compile(r"(?P<result>[\w ]+[ *])(?P<name>\w+)\((?P<params>.*)\);", re.DOTALL)
CALLBACK = re.compile(r"typedef (?P<result>[\w ]+[ *])\(\*(?P<name>\w+)\)\((?P<params>.*)\);", re.DOTALL)


@dataclasses.dataclass
class Part:
    """A parameter, a member of a structure, or a value of an enumeration (which has no type)."""
    name: str
    type: str
    text: str


@dataclasses.dataclass
class Item:
    """A function, callback, struct, enum, type (of which nothing is public), or macro."""
    kind: str
    name: str
    declaration: str
    text: list  # paragraphs
    parts: list = dataclasses.field(default_factory=list)
    result: str = ""
    returns: str = ""

    @property
    def signature(self):
        return f"{self.name}({', '.join(part.name for part in self.parts)})"

    @property
    def brief(self):
        """The first sentence, or what it begins with."""
        return re.split(r"(?<=\w)[.:;](?=\s|$)", self.text[0])[0].rstrip(".")


@dataclasses.dataclass
class Header:
    path: str
    text: list
    items: list

    @property
    def page(self):
        """What pages about it are called: without a folder where the name alone says enough."""
        folder, name = self.path.removesuffix(".h").rsplit("/", 1)
        return f"guestmem-{name}" if folder == "guestmem" else name

    def of_kind(self, *kinds):
        return [item for item in self.items if item.kind in kinds]


def joined(text):
    return " ".join(text.split())


def paragraphs(lines):
    return [joined(block) for block in re.split(r"\n\s*\n", "\n".join(lines)) if block.strip()]


def docstring(comment):
    """Its paragraphs, and its tags: {"param": {name: text}, "return": text, "see": text}."""
    lines = [re.sub(r"^\s*\* ?", "", line) for line in comment.strip().splitlines()]
    first = next((n for n, line in enumerate(lines) if re.match(r"\s*@(?!file)", line)), len(lines))
    tags = {"param": {}}
    for tag in re.split(r"^\s*@", "\n".join(lines[first:]), flags=re.MULTILINE)[1:]:
        word, text = tag.split(None, 1)
        if word == "param":
            name, text = text.split(None, 1)
            tags["param"][name] = joined(text)
        else:
            tags[word] = joined(text)
    return paragraphs(line for line in lines[:first] if line.strip() != "@file"), tags


def split_type(declaration):
    """`const char *name[2]` as name and type."""
    found = re.fullmatch(r"(.*?)(\w+)(\[\w+\])?", joined(declaration))
    return found[2], found[1].strip() + (found[3] or "")


def end_of_declaration(code, start):
    if code.startswith("#", start):
        return code.index("\n", start)
    depth = 0
    for at in range(start, len(code)):
        depth += {"{": 1, "}": -1}.get(code[at], 0)
        if code[at] == ";" and depth == 0:
            return at + 1
    raise ValueError(code[start:start + 60])


def item(declaration, text, tags):
    plain = re.sub(r"[ \t]+$", "", COMMENT.sub("", declaration), flags=re.MULTILINE)
    if macro := re.match(r"#define (\w+)", plain):
        return Item("macro", macro[1], plain, text)
    if body := re.match(r"typedef (struct|enum) \w+ \{(.*)\} (\w+);", declaration, re.DOTALL):
        kind, inside, name = body.groups()
        if kind == "enum":
            parts = [Part(value, "", joined(about)) for value, about in VALUE.findall(inside)]
        else:
            parts = [Part(*split_type(member), joined(about))
                     for member, about in MEMBER.findall(inside)]
        return Item(kind, name, plain, text, parts)
    if opaque := re.fullmatch(r"typedef struct \w+ (\w+);", plain):
        return Item("type", opaque[1], plain, text)
    kind = "callback" if plain.startswith("typedef") else "function"
    found = (CALLBACK if kind == "callback" else FUNCTION).fullmatch(plain)
    params = [] if found["params"] == "void" else found["params"].split(",")
    parts = [Part(*split_type(param), "") for param in params]
    for part in parts:
        part.text = tags["param"][part.name]
    return Item(kind, found["name"], plain, text, parts, found["result"].strip(),
                tags.get("return", ""))


def parse(path, name):
    source = path.read_text()
    code = COMMENT.sub(lambda comment: re.sub(r"[^\n]", " ", comment[0]), source)
    header = Header(name, [], [])
    for found in DOCSTRING.finditer(source):
        text, tags = docstring(found[1])
        if "@file" in found[1]:
            header.text = text
            continue
        end = end_of_declaration(code, found.end())
        header.items.append(item(source[found.end():end], text, tags))
    return header


def read_all(include):
    """Every header below the folder `include`, by name."""
    include = pathlib.Path(include)
    return [parse(path, path.relative_to(include).as_posix()) for path in sorted(include.rglob("*.h"))]
