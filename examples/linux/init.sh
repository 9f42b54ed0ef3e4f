#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The guest's first program: it uses each kind of memory that the VM has beside its RAM, says so, and
# gives a shell. The kernel passes on what it does not know of its command line: $vm is the VM's
# number, $run what to do after the checks (shell, off, or reset).
mount -t devtmpfs dev /dev
mount -t proc proc /proc

check() { # NAME GPA BYTES
    printf 'init: %s@%x ' "$1" "$2" && memory check "$2" "$3"
}

check frames $((0x20000000)) $((0x12000))
check maybe-device $((0x21000000)) $((0x10000))
check chosen $((0x22000000)) $((0x200000))
check same-address $((0x90000000 + 0x400000 * vm)) $((0x200000))
echo "init: device: $(memory read $((0xa000000 + 0x1000 * vm)))"
echo "init: the VMM says: $(memory print $((0xb000000))), and: $(memory print $((0xb001000)))"
memory put $((0xb000800)) "the guest was here"

case ${run:-shell} in
off) poweroff -f ;;
reset) reboot -f ;;
esac
echo "init: $(free | awk '/Mem/ { print $2 }') KiB of RAM; \"poweroff -f\" and \"reboot -f\" leave"
exec sh
