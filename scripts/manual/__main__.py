# SPDX-License-Identifier: BSD-2-Clause
"""Make the manual of guestmem from what is documented elsewhere.

    scripts/manual api INCLUDE FOLDER               docs/api: a page for each public header
    scripts/manual man INCLUDE FOLDER PROGRAM DOCUMENT
                                                    manual pages, in FOLDER/man1, man3 and man5

INCLUDE is the folder of the public headers, PROGRAM the guestmem command, DOCUMENT
docs/vm-description.md. FOLDER holds nothing else: what was there before is removed. The pages have
the date of SOURCE_DATE_EPOCH, or else today's. Run it with python3.
"""

import os
import pathlib
import re
import shutil
import sys
import time

import api
import commands
import headers
import library


def main(what, include, folder, *sources):
    parsed = headers.read_all(include)
    if what == "api":
        pages = api.pages(parsed)
    else:
        program, document = sources
        date = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time())))
        version = re.search(r'GUESTMEM_VERSION "(.*)"',
                            (pathlib.Path(include) / "guestmem/version.h").read_text())
        edition = f'{time.strftime("%F", date)} "guestmem {version[1]}"'
        pages = {**commands.pages(program, pathlib.Path(document).read_text(), edition),
                 **library.pages(parsed, edition)}
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in pages.items():
        path = pathlib.Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    if len(sys.argv) != {"api": 4, "man": 6}.get(sys.argv[1] if len(sys.argv) > 1 else ""):
        sys.exit(__doc__)
    main(*sys.argv[1:])
