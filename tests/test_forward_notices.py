# SPDX-License-Identifier: MIT
"""A machine or an interface that stops routing is told at once and once, and that it is well again."""

import pathlib
import signal
import socket
import statistics

from harness import same
from test_forward_values import PLUGIN, netconf, start

EVERY_KIND = {"forwarding", "rp_filter", "mc_forwarding", "proxy_neigh", "ignore_linkdown"}


def router(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.sysctl("ipv4/ip_forward", 1)
    ns.sysctl("ipv6/conf/all/forwarding", 1)
    return ns


def fence(ns, daemon):
    """A change after all others: when its notification is here, all the others have been."""
    since = daemon.now()
    for value in (0, 1):
        ns.sysctl("ipv4/conf/lo/forwarding", value)
    daemon.wait_notification("forwarding", "lo", since=since, new="on")


def told(daemon, since=0):
    return [(n.severity, n.kind, n.instance, n.meta["family"], n.meta["old"], n.meta["new"])
            for n in daemon.notices(since) if n.instance != "lo"]


def test_the_machine_stops_routing(t):
    """One word of an operator's, one notification for it; and one when it is well again."""
    ns = router(t)
    daemon = start(t, "", ns)
    for family, path in (("ipv4", "ipv4/ip_forward"), ("ipv6", "ipv6/conf/all/forwarding")):
        since = daemon.now()
        ns.sysctl(path, 0)
        off = daemon.wait_notification("forwarding", "all", since=since, family=family)
        same((off.severity, off.meta), ("failure", {"family": family, "old": "on", "new": "off"}),
             "switched off")
        assert family.replace("ip", "IP") in off.message and "off" in off.message, off.message
        same((off.plugin, off.type, off.host), (PLUGIN, "", "testhost"), "identity")
        daemon.wait_value(f"all/bool-{family}_forwarding", 0)
        daemon.wait_value(f"a0/bool-{family}_forwarding", 0)
        ns.sysctl(path, 1)
        on = daemon.wait_notification("forwarding", "all", since=since, family=family, new="on")
        same((on.severity, on.meta["old"]), ("okay", "off"), "switched on")
        daemon.wait_value(f"b0/bool-{family}_forwarding", 1)
    fence(ns, daemon)
    same([n[2:] for n in told(daemon)], [("all", family, *change) for family in ("ipv4", "ipv6")
                                         for change in (("on", "off"), ("off", "on"))],
         "all that was told")


def test_one_interface_stops_routing(t):
    ns = router(t)
    ifindex = str(ns.link("a0")["ifindex"])
    daemon = start(t, "", ns)
    for family in ("ipv4", "ipv6"):
        ns.sysctl(f"{family}/conf/a0/forwarding", 0)
        off = daemon.wait_notification("forwarding", "a0", family=family)
        same((off.severity, off.meta), ("failure", {"family": family, "old": "on", "new": "off",
                                                    "ifindex": ifindex}), "switched off")
        assert "a0" in off.message, off.message
        ns.sysctl(f"{family}/conf/a0/forwarding", 1)
        same(daemon.wait_notification("forwarding", "a0", family=family, new="on").severity,
             "okay", "switched on")
    fence(ns, daemon)
    same(len(told(daemon)), 4, "told once each")


def test_an_alarm_of_an_interface_is_cleared_by_all(t):
    """a0 was off alone; off and on for all of them ends with a0 on: that must be told."""
    ns = router(t)
    daemon = start(t, "", ns)
    steps = [("ipv4/conf/a0/forwarding", 0), ("ipv4/ip_forward", 0), ("ipv4/ip_forward", 1),
             ("ipv4/conf/a0/forwarding", 0), ("ipv4/conf/a0/forwarding", 1)]
    for path, value in steps:
        since = daemon.now()
        ns.sysctl(path, value)
        daemon.wait_notification("forwarding", "all" if "ip_forward" in path else "a0",
                                 since=since, new="on" if value else "off")
    fence(ns, daemon)
    same([(n[2], n[5]) for n in told(daemon)],
         [("a0", "off"), ("all", "off"), ("all", "on"), ("a0", "on"), ("a0", "off"), ("a0", "on")],
         "notifications")


def test_changes_faster_than_anybody_reads(t):
    """Off and on within a moment is told as both."""
    ns = router(t)
    daemon = start(t, "", ns)

    def flap():
        for value in (0, 1) * 20:
            pathlib.Path("/proc/sys/net/ipv4/conf/a0/forwarding").write_text(f"{value}\n")

    ns.call(flap)
    fence(ns, daemon)
    same([n[5] for n in told(daemon)], ["off", "on"] * 20, "changes of a0")


def test_every_other_switch(t):
    ns = router(t)
    daemon = start(t, 'Notify "all"', ns)
    for path, value, expected in (
            ("ipv4/conf/a0/rp_filter", 1, ("okay", "rp_filter", "a0", "ipv4", "off", "strict")),
            ("ipv4/conf/a0/rp_filter", 2,
             ("warning", "rp_filter", "a0", "ipv4", "strict", "loose")),
            ("ipv4/conf/a0/rp_filter", 0, ("warning", "rp_filter", "a0", "ipv4", "loose", "off")),
            ("ipv4/conf/all/rp_filter", 1, ("okay", "rp_filter", "all", "ipv4", "off", "strict")),
            ("ipv4/conf/b0/proxy_arp", 1, ("warning", "proxy_neigh", "b0", "ipv4", "off", "on")),
            ("ipv6/conf/b0/proxy_ndp", 1, ("warning", "proxy_neigh", "b0", "ipv6", "off", "on")),
            ("ipv4/conf/b0/proxy_arp", 0, ("okay", "proxy_neigh", "b0", "ipv4", "on", "off")),
            ("ipv4/conf/a0/ignore_routes_with_linkdown", 1,
             ("okay", "ignore_linkdown", "a0", "ipv4", "off", "on")),
            ("ipv6/conf/all/ignore_routes_with_linkdown", 1,
             ("okay", "ignore_linkdown", "all", "ipv6", "off", "on"))):
        since = daemon.now()
        ns.sysctl(path, value)
        _, kind, instance, family, _, new = expected
        daemon.wait_notification(kind, instance, since=since, family=family, new=new)
        fence(ns, daemon)
        same(told(daemon, since), [expected], f"{path} = {value}")


def test_multicast_routing(t):
    """mc_forwarding is no file that can be written: a multicast router's socket turns it on."""
    ns = router(t)
    daemon = start(t, "", ns)
    MRT_INIT = 200
    with ns.call(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP) as s:
        s.setsockopt(socket.IPPROTO_IP, MRT_INIT, 1)
        on = daemon.wait_notification("mc_forwarding", "all", family="ipv4", new="on")
        same(on.severity, "okay", "multicast routing starts")
        daemon.wait_value("all/bool-ipv4_mc_forwarding", 1)
    off = daemon.wait_notification("mc_forwarding", "all", family="ipv4", new="off")
    same(off.severity, "warning", "multicast routing ends")


def test_the_default_changes_interfaces_that_were_never_set(t):
    """No event tells which: the next reading does, and no notification for each of them."""
    ns = router(t)
    daemon = start(t, "SlowInterval 3600", ns)
    ns.sysctl("ipv4/conf/default/rp_filter", 1)
    daemon.wait_notification("rp_filter", "default", new="strict")
    daemon.wait_value("a0/gauge-rp_filter", 1)
    fence(ns, daemon)
    same([n[2] for n in told(daemon)], ["default"], "instances")


def test_what_exists_at_the_start_is_no_news(t):
    ns = router(t)
    ns.sysctl("ipv4/conf/a0/forwarding", 0)
    daemon = start(t, 'Notify "all"\nAuditInterval 0.6', ns)
    daemon.reading(since=daemon.now() + 1)
    ns.batch(["link add c0 type ifb", "link set c0 up", "link set c0 name d0",
              "link set d0 mtu 1000", "link set d0 mtu 1500", "link del d0"])
    fence(ns, daemon)
    same(told(daemon), [], "notifications before anything changed")


def test_notify_chooses(t):
    ns = router(t)

    def kinds(block):
        daemon = start(t, block, ns)
        for value in (1, 0):
            for path in ("ipv4/conf/a0/rp_filter", "ipv4/conf/a0/proxy_arp",
                         "ipv4/conf/a0/ignore_routes_with_linkdown",
                         "ipv4/conf/a0/forwarding"):
                ns.sysctl(path, value)
        ns.sysctl("ipv4/conf/a0/forwarding", 1)
        daemon.wait_value("a0/bool-ipv4_forwarding", 1, since=daemon.now())
        daemon.reading(since=daemon.now())
        daemon.stop()
        return {n.kind for n in daemon.notices()}

    same(kinds(""), {"forwarding", "rp_filter"}, "by default")
    same(kinds('Notify "proxy_neigh"'), {"proxy_neigh"}, "one")
    same(kinds('Notify "all"'), EVERY_KIND - {"mc_forwarding"}, "all")
    same(kinds('Notify "none"'), set(), "none")


def test_interfaces_that_are_not_selected_are_silent(t):
    ns = router(t)
    daemon = start(t, 'Interface "b0" "lo"\nNotify "all"', ns)
    ns.sysctl("ipv4/conf/a0/forwarding", 0)
    ns.sysctl("ipv6/conf/a0/proxy_ndp", 1)
    fence(ns, daemon)
    same(told(daemon), [], "notifications about a0")


def test_notification_leaves_within_100_ms(t):
    """No reading can have helped: the next one is a minute away."""
    ns = router(t)
    daemon = start(t, "", ns, interval=60)
    delays = []
    for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv4/conf/a0/forwarding") * 3:
        for value, new in ((0, "off"), (1, "on")):
            called = daemon.now()
            ns.sysctl(path, value)
            n = daemon.wait_notification("forwarding", since=called, new=new)
            delays.append((n.arrived - called) * 1000)
    t.note(f"median {statistics.median(delays):.1f} ms, worst {max(delays):.1f} ms")
    assert statistics.median(delays) < 100, f"delays in ms: {[round(d) for d in delays]}"


def test_lost_events_are_repaired_by_the_next_reading(t):
    """A stopped daemon, a small buffer and a burst: what was switched in it is still told."""
    ns = router(t)
    ns.veth("x0", "y0")
    daemon = start(t, "ReceiveBuffer 4096\nSlowInterval 3600", ns, expect_log=["ENOBUFS", "lost"])
    daemon.reading()

    def burst():
        for i in range(3000):
            pathlib.Path("/proc/sys/net/ipv4/conf/x0/proxy_arp").write_text(f"{i % 2}\n")

    daemon.signal(signal.SIGSTOP)
    ns.call(burst)
    ns.sysctl("ipv4/conf/a0/forwarding", 0)
    ns.sysctl("ipv6/conf/all/forwarding", 0)
    ns.sysctl("ipv4/conf/b0/rp_filter", 1)
    ns.call(burst)
    woken = daemon.now()
    daemon.signal(signal.SIGCONT)

    first = daemon.reading(since=woken)
    expected = netconf(ns)
    latest = {id: daemon.latest(id).plain for id in expected if daemon.latest(id)}
    same(latest, expected, "the first reading after the loss")
    assert first["self/derive-lost"].plain > 0, "the story went wrong: no loss"
    since = woken - 60
    same(daemon.wait_notification("forwarding", "a0", since=since, family="ipv4").severity,
         "failure", "the notification that was owed")
    daemon.wait_notification("forwarding", "all", since=since, family="ipv6", new="off")
    daemon.wait_notification("rp_filter", "b0", since=since, new="strict")
    fence(ns, daemon)
    same(sorted(n[2:4] for n in told(daemon)), [("a0", "ipv4"), ("all", "ipv6"), ("b0", "ipv4")],
         "all that was told")
    ns.sysctl("ipv4/conf/a0/forwarding", 1)  # and events work as before
    daemon.wait_notification("forwarding", "a0", new="on")


def test_interfaces_that_come_and_go_all_the_time(t):
    """Nothing was switched: nothing is told, and the reading after it is right."""
    ns = router(t)
    daemon = start(t, 'Notify "all"', ns)
    lines = []
    for i in range(20):
        lines += [f"link add c{i} type veth peer name d{i}", f"link set c{i} up",
                  f"link set c{i} down", f"link set c{i} name e{i}"]
    lines += [f"link del e{i}" for i in range(20)]
    for _ in range(4):
        ns.batch(lines)
    stopped = daemon.now()
    reading = daemon.reading(since=stopped)
    same({id.partition("/")[0] for id in reading if "if_octets-ipv6" in id}, {"lo", "a0", "b0"},
         "interfaces")
    fence(ns, daemon)
    same(told(daemon), [], "notifications")
