# SPDX-License-Identifier: BSD-2-Clause
"""What `guestmem run --gdb` promises to a debugger of the guest, and to the guest of a bad one.

Usage: test_gdb.py GUESTMEM PART ARGUMENTS
  protocol ECHO.bin      packets by hand: what each does, what ends the connection, random ones
  session VM.dts         GDB itself (Debian's gdb-multiarch) on the example guest
  linux VM.dts           GDB on Debian's Linux, with names from its kallsyms"""
import os
import random
import re
import select
import socket
import subprocess
import sys
import tempfile
import time

GUESTMEM, PART, *ARGUMENTS = sys.argv[1:]
CODE = 0x40000000


class Guest:
    """The command with a guest that waits for a debugger."""

    def __init__(self, file, where, *options):
        self.child = subprocess.Popen(
            (GUESTMEM, "run", "--gdb", where, *options, file), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.child.stderr.readline().decode()
        prefix = "guestmem: the guest waits for GDB: target remote "
        assert line.startswith(prefix), line + self.child.stderr.read().decode()
        self.address = line[len(prefix):].strip()
        self.shown = ""

    def type(self, text):
        self.child.stdin.write(text.encode())
        self.child.stdin.flush()

    def expect(self, text):
        """Wait until the guest has shown it. @return what came before"""
        while text not in self.shown:
            assert select.select([self.child.stdout], [], [], 120)[0], (text, self.shown[-2000:])
            more = os.read(self.child.stdout.fileno(), 65536)
            assert more, (text, self.shown[-2000:], self.child.wait(), self.child.stderr.read())
            self.shown += more.decode(errors="replace")
        before, self.shown = self.shown.split(text, 1)
        return before

    def finish(self):
        """Wait for the end. @return exit status, and what was on standard error"""
        output, errors = self.child.communicate(timeout=120)
        return self.child.returncode, errors.decode()


class Client:
    """A debugger that says what it is told to."""

    def __init__(self, address):
        if "/" in address:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(address)
        else:
            host, port = address.rsplit(":", 1)
            self.socket = socket.create_connection((host, int(port)))
        self.socket.settimeout(60)
        self.bytes = b""
        assert self.ask("QStartNoAckMode") == "OK"
        self.raw(b"+")

    def raw(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # it has been hung up on us

    def send(self, packet):
        data = packet if isinstance(packet, bytes) else packet.encode()
        self.raw(b"$" + data + b"#%02x" % (sum(data) & 0xff))

    def reply(self):
        """The next packet; None after the connection's end."""
        while b"#" not in self.bytes[:-2]:
            try:
                more = self.socket.recv(65536)
            except ConnectionError:
                more = b""
            if not more:
                return None
            self.bytes += more
        packet, self.bytes = self.bytes.lstrip(b"+").split(b"#", 1)
        assert packet[:1] == b"$" and int(self.bytes[:2], 16) == sum(packet[1:]) & 0xff, packet
        self.bytes = self.bytes[2:]
        return packet[1:].decode()

    def ask(self, packet):
        self.send(packet)
        return self.reply()

    def register(self, number):
        return int.from_bytes(bytes.fromhex(self.ask(f"p{number:x}")), "little")

    def set_register(self, number, value):
        assert self.ask(f"P{number:x}=" + value.to_bytes(8, "little").hex()) == "OK"

    def close(self):
        self.socket.close()


PC = 32


def echo_vm(folder):
    """A guest that echoes its serial port, one byte for each interrupt, and powers off at q."""
    path = os.path.join(folder, "vm.dts")
    with open(path, "w") as file:
        file.write(f"""/dts-v1/;
/ {{
    #address-cells = <1>; #size-cells = <1>; interrupt-parent = <&gic>;
    guestmem,entry = <{CODE:#x}>;
    ram {{ reg = <{CODE:#x} 0x10000>; guestmem,backing = "ram"; guestmem,load = "{ARGUMENTS[0]}"; }};
    serial {{ reg = <0x9000000 0x1000>; guestmem,backing = "emulated"; guestmem,device = "pl011";
              interrupts = <0 1 4>; }};
    gic: gic {{ reg = <0x8000000 0x1000>, <0x8010000 0x1000>; interrupt-controller;
        #interrupt-cells = <3>; guestmem,backing = "emulated"; guestmem,device = "gic"; }};
}};""")
    return path


def check_refusals(vm):
    for where, says in (("1234", "must be [HOST]:PORT"), (":", "must be"), ("/nowhere/socket", "No such"),
                        ("127.0.0.1:port", "127.0.0.1:port: "), ("/" + "x" * 120, "too long")):
        done = subprocess.run((GUESTMEM, "run", "--quiet", "--gdb", where, vm), capture_output=True,
                              text=True, stdin=subprocess.DEVNULL, timeout=60)
        assert (done.returncode, done.stdout) == (1, "") and says in done.stderr, (where, done)
        assert done.stderr.startswith(f"guestmem: --gdb {where}: "), done.stderr


def check_requests(client):
    assert "qXfer:features:read+" in client.ask("qSupported:multiprocess+;swbreak+")
    assert (client.ask("?"), client.ask("qC"), client.ask("qfThreadInfo")) == \
        ("T05thread:1;", "QC1", "m1")
    target = client.ask("qXfer:features:read:target.xml:0,fff")
    assert target[0] == "l" and target.count("<reg ") == 34 + 9, target
    assert client.ask("qXfer:features:read:target.xml:10,20") == "m" + target[0x11:0x31]
    assert client.ask("qXfer:features:read:target.xml:fff,20") == "l"
    for unknown in ("!", "vMustReplyEmpty", "qOffsets", "Qany", "R00", ""):
        assert client.ask(unknown) == "", unknown
    for wrong in ("pffff", "p", "P", "P1=", "P1=00", "Pffff=0000000000000000", "m", "m0", "m,", "m0,10",
                  "mffffffffffffffff,2", "M40000000,2:00", "M0,1:00", "Z5,0,1", "Z1,0", "Z2,40000000,0",
                  "Z2,40000000,1001", "Z2,ffffffffffffffff,2", "G00", "vCont;x", "vCont", "c4000",
                  "qXfer:features:read:target.xml:", "qRcmd,0"):
        assert client.ask(wrong) == "E01", wrong


def check_registers(client):
    everything = client.ask("g")
    assert len(everything) == 2 * (33 * 8 + 4), everything
    assert everything[PC * 16:PC * 16 + 16] == CODE.to_bytes(8, "little").hex()
    client.set_register(5, 0x1122334455667788)
    client.set_register(31, 0x40009000)
    assert client.register(5) == 0x1122334455667788 and client.register(31) == 0x40009000
    assert client.ask("p21") == "c5030000" and client.register(34) & 1 == 0  # EL1h; SCTLR_EL1.M
    assert client.ask("P21=c0030060") == "OK" and client.ask("p21") == "c5030060"  # not its level
    changed = everything[:16 * 7] + "efcdab8967452301" + everything[16 * 8:]
    assert client.ask("G" + changed) == "OK" and client.ask("g") == changed


def check_memory(client, content):
    assert client.ask(f"m{CODE:x},20") == content[:32].hex()
    assert client.ask(f"M{CODE + 0xffe:x},4:0a0b0c0d") == "OK"  # over the end of a page
    assert client.ask(f"m{CODE + 0xfff:x},2") == "0b0c"
    assert client.ask(b"X40000ffe,4:}\x03}\x04}\x0a#"[:-1] + b"x") == "OK"  # 23 24 2a 78, escaped
    assert client.ask(f"m{CODE + 0xffe:x},4") == "23242a78"
    assert client.ask(f"m{CODE + 0xfffe:x},10") == "0000"  # as much as there is
    assert client.ask("m9000000,4") == "E01"  # a device is no memory
    assert client.ask("qRcmd," + b"physical".hex()) == "OK"
    assert client.ask(f"m{CODE:x},4") == content[:4].hex()
    assert client.ask("qRcmd," + b"virtual".hex()) == "OK"
    for command, says in ((b"help", b"monitor map: "), (b"map", b"reservations: 4; anonymous regions: 0; ")):
        shown, reply = b"", client.ask("qRcmd," + command.hex())
        while reply != "OK":
            shown += bytes.fromhex(reply[1:])
            reply = client.reply()
        assert says in shown, (command, shown)


def write_program(client, *instructions):
    """Let the guest go on at a program of ours."""
    code = b"".join(word.to_bytes(4, "little") for word in instructions)
    assert client.ask(f"M40008000,{len(code):x}:" + code.hex()) == "OK"
    client.set_register(PC, 0x40008000)


STORE, LOAD, STAY = 0xf9000020, 0xf9400422, 0x14000000  # str x0, [x1]; ldr x2, [x1, #8]; b .


def check_program(client):
    """Steps, watchpoints, and code that is written over."""
    client.set_register(0, 0x55)
    client.set_register(1, 0x4000a000)
    write_program(client, 0xd2800140, STORE, LOAD, STAY)  # mov x0, #10; ...
    for pc in (0x40008004, 0x40008008, 0x4000800c, 0x4000800c):  # the last one branches to itself
        assert client.ask("vCont;s:1;c") == "T05thread:1;" and client.register(PC) == pc, hex(pc)
    assert client.register(0) == 10 and client.ask("m4000a000,8") == "0a00000000000000"
    write_program(client, 0xd2800160, STORE, LOAD, STAY)
    assert client.ask("Z0,40008004,4") == "OK" and client.ask("c") == "T05thread:1;"
    assert client.register(0) == 11 and client.register(PC) == 0x40008004
    assert client.ask("z0,40008004,4") == "OK"

    # A watchpoint stops before the access; other accesses to its page happen.
    for point, at, pc, report in (("2", 0x4000a000, 0x40008004, "watch"), ("3", 0x4000a00c, 0x40008008, "rwatch"),
                                  ("4", 0x4000a007, 0x40008004, "awatch"), ("4", 0x4000a00f, 0x40008008, "awatch")):
        assert client.ask("M4000a000,8:" + "00" * 8) == "OK"
        client.set_register(PC, 0x40008000)
        assert client.ask(f"Z{point},{at:x},1") == "OK"
        assert client.ask("vCont;c") == f"T05{report}:{at:x};thread:1;", (point, hex(at))
        assert client.register(PC) == pc
        assert client.ask("m4000a000,1") == ("00" if pc == 0x40008004 else "0b")
        assert client.ask(f"z{point},{at:x},1") == "OK"
        assert client.ask("s") == "T05thread:1;" and client.register(PC) == pc + 4
    # A store exclusive still succeeds; ldxr x3, [x1]; add x3, x3, #1; stxr w4, x3, [x1]; cbnz w4; b .
    write_program(client, 0xc85f7c23, 0x91000463, 0xc8047c23, 0x35ffffa4, STAY)
    assert client.ask("Z2,4000a008,8") == client.ask("Z0,40008010,4") == "OK"
    assert client.ask("c") == "T05thread:1;" and client.register(PC) == 0x40008010
    assert client.ask("z2,4000a008,8") == client.ask("z0,40008010,4") == "OK"
    assert client.ask("m4000a000,1") == "0c"
    write_program(client, 0xd2800160, STORE, LOAD, STAY)

    # One of the other direction, and one that is next to all of it, do not.
    assert client.ask("Z3,4000a000,8") == "OK" and client.ask("Z2,4000a008,8") == "OK"
    client.set_register(PC, 0x40008000)
    assert client.ask("Z0,4000800c,4") == "OK"
    assert client.ask("c") == "T05thread:1;" and client.register(PC) == 0x4000800c
    for point in ("3,4000a000,8", "2,4000a008,8", "0,4000800c,4"):
        assert client.ask("z" + point) == "OK"


def check_alive(guest):
    guest.type("one\n")
    guest.expect("one\n>")


def check_echo(guest, client):
    """The guest's own interrupts: not while it is stepped, but when it goes on."""
    client.send("c")
    check_alive(guest)
    client.raw(b"\x03")
    assert client.reply() == "T02thread:1;"
    assert client.ask("Z1,40000050,4") == "OK"  # the branch of its loop, to be there
    assert client.ask("c") == "T05thread:1;" and client.register(PC) == 0x40000050
    assert client.ask("z1,40000050,4") == client.ask("Z1,40000a80,4") == "OK"  # its interrupt handler
    guest.type("a\n")
    for _ in range(3):  # in its loop of wfi and branch
        assert client.ask("s") == "T05thread:1;" and client.register(PC) < 0x40000800
    assert client.ask("c") == "T05thread:1;" and client.register(PC) == 0x40000a80
    assert client.ask("z1,40000a80,4") == client.ask("Z3,9000000,4") == "OK"  # a device
    assert client.ask("c") == "T05rwatch:9000000;thread:1;" and client.register(PC) == 0x40000a84
    assert client.ask("z3,9000000,4") == "OK" and client.ask("s") == "T05thread:1;"
    assert client.register(1) == ord("a")


def check_bad_clients(guest):
    """Each loses its connection, and the guest runs on without its points."""
    for what in (b"GET / HTTP/1.0\r\n\r\n", b"$g#00", b"$m0,1#zz", b"-", b"\x00", b"$" + b"m" * 20000):
        client = Client(guest.address)
        assert client.ask("?") == "T05thread:1;"
        assert client.ask("Z1,40000a80,4") == "OK"
        client.raw(what)
        assert client.reply() is None, what
        check_alive(guest)
        client.close()
    for running in (False, True):  # one that vanishes
        client = Client(guest.address)
        if running:
            client.send("c")
        client.close()
        check_alive(guest)
    client = Client(guest.address)  # one that asks while the guest runs
    client.send("c")
    client.send("g")
    assert client.reply() is None
    client = Client(guest.address)  # one that has somebody wait
    with socket.socket(socket.AF_UNIX) as second:
        second.connect(guest.address)
        assert client.ask("?") == "T05thread:1;"
        assert client.ask("D") == "OK"
    check_alive(guest)


def check_random_packets(vm, folder, count):
    """Whatever is sent, the command ends as a command does."""
    source = random.Random(42)
    where = os.path.join(folder, "random")
    words = (b"m", b"M", b"X", b"P", b"p", b"G", b"g", b"Z", b"z", b"c", b"s", b"vCont;s", b"vCont;c", b"H",
             b"qXfer:features:read:target.xml:", b"qRcmd,", b"?", b"D")

    def check_end(guest):
        status, errors = guest.finish()
        assert status in (0, 1) and all(line.startswith("guestmem: ") for line in errors.splitlines()), \
            (status, errors)

    guest = Guest(vm, where, "--quiet")
    for _ in range(count):
        if guest.child.poll() is not None:
            check_end(guest)
            guest = Guest(vm, where, "--quiet")
        client = Client(guest.address)
        for _ in range(source.randrange(1, 40)):
            word = source.choice(words)
            rest = bytes(source.choice(b"0123456789abcdef,:;=-4000") for _ in range(source.randrange(24)))
            if source.random() < 0.3:
                rest = f"{CODE + source.randrange(0x10000):x},{source.randrange(64):x}".encode() + rest[:4]
            client.send(word + rest)
            if source.random() < 0.05:
                client.raw(source.randbytes(source.randrange(30)))
            if source.random() < 0.2:
                client.raw(b"\x03")
        client.socket.shutdown(socket.SHUT_WR)
        while client.reply() is not None:
            pass
        client.close()
    if guest.child.poll() is None:
        Client(guest.address).send("k")
    check_end(guest)


def test_protocol(folder):
    vm = echo_vm(folder)
    check_refusals(vm)
    with open(ARGUMENTS[0], "rb") as file:
        content = file.read()
    where = os.path.join(folder, "socket")
    guest = Guest(vm, where, "--quiet")
    assert guest.address == where
    client = Client(where)
    check_requests(client)
    check_registers(client)
    check_memory(client, content)
    check_program(client)
    client.set_register(PC, CODE)
    check_echo(guest, client)
    assert client.ask("D") == "OK"
    check_bad_clients(guest)
    client = Client(where)
    client.send("c")
    guest.type("q\n")
    assert bytes.fromhex(client.reply()[1:]).endswith(b"the guest powered off\n")
    assert client.reply() == "W00" and client.reply() is None
    assert guest.finish() == (0, "") and not os.path.exists(where)

    # A guest that fails can be looked at; time in which it stands still is not its own.
    guest = Guest(vm, "localhost:0", "--quiet", "--max-seconds", "4")
    client = Client(guest.address)
    time.sleep(4.5)
    client.send("c")
    check_alive(guest)
    client.raw(b"\x03")
    assert client.reply() == "T02thread:1;"
    client.set_register(PC, 0x1000)
    assert client.ask("c").startswith("O")
    assert client.reply() == "T0bthread:1;" and client.register(PC) == 0x1000
    assert client.ask("c") == "X0b"
    status, errors = guest.finish()
    assert status == 1 and "fetch at 0x1000 in no reservation" in errors, errors

    guest = Guest(vm, ":0", "--quiet")
    Client(guest.address).send("k")
    assert guest.finish() == (0, "")
    check_random_packets(vm, folder, 60)


def gdb(address, *commands):
    """What GDB prints at commands."""
    arguments = ["gdb-multiarch", "-nx", "-batch", "-ex", "set confirm off", "-ex",
                 f"target remote {address}"]
    for command in commands:
        arguments += ["-ex", command]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=200)
    assert done.returncode == 0, done
    return done.stdout


def expect_in_order(text, *parts):
    rest = text
    for part in parts:
        found = re.search(part, rest)
        assert found, f"no {part!r} after what came before it in:\n{text}"
        rest = rest[found.end():]


def test_session(folder):
    symbols = f"symbol-file -o 0x40080000 {ARGUMENTS[0][:-4]}.elf"
    guest = Guest(ARGUMENTS[0], os.path.join(folder, "socket"), "--quiet")
    shown = gdb(guest.address, symbols, "break check_memory", "continue", "backtrace", "step", "stepi",
                "info registers pc ttbr0_el1", "delete", "watch *(long *)0x48000008", "continue",
                "backtrace 2", "delete", "finish", "awatch *(int *)0x9000000", "continue", "x/i $pc",
                "detach")
    expect_in_order(
        shown, r"\nBreakpoint 1.*, check_memory \(tree=0x40000000, name=0x\w+ \"memory\"",
        r"#1  0x\w+ in guest_main \(tree=0x40000000\) at .*main.c:\d+\n#2  0x\w+ in _start \(\) at .*",
        r"\npc  +0x\w+ .*<check_memory\+\d+>", r"\nttbr0_el1 ", r"\nHardware watchpoint 2: ",
        r"Old value = 0\nNew value = ", r"#0 .*check_words .*\"frames\"", r"#1 .*check_memory",
        r"\nValue returned is \$1 = true", r"\nHardware access \(read/write\) watchpoint 3", r"Value = <unreadable>",
        r"=> 0x\w+ <print", r"detached\]")
    status, errors = guest.finish()
    assert status == 0, errors

    guest = Guest(ARGUMENTS[0], ":0", "--quiet")
    shown = gdb(guest.address, "continue")
    assert "the guest powered off" in shown and "exited normally" in shown, shown
    assert guest.finish()[0] == 0

    # Nothing of that takes virtual time.
    times = set()
    for commands in (("detach",), ("break check_words", "continue", "stepi", "stepi", "continue",
                                   "delete", "watch *(long *)0x48000800", "rwatch *(long *)0x48000900",
                                   "continue", "continue", "continue", "delete", "detach")):
        guest = Guest(ARGUMENTS[0], ":0", "--virtual-time")
        gdb(guest.address, symbols, *commands)
        output = guest.child.communicate(timeout=120)[0].decode()
        times.add(re.search(r"virtual time: .*", output).group())
    assert len(times) == 1, times


def kernel_symbols(folder, symbols):
    """A file that GDB takes names of the kernel from, which has none but its kallsyms."""
    base = 0xffff800008000000
    path = os.path.join(folder, "kernel")
    with open(path + ".s", "w") as file:
        file.write('.section .kernel, "ax", @nobits\nbase: .space 0x4000000\n')
        for name, address in symbols:
            file.write(f".global {name}\n.type {name}, %function\n.set {name}, base + {address - base}\n")
    subprocess.run(("aarch64-linux-gnu-gcc", "-nostdlib", "-static", "-Wl,-e,0",
                    f"-Wl,--section-start=.kernel={base:#x}", path + ".s", "-o", path), check=True)
    return path


def test_linux(folder):
    """A breakpoint by name, steps and a watchpoint where the kernel answers to uname."""
    guest = Guest(ARGUMENTS[0], os.path.join(folder, "socket"), "--quiet", "--max-seconds", "500")
    gdb(guest.address, "detach")
    guest.expect("~ #")
    guest.type("mount -t proc proc /proc; grep -E ' (__arm64_sys_newuname|invoke_syscall)$' "
               "/proc/kallsyms; echo don''e\n")
    guest.expect("don''e")
    shown = guest.expect("done")
    symbols = [(name, int(address, 16)) for address, name in re.findall(r"(\w{16}) \w (\w+)", shown)]
    assert sorted(name for name, _ in symbols) == ["__arm64_sys_newuname", "invoke_syscall"], shown
    shown = gdb(guest.address, f"symbol-file {kernel_symbols(folder, symbols)}",
                "break __arm64_sys_newuname",
                f"shell echo uname -a >/proc/{guest.child.pid}/fd/0", "continue", "backtrace 2",
                "info registers sctlr_el1", "delete", "stepi", "watch -location *(long *)($sp - 16)",
                "continue", "x/i $pc - 4", "detach")
    print(shown)
    expect_in_order(
        shown, r"\nBreakpoint 1, 0xffff\w+ in __arm64_sys_newuname \(\)",
        r"#1  0xffff\w+ in invoke_syscall \(\)", r"\nHardware watchpoint 2: ", r"\nNew value = ",
        r" <__arm64_sys_newuname\+\d+>:\tstp\tx29, x30, \[sp, #-16\]!", r"detached\]")
    guest.expect("aarch64 GNU/Linux")
    guest.type("poweroff -f\n")
    assert guest.finish() == (0, "")


with tempfile.TemporaryDirectory() as folder:
    {"protocol": test_protocol, "session": test_session, "linux": test_linux}[PART](folder)
