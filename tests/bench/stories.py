# SPDX-License-Identifier: MIT
"""What is not the cost of one reading: storms of changes, losses, latency, a machine at rest.

A story is a function of (bench, say) that returns what it measured, by name.
"""

import contextlib
import json
import os
import random
import statistics
import subprocess
import threading
import time

import cases
from bench import Daemon, collectd_conf, cpu, floor, ours, scale, status, stock

CHURN = 1  # objects that come and go
BEFORE = 2**32 - CHURN  # their first number: before all others


class Follower:
    """A plugin's view that takes events as they come, with no host behind it."""

    def __init__(self, s, plugin, pattern, interval=0.25, options=()):
        options = [*options, f"SlowInterval {interval}"]  # every value in every reading
        extra = [w for o in options for w in ("--option", o)]
        self.p = subprocess.Popen(
            s.inside(s.bench.program("reader"), *extra, "--interval", interval, "--show", pattern,
                     "--show", "*/gauge-hash", "follow", plugin),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.readings, self.hash, self.last = {}, {}, {}
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()
        if not self.ready.wait(120):
            raise AssertionError(f"{plugin} does not get ready")

    def follow(self):
        for line in self.p.stdout:
            line = json.loads(line)
            if "value" in line and "hash" in line["value"]:
                self.hash[line["value"]] = line["is"][0]
            elif "value" in line:
                n = line["reading"]
                self.readings[n] = self.readings.get(n, 0) + line["is"][0]
            elif "cpu_ms" in line:
                self.last = line
            self.ready.set()

    def counts(self):
        """What each reading counted, but for the one that may not have come whole."""
        return [n for _, n in sorted(self.readings.items())]

    def end(self):
        self.p.stdin.close()
        self.thread.join(120)
        self.p.wait()
        return self.last


STORMS = {  # kind: how the scale is made, the plugin, its count, devices of what changes, floor
    "fdb": (cases.make_fdb, "neighbor", "p*/gauge-fdb_static", "p:16", "fdb"),
    "mdb": (cases.make_mdb, "mdb", "br0/gauge-entries_permanent", "br0,p:16", "mdb"),
    "rule": (cases.make_rules, "rule", "ipv4/gauge-rules_table_100", "lo", "rules"),
}


def storm(bench, say, kind, seconds=10, rate=20000):
    """The plugin must dump meanwhile, which is where the kernel misses and repeats entries; a dump
    that is only received shows how often it does."""
    make, plugin, pattern, devices, question = STORMS[kind]
    with scale(bench, 10000, make) as s:
        quiet = floor(question, 1)(s)["bytes"]
        entry = quiet / s.n
        f = Follower(s, plugin, pattern, options=["AuditInterval 0.5"])
        load = subprocess.Popen(s.inside(bench.program("load"), kind, devices, BEFORE, CHURN,
                                         "toggle", rate, seconds),
                                stdout=subprocess.PIPE, text=True)
        raw, raw_wrong = 0, 0
        while load.poll() is None:
            more = floor(question, 1)(s)["bytes"] - quiet
            raw, raw_wrong = raw + 1, raw_wrong + (not -0.5 < more / entry < CHURN + 0.5)
            time.sleep(0.1)
        changes = json.loads(load.stdout.read())
        time.sleep(3)  # until a last dump may be made
        cost = f.end()
        counts = f.counts()
        wrong = [n for n in counts if not s.n <= n <= s.n + CHURN]
        fresh = Follower(s, plugin, pattern)
        fresh.end()
        result = {"readings": len(counts), "wrong": len(wrong), "example": wrong[:3],
                  "after": counts[-1] - s.n, "same_hash": fresh.hash == f.hash,
                  "raw": raw, "raw_wrong": raw_wrong,
                  "rate": changes["changes"] / changes["seconds"], "us": us(cost), **cost}
        say(f"{kind}: {result['wrong']} of {result['readings']} readings wrong")
        return result


def us(cost):
    return 1e3 * cost["cpu_ms"] / cost["events"] if cost.get("events") else None


def storms(bench, say):
    """T1: 20,000 changes a second beside 10,000 that do not change."""
    return {kind: storm(bench, say, kind) for kind in STORMS}


def route_storm(bench, say, seconds=5, rate=100000):
    """R3: 100,000 route changes a second."""
    with scale(bench, 100000, cases.make_routes) as s:
        f = Follower(s, "route", "main/*ipv4_unicast_bgp", interval=1)
        changes = s.load("route", "d0", s.n, 1000, "toggle", rate, seconds)
        time.sleep(2.5)
        cost = f.end()
        return {"us": us(cost), "rate": changes["changes"] / changes["seconds"],
                "changes": changes["changes"], "after": f.counts()[-1] - s.n, **cost}


LOSSES = {  # kind: how it is made, plugin, its count, devices, how many changes are missed
    "route": (cases.make_routes, "route", "main/*ipv4_unicast_bgp", "d0", 20000),
    "neighbour": (cases.make_neighbours, "neighbor", "d0/gauge-ipv4_permanent", "d0", 20000),
    **{k: (make, plugin, pattern, devices, 5000)
       for k, (make, plugin, pattern, devices, _) in STORMS.items()},
}


def losses(bench, say):
    """T2: more events than the buffer holds, then one reading."""
    results = {}
    for kind, (make, plugin, pattern, devices, more) in LOSSES.items():
        with scale(bench, 5000, make) as s:
            f = Follower(s, plugin, pattern, interval=0.5, options=["ReceiveBuffer 131072"])
            until(lambda: f.counts(), 30)
            time.sleep(6)  # FDB, MDB and rules rest for 99 times their last dump
            f.p.send_signal(19)  # SIGSTOP: nobody receives
            s.load(kind, devices, s.n, more)
            before = len(f.counts())
            f.p.send_signal(18)
            start = time.monotonic()
            until(lambda: f.counts()[before:] and f.counts()[-1] == s.n + more, 10)
            took, seen = time.monotonic() - start, f.counts()[before:]
            cost = f.end()
            results[kind] = {"lost": cost["lost"], "readings": len(seen), "seconds": took,
                             "right": f.counts()[-1] == s.n + more}
            say(f"{kind}: {results[kind]}")
    return results


def until(look, seconds):
    deadline = time.monotonic() + seconds
    while not look() and time.monotonic() < deadline:
        time.sleep(0.02)


def fdb_minute(bench, say, seconds=120, rate=20000):
    """N2: how long we hold the kernel's lock while 100,000 FDB entries change for two minutes."""
    with scale(bench, 100000, cases.make_fdb) as s:
        dump = floor("fdb", 2)(s)["wall_ms"]
        f = Follower(s, "neighbor", "p*/gauge-fdb_static", interval=1,
                     options=["ReceiveBuffer 131072"])  # what comes during a dump is lost
        s.load("fdb", "p:16", BEFORE, CHURN, "toggle", rate, seconds)
        cost = f.end()
        counts = f.counts()
        return {"dump_ms": dump, "torn_ms": cost["torn_ms"],
                "torn_worst_ms": cost["torn_worst_ms"], "wall_ms": cost["wall_ms"],
                "readings": cost["readings"], "lost": cost["lost"],
                "wrong": sum(not s.n <= n <= s.n + CHURN for n in counts)}


# ---- latency -----------------------------------------------------------------------------------


class Witness:
    """A collectd with the tests' sink, which says when each notification arrived."""

    def __init__(self, s, plugin, block, interval):
        self.path = s.bench.dir / "sink"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        sink = s.bench.build / "tests"
        body = f'PluginDir "{sink}"\n' + stock("sink", f'File "{self.path}"') + "\n" \
            + ours(s, f"netmon_{plugin}", block)
        self.daemon = Daemon(collectd_conf(s, f"witness-{plugin}", body, interval))
        self.daemon.wait = lambda s, p: until(lambda: self.path.exists() and
                                              '"value"' in self.path.read_text(), 60)
        self.context = self.daemon.started(s)

    def __enter__(self):
        self.context.__enter__()
        return self

    def __exit__(self, *args):
        return self.context.__exit__(*args)

    def notices(self):
        return [json.loads(line) for line in self.path.read_text().splitlines()
                if line.startswith('{"record":"notification"') and line.endswith("}")]


    def readings(self):
        """When each reading began and ended: the last value that it sends is how long it took."""
        values = [json.loads(line) for line in self.path.read_text().splitlines()
                  if '"type":"duration"' in line and line.endswith("}")]
        return [(v["arrived"] - v["values"]["seconds"], v["arrived"]) for v in values]


def latencies(s, witness, kind, devices, pairs, during):
    """Milliseconds from just before an object is added to the arrival of the notification; during:
    only of those that were added while a reading was under way."""
    took = []
    for _ in range(pairs):
        s.load(kind, devices, 0, 1, "del")
        time.sleep(random.uniform(0.1, 0.3))
        before = len(witness.notices())
        at = s.load(kind, devices, 0, 1, "add")["began"]
        until(lambda: len(witness.notices()) > before, 5)
        new = witness.notices()[before:]
        took.append((at, 1e3 * (new[0]["arrived"] - at) if new else None))
    time.sleep(0.5)
    busy = witness.readings()
    return [ms for at, ms in took if not during or any(a < at < b for a, b in busy)]


# name: how it is made, number, plugin, options, interval, what is added, pairs, during a reading
LATENCIES = {
    "link up, idle": (lambda s: s.gateway(), 10, "link", "", 10, "up", "d0", 20, False),
    "default route, idle": (cases.make_routes, 10, "route", "", 10, "default", "d0", 20, False),
    "default route, 100,000 routes being dumped":
        (cases.make_routes, 100000, "route", "AuditInterval 0.001", 0.2, "default", "d0", 80, True),
}


def latency(bench, say):
    """E: from the kernel's event to the notification, in a real daemon."""
    results = {}
    for name, (make, n, plugin, block, interval, kind, devices, pairs, during) in LATENCIES.items():
        with scale(bench, n, make) as s, Witness(s, plugin, block, interval) as w:
            if kind == "default":
                s.load(kind, devices, 0, 1)
            took = latencies(s, w, kind, devices, pairs, during)
        told = [ms for ms in took if ms is not None]
        results[name] = {"n": len(told), "of": len(took),
                         "median": statistics.median(told) if told else None,
                         "worst": max(told, default=None)}
        say(f"{name}: {results[name]}")
    return results


# ---- at rest ------------------------------------------------------------------------------------


def make_ten(s):
    s.links(3)
    s.ports(2)
    s.ip("link add t0 type ifb")


def idle(bench, say, seconds=60):
    """B: everything loaded, ten interfaces, an interval of 10 s, beside a collectd alone."""
    with scale(bench, 10, make_ten) as s:
        plugins = {p: ours(s, p) for p in bench.plugins()}
        everything = "\n".join(plugins.values())
        bodies = {"alone": "", **plugins, "everything": everything,
                  "one-writer": f"WriteThreads 1\n{everything}"}
        with contextlib.ExitStack() as stack:
            daemons = {name: Daemon(collectd_conf(s, f"idle-{name}", body, 10))
                       for name, body in bodies.items()}
            pids = {name: stack.enter_context(d.started(s)) for name, d in daemons.items()}
            time.sleep(12)
            before = {name: cpu(pid) for name, pid in pids.items()}
            time.sleep(seconds)
            return {name: {"share": (cpu(pid) - before[name]) / 1e3 / seconds,
                           "rss_kb": status(pid, "VmRSS")} for name, pid in pids.items()}


STORIES = {"storms": storms, "route_storm": route_storm, "losses": losses,
           "fdb_minute": fdb_minute, "latency": latency, "idle": idle}
