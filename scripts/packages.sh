# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Installs what a script needs from Debian's packages. Sourced, not run.

# packages_install NAME...: install those that are missing; says what it does.
packages_install() {
    local missing=() name sudo=()
    for name in "$@"; do
        if [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" != installed ]; then
            missing+=("$name")
        fi
    done
    if [ ${#missing[@]} -eq 0 ]; then
        echo "packages: all there"
        return 0
    fi
    echo "packages: installing ${missing[*]}"
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "packages: run this as root, or install sudo" >&2
            return 1
        fi
        sudo=(sudo)
    fi
    local log
    log=$(mktemp)
    if ! { "${sudo[@]}" apt-get update &&
           "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
               apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "packages: apt-get failed; the lines above say why" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}
