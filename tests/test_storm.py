# SPDX-License-Identifier: MIT
"""Changes as fast as they can be made: what they cost, and what is true afterwards."""

import contextlib
import json
import pathlib
import subprocess

from harness import alone, same, time_limit

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


def entries(ns):
    out = ns.run("bridge", "-j", "fdb", "show", "dev", "a0")
    return sum(e.get("state") == "static" for e in json.loads(out))


@alone
@time_limit(120)
def test_lost_events_are_repaired_as_soon_as_it_is_quiet(t):
    """Dumps in a storm are torn one after another; that must not delay the one that is not."""
    ns = link(t)
    ns.batch(["link add br0 type bridge", "link set a0 master br0", "link set br0 up"])
    ns.run("bridge", "-batch", "-", input="".join(
        f"fdb add 02:00:00:{i >> 16:02x}:{i >> 8 & 255:02x}:{i & 255:02x} dev a0 master static\n"
        for i in range(10000)))
    daemon = t.collectd("ReceiveBuffer 4096\nAuditInterval 0.3\nSlowInterval 0.1", ns,
                        plugin="netmon_neighbor", expect_log=["ENOBUFS", "lost"])
    daemon.wait_value("a0/gauge-fdb_static", 10000)
    with storm(t, ns, "fdb", "a0", 1.3, rate=20000):
        pass
    expected = entries(ns)
    reading = daemon.reading(since=daemon.now())
    same(reading["a0/gauge-fdb_static"].plain, expected, "entries when it is quiet")
    t.note(", ".join(f"{reading[f'self/derive-{what}'].plain} {what}"
                     for what in ("lost", "dumps", "interrupted")))


def told(output):
    """Readings and notices; what reading cost is not in a recording."""
    return [line for line in output.splitlines() if not line.startswith("self/")]


@alone
def test_a_recording_of_a_storm_tells_what_was_told(t):
    """Of dumps that were torn, questions that events led to, and events that came together."""
    ns = link(t)
    ns.batch([f"rule add priority {p} lookup {p % 9 + 100}" for p in range(1000, 3000)])
    ns.batch(["link add br0 type bridge", "link set a0 master br0", "link set br0 up"])
    for kind, plugin in ("rule", "rule"), ("fdb", "neighbor"), ("route", "route"):
        file = t.dir / f"{kind}.pcap"
        options = "--option", 'Notify "all"', "--option", "AuditInterval 0.2"
        with storm(t, ns, kind, "a0", 2, rate=20000):
            live = t.netmon("metrics", plugin, "--count", 4, "--interval", 0.4, "--record", file,
                            *options, ns=ns)
        again = t.netmon("metrics", plugin, "--replay", file, *options, ok=(0, 3))
        a, b = told(live.stdout), told(again.stdout)
        assert len(a) > 20, f"{plugin}: the story went wrong: {a}"
        wrong = next(((x, y) for x, y in zip(a, b) if x != y), (len(a), len(b)))
        assert a == b, f"{plugin}: live {wrong[0]}, replayed {wrong[1]}"
        t.note(f"{plugin}: {len(a)} lines, {file.stat().st_size >> 10} KiB, exit {again.returncode}")
