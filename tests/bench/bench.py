# SPDX-License-Identifier: MIT
"""What the benchmark is made of: scales in namespaces, contenders, and how each is measured.

Processor time is user and system time of the contender's own processes, the kernel's work on their
behalf included.  Programs of ours and libraries of Python report it themselves, without their
start; commands are measured from start to end; daemons between two moments, by their own clocks.
"""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))
import harness  # noqa: E402

PEERS = TESTS / "bench/peers.py"
READINGS = 6  # of a daemon: what is sent slowly goes out once in as many


class Problem(Exception):
    """What keeps a contender from taking part; it is said in the results."""


class Bench:
    """The programs of one build."""

    def __init__(self, build):
        self.build = pathlib.Path(build).resolve()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="nmbench-"))
        self.netmon = self.build / "netmon"

    def program(self, name):
        return self.build / "bench" / name

    def plugins(self):
        return sorted(p.stem for p in self.build.glob("netmon_*.so"))

    def has(self, plugin, option=""):
        """Whether a plugin, and an option of it, was built."""
        if not (self.build / f"netmon_{plugin}.so").exists():
            return False
        text = harness.command(self.netmon, "options", plugin)
        return not option or any(line.startswith(option + " ") for line in text.splitlines())

    def knows(self, command):
        done = subprocess.run([self.netmon, command, "--help"], capture_output=True, text=True)
        return done.returncode == 0


class Scale(harness.Namespace):
    """A namespace with so many objects."""

    def __init__(self, bench, n):
        self.bench, self.n, self.traffic = bench, n, None
        Scale.count = getattr(Scale, "count", 0) + 1
        super().__init__(f"nmbench-{os.getpid()}-{Scale.count}")

    def inside(self, *args):
        return ["nsenter", f"--net=/run/netns/{self.name}", *map(str, args)]

    def lines(self, *args):
        """The lines of JSON that one of our programs prints."""
        return [json.loads(line) for line in harness.command(*self.inside(*args)).splitlines()]

    def load(self, kind, devices, first, count, action="add", *more):
        return self.lines(self.bench.program("load"), kind, devices, first, count, action, *more)[0]

    def frames(self, devices, rate):
        """Counters that move, for as long as the scale lives."""
        self.traffic = subprocess.Popen(self.inside(self.bench.program("load"), "frames", devices,
                                                    rate, 86400))

    def links(self, pairs):
        """veth pairs, up.  All of them have a group, for remove()."""
        self.batch([f"link add a{i} group 7 up type veth peer name b{i}" for i in range(pairs)])
        self.batch([f"link set b{i} group 7 up" for i in range(pairs)])
        self.settled()

    def settled(self):
        """The kernel tells carrier by the hundred: new links are not as they will be."""
        harness.until(lambda: not any("state LOWERLAYERDOWN" in line or "NO-CARRIER" in line
                                      for line in self.ip("-o link show").splitlines()),
                      "carrier", timeout=300)

    def ports(self, n):
        """A bridge with so many ports."""
        self.batch(["link add br0 type bridge mcast_snooping 1 mcast_hash_max 131072",
                    *[f"link add p{i} type ifb" for i in range(n)],
                    *[f"link set p{i} master br0 up" for i in range(n)], "link set br0 up"])

    def gateway(self):
        """d0, over which 192.0.2.2 and fe80::2 are reached."""
        self.veth("d0", "d1")
        self.ipv6("d0")
        self.ip("addr add 192.0.2.1/24 dev d0")
        self.ip("addr add fe80::1/64 dev d0 nodad")
        self.settled()

    def remove(self):
        """Links by the thousand are removed while somebody waits: else the kernel does it later,
        and holds up whoever comes next."""
        if self.traffic:
            self.traffic.kill()
            self.traffic.wait()
        subprocess.run(["ip", "-n", self.name, "link", "del", "group", "7"], capture_output=True)
        super().remove()


def sweep():
    """Removes the scales of a run that was killed, and what still runs in them."""
    for path in harness.NETNS_DIR.glob("nmbench-*"):
        if not pathlib.Path("/proc", path.name.split("-")[1]).exists():
            for pid in harness.command("ip", "netns", "pids", path.name).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), 9)
            subprocess.run(["ip", "-n", path.name, "link", "del", "group", "7"],
                           capture_output=True)
            harness.remove_namespace(path.name)


@contextlib.contextmanager
def scale(bench, n, make):
    s = Scale(bench, n)
    try:
        make(s)
        yield s
    finally:
        s.remove()


# ---- contenders ---------------------------------------------------------------------------------


@dataclasses.dataclass
class Contender:
    """One who learns something of the kernel, and what it should have found."""

    name: str
    run: object  # (scale) -> {"cpu_ms": ..., "rss_kb": ...}, or a Daemon
    most: float = math.inf  # the largest scale at which it takes part
    rounds: int = 99  # at most: for those that take seconds
    beside: str = "floor"  # who it is compared with, besides the floor
    check: object = None  # (scale) -> what is wrong, or nothing; called once
    needs: object = None  # (bench) -> whether it can take part


def floor(question, times=5):
    return lambda s: s.lines(s.bench.program("floor"), question, times)[0]


def peer(what, times=1):
    return lambda s: s.lines("/usr/bin/python3", PEERS, what, times)[0]


def once(words):
    """A command from its start to its end; NETMON and NS stand for ours and the namespace."""
    def run(s):
        return s.lines(s.bench.program("measure"), *words_of(s, words))[0]
    return run


def words_of(s, words):
    return [str(s.bench.netmon) if w == "NETMON" else w for w in shlex.split(words)]


def reader(mode, plugin, times=5, show=(), options=()):
    def run(s):
        extra = [w for o in options for w in ("--option", o)]
        extra += [w for p in show for w in ("--show", p)]
        lines = s.lines(s.bench.program("reader"), "--times", times, *extra, mode, plugin)
        return {**lines[-1], "shown": {v["value"]: v["is"][0] for v in lines[:-1]}}
    return run


def values(plugin, pattern, expected=lambda n: n, sum_up=True):
    """A check: the values of a reading, or how many there are."""
    def check(s):
        shown = reader("first", plugin, 1, [pattern])(s)["shown"]
        got = sum(shown.values()) if sum_up else len(shown)
        return None if got == expected(s.n) else f"{pattern}: {got} and not {expected(s.n)}"
    return check


def entries(words, text, expected=lambda n: n):
    """A check: how often a text stands in a command's output, and that it is JSON."""
    def check(s):
        done = subprocess.run(s.inside(*words_of(s, words)), capture_output=True)
        got = done.stdout.count(text.encode())
        if s.n <= 100000:
            json.loads(done.stdout)
        return None if got == expected(s.n) else f"{text}: {got} times and not {expected(s.n)}"
    return check


class Daemon:
    """A program that reads every so often by itself, or when it is asked over HTTP."""

    settle = 0.4  # s without work after which its start is over

    def __init__(self, argv, port=None, seconds=READINGS, readings=READINGS, start=None):
        self.argv, self.port, self.seconds, self.readings = argv, port, seconds, readings
        self.start_seconds = start

    def __call__(self, s):
        with self.started(s) as pid:
            if self.port:
                return self.scraped(s, pid)
            before = cpu(pid)
            time.sleep(self.seconds)
            return {"cpu_ms": (cpu(pid) - before) / self.readings, "rss_kb": peak(pid)}

    def scraped(self, s, pid):
        def get():
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=120) as r:
                return len(r.read())

        s.call(get)
        before = cpu(pid)
        size = s.call(get)
        return {"cpu_ms": cpu(pid) - before, "rss_kb": peak(pid), "bytes": size}

    @contextlib.contextmanager
    def started(self, s):
        argv = self.argv(s) if callable(self.argv) else self.argv
        p = subprocess.Popen(["ip", "netns", "exec", s.name, *map(str, argv)], text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE)
        try:
            self.wait(s, p)
            yield p.pid
        finally:
            p.kill()
            p.communicate()

    def wait(self, s, p):
        """Until its start is over, which is when it rests."""
        deadline, rested, last = time.monotonic() + 15, 0, -1
        time.sleep(self.start_seconds or 1)
        while rested < self.settle and time.monotonic() < deadline:
            if p.poll() is not None:
                raise Problem(f"ended: {p.stderr.read()[-300:]}")
            now = cpu(p.pid)
            rested = rested + 0.05 if now - last < 1 else 0
            last = now
            time.sleep(0.05)


def cpu(pid):
    """Milliseconds of all threads of a process, those that ended included."""
    try:
        return 1e3 * time.clock_gettime(~pid << 3 | 2)  # as clock_getcpuclockid() makes it
    except OSError as e:
        raise Problem("it has ended") from e


def status(pid, key):
    for line in pathlib.Path("/proc", str(pid), "status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    return 0


def peak(pid):
    return status(pid, "VmHWM")


def collectd_conf(s, name, body, interval=1):
    conf = s.bench.dir / f"{name}.conf"
    conf.write_text(f'Hostname "bench"\nFQDNLookup false\nBaseDir "{s.bench.dir}"\n'
                    f'PIDFile "{s.bench.dir}/{name}.pid"\nInterval {interval}\n'
                    f'PluginDir "{harness.STOCK_PLUGINS}"\nLoadPlugin logfile\n'
                    f'<Plugin logfile>\n LogLevel err\n File "{s.bench.dir}/{name}.log"\n'
                    f'</Plugin>\n{body}\n')
    return ["collectd", "-f", "-C", conf]


def stock(plugin, block=""):
    return f"LoadPlugin {plugin}\n<Plugin {plugin}>\n{block}\n</Plugin>"


def ours(s, plugin, block=""):
    return f'PluginDir "{s.bench.build}"\n{stock(plugin, block)}\n' \
           f'PluginDir "{harness.STOCK_PLUGINS}"'


def collectd(plugin, block=""):
    """The whole daemon with one plugin, with the defaults of both and no writer."""
    def argv(s):
        body = ours(s, plugin, block) if plugin.startswith("netmon_") else stock(plugin, block)
        return collectd_conf(s, plugin, body)
    return Daemon(argv)


def node_exporter(*flags):
    return Daemon(["prometheus-node-exporter", "--collector.disable-defaults", *flags,
                   "--web.listen-address=127.0.0.1:19100"], port=19100, start=0.5)


def netdata(s):
    """Its collector of /proc alone, and of that the interfaces; nothing is kept on disk."""
    d = s.bench.dir / "netdata"
    for sub in ("cache", "lib", "log"):
        (d / sub).mkdir(parents=True, exist_ok=True)
    only = "\n".join(f"  {p} = no" for p in (
        "cgroups", "tc", "idlejitter", "diskspace", "slabinfo", "timex", "checks", "apps", "statsd",
        "charts.d", "node.d", "python.d", "go.d", "fping", "perf", "nfacct", "xenstat", "ioping",
        "freeipmi", "ebpf", "cups", "enable running new plugins", "netdata monitoring"))
    files = ("stat", "uptime", "loadavg", "sys/kernel/random/entropy_avail", "pressure",
             "interrupts", "softirqs", "vmstat", "meminfo", "sys/kernel/mm/ksm", "sys/block/zram",
             "sys/devices/system/edac/mc", "sys/devices/system/node", "net/wireless",
             "net/sockstat", "net/sockstat6", "net/netstat", "net/snmp", "net/snmp6",
             "net/sctp/snmp",
             "net/softnet_stat", "net/ip_vs/stats", "sys/class/infiniband", "diskstats", "mdstat",
             "net/rpc/nfsd", "net/rpc/nfs", "spl/kstat/zfs/arcstats", "spl/kstat/zfs/pool/state",
             "sys/fs/btrfs", "ipc", "sys/class/power_supply", "net/stat/conntrack",
             "net/stat/synproxy")
    conf = d / "netdata.conf"
    conf.write_text(f"[global]\n  run as user = root\n[directories]\n  cache = {d}/cache\n"
                    f"  lib = {d}/lib\n  log = {d}/log\n[db]\n  mode = ram\n  retention = 60\n"
                    "[logs]\n  debug = none\n  error = none\n  access = none\n"
                    "[web]\n  mode = none\n[health]\n  enabled = no\n[ml]\n  enabled = no\n"
                    "[plugins]\n  proc = yes\n" + only + "\n[plugin:proc]\n  /proc/net/dev = yes\n"
                    + "\n".join(f"  /proc/{f} = no\n  /{f} = no" for f in files) + "\n")
    return ["netdata", "-D", "-c", conf]


# ---- running ------------------------------------------------------------------------------------


def measure(bench, case, rounds, say):
    """{scale: {contender: {"cpu_ms": [...], ...}}}: the contenders take turns."""
    results = {}
    for n in case.scales:
        say(f"{case.name}: {n:,} {case.what}")
        results[n] = {}
        with scale(bench, n, case.make) as s:
            todo = [c for c in case.contenders if not c.needs or c.needs(bench)]
            for c in todo:
                left_out = f"left out above {c.most:,}" if n > c.most else None
                results[n][c.name] = {"cpu_ms": [], "rss_kb": 0, "beside": c.beside,
                                      "said": left_out}
                if c.check and not left_out:
                    results[n][c.name]["wrong"] = c.check(s)
            for i in range(rounds):
                for c in todo:
                    if not results[n][c.name]["said"] and i < c.rounds:
                        sample(s, c, results[n][c.name])
    return results


def sample(s, contender, result):
    try:
        got = contender.run(s)
    except (Problem, AssertionError, OSError) as e:
        result["said"] = str(e)[:300]
        return
    if got.get("status"):
        result["said"] = f"exit {got['status']}"
    result["cpu_ms"].append(got["cpu_ms"])
    result["rss_kb"] = max(result["rss_kb"], got.get("rss_kb", 0))
    result.update({k: got[k] for k in ("heap_kb", "values", "wall_ms", "messages") if k in got})


def median(result):
    return statistics.median(result["cpu_ms"]) if result and result["cpu_ms"] else None


def exponent(small, large, ratio):
    return math.log(large / small) / math.log(ratio) if small and large else None
