# SPDX-License-Identifier: MIT
"""A fleet against one server: conf/server.conf with one back end at a time, and more and more hosts.

The hosts are tests/bench/fleet.c on the same machine; what is measured is the daemon and what is
behind it.  RRD and whisper files are small and in memory: this is the processor's part.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import bench
from bench import cpu, harness, scale, status

HOSTS = 100, 300, 1000
LISTS = 500  # of each host
INTERVAL = 10
READINGS = 2  # that are measured, after one that is not
MEMORY = "/dev/shm"
WRITERS = "rrdcached", "write_graphite"
PORT = 25826


def server_conf(drop, changes):
    """conf/server.conf without these plugins."""
    text = (bench.TESTS.parent / "conf/server.conf").read_text()
    for plugin in drop:
        text, n = re.subn(rf"^LoadPlugin {plugin}\n(<Plugin {plugin}>\n.*?^</Plugin>\n)?", "", text,
                          flags=re.M | re.S)
        assert n == 1, plugin
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, str(new))
    return text


class Server:
    """The namespace, the daemon, and what is behind it, of one measurement."""

    def __init__(self, s, directory, stack, hosts, level):
        self.s, self.dir, self.stack, self.hosts, self.level = s, directory, stack, hosts, level
        self.changes, self.keep, self.more, self.back = {}, [], "", None

    def run(self, *words, **kw):
        p = subprocess.Popen(self.s.inside(*words), stdin=subprocess.PIPE, text=True,
                             stdout=kw.pop("stdout", subprocess.DEVNULL),
                             stderr=subprocess.DEVNULL, **kw)

        def end():
            p.kill()
            p.communicate()

        self.stack.callback(end)
        return p

    def fleet(self, *words):
        return [self.s.bench.program("fleet"), *words]

    def start(self):
        users, count = self.dir / "users", self.dir / "count"
        users.write_text(harness.command(*self.fleet("users", self.hosts)))
        drop = ["syslog", "netmon_link", "netmon_forward", *set(WRITERS) - set(self.keep)]
        changes = {"/etc/collectd/fleet-users": users}
        if self.level == "none":
            changes['SecurityLevel "Encrypt"'] = 'SecurityLevel "None"'
        conf = server_conf(drop, {**changes, **self.changes})
        body = f'PluginDir "{self.s.bench.build}/bench"\n' + bench.stock("count", f'File "{count}"') \
            + f'\nPluginDir "{harness.STOCK_PLUGINS}"\n{conf}\n{self.more}'
        self.daemon = self.run(*bench.collectd_conf(self.s, "fleet", body, INTERVAL))
        self.wait(lambda: f":{PORT:04X} " in self.proc("udp"), "collectd")
        self.count = open(count, "rb")

    def proc(self, name):
        return self.s.call(pathlib.Path("/proc/thread-self/net", name).read_text)

    def wait(self, look, what, seconds=60):
        harness.until(look, what, seconds)

    def counted(self):
        self.count.seek(0)
        return int.from_bytes(self.count.read(8), "little")

    def udp(self):
        head, row = [line.split()[1:] for line in self.proc("snmp").splitlines()
                     if line.startswith("Udp:")]
        return {k: int(v) for k, v in zip(head, row)}

    def send(self, readings, spread, each=lambda: None):
        """What the hosts say they have sent."""
        p = self.run(*self.fleet("send", "127.0.0.1", self.hosts, LISTS, INTERVAL, readings,
                                 self.level, spread), stdout=subprocess.PIPE)
        while p.poll() is None:
            each()
            time.sleep(0.2)
        return json.loads(p.stdout.read())

    def drain(self, seconds=60):
        """Seconds until nothing more comes."""
        start = last = time.monotonic()
        seen = self.counted()
        while time.monotonic() - last < 1.5 and time.monotonic() - start < seconds:
            time.sleep(0.1)
            if self.counted() > seen + 50:  # the daemon's own values keep coming
                seen, last = self.counted(), time.monotonic()
        return last - start

    def cpu(self):
        return cpu(self.daemon.pid), cpu(self.back.pid) if self.back else 0


def nothing(server):
    pass


def rrdcached(server):
    sock, data = server.dir / "sock", server.dir / "rrd"
    data.mkdir()
    (server.dir / "journal").mkdir()
    server.back = server.run(
        "rrdcached", "-g", "-l", f"unix:{sock}", "-b", data, "-B", "-R", "-p", server.dir / "pid",
        "-j", server.dir / "journal", "-w", 3600, "-z", 3600, "-f", 7200)
    server.wait(sock.exists, "rrdcached")
    server.keep = ["rrdcached"]
    server.changes = {"unix:/run/rrdcached.sock": f"unix:{sock}", "/var/lib/collectd/rrd": data,
                      "RRARows 1826": "RRARows 10"}


def graphite(server):
    server.back = server.run(*server.fleet("count", 2003))
    server.keep = ["write_graphite"]


def carbon(server):
    (server.dir / "storage-schemas.conf").write_text(
        "[netmon]\npattern = .*\nretentions = 10s:10m\n")
    (server.dir / "storage-aggregation.conf").write_text("")
    (server.dir / "carbon.conf").write_text(f"""[cache]
STORAGE_DIR = {server.dir}
LOCAL_DATA_DIR = {server.dir}/whisper
CONF_DIR = {server.dir}
LOG_DIR = {server.dir}
PID_DIR = {server.dir}
USER =
MAX_CACHE_SIZE = inf
MAX_CREATES_PER_MINUTE = inf
MAX_UPDATES_PER_SECOND = inf
LINE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
CACHE_QUERY_INTERFACE = 127.0.0.1
ENABLE_TAGS = False
""")
    server.back = server.run("carbon-cache", f"--config={server.dir}/carbon.conf",
                             f"--pidfile={server.dir}/carbon.pid", "--debug", "start")
    server.wait(lambda: ":07D3 " in server.proc("tcp"), "carbon")
    server.keep = ["write_graphite"]


def kafka(server):
    log = server.dir / "kafka"
    with open(log, "w") as f:
        server.back = server.run("python3", bench.TESTS / "kafka.py", "netmon", stdout=f)
    server.wait(lambda: log.read_text().startswith("broker "), "the broker")
    address = log.read_text().split()[1]
    text = (bench.TESTS.parent / "conf/write-kafka.conf").read_text()
    server.more = text.replace("127.0.0.1:9092", address)


# What is told of it, how it is set up, the security level, and how long the first reading takes.
BACK_ENDS = {
    "nothing, not encrypted": (nothing, "none", 1),
    "nothing": (nothing, "encrypt", 1),
    "rrdcached": (rrdcached, "encrypt", 3),
    "write_graphite, lines counted": (graphite, "encrypt", 1),
    "write_graphite, carbon-cache": (carbon, "encrypt", 3),
    "write_kafka, librdkafka's broker": (kafka, "encrypt", 1),
}


def one(b, set_up, level, hosts, first):
    with scale(b, hosts, lambda s: None) as s, contextlib.ExitStack() as stack:
        directory = pathlib.Path(tempfile.mkdtemp(prefix="nmbench-", dir=MEMORY))
        stack.callback(shutil.rmtree, directory, True)
        server = Server(s, directory, stack, hosts, level)
        set_up(server)
        server.start()
        server.send(1, first * INTERVAL)
        server.drain(300)  # files are made
        rss = 0

        def look():
            nonlocal rss
            rss = max(rss, status(server.daemon.pid, "VmRSS"))

        load, began = os.getloadavg()[0], time.monotonic()
        before, udp, counted = server.cpu(), server.udp(), server.counted()
        sent = server.send(READINGS, INTERVAL, look)
        seconds = time.monotonic() - began
        behind = sent["sent"] - (server.counted() - counted)
        drained = server.drain()
        after, now = server.cpu(), server.udp()
        return {"seconds": seconds, "sent": sent["sent"], "packets": sent["packets"],
                "octets": sent["octets"], "late": sent["late"], "sender_ms": sent["cpu_ms"],
                "arrived": server.counted() - counted, "behind": behind, "drained": drained,
                "daemon_ms": after[0] - before[0], "back_ms": after[1] - before[1],
                "rss_kb": rss, "back_rss_kb": status(server.back.pid, "VmRSS") if server.back else 0,
                "dropped": now["RcvbufErrors"] - udp["RcvbufErrors"], "load": load}


def fleet(b, say):
    results = {}
    for name, (set_up, level, first) in BACK_ENDS.items():
        for hosts in HOSTS:
            try:
                r = one(b, set_up, level, hosts, first)
            except (AssertionError, OSError, ValueError, bench.Problem) as e:
                say(f"{name}, {hosts} hosts: not measured: {e}")
                break
            results.setdefault(name, {})[hosts] = r
            say(f"{name}, {hosts} hosts: {r}")
            if r["behind"] > 0.2 * r["sent"]:
                break  # more hosts would only take longer
    return results


HEAD = ["back end", "hosts", "lists/s", "collectd, % of a core", "us a list", "RSS, MiB",
        "back end, % of a core", "packets dropped", "lists arrived", "behind at the end"]


def rows(results):
    for name, by in results.items():
        for hosts, r in by.items():
            rate = r["sent"] / r["seconds"]
            yield [name, f"{int(hosts):,}", f"{rate:,.0f}",
                   f"{r['daemon_ms'] / 10 / (r['seconds'] + r['drained']):.0f}",
                   f"{1e3 * r['daemon_ms'] / max(1, r['arrived']):.1f}",
                   f"{r['rss_kb'] / 1024:.0f}",
                   f"{r['back_ms'] / 10 / (r['seconds'] + r['drained']):.0f}" if r["back_ms"] else "",
                   f"{r['dropped']:,} of {r['packets']:,}",
                   f"{100 * min(1, r['arrived'] / r['sent']):.1f} %",
                   f"{max(0, r['behind']) / rate:.1f} s"]
