# SPDX-License-Identifier: MIT
"""Changes as fast as they can be made: what they cost, and what is true afterwards."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess

from harness import alone, command, plain_build_only, same

STORM = 100000  # changes a second


@contextlib.contextmanager
def storm(t, ns, kind, dev, seconds, rate=STORM):
    """Changes go on meanwhile; what is yielded then has how many were made."""
    argv = ["ip", "netns", "exec", ns.name, *t.build.outer_prefix(), t.build.dir / "tests/storm",
            kind, ns.link(dev)["ifindex"], rate, seconds]
    process = subprocess.Popen([str(a) for a in argv], stdout=subprocess.PIPE, text=True)
    made = []
    try:
        yield made
        made.append(int(process.communicate(timeout=seconds + 20)[0]))
    finally:
        process.kill()
        process.wait()


def cpu_seconds(pid):
    """What all threads of a process that runs have used so far."""
    tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def link(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.ip("addr add 192.0.2.1/24 dev a0")
    return ns


def routes(ns):
    return len(json.loads(ns.ip("-j route show proto bgp") or "[]"))


@alone
def test_a_hundred_thousand_route_changes_a_second(t):
    ns = link(t)
    daemon = t.collectd("", ns, plugin="netmon_route",
                        expect_log=["lost"] if t.build.sanitizer else [])
    before = daemon.wait_value("self/derive-events", since=daemon.now()).plain
    used = cpu_seconds(daemon.process.pid)
    with storm(t, ns, "route", "a0", 3) as made:
        pass
    since = daemon.now()
    expected = routes(ns)
    reading = daemon.reading(since=since)
    used = cpu_seconds(daemon.process.pid) - used
    same(daemon.latest("main/routes-ipv4_unicast_bgp").plain, expected,
         "routes at the reading that followed")
    events = reading["self/derive-events"].plain - before
    assert reading["self/derive-lost"].plain or events == made[0], \
        f"{events} events, {made[0]} changes, and nothing was lost"
    t.note(f"{made[0] / 3:.0f} changes/s, {used / events * 1e6:.2f} us each in the whole daemon, "
           f"{reading['self/derive-lost'].plain} losses")


def times_to_tell(ns, daemon):
    """ms from before `ip` is run to the notification, sorted."""
    late = []
    for step in ("add", "del") * 10:
        since = daemon.now()
        ns.ip(f"route {step} default via 192.0.2.9")
        told = daemon.wait_notification("default", "main", since=since)
        late.append((told.arrived - since) * 1000)
    return sorted(late)


@alone
def test_a_storm_delays_no_notice(t):
    """Its events are waited for a moment, so that they come together; before and after, none is."""
    ns = link(t)
    daemon = t.collectd("", ns, plugin="netmon_route", interval=1,
                        expect_log=["lost"] if t.build.sanitizer else [])
    daemon.wait_value("main/bool-default_ipv4")
    quiet = times_to_tell(ns, daemon)
    with storm(t, ns, "route", "a0", 2):
        busy = times_to_tell(ns, daemon)
    after = times_to_tell(ns, daemon)
    for name, late in ("before", quiet), ("in", busy), ("after", after):
        t.note(f"{name} the storm {late[len(late) // 2]:.1f} ms in the median")


@alone
def test_counts_are_exact_after_a_storm_that_lost_events_and_a_link_that_went_down(t):
    """IPv4 routes go untold with their link, in the midst of changes of which many are not told."""
    ns = link(t)
    ns.veth("c0", "d0")
    ns.batch([f"route add 11.{i >> 8}.{i & 255}.0/24 dev c0 proto bgp" for i in range(2000)])
    daemon = t.collectd("ReceiveBuffer 4096\nSlowInterval 0.1", ns, plugin="netmon_route",
                        expect_log=["lost"])
    daemon.wait_value("main/routes-ipv4_unicast_bgp", 2000)
    with storm(t, ns, "route", "a0", 1.5):
        daemon.signal(signal.SIGSTOP)
        ns.ip("link set c0 down")
        daemon.signal(signal.SIGCONT)
    expected = routes(ns)
    reading = daemon.reading(since=daemon.now())
    same(reading["main/routes-ipv4_unicast_bgp"].plain, expected, "routes")
    assert reading["self/derive-lost"].plain, "the story went wrong: nothing was lost"


def fdb_batch(ns, verb, dev, numbers):
    ns.run("bridge", "-batch", "-", input="".join(
        f"fdb {verb} 02:00:00:00:{i >> 8:02x}:{i & 255:02x} dev {dev} master static\n"
        for i in numbers))


def entries(ns, dev):
    out = ns.run("bridge", "-j", "fdb", "show", "dev", dev)
    return sum(e.get("state") == "static" for e in json.loads(out))


def bridge(t):
    ns = link(t)
    ns.veth("c0", "d0")
    ns.batch(["link add br0 type bridge", "link set a0 master br0", "link set c0 master br0",
              "link set br0 up"])
    return ns


@alone
@plain_build_only  # a slower dump uses up what it may
def test_lost_events_are_repaired_as_soon_as_it_is_quiet(t):
    """Dumps in a storm are torn one after another; that must not delay the one that is not."""
    ns = bridge(t)
    fdb_batch(ns, "add", "a0", range(10000))
    daemon = t.collectd("ReceiveBuffer 4096\nAuditInterval 0.3\nSlowInterval 0.1", ns,
                        plugin="netmon_neighbor", expect_log=["ENOBUFS", "lost"])
    daemon.wait_value("a0/gauge-fdb_static", 10000)
    with storm(t, ns, "fdb", "a0", 1.3, rate=20000):
        pass
    expected = entries(ns, "a0")
    reading = daemon.reading(since=daemon.now())
    same(reading["a0/gauge-fdb_static"].plain, expected, "entries when it is quiet")
    t.note(", ".join(f"{reading[f'self/derive-{what}'].plain} {what}"
                     for what in ("lost", "dumps", "interrupted")))


@alone
def test_lost_deletions_are_found_while_all_dumps_are_torn(t):
    """A torn dump does not tell what is gone: the kernel is asked for what it did not have."""
    ns = bridge(t)
    fdb_batch(ns, "add", "c0", range(10000))
    daemon = t.collectd("ReceiveBuffer 4096\nSlowInterval 0.1", ns, plugin="netmon_neighbor",
                        expect_log=["ENOBUFS", "lost"])
    daemon.wait_value("c0/gauge-fdb_static", 10000)
    with storm(t, ns, "fdb", "a0", 4, rate=50000):
        daemon.signal(signal.SIGSTOP)
        fdb_batch(ns, "del", "c0", range(500))
        daemon.signal(signal.SIGCONT)
        daemon.wait_value("c0/gauge-fdb_static", 9500, timeout=3)
        settled = daemon.now()
    same({v.plain for v in daemon.values("c0/gauge-fdb_static") if v.time > settled}, {9500},
         "entries of a quiet port")
    reading = daemon.reading(since=settled)
    same(reading["c0/gauge-fdb_static"].plain, entries(ns, "c0"), "entries when it is over")
    t.note(", ".join(f"{reading[f'self/derive-{what}'].plain} {what}"
                     for what in ("lost", "dumps", "interrupted")))


@alone
@plain_build_only
def test_a_dump_that_takes_long_is_not_tried_again_at_once(t):
    """All are torn: a reading has one of them, not three."""
    ns = bridge(t)
    fdb_batch(ns, "add", "c0", range(10000))
    with storm(t, ns, "fdb", "a0", 9, rate=5000):
        out = command(t.build.netmon, "metrics", "neighbor", "--namespace", ns.name, "--count", 3,
                      "--interval", 0.1, "--option", "AuditInterval 0.05",
                      env={**os.environ, "LD_PRELOAD": str(t.build.dir / "tests/slow.so")})
    torn = [float(line.split()[-1].strip("[]")) for line in out.splitlines()
            if line.startswith("self/derive-interrupted")]
    took = [line for line in out.splitlines() if line.startswith("self/duration-read")]
    t.note(f"{torn}, {took}")
    same([b - a for a, b in zip([0] + torn, torn)], [1, 1, 1], "torn dumps of each reading")


def told(output):
    """Readings and notices; what reading cost is not in a recording."""
    return [line for line in output.splitlines() if not line.startswith("self/")]


@alone
def test_a_recording_of_a_storm_tells_what_was_told(t):
    """Of dumps that were torn, questions that events led to, and events that came together."""
    ns = bridge(t)
    ns.batch([f"rule add priority {p} lookup {p % 9 + 100}" for p in range(1000, 3000)])
    fdb_batch(ns, "add", "c0", range(10000))
    for kind, plugin in ("rule", "rule"), ("fdb", "neighbor"), ("route", "route"):
        file = t.dir / f"{kind}.pcap"
        options = [word for line in ('Notify "all"', "AuditInterval 0.2", "ReceiveBuffer 16384")
                   for word in ("--option", line)]
        with storm(t, ns, kind, "a0", 2, rate=20000):
            live = t.netmon("metrics", plugin, "--count", 4, "--interval", 0.4, "--record", file,
                            *options, ns=ns)
        again = t.netmon("metrics", plugin, "--replay", file, *options, ok=(0, 3))
        a, b = told(live.stdout), told(again.stdout)
        assert len(a) > 20, f"{plugin}: the story went wrong: {a}"
        wrong = next(((x, y) for x, y in zip(a, b) if x != y), (len(a), len(b)))
        assert a == b, f"{plugin}: live {wrong[0]}, replayed {wrong[1]}"
        t.note(f"{plugin}: {len(a)} lines, {file.stat().st_size >> 10} KiB, exit {again.returncode}")
