# SPDX-License-Identifier: MIT
"""What the tests are made of: namespaces, devices in them, and a real collectd that tells all.

A test is a function `test_...(t)`; t, a Case, hands out namespaces and daemons and ends them all.
Nothing here waits for a fixed time: daemons are followed line by line, and every wait ends with
the line that was waited for, or says what it saw instead.
"""

import contextlib
import ctypes
import dataclasses
import fcntl
import json
import os
import pathlib
import pwd
import re
import select
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
STOCK_PLUGINS = "/usr/lib/collectd"
NETNS_DIR = pathlib.Path("/run/netns")
IN_VM = os.environ.get("NETMON_VM") == "1"
PATIENCE = 5 if IN_VM else 1  # times as long as a real processor takes
INTERVAL = 0.5
ETH_P_TEST = 0x88B5  # reserved for experiments: no protocol in the kernel takes it
BROADCAST = "ff:ff:ff:ff:ff:ff"


class Skip(Exception):
    """Raised by a test that cannot be run on this machine, with the reason."""


def time_limit(seconds):
    """A test that needs more than the usual minute."""

    def mark(test):
        test.time_limit = seconds
        return test

    return mark


def plain_build_only(test):
    """A test that would find the same in every build, and is slow or looks at files only."""
    test.plain_build_only = True
    return test


def alone(test):
    """A test that measures time, or would leave the others none."""
    test.alone = True
    return test


def vm(test):
    """A test that needs what only the kernel of tests/vm has for sure: run there, whatever runs here."""
    test.vm = True
    return test


def command(*args, input=None, ok=(0,), **kw):
    """Runs a program and returns its output; its words are the failure when it fails."""
    args = [a if isinstance(a, bytes) else str(a) for a in args]
    done = subprocess.run(args, input=input, text=True, errors="surrogateescape",
                          capture_output=True, **kw)
    if ok is not None and done.returncode not in ok:
        raise AssertionError(f"{args}: exit {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


def until(look, what, timeout=10):
    """Waits for a state that nobody announces, such as a file of the kernel's that changes."""
    deadline = time.monotonic() + timeout * PATIENCE
    pause = threading.Event()
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s in vain for {what}")
        pause.wait(0.01)
    return found


def same(got, expected, what):
    """got == expected; two dictionaries are compared key by key to say where they differ."""
    if got == expected:
        return
    if isinstance(got, dict) and isinstance(expected, dict):
        keys = [k for k in {**expected, **got} if got.get(k) != expected.get(k)]
        got = {k: got.get(k) for k in keys}
        expected = {k: expected.get(k) for k in keys}
    raise AssertionError(f"{what}: got {got}, expected {expected}")


# ---- network namespaces -------------------------------------------------------------------------

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


class Namespace:
    """A network namespace below /run/netns.

    IPv6 is off until a test wants it: its own packets (router solicitations, DAD, MLD) would
    count where a test compares counters.
    """

    def __init__(self, name):
        self.name = name
        command("ip", "netns", "add", name)
        self.sysctl("ipv6/conf/default/disable_ipv6", 1)
        self.ip("link set lo up")

    def remove(self):
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)

    def ip(self, words):
        """Runs one command of iproute2's ip, written as one would type it."""
        return command("ip", "-n", self.name, *shlex.split(words))

    def batch(self, lines):
        command("ip", "-n", self.name, "-batch", "-", input="\n".join(lines) + "\n")

    def run(self, *args, **kw):
        return command("ip", "netns", "exec", self.name, *args, **kw)

    def call(self, function, *args):
        """Calls a function in the namespace; sockets that it opens stay there."""
        result = []

        def inside():
            try:
                with open(NETNS_DIR / self.name) as f:
                    if _libc.setns(f.fileno(), CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), f"setns {self.name}")
                result.append(function(*args))
            except BaseException as e:
                result.append(e)

        thread = threading.Thread(target=inside)  # setns() moves one thread, which then ends
        thread.start()
        thread.join()
        if isinstance(result[0], BaseException):
            raise result[0]
        return result[0]

    def sysctl(self, path, value):
        self.call(pathlib.Path("/proc/sys/net", path).write_text, f"{value}\n")

    def ipv6(self, *devices):
        """Turns IPv6 on, without the addresses and packets that the kernel makes up itself."""
        for dev in devices:
            self.ip(f"link set {dev} addrgenmode none")
            self.sysctl(f"ipv6/conf/{dev}/router_solicitations", 0)
            self.sysctl(f"ipv6/conf/{dev}/router_solicitation_delay", 0)  # DAD's delay too
            self.sysctl(f"ipv6/conf/{dev}/disable_ipv6", 0)

    # -- devices --

    def veth(self, a, b, peer=None):
        """A pair of interfaces, both up; b in another namespace if peer says so."""
        where = f"netns {peer.name}" if peer else ""
        self.ip(f"link add {a} type veth peer name {b} {where}")
        self.ip(f"link set {a} up")
        (peer or self).ip(f"link set {b} up")

    def frames(self, dev, count, size, to=BROADCAST, source="02:00:00:00:00:01", proto=ETH_P_TEST,
               payload=b""):
        """Sends so many frames of so many bytes, Ethernet header included, out of an interface."""
        frame = mac(to) + mac(source) + struct.pack("!H", proto) + payload
        frame = frame.ljust(size, b"\0")
        with self.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0) as s:
            s.bind((dev, 0))
            for _ in range(count):
                with contextlib.suppress(OSError):  # ENOBUFS: dropped, which a test may want
                    s.send(frame)

    # -- witnesses --

    def json_links(self):
        """What `ip` says of every interface, by name."""
        links = json.loads(self.ip("-j -s -s -d link show"))
        return {link["ifname"]: link for link in links if "ifname" in link}

    def link(self, dev):
        return self.json_links()[dev]

    def settled(self, *devices):
        """Waits until the kernel has told the carrier of these: a queue does that later."""
        until(lambda: not {"UNKNOWN"} & {self.link(d)["operstate"] for d in devices},
              f"the operstate of {devices}")

    def sysfs(self, *paths):
        """Files below /sys/class/net; None for one that cannot be read."""
        out = self.run("sh", "-c", 'for f; do cat "/sys/class/net/$f" 2>/dev/null || echo; done',
                       "sh", *paths)
        return [line or None for line in out.splitlines()]

    def proc_net_dev(self):
        """/proc/net/dev: interface -> its 16 numbers."""
        text = self.call(pathlib.Path("/proc/thread-self/net/dev").read_text)
        rows = (line.split(":") for line in text.splitlines()[2:])
        return {name.strip(): [int(n) for n in numbers.split()] for name, numbers in rows}


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


class Tap:
    """A TAP device held open: it has carrier, and its operstate stays UNKNOWN."""

    TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000

    def __init__(self, ns, name):
        self.fd = ns.call(self._open, name)
        ns.ip(f"link set {name} up")

    def _open(self, name):
        try:
            fd = os.open("/dev/net/tun", os.O_RDWR)
        except OSError as e:
            raise Skip(f"/dev/net/tun: {e.strerror}") from e
        request = struct.pack("16sH22x", name.encode(), self.IFF_TAP | self.IFF_NO_PI)
        fcntl.ioctl(fd, self.TUNSETIFF, request)
        return fd

    def write(self, data):
        os.write(self.fd, data)

    def close(self):
        os.close(self.fd)


def xdp_attach(ns, dev):
    """Attaches an XDP program that passes everything; needs neither a compiler nor libbpf."""
    number = {"x86_64": 321, "aarch64": 280, "riscv64": 280}.get(os.uname().machine)
    if number is None:
        raise Skip(f"the number of bpf() on {os.uname().machine} is not known here")
    BPF_PROG_LOAD, BPF_PROG_TYPE_XDP, XDP_PASS = 5, 6, 2
    mov64_r0, leave = 0xB7, 0x95
    program = ctypes.create_string_buffer(struct.pack("=BBhi", mov64_r0, 0, 0, XDP_PASS)
                                          + struct.pack("=BBhi", leave, 0, 0, 0))
    license = ctypes.create_string_buffer(b"MIT")
    attr = ctypes.create_string_buffer(struct.pack(
        "=IIQQ", BPF_PROG_TYPE_XDP, 2, ctypes.addressof(program), ctypes.addressof(license)), 120)
    fd = _libc.syscall(number, BPF_PROG_LOAD, attr, 120)
    if fd < 0:
        raise Skip(f"bpf(): {os.strerror(ctypes.get_errno())}")

    RTM_SETLINK, NLM_F_REQUEST_ACK, IFLA_XDP, NLA_F_NESTED = 19, 5, 43, 0x8000
    IFLA_XDP_FD, IFLA_XDP_FLAGS, XDP_FLAGS_SKB_MODE = 1, 3, 2
    nest = struct.pack("=HHiHHI", 8, IFLA_XDP_FD, fd, 8, IFLA_XDP_FLAGS, XDP_FLAGS_SKB_MODE)
    ifindex = ns.link(dev)["ifindex"]
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, ifindex, 0, 0)
    body += struct.pack("=HH", 4 + len(nest), IFLA_XDP | NLA_F_NESTED) + nest
    head = struct.pack("=IHHII", 16 + len(body), RTM_SETLINK, NLM_F_REQUEST_ACK, 1, 0)
    try:
        with ns.call(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as s:
            s.send(head + body)
            error, = struct.unpack_from("=i", s.recv(4096), 16)
    finally:
        os.close(fd)
    if error:
        raise AssertionError(f"attaching XDP to {dev}: {os.strerror(-error)}")


# ---- builds and sanitizers ----------------------------------------------------------------------


class Build:
    """A build directory, and what its sanitizers need to work in a daemon that has none."""

    def __init__(self, directory):
        self.dir = pathlib.Path(directory).resolve()
        mark = self.dir / "sanitizer"
        self.sanitizer = mark.read_text().strip() if mark.exists() else ""
        self.netmon = self.dir / "netmon"

    def prefix(self):
        """Words before a command that loads our plugins without being built like them."""
        libraries = {"address": ["libasan.so", "libubsan.so"], "thread": ["libtsan.so"],
                     "undefined": ["libubsan.so"]}
        wanted = libraries.get(self.sanitizer.split(",")[0], [])
        if not wanted:
            return []
        paths = [command("gcc", f"-print-file-name={name}").strip() for name in wanted]
        return ["env", "LD_PRELOAD=" + ":".join(paths)]

    def outer_prefix(self):
        """TSan maps its shadow where address space randomisation may already have put something."""
        return ["setarch", "-R"] if "thread" in self.sanitizer else []

    def environment(self, directory):
        common = f"log_path={directory}/sanitizer-report:halt_on_error=0"
        return {
            **os.environ,
            "LC_ALL": "C",
            "ASAN_OPTIONS": f"{common}:detect_leaks=1:exitcode=99",
            "UBSAN_OPTIONS": f"{common}:print_stacktrace=1",
            "TSAN_OPTIONS": f"{common}:exitcode=99",
        }

    def reports(self, directory):
        """What the sanitizers found; the first line says most."""
        files = sorted(pathlib.Path(directory).glob("sanitizer-report.*"))
        lines = [line for path in files for line in path.read_text(errors="replace").splitlines()
                 if line.strip("= ")]
        return "\n".join(lines[:60])


# ---- the daemon ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Value:
    """One value list as the sink saw it."""

    plugin: str
    instance: str
    type: str
    type_instance: str
    time: float
    interval: float
    values: dict
    meta: dict
    arrived: float
    host: str

    @property
    def id(self):
        return identifier(self.instance, self.type, self.type_instance)

    @property
    def plain(self):
        """The number of a value list that has one, else the numbers by name."""
        return next(iter(self.values.values())) if len(self.values) == 1 else self.values


@dataclasses.dataclass(frozen=True)
class Notification:
    plugin: str
    instance: str
    type: str
    kind: str
    severity: str
    message: str
    meta: dict
    time: float
    arrived: float
    host: str


def identifier(instance, type, type_instance=""):
    """The way collectd writes it: eth0/gauge-mtu."""
    return f"{instance}/{type}" + (f"-{type_instance}" if type_instance else "")


# What collectd says when it is ended while it writes.
HARMLESS = ["value lists? (was|were) left after shutting down the write threads",
            "above its read interval", "Not sleeping because the next interval"]  # a loaded machine


class Daemon:
    """A collectd in the foreground with the plugin under test, the sink and its log.

    Every warning and error that the daemon logs is a failure, unless a test says that it
    expects one that matches.
    """

    def __init__(self, case, block="", ns=None, plugin="netmon_link", interval=INTERVAL, user=None,
                 load_interval=None, more="", before="", expect_log=(), under=()):
        self.plugin = plugin
        self.interval = interval
        self.expect_log = [*HARMLESS, *expect_log]
        self.log_lines = []
        self.series = {}  # (plugin, id) -> its values, oldest first
        self.groups = {}  # (plugin, time) -> id -> value
        self.notifications = []
        self.doubles = []  # identifiers sent twice in one reading
        self.ended = False  # the log was read to its end
        self.over = False  # a test has ended the daemon, or seen it end
        self._news = threading.Condition()
        self._build = case.build
        self.dir = case.directory("collectd")
        fifo = self.dir / "sink"
        os.mkfifo(fifo)
        plugins = case.build.dir
        become = []
        if user:  # who may not be able to read the directory that we were built in
            plugins = self.dir / "plugins"
            shutil.copytree(case.build.dir / "tests", plugins / "tests",
                            ignore=lambda _, names: set(names) - {"sink.so"})
            shutil.copy(case.build.dir / f"{plugin}.so", plugins)
            who = pwd.getpwnam(user)
            become = ["--reuid", who.pw_uid, "--regid", who.pw_gid, "--clear-groups"]
            for path in (case.dir, self.dir, fifo):
                os.chown(path, who.pw_uid, who.pw_gid)

        (self.dir / "collectd.conf").write_text(
            self._config(plugins, block, load_interval, more, before))

        argv = ["ip", "netns", "exec", ns.name] if ns else []
        argv += ["setpriv", *become, "--pdeathsig", "KILL"]
        argv += case.build.outer_prefix() + case.build.prefix()
        argv += [*under, "collectd", "-f", "-C", str(self.dir / "collectd.conf")]
        sink = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        self.process = subprocess.Popen([str(a) for a in argv], cwd=self.dir,
                                        env=case.build.environment(self.dir),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        log = self.process.stdout.fileno()
        self._follower = threading.Thread(target=self._follow, args=(sink, log), daemon=True)
        self._follower.start()

    def _config(self, plugins, block, load_interval, more, before):
        ours = self.plugin.startswith("netmon_")
        load = f"<LoadPlugin {self.plugin}>\n  Interval {load_interval}\n</LoadPlugin>" \
            if load_interval else f"LoadPlugin {self.plugin}"
        return f"""
Hostname "testhost"
FQDNLookup false
BaseDir "{self.dir}"
PIDFile "{self.dir}/pid"
Interval {self.interval}
# One thread keeps the order in which value lists were dispatched.
WriteThreads 1

PluginDir "{STOCK_PLUGINS}"
LoadPlugin logfile
<Plugin logfile>
  LogLevel info
  File "stdout"
  Timestamp true
  PrintSeverity true
</Plugin>

PluginDir "{plugins}/tests"
LoadPlugin sink
<Plugin sink>
  File "{self.dir}/sink"
</Plugin>

PluginDir "{STOCK_PLUGINS}"
{before}
PluginDir "{plugins if ours else STOCK_PLUGINS}"
{load}
<Plugin {self.plugin}>
{block}
</Plugin>

PluginDir "{STOCK_PLUGINS}"
{more}
"""

    # -- following --

    def _follow(self, sink, log):
        """A thread of its own, so that a daemon never waits for its test."""
        rest = {sink: b"", log: b""}
        poll = select.poll()
        poll.register(log, select.POLLIN)
        poll.register(sink, select.POLLIN)
        while log in rest:  # the log ends with the process; before, the sink may not be open yet
            for fd, events in poll.poll():
                try:
                    data = os.read(fd, 1 << 20)
                except BlockingIOError:  # a writer came between the two
                    continue
                *lines, rest[fd] = (rest[fd] + data).split(b"\n")
                self._take(lines, is_log=fd == log)
                if not data:
                    poll.unregister(fd)
                    del rest[fd]
        with contextlib.suppress(BlockingIOError):
            self._take((rest.get(sink, b"") + os.read(sink, 1 << 20)).split(b"\n")[:-1], False)
        os.close(sink)
        with self._news:
            self.ended = True
            self._news.notify_all()

    def _take(self, lines, is_log):
        with self._news:
            for line in lines:
                text = line.decode(errors="surrogateescape")
                if is_log:
                    self.log_lines.append(text)
                else:
                    self._record(json.loads(text))
            self._news.notify_all()

    def _record(self, r):
        kind = r.pop("record")
        instance = r.pop("plugin_instance")
        if kind == "notification":
            self.notifications.append(
                Notification(instance=instance, kind=r.pop("type_instance"), **r))
            return
        value = Value(instance=instance, **r)
        self.series.setdefault((value.plugin, value.id), []).append(value)
        group = self.groups.setdefault((value.plugin, value.time), {})
        if value.id in group:
            self.doubles.append(value)
        group[value.id] = value

    def _wait(self, look, complaint, timeout):
        timeout *= PATIENCE
        deadline = time.monotonic() + timeout
        with self._news:
            while (found := look()) is None:
                left = deadline - time.monotonic()
                if self.ended or left <= 0:
                    why = "the daemon ended" if self.ended else f"waited {timeout:g} s"
                    raise AssertionError(f"{why}: {complaint()}")
                self._news.wait(left)
            return found

    # -- values --

    @staticmethod
    def now():
        """The clock that readings carry."""
        return time.time()

    def values(self, id, plugin=None):
        """All values that were sent under an identifier, oldest first."""
        with self._news:
            return list(self.series.get((plugin or self.plugin, id), []))

    def latest(self, id, plugin=None):
        values = self.values(id, plugin)
        return values[-1] if values else None

    def ids(self, pattern="", plugin=None):
        """All identifiers seen so far in which a regular expression is found."""
        with self._news:
            return {i for p, i in self.series if p == (plugin or self.plugin)
                    and re.search(pattern, i)}

    def instances(self, plugin=None):
        return {i.partition("/")[0] for i in self.ids(plugin=plugin)} - {"self"}

    def wait_value(self, id, wanted=None, since=0, timeout=10, plugin=None):
        """Waits until the newest value under an identifier is the wanted one.

        wanted: a number, numbers by name, a predicate of either, or None for any.
        since: only a reading that was made later counts.
        """
        key = (plugin or self.plugin, id)
        matches = wanted if callable(wanted) else lambda v: wanted is None or v == wanted

        def look():
            series = self.series.get(key)
            if series and series[-1].time > since and matches(series[-1].plain):
                return series[-1]
            return None

        def complaint():
            series = self.series.get(key, [])
            seen = [v.plain for v in series[-5:]] if series else "never sent"
            what = f" = {wanted}" if wanted is not None and not callable(wanted) else ""
            return f"no value {id}{what}; last seen: {seen}"

        return self._wait(look, complaint, timeout)

    def reading(self, since=0, timeout=10, plugin=None, has=None):
        """The first whole reading made after a moment: id -> value.

        A reading is known to be whole when the next one begins.  has: the reading of the view
        that has this identifier, where several namespaces are read.
        """
        name = plugin or self.plugin

        def look():
            times = [t for (p, t), group in self.groups.items()
                     if p == name and t > since and (not has or has in group)]
            return dict(self.groups[name, times[0]]) if len(times) > 1 else None

        return self._wait(look, lambda: f"no two readings of {name} {has or ''}", timeout)

    def readings(self, plugin=None):
        """All readings so far but the last, which may be incomplete."""
        with self._news:
            groups = [dict(g) for (p, _), g in self.groups.items() if p == (plugin or self.plugin)]
        return groups[:-1]

    def ready(self, instance="lo", type="if_octets"):
        """Waits for the first reading: from now on a change is news."""
        self.wait_value(f"{instance}/{type}", timeout=20)
        return self

    # -- notifications --

    def _matching(self, kind, instance, wanted, since):
        for n in self.notifications:
            if n.kind == kind and instance in (None, n.instance) and n.time > since \
               and all(n.meta.get(k) == v for k, v in wanted.items()):
                return n
        return None

    def wait_notification(self, kind, instance=None, since=0, timeout=10, **meta):
        """Waits for a notification of a kind with the given meta data."""
        return self._wait(
            lambda: self._matching(kind, instance, meta, since),
            lambda: f"no notification {kind} {instance or ''} {meta}; seen: "
                    + str([(n.kind, n.instance, n.meta) for n in self.notifications
                           if n.time > since][-8:]), timeout)

    def notices(self, since=0):
        with self._news:
            return [n for n in self.notifications if n.time > since]

    # -- log and end --

    def log(self):
        with self._news:
            return list(self.log_lines)

    def wait_log(self, pattern, timeout=10):
        """Waits for a line of the log in which a regular expression is found."""
        return self._wait(
            lambda: next((line for line in self.log_lines if re.search(pattern, line)), None),
            lambda: f"no line /{pattern}/ in the log", timeout)

    def last_words(self, count):
        """The end of its log, and what a sanitizer said when it ended the daemon."""
        return self.log()[-count:] + self._build.reports(self.dir).splitlines()

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """SIGTERM: the daemon must end soon, with status 0 and without a complaint."""
        if self.process.poll() is not None:
            raise AssertionError(f"collectd ended by itself, status {self.process.returncode}")
        self.process.terminate()
        status = self._ended(10)
        self.check()
        if status != 0:
            raise AssertionError(f"collectd ended with status {status}")

    def refused(self):
        """The daemon must not have started; returns its log."""
        self._wait(lambda: any("Initialization complete" in line for line in self.log_lines)
                   or self.ended or None, lambda: "neither started nor refused", 10)
        if not self.ended:
            self.kill()
            raise AssertionError("the daemon runs, and should have refused to start")
        status = self._ended(10)
        if status <= 0 or status == 99:
            raise AssertionError(f"collectd ended with status {status}, expected 1")
        self._reports()
        return "\n".join(self.log())

    def _ended(self, timeout):
        timeout *= PATIENCE
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"collectd still runs after {timeout} s") from None
        self._follower.join(timeout)
        self.over = True
        return self.process.returncode

    def check(self):
        self._reports()
        bad = [line for line in self.log() if re.search(r"\[(warning|error)\]", line)
               and not any(re.search(p, line) for p in self.expect_log)]
        if bad:
            raise AssertionError("the daemon complains: " + "\n".join(bad[:10]))
        if self.doubles:
            raise AssertionError(f"sent twice in one reading: {self.doubles[0]}")

    def _reports(self):
        if reports := self._build.reports(self.dir):
            raise AssertionError("sanitizer: " + reports)

    def kill(self):
        self.over = True
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
        self._follower.join(10)


# ---- a test's surroundings ----------------------------------------------------------------------


class Case:
    """What one run of a test owns; close() ends all of it, whatever happened."""

    _count = 0

    def __init__(self, build, directory):
        self.build = build
        self.dir = pathlib.Path(directory)
        self.daemons = []
        self.notes = []  # what a test measured, shown by -v
        self._stack = contextlib.ExitStack()
        self._names = 0

    def note(self, text):
        self.notes.append(text)

    def directory(self, name):
        self._names += 1
        path = self.dir / f"{name}{self._names}"
        path.mkdir()
        return path

    def namespace(self):
        ns = Namespace(self.namespace_name())
        self._stack.callback(ns.remove)
        return ns

    def namespace_name(self):
        """A name that no namespace has had; whoever uses it, it is gone after the test."""
        Case._count += 1
        name = f"nmtest-{os.getpid()}-{Case._count}"
        self._stack.callback(remove_namespace, name)
        return name

    def cleanup(self, function, *args):
        self._stack.callback(function, *args)

    def tap(self, ns, name):
        tap = Tap(ns, name)
        self._stack.callback(tap.close)
        return tap

    def collectd(self, block="", ns=None, **kw):
        """Starts a daemon with these lines in the <Plugin> block of the plugin under test."""
        daemon = Daemon(self, block, ns, **kw)
        self._stack.callback(daemon.kill)
        self.daemons.append(daemon)
        return daemon

    def netmon(self, *args, ns=None, ok=(0,), before=(), **kw):
        """Runs the command, perhaps behind another; returns its finished process.

        A sanitizer's report is a failure.
        """
        where = self.directory("netmon")
        argv = ["ip", "netns", "exec", ns.name] if ns else []
        argv += [*before] + self.build.outer_prefix() + [self.build.netmon, *args]
        done = subprocess.run([str(a) for a in argv], text=True, errors="surrogateescape",
                              capture_output=True, env=self.build.environment(where),
                              timeout=30 * PATIENCE, **kw)
        if reports := self.build.reports(where):
            raise AssertionError("sanitizer: " + reports)
        if ok is not None and done.returncode not in ok:
            raise AssertionError(f"netmon {shlex.join(map(str, args))}: exit {done.returncode}: "
                                 f"{done.stderr}")
        return done

    def finish(self):
        """At the end of a test that went well: its daemons must end well too."""
        for daemon in self.daemons:
            if not daemon.over:
                daemon.stop()

    def close(self):
        self._stack.close()


def remove_namespace(name):
    if (NETNS_DIR / name).exists():
        subprocess.run(["ip", "netns", "del", name], capture_output=True)
    with contextlib.suppress(FileNotFoundError):
        (NETNS_DIR / name).unlink()


def sweep():
    """Removes what a runner left behind that was killed and could not clean up."""
    left = [*NETNS_DIR.glob("nmtest-*"), *pathlib.Path(tempfile.gettempdir()).glob("nmtest-*")]
    for path in left:
        match = re.fullmatch(r"nmtest-(\d+)-.*", path.name)
        if not match or pathlib.Path("/proc", match[1]).exists():
            continue
        if path.parent == NETNS_DIR:
            remove_namespace(path.name)
        else:
            shutil.rmtree(path, ignore_errors=True)
