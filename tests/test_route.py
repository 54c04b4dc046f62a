# SPDX-License-Identifier: MIT
"""What netmon_route sends about routes is what `ip` says of them, however they came and went."""

import contextlib
import json
import signal
import socket
import struct
from collections import Counter

from harness import Skip, same, time_limit, until

IPV4, IPV6 = "ipv4", "ipv6"


def collectd(t, block, ns, interval=0.2, **kw):
    daemon = t.collectd(block, ns, plugin="netmon_route", interval=interval, **kw)
    daemon.wait_value("main/bool-default_ipv4", timeout=20)
    return daemon


def router(t, ipv6=True):
    """Two links to somewhere, with an address each."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.veth("c0", "d0")
    ns.batch(["addr add 192.0.2.1/24 dev a0", "addr add 198.51.100.1/24 dev c0"])
    if ipv6:
        ns.ipv6("a0", "c0")
        ns.batch(["addr add 2001:db8::1/64 dev a0 nodad",
                  "addr add 2001:db8:1::1/64 dev c0 nodad"])
    return ns


def kernel_counts(ns):
    """Routes by table, family, type and protocol, as `ip` lists them."""
    counts = Counter()
    for family, words in ((IPV4, "-4"), (IPV6, "-6")):
        for route in json.loads(ns.ip(f"-j -d {words} route show table all") or "[]"):
            table = route.get("table", "main")
            counts[f"{table}/routes-{family}_{route['type']}_{route.get('protocol', 'boot')}"] += 1
    return dict(counts)


def sent_counts(daemon):
    """The newest of each count; they are slow values.  What is gone is sent as 0."""
    newest = {id: daemon.latest(id).plain for id in daemon.ids("/routes-ipv[46]_")}
    return {id: n for id, n in newest.items() if n}


def assert_counts(ns, daemon, what):
    """The first reading that begins after now is exact."""
    expected = kernel_counts(ns)
    daemon.reading(since=daemon.now())
    same(sent_counts(daemon), expected, what)
    return expected


def talk(ns, address):
    """One packet to somewhere, whether it can be sent or not."""
    with ns.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as s:
        with contextlib.suppress(OSError):
            s.sendto(b"x", (address, 9))


def dumps(daemon):
    return daemon.wait_value("self/derive-dumps", since=daemon.now()).plain


def test_counts_of_all_kinds_equal_ip(t):
    ns = router(t)
    ns.batch(["route add 10.0.0.0/8 via 192.0.2.9 proto bgp", "route add blackhole 10.1.0.0/16",
              "route add unreachable 10.2.0.0/16 table 100", "route add prohibit 10.3.0.0/16",
              "route add throw 10.4.0.0/16 table 100 proto 77",
              "route add 10.5.0.0/16 dev c0 tos 4",
              "route add 10.0.0.0/8 via 192.0.2.9 metric 7 proto ospf",
              "route add 10.6.0.0/16 nexthop via 192.0.2.9 nexthop via 198.51.100.9"])
    for line in ("2001:db8:5::/48 via 2001:db8::9 proto bgp", "blackhole 2001:db8:6::/48",
                 "2001:db8:7::/48 nexthop via 2001:db8::8 nexthop via 2001:db8:1::9",
                 "unreachable 2001:db8:8::/48 table 200"):
        ns.ip(f"-6 route add {line}")
    daemon = collectd(t, "", ns)
    expected = assert_counts(ns, daemon, "counts")
    for id in ("100/routes-ipv4_throw_77", "main/routes-ipv6_blackhole_boot",
               "local/routes-ipv4_local_kernel", "main/routes-ipv4_unicast_ospf"):
        assert expected.get(id), f"the story went wrong: no {id}"
    same(daemon.latest("main/gauge-ipv4_multipath_nexthops").plain, 2, "next hops")
    same(daemon.latest("main/gauge-ipv6_multipath_nexthops").plain, 2, "IPv6 next hops")


def test_every_kind_of_change_is_exact_at_the_next_reading(t):
    """Each step is followed by one reading: what an event means is not always what it says."""
    ns = router(t)
    daemon = collectd(t, "", ns)
    steps = [
        ("-4", "route add 10.0.0.0/8 via 192.0.2.9"),
        ("-4", "route append 10.0.0.0/8 via 192.0.2.8 proto static"),
        ("-4", "route replace 10.0.0.0/8 via 192.0.2.7 proto bgp"),
        ("-4", "route change 10.0.0.0/8 dev a0 proto ospf"),
        ("-4", "route replace blackhole 10.0.0.0/8"),
        ("-4", "route replace 10.1.0.0/16 nexthop via 192.0.2.9 nexthop via 192.0.2.8"),
        ("-4", "route del 10.0.0.0/8"),
        ("-4", "route del 10.1.0.0/16"),
        ("-6", "route add 2001:db8:5::/48 via 2001:db8::9"),
        ("-6", "route append 2001:db8:5::/48 via 2001:db8::8"),
        ("-6", "route append 2001:db8:5::/48 via 2001:db8::7 proto bgp"),
        ("-6", "route del 2001:db8:5::/48 via 2001:db8::9"),
        ("-6", "route add 2001:db8:6::/48 nexthop via 2001:db8::9 nexthop via 2001:db8::8"),
        ("-6", "route append 2001:db8:6::/48 nexthop via 2001:db8::7"),
        ("-6", "route replace 2001:db8:6::/48 via 2001:db8::9 proto static"),
        ("-6", "route del 2001:db8:5::/48"),
        ("-6", "route add 2001:db8:5::/48 dev a0"),
        ("-6", "route append 2001:db8:5::/48 via 2001:db8::8"),
        ("-6", "route flush proto boot"),
    ]
    for family, step in steps:
        ns.ip(f"{family} {step}")
        assert_counts(ns, daemon, f"counts after `ip {step}`")


def test_routes_that_vanish_without_an_event(t):
    """Link down, last address gone, link deleted, VRF or nexthop object away: none is told."""
    ns = router(t)
    daemon = collectd(t, "", ns)
    many = [f"route add 10.{i}.0.0/16 via 192.0.2.9" for i in range(50)]
    ns.batch(many)
    before = assert_counts(ns, daemon, "counts at first")
    same(before["main/routes-ipv4_unicast_boot"], 50, "the test's own routes")

    deleted = daemon.latest("main/derive-ipv4_deleted_boot").plain
    ns.ip("link set a0 down")
    assert_counts(ns, daemon, "counts after the link went down")
    same(daemon.latest("main/derive-ipv4_deleted_boot").plain, deleted, "deletions that were told")

    ns.batch(["link set a0 up", *many])
    assert_counts(ns, daemon, "counts after the link came up")
    ns.ip("addr del 192.0.2.1/24 dev a0")
    assert_counts(ns, daemon, "counts after the last address went")

    ns.batch(["addr add 192.0.2.1/24 dev a0", *many, "nexthop add id 1 via 198.51.100.9 dev c0",
              "route add 10.99.0.0/16 nhid 1"])
    assert_counts(ns, daemon, "counts with a nexthop object")
    ns.ip("nexthop del id 1")
    assert_counts(ns, daemon, "counts after the nexthop object went")
    ns.ip("link del a0")
    assert_counts(ns, daemon, "counts after the link was deleted")


def test_next_hops_that_die_untold(t):
    """The carrier of one of two links: the route stays, and no event says that half is dead."""
    ns = router(t, ipv6=False)
    ns.ip("route add 10.0.0.0/8 nexthop via 192.0.2.9 nexthop via 198.51.100.9")
    daemon = collectd(t, "SlowInterval 3600", ns)
    daemon.wait_value("main/gauge-ipv4_multipath_nexthops_alive", 2)
    ns.ip("link set b0 down")
    daemon.wait_value("main/gauge-ipv4_multipath_nexthops_alive", 1)
    route = json.loads(ns.ip("-j route show 10.0.0.0/8"))[0]
    same(sum("linkdown" in hop["flags"] for hop in route["nexthops"]), 1, "the test's own route")
    ns.ip("link set b0 up")
    daemon.wait_value("main/gauge-ipv4_multipath_nexthops_alive", 2)


def test_nothing_changed_costs_no_dump_and_few_changes_neither(t):
    ns = router(t)
    ns.batch([f"route add 10.{i >> 8}.{i & 255}.0/24 dev a0 proto bgp" for i in range(10000)])
    daemon = collectd(t, "", ns)
    daemon.wait_value("main/routes-ipv4_unicast_bgp", 10000)
    start = dumps(daemon)
    same(dumps(daemon) - start, 0, "dumps with nothing changed")
    messages = daemon.latest("self/derive-messages").plain

    ns.batch([f"route add 11.{i}.0.0/16 dev a0 proto bgp" for i in range(100)])
    ns.batch([f"route del 10.0.{i}.0/24 dev a0" for i in range(30)])
    ns.ip("-6 route add 2001:db8:9::/48 dev a0")
    ns.ip("-6 route del 2001:db8:9::/48 dev a0")
    assert_counts(ns, daemon, "counts by events alone")
    same(dumps(daemon) - start, 0, "dumps for plain additions and deletions")
    more = daemon.latest("self/derive-messages").plain - messages
    assert more < 200, f"{more} messages for 132 changes"
    same(daemon.latest("main/derive-ipv4_added_bgp").plain, 100, "added")
    same(daemon.latest("main/derive-ipv4_deleted_bgp").plain, 30, "deleted")


@time_limit(90)
def test_many_changes_a_second(t):
    """As many as `ip` can make, for seconds, while readings go on; then exact at once."""
    ns = router(t)
    daemon = collectd(t, "", ns)
    add = [f"route add 10.{i >> 8}.{i & 255}.0/24 dev a0 proto {186 + i % 3}" for i in range(10000)]
    for _ in range(3):
        ns.batch(add)
        assert_counts(ns, daemon, "counts after 10,000 additions")
        ns.batch([line.replace("add", "replace").replace("a0", "c0") for line in add])
        assert_counts(ns, daemon, "counts after 10,000 replacements")
        ns.batch([line.replace("add", "del").replace("a0", "c0") for line in add])
        assert_counts(ns, daemon, "counts after 10,000 deletions")
    events = daemon.latest("self/derive-events").plain
    t.note(f"{events} events, {daemon.latest('self/derive-lost').plain} losses")


def test_lost_events_are_repaired_by_the_next_reading(t):
    ns = router(t)
    ns.ip("route add default via 192.0.2.9")
    daemon = collectd(t, "ReceiveBuffer 4096", ns, expect_log=["ENOBUFS", "lost"])
    daemon.reading()
    daemon.signal(signal.SIGSTOP)
    ns.batch([f"route add 10.{i >> 8}.{i & 255}.0/24 dev a0" for i in range(2000)])
    ns.ip("route del default")
    ns.batch([f"route add 11.{i >> 8}.{i & 255}.0/24 dev a0 proto bgp" for i in range(2000)])
    woken = daemon.now()
    daemon.signal(signal.SIGCONT)
    daemon.reading(since=woken)
    same(sent_counts(daemon), kernel_counts(ns), "counts of the first reading after the loss")
    assert daemon.latest("self/derive-lost").plain > 0, "the loss is not counted"
    owed = daemon.wait_notification("default", "main", since=woken - 60)
    same((owed.severity, owed.meta["route"]), ("failure", "default_ipv4"), "what was owed")
    ns.ip("route add default via 192.0.2.8")
    daemon.wait_notification("default", "main", reason="added")


MRT_INIT, MRT_ADD_VIF, MRT_ADD_MFC, MRT_DEL_MFC = 200, 202, 204, 205


def multicast_router(ns, ifindex):
    """A multicast routing daemon's socket, with one interface; it ends with the socket."""
    s = ns.call(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
    s.setsockopt(socket.IPPROTO_IP, MRT_INIT, 1)
    VIFF_USE_IFINDEX = 8
    s.setsockopt(socket.IPPROTO_IP, MRT_ADD_VIF,
                 struct.pack("=HBBIi4x", 0, VIFF_USE_IFINDEX, 1, 0, ifindex))
    return s


def test_multicast_routes_are_counted(t):
    ns = router(t)
    daemon = collectd(t, "", ns)
    same(daemon.ids("routes-(ipmr|ip6mr|mpls)"), set(), "families without a route")
    with multicast_router(ns, ns.link("a0")["ifindex"]) as s:
        route = struct.pack("=4s4sH32s2xIIIi", socket.inet_aton("192.0.2.5"),
                            socket.inet_aton("239.1.2.3"), 0, bytes(32), 0, 0, 0, 0)
        s.setsockopt(socket.IPPROTO_IP, MRT_ADD_MFC, route)
        same(len(json.loads(ns.ip("-j mroute show table all"))), 1, "the test's own route")
        daemon.wait_value("default/routes-ipmr_multicast_mrouted", 1)
    daemon.wait_value("default/routes-ipmr_multicast_mrouted", 0)


def test_tables_are_chosen(t):
    ns = router(t)
    ns.batch(["route add default via 192.0.2.9 table 100", "route add default dev c0 table 200"])
    daemon = collectd(t, 'Table "main" "/^10/"', ns)
    daemon.reading()
    same(daemon.instances(), {"main", "100", "nexthops"}, "instances")
    since = daemon.now()
    ns.batch(["route del default table 200", "route del default table 100"])
    daemon.wait_notification("default", "100", since=since)
    same({n.instance for n in daemon.notices()}, {"100"}, "tables told of")


def test_collect_says_how_much(t):
    ns = router(t)
    ns.batch(["route add 10.0.0.0/8 via 192.0.2.9", "nexthop add id 1 via 192.0.2.9 dev a0"])
    block = 'Prefix "10.0.0.0/8"\nCollect'
    no = collectd(t, f"{block} No", ns)
    no.reading()
    same(no.ids("routes-|multipath|10.0|objects"), set(), "with Collect No")
    summary = collectd(t, f"{block} Summary", ns)
    summary.reading()
    same(summary.ids("10.0"), set(), "prefixes with Collect Summary")
    detail = collectd(t, f"{block} Detail", ns)
    detail.wait_value("main/bool-10.0.0.0_8", 1)
    detail.wait_value("main/routes-ipv4_unicast_boot", 1)


def test_a_wrong_prefix_is_refused(t):
    for prefix in ("10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "2001:db8::/129", "default"):
        log = t.collectd(f'Prefix "{prefix}"', plugin="netmon_route").refused()
        assert "Prefix" in log and prefix in log, f"the log of {prefix}: {log}"


def test_nexthop_objects_groups_and_buckets(t):
    ns = router(t)
    daemon = collectd(t, "Collect Detail\nSlowInterval 3600", ns)
    daemon.wait_value("nexthops/gauge-objects", 0)
    ns.batch(["nexthop add id 1 via 192.0.2.9 dev a0", "nexthop add id 2 via 198.51.100.9 dev c0",
              "nexthop add id 10 group 1/2",
              "nexthop add id 11 group 1/2 type resilient buckets 8"])
    daemon.wait_value("nexthops/gauge-objects", 2)
    daemon.wait_value("nexthops/gauge-groups", 2)
    daemon.wait_value("nexthops/gauge-resilient_groups", 1)
    daemon.wait_value("nexthops/gauge-buckets", 8)
    buckets = Counter(b["bucket"]["nhid"] for b in json.loads(ns.ip("-j nexthop bucket")))
    for id in (1, 2):
        daemon.wait_value(f"nexthops/gauge-group_11_nexthop_{id}_buckets", buckets[id])
    daemon.wait_value("nexthops/gauge-group_10_nexthops_alive", 2)
    ns.ip("link set d0 down")  # the kernel deletes the object, and tells nobody
    until(lambda: [n["id"] for n in json.loads(ns.ip("-j nexthop"))] == [1, 10, 11],
          "the kernel to delete the object")
    daemon.wait_value("nexthops/gauge-objects", 1)
    daemon.wait_value("nexthops/gauge-group_11_nexthop_1_buckets", 8)
    daemon.wait_value("nexthops/gauge-group_10_nexthops", 1)
    ns.ip("nexthop flush")
    daemon.wait_value("nexthops/gauge-groups", 0)
    daemon.wait_value("nexthops/gauge-buckets", 0)


def test_packets_of_a_group(t):
    ns = router(t)
    ns.batch(["nexthop add id 1 via 192.0.2.9 dev a0", "nexthop add id 2 via 192.0.2.9 dev a0",
              "nexthop add id 10 group 1/2", "route add 10.0.0.0/8 nhid 10"])
    daemon = collectd(t, "Collect Detail", ns)
    ids = [f"nexthops/derive-group_10_nexthop_{n}_packets" for n in (1, 2)]
    if ids[0] not in daemon.reading():
        raise Skip("this kernel does not count the packets of nexthop groups")
    for i in range(1, 51):
        talk(ns, f"10.0.0.{i}")
    reading = daemon.reading(since=daemon.now())
    packets = [reading[id].plain for id in ids]
    assert sum(packets) >= 50 and min(packets) > 0, f"packets by next hop: {packets}"


def test_json_equals_ip(t):
    ns = router(t)
    ns.batch(["route add 10.0.0.0/8 nexthop via 192.0.2.9 weight 3 nexthop via 198.51.100.9",
              "route add 10.1.0.0/16 via inet6 2001:db8::9 dev a0 mtu 1400",
              "nexthop add id 1 via 192.0.2.9 dev a0"])
    out = json.loads(t.netmon("route", "--namespace", ns.name).stdout)
    hops = next(r for r in out["ipv4"] if r.get("dst") == "10.0.0.0")["multipath"]
    same([(h["gateway"], h["ifindex_name"], h["hops"]) for h in hops],
         [("192.0.2.9", "a0", 2), ("198.51.100.9", "c0", 0)], "next hops")
    via = next(r for r in out["ipv4"] if r.get("dst") == "10.1.0.0")
    same((via["via"], via["metrics"]), ("2001:db8::9", {"mtu": 1400}), "a gateway of IPv6")
    for family in (IPV4, IPV6):
        routes = json.loads(ns.ip(f"-j -{family[-1]} route show table all"))
        same(len(out[family]), len(routes), f"{family} routes")
    same([n["id"] for n in out["nexthops"]], [1], "nexthop objects")
