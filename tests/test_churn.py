# SPDX-License-Identifier: MIT
"""Interfaces that change faster than they are read, and events that are lost."""

import signal
import subprocess
import threading
import time

from harness import INTERVAL, alone, same, time_limit

HEARTBEAT = 2  # intervals without a value after which collectd and RRD compute no rate


def rates(values):
    """Pairs of values between which collectd computes a rate."""
    for before, v in zip(values, values[1:]):
        if v.time - before.time <= HEARTBEAT * v.interval:
            yield before, v


def assert_no_jump(daemon, pattern, most):
    """No counter grows between two readings by more than the traffic there was."""
    for id in daemon.ids(pattern):
        for before, v in rates(daemon.values(id)):
            for ds in v.values:
                growth = v.values[ds] - before.values[ds]
                assert growth <= most, \
                    f"{id} {ds} jumps from {before.values[ds]} to {v.values[ds]}"


def counters(ns, dev):
    stats = ns.link(dev)["stats64"]
    return {way: stats[way]["bytes"] for way in ("rx", "tx")}


class Churn(threading.Thread):
    """Creates, renames, swaps and deletes interfaces as fast as the kernel can."""

    def __init__(self, ns, seconds):
        super().__init__()
        self.ns, self.seconds, self.rounds = ns, seconds, 0
        self.lines = []
        for i in range(30):
            self.lines += [f"link add c{i} type veth peer name d{i}", f"link set c{i} up",
                           f"link set d{i} up", f"link set c{i} down", f"link set c{i} name r{i}",
                           f"link set r{i} up"]
        self.lines += ["link set heavy name swap0", "link set light name heavy",
                       "link set swap0 name light"]
        self.lines += [f"link del r{i}" for i in range(30)]

    def run(self):
        ends = time.monotonic() + self.seconds
        while time.monotonic() < ends:
            self.ns.batch(self.lines)
            self.rounds += 1


@time_limit(90)
@alone
def test_twenty_seconds_of_churn(t):
    """Two daemons watch: one relies on events, the other dumps all links at every reading too."""
    ns, quiet = t.namespace(), t.namespace()
    ns.veth("a0", "b0", quiet)
    ns.frames("a0", count=500, size=1000)
    quiet.frames("b0", count=100, size=500)
    ns.batch(["link add heavy type ifb", "link add light type ifb", "link set heavy up"])
    ns.frames("heavy", count=1000, size=1400)
    ns.ip("link set heavy down")
    stable = counters(ns, "a0")
    daemons = {"events": t.collectd(ns=ns, interval=1).ready(),
               "audits": t.collectd("AuditInterval 0.5", ns, interval=1).ready()}

    churn = Churn(ns, 20)
    churn.start()
    churn.join()
    stopped = time.time()
    assert churn.rounds > 3, "the story went wrong: no churn"
    t.note(f"{churn.rounds} rounds of {len(churn.lines)} changes")

    for name, daemon in daemons.items():
        reading = daemon.reading(since=stopped)
        same({id.partition("/")[0] for id in reading} - {"self"}, set(ns.json_links()),
             f"{name}: interfaces in the reading after the churn")
        octets = daemon.values("a0/if_octets")
        for v in octets:
            same(v.plain, stable, f"{name}: a0, which nothing happened to")
        missed = [v.time - before.time for before, v in zip(octets, octets[1:])
                  if v.time - before.time > 1.5]
        assert not missed, f"{name}: readings that came late or not at all: {missed}"
        same({v.plain for v in daemon.values("a0/gauge-mtu")}, {1500}, f"{name}: mtu of a0")
        assert_no_jump(daemon, r"^(heavy|light)/if_", most=0)
        assert_no_jump(daemon, r"^(c|d|r)\d+/if_", most=10000)
        same([n.meta for n in daemon.notices() if n.instance == "a0"], [],
             f"{name}: notifications about a0")
        cost = {k: daemon.latest(f"self/derive-{k}").plain
                for k in ("events", "dumps", "interrupted", "lost")}
        t.note(f"{name}: {cost}")


def test_two_interfaces_that_swap_names_make_no_spike(t):
    ns = t.namespace()
    ns.batch(["link add heavy type ifb", "link add light type ifb", "link set heavy up",
              "link set light up"])
    ns.frames("heavy", count=2000, size=1400)  # an ifb counts them as received
    daemon = t.collectd(ns=ns).ready()
    daemon.reading()
    ns.batch(["link set heavy down", "link set light down", "link set heavy name swap0",
              "link set light name heavy", "link set swap0 name light", "link set heavy up",
              "link set light up"])
    same(counters(ns, "light")["rx"], 2000 * 1400, "the test's own swap")
    swapped = daemon.wait_value("light/if_octets", since=daemon.now())
    ns.frames("light", count=10, size=100)
    last = daemon.wait_value("light/if_octets", since=daemon.now() + 3 * INTERVAL)
    assert_no_jump(daemon, "^(heavy|light)/if_octets", most=1000)
    same(last.plain["rx"] - swapped.plain["rx"], 1000, "octets of light after the swap")


def test_deleted_and_created_again_between_two_readings(t):
    """The same name, then the same ifindex: the new one's values, at once and never the old's."""
    ns = t.namespace()
    ns.batch(["link add a0 index 700 type veth peer name b0", "link set a0 mtu 1400 up",
              "link set b0 up", "addr add 192.0.2.1/24 dev a0"])
    ns.frames("a0", count=1000, size=1000)
    daemon = t.collectd(ns=ns).ready()
    daemon.wait_value("a0/gauge-mtu", 1400)

    for index in (701, 700, 700):
        ns.batch(["link del a0", f"link add a0 index {index} type veth peer name b0",
                  "link set a0 up", "link set b0 up"])
        born = daemon.now()
        ns.frames("a0", count=3, size=100)
        reading = daemon.reading(since=daemon.now())
        same({id: reading[id].plain for id in ("a0/if_octets", "a0/gauge-addresses_ipv4")
              if id in reading} | {"a0/gauge-mtu": daemon.latest("a0/gauge-mtu").plain},
             {"a0/if_octets": counters(ns, "a0"), "a0/gauge-addresses_ipv4": 0,
              "a0/gauge-mtu": 1500}, f"a0 created again with ifindex {index}")
        stale = [v.plain for v in daemon.values("a0/if_octets")
                 if v.time > born and v.plain["tx"] > 300]
        assert not stale, f"values of the one that was deleted: {stale}"
        ns.batch(["link set a0 mtu 1400", "addr add 192.0.2.1/24 dev a0"])
        daemon.wait_value("a0/gauge-mtu", 1400)
    assert_no_jump(daemon, "^a0/if_octets", most=1000)


def test_another_name_with_the_same_ifindex(t):
    ns = t.namespace()
    ns.batch(["link add a0 index 700 type ifb", "link set a0 up"])
    ns.frames("a0", count=100, size=1000)
    daemon = t.collectd(ns=ns).ready("a0")
    ns.batch(["link del a0", "link add z0 index 700 type ifb"])
    since = daemon.now()
    daemon.wait_value("z0/if_octets", {"rx": 0, "tx": 0}, since=since)
    daemon.wait_value("z0/if_octets", since=daemon.now())
    assert daemon.latest("a0/if_octets").time < since, "the deleted name is still sent"


def test_renamed_while_being_read(t):
    ns = t.namespace()
    ns.batch(["link add a0 type ifb", "link set a0 up"])
    ns.frames("a0", count=100, size=1000)
    daemon = t.collectd(ns=ns).ready("a0")
    ns.batch(["link set a0 down", "link set a0 name z0"])
    renamed = daemon.now()
    daemon.wait_value("z0/if_octets", counters(ns, "z0"), since=renamed)
    daemon.wait_value("z0/gauge-mtu", 1500)
    daemon.wait_value("z0/if_octets", since=daemon.now())
    assert daemon.latest("a0/if_octets").time < renamed, "the old name is still sent"


def test_lost_events_are_repaired_by_the_next_reading(t):
    """A stopped daemon, a small buffer and a burst: one change drowns in it."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.veth("x0", "y0")
    daemon = t.collectd("ReceiveBuffer 4096\nSlowInterval 3600", ns,
                        expect_log=["ENOBUFS", "lost"]).ready()
    daemon.reading()

    daemon.signal(signal.SIGSTOP)
    ns.batch([f"link set x0 mtu {1000 + i % 2}" for i in range(2000)])
    ns.batch(["link set a0 down", "link set b0 mtu 1280", "link set x0 name z0"])
    ns.batch([f"link set z0 mtu {1000 + i % 2}" for i in range(2000)])
    woken = daemon.now()
    daemon.signal(signal.SIGCONT)

    first = daemon.reading(since=woken)
    expected = {"a0/gauge-link_state": 0, "a0/bool-admin_up": 0, "b0/gauge-mtu": 1280,
                "z0/gauge-mtu": 1001}
    same({id: first[id].plain for id in expected if id in first}, expected,
         "the first reading after the loss")
    assert "x0/if_octets" not in first, "the old name of an interface renamed meanwhile"
    owed = daemon.wait_notification("state", "a0", new="down", since=woken - 60)
    same(owed.severity, "failure", "the notification that was owed")
    assert first["self/derive-lost"].plain > 0, "the loss is not counted"

    ns.ip("link set a0 up")  # and events work as before
    daemon.wait_notification("state", "a0", new="up")


def test_audit_reads_everything_again_and_finds_no_false_news(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.ip("addr add 192.0.2.1/24 dev a0")

    def dumps(audit_interval):
        """Dumps in three seconds."""
        daemon = t.collectd(f'AuditInterval {audit_interval}\nNotify "all"', ns).ready()
        first = daemon.wait_value("self/derive-dumps", since=daemon.now())
        last = daemon.wait_value("self/derive-dumps", since=first.time + 3 - INTERVAL / 2)
        same(daemon.notices(), [], f"notifications with AuditInterval {audit_interval}")
        daemon.stop()
        return last.plain - first.plain

    counters_alone = 3 / INTERVAL
    same(dumps(0), counters_alone, "dumps without audits")
    audited = dumps(1.6) - counters_alone
    assert 3 <= audited <= 6, f"{audited} dumps for links, addresses and speeds, once or twice"


def test_an_interface_that_vanishes_while_it_is_asked_for(t):
    """Events that are followed by questions (speed of a link): the answer may be ENODEV."""
    ns = t.namespace()
    daemon = t.collectd(ns=ns).ready()
    for _ in range(20):
        ns.batch(["link add c0 type veth peer name d0", "link set c0 up", "link set d0 up",
                  "link del c0"])
    since = daemon.now()
    reading = daemon.reading(since=since)
    same({id.partition("/")[0] for id in reading}, {"lo", "self"}, "instances")


def test_two_daemons_do_not_disturb_each_other(t):
    """Netlink ports are chosen by the kernel: other readers, in one process or two, are fine."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    more = 'LoadPlugin netlink\n<Plugin netlink>\n  VerboseInterface "All"\n</Plugin>'
    one, two = t.collectd(ns=ns, more=more), t.collectd(ns=ns)
    one.wait_value("a0/if_octets", plugin="netlink")
    for daemon in (one, two):
        daemon.wait_value("a0/if_octets")
    ns.ip("link set a0 down")
    for daemon in (one, two):
        daemon.wait_notification("state", "a0", new="down")


def test_daemon_ends_quickly_while_events_pour_in(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    daemon = t.collectd(ns=ns).ready()
    lines = "".join(f"link set a0 mtu {1000 + i % 2}\n" for i in range(20000))
    burst = subprocess.Popen(["ip", "-n", ns.name, "-batch", "-"], stdin=subprocess.PIPE, text=True)
    t.cleanup(burst.wait)
    t.cleanup(burst.kill)
    feeder = threading.Thread(target=feed, args=(burst, lines))
    feeder.start()
    daemon.wait_value("self/derive-events", lambda n: n > 100)
    start = time.monotonic()
    daemon.stop()
    burst.kill()
    feeder.join()
    assert time.monotonic() - start < 3, f"took {time.monotonic() - start:.1f} s to end"


def feed(process, text):
    try:
        process.communicate(text)
    except (BrokenPipeError, ValueError):
        pass
