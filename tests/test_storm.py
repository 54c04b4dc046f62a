# SPDX-License-Identifier: MIT
"""Changes as fast as they can be made: what they cost, and what is true afterwards."""

import contextlib
import json
import pathlib
import subprocess

from harness import alone, same

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
