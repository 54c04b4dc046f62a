# SPDX-License-Identifier: MIT
"""Default routes and chosen prefixes: what carries traffic, and who is told when it ends."""

from harness import INTERVAL, same, until
from test_route import collectd, router, talk


def told(daemon, since=0):
    return [(n.kind, n.severity, n.meta["route"], n.meta["reason"]) for n in daemon.notices(since)]


def test_default_route_lost_changed_and_back(t):
    ns = router(t)
    daemon = collectd(t, "", ns)
    daemon.wait_value("main/bool-default_ipv4", 0)
    ns.ip("route add default via 192.0.2.9 metric 5")
    back = daemon.wait_notification("default", "main", reason="added")
    same((back.severity, back.meta["new"], back.meta["table"]),
         ("okay", "via 192.0.2.9 dev a0 metric 5", "254"), "a default route is there")
    daemon.wait_value("main/bool-default_ipv4", 1)
    daemon.wait_value("main/route_metric-default_ipv4", 5)

    ns.ip("route replace default via 198.51.100.9 metric 5")
    other = daemon.wait_notification("changed", "main", reason="nexthop")
    same((other.severity, other.meta["old"], other.meta["new"]),
         ("warning", "via 192.0.2.9 dev a0 metric 5", "via 198.51.100.9 dev c0 metric 5"),
         "another gateway")

    ns.ip("route del default")
    lost = daemon.wait_notification("default", "main", reason="deleted")
    same((lost.severity, lost.meta["old"]), ("failure", "via 198.51.100.9 dev c0 metric 5"), "lost")
    daemon.wait_value("main/bool-default_ipv4", 0)
    same(len(daemon.notices()), 3, "notifications")


def test_it_is_told_at_once(t):
    """No reading can have helped."""
    ns = router(t)
    ns.ip("route add default via 192.0.2.9")
    ns.ip("-6 route add default via 2001:db8::9")
    daemon = collectd(t, "", ns, interval=60)
    for change, back, route in (
            ("route del default", "route add default via 192.0.2.9", "default_ipv4"),
            ("-6 route del default", "-6 route add default via 2001:db8::9", "default_ipv6"),
            ("link set b0 down", "link set b0 up", "default_ipv4")):
        since = daemon.now()
        ns.ip(change)
        daemon.wait_notification("default", since=since, timeout=5, route=route)
        since = daemon.now()
        ns.ip(back)
        same(daemon.wait_notification("default", since=since, timeout=5, route=route).severity,
             "okay", f"after {back}")


def test_linkdown_has_no_event_of_its_own(t):
    """The carrier goes: the route stays, flagged linkdown, and carries nothing."""
    ns = router(t)
    ns.ip("route add default via 192.0.2.9")
    daemon = collectd(t, "", ns)
    daemon.wait_value("main/bool-default_ipv4", 1)
    ns.ip("link set b0 down")
    until(lambda: "linkdown" in ns.ip("route show default"), "the kernel to see the carrier go")
    lost = daemon.wait_notification("default", "main", route="default_ipv4")
    same((lost.severity, lost.meta["reason"]), ("failure", "dead"), "no carrier")
    daemon.wait_value("main/bool-default_ipv4", 0)
    daemon.wait_value("main/gauge-default_ipv4_nexthops", 1)
    daemon.wait_value("main/gauge-default_ipv4_nexthops_alive", 0)
    ns.ip("link set b0 up")
    same(daemon.wait_notification("default", "main", reason="alive").severity, "okay", "carrier")
    daemon.wait_value("main/bool-default_ipv4", 1)


def test_a_link_set_down_takes_its_routes_with_it(t):
    """Down and up at once: the IPv4 default is gone, though the link looks as before."""
    ns = router(t, ipv6=False)
    ns.ip("route add default via 192.0.2.9")
    daemon = collectd(t, "", ns)
    daemon.wait_value("main/bool-default_ipv4", 1)
    since = daemon.now()
    ns.batch(["link set a0 down", "link set a0 up"])
    same(ns.ip("route show default"), "", "the test's own default route")
    daemon.wait_value("main/bool-default_ipv4", 0, since=since)
    daemon.reading(since=daemon.now())
    same([n.severity for n in daemon.notices()], ["failure"], "told once, and never back")


def test_the_next_best_takes_over(t):
    ns = router(t)
    ns.batch(["route add default via 192.0.2.9 metric 10",
              "route add default via 198.51.100.9 metric 20"])
    daemon = collectd(t, "", ns)
    daemon.wait_value("main/route_metric-default_ipv4", 10)
    ns.ip("link set b0 down")
    daemon.wait_notification("changed", "main", new="via 198.51.100.9 dev c0 metric 20")
    daemon.wait_value("main/route_metric-default_ipv4", 20)
    ns.ip("link set d0 down")
    daemon.wait_notification("default", "main", reason="dead")


def test_what_cannot_carry_traffic_does_not_count(t):
    ns = router(t)
    ns.ip("route add unreachable default metric 1")
    ns.ip("-6 route add blackhole default")
    daemon = collectd(t, "", ns)
    daemon.wait_value("main/bool-default_ipv4", 0)
    daemon.wait_value("main/bool-default_ipv6", 0)
    ns.ip("route add default via 192.0.2.9 metric 2")
    daemon.wait_value("main/bool-default_ipv4", 1)


def test_default_with_two_next_hops(t):
    ns = router(t)
    ns.ip("route add default nexthop via 192.0.2.9 nexthop via 198.51.100.9")
    ns.ip("-6 route add default via 2001:db8::9")
    daemon = collectd(t, "", ns)
    daemon.wait_value("main/gauge-default_ipv4_nexthops_alive", 2)
    ns.ip("link set b0 down")
    daemon.wait_value("main/gauge-default_ipv4_nexthops_alive", 1)
    daemon.wait_value("main/gauge-default_ipv4_nexthops", 2)
    daemon.wait_value("main/bool-default_ipv4", 1)
    daemon.wait_value("main/bool-default_ipv6", 0)
    ns.ip("link set b0 up")
    ns.ip("-6 route append default via 2001:db8:1::9")
    daemon.wait_value("main/gauge-default_ipv6_nexthops", 2)
    ns.ip("-6 route del default via 2001:db8::9")
    daemon.wait_value("main/gauge-default_ipv6_nexthops", 1)
    daemon.wait_value("main/bool-default_ipv6", 1)


def test_default_over_a_nexthop_object(t):
    ns = router(t)
    ns.sysctl("ipv4/nexthop_compat_mode", 0)  # routes then tell the object's number alone
    ns.batch(["nexthop add id 1 via 192.0.2.9 dev a0", "nexthop add id 2 via 198.51.100.9 dev c0",
              "nexthop add id 10 group 1/2", "route add default nhid 10"])
    daemon = collectd(t, "", ns)
    daemon.wait_value("main/gauge-default_ipv4_nexthops_alive", 2)
    ns.ip("nexthop del id 2")
    daemon.wait_value("main/gauge-default_ipv4_nexthops", 1)
    ns.ip("nexthop del id 1")
    daemon.wait_value("main/bool-default_ipv4", 0)


def test_gateway_by_its_neighbour(t):
    ns = router(t)
    ns.ip("route add default via 192.0.2.9")
    ns.ip("-6 route add default via 2001:db8::9")
    daemon = collectd(t, "", ns)
    daemon.reading()
    same(daemon.ids("gateway_reachable"), set(), "nobody has asked for the gateways yet")
    id4, id6 = (f"main/bool-default_ipv{n}_gateway_reachable" for n in (4, 6))
    for state, expected in (("permanent", 1), ("stale", 1), ("reachable", 1)):
        ns.ip(f"neigh replace 192.0.2.9 lladdr 02:00:00:00:00:99 dev a0 nud {state}")
        ns.ip(f"neigh replace 2001:db8::9 lladdr 02:00:00:00:00:99 dev a0 nud {state}")
        since = daemon.now()
        daemon.wait_value(id4, expected, since=since)
        daemon.wait_value(id6, expected, since=since)
    ns.ip("neigh del 192.0.2.9 dev a0")
    talk(ns, "192.0.2.9")  # nobody answers
    daemon.wait_value(id4, 0)


def test_prefixes_of_ones_own(t):
    ns = router(t)
    ns.ip("route add 10.0.0.0/8 via 192.0.2.9 metric 7 table 100")
    daemon = collectd(t, 'Collect "Detail"\nPrefix "10.0.0.0/8" "2001:db8:5::/48"', ns)
    daemon.wait_value("100/bool-10.0.0.0_8", 1)
    daemon.wait_value("100/route_metric-10.0.0.0_8", 7)
    daemon.wait_value("main/bool-10.0.0.0_8", 0)
    ns.ip("route del 10.0.0.0/8 table 100")
    lost = daemon.wait_notification("prefix", "100", route="10.0.0.0_8")
    same((lost.severity, lost.meta["old"]), ("failure", "via 192.0.2.9 dev a0 metric 7"), "lost")
    daemon.wait_value("100/bool-10.0.0.0_8", 0)
    ns.ip("-6 route add blackhole 2001:db8:5::/48")
    daemon.wait_notification("prefix", "main", route="2001:db8:5::_48", reason="added")
    daemon.wait_value("main/bool-2001:db8:5::_48", 1)
    ns.ip("route add 10.0.0.0/9 via 192.0.2.9")  # not that prefix
    daemon.reading(since=daemon.now())
    daemon.wait_value("main/bool-10.0.0.0_8", 0)


def test_notify_chooses(t):
    ns = router(t)
    daemon = collectd(t, 'Notify "changed"', ns)
    ns.batch(["route add default via 192.0.2.9", "route replace default via 192.0.2.8",
              "route del default"])
    daemon.wait_value("main/bool-default_ipv4", 0, since=daemon.now() + INTERVAL)
    assert {kind for kind, *_ in told(daemon)} <= {"changed"}, told(daemon)


def test_what_exists_at_the_start_is_no_news(t):
    ns = router(t)
    ns.ip("route add default via 192.0.2.9")
    daemon = collectd(t, "AuditInterval 0.6", ns)
    daemon.wait_value("main/bool-default_ipv4", 1, since=daemon.now() + 3 * INTERVAL)
    same(told(daemon), [], "notifications")
