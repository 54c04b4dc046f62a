# SPDX-License-Identifier: MIT
"""What switches and routers have and a plain machine's kernel lacks: VLANs, VXLAN, MPLS, VRFs."""

import json
import re
import socket
import struct
from collections import Counter

from harness import same, until, vm
from test_link_kinds import attr, bridge, index, nest, request

RTM_NEWMDB, MDBA_SET_ENTRY, MDBA_SET_ENTRY_ATTRS, MDBE_ATTR_DST = 84, 1, 2, 5
MDB_PERMANENT, ETH_P_IP = 1, 0x0800


def switch(t, options=""):
    """A bridge with VLANs and the ports p0, p1 and the VXLAN vx0."""
    ns = t.namespace()
    ns.ip(f"link add br0 type bridge vlan_filtering 1 {options}")
    for i in (0, 1):
        ns.veth(f"p{i}", f"q{i}")
        ns.ip(f"link set p{i} master br0")
        ns.run("bridge", "vlan", "add", "dev", f"p{i}", "vid", "10-12")
    ns.batch(["link add vx0 type vxlan id 7 dstport 4789 local 192.0.2.1",
              "link set vx0 master br0", "link set vx0 up", "link set br0 up"])
    ns.run("bridge", "vlan", "add", "dev", "vx0", "vid", "10")
    ns.run("bridge", "vlan", "add", "dev", "br0", "vid", "10", "self")
    until(lambda: "forwarding" in ns.run("bridge", "link", "show", "dev", "p1"), "a bridge")
    return ns


def is_multicast(entry):
    return int(entry["mac"][:2], 16) & 1 or entry["mac"].startswith("33:33")


def fdb_counts(ns):
    """Entries as netmon_neighbor counts them, from the words of `bridge`."""
    counts, remotes = Counter(), {}
    for e in bridge(ns, "-d", "fdb"):
        if is_multicast(e):
            continue
        kind = "external" if "extern_learn" in e["flags"] else \
            {"permanent": "permanent", "static": "static"}.get(e["state"], "learned")
        if "master" in e:
            counts[f"{e['ifname']}/gauge-fdb_{kind}"] += 1
            counts[f"{e['ifname']}/gauge-fdb_{kind}_vlan{e.get('vlan', 0)}"] += 1
        elif "dst" in e:
            counts[f"{e['ifname']}/gauge-vxlan_{kind}"] += 1
            remotes.setdefault(e["ifname"], set()).add(e["dst"])
    counts.update({f"{dev}/gauge-vxlan_remotes": len(of) for dev, of in remotes.items()})
    return dict(counts)


def counted(daemon):
    return {id: v.plain for id in daemon.ids("gauge-(fdb|vxlan)_")
            if (v := daemon.latest(id)) and v.plain}


@vm
def test_forwarding_entries_by_port_and_vlan_and_remote(t):
    ns = switch(t)
    ns.run("bridge", "-batch", "-", input="""
fdb append 00:00:00:00:00:00 dev vx0 dst 198.51.100.1 self permanent
fdb append 00:00:00:00:00:00 dev vx0 dst 198.51.100.2 self permanent
fdb add 02:00:00:00:00:aa dev vx0 dst 198.51.100.2 self static
fdb add 02:00:00:00:00:aa dev vx0 vlan 10 master static
fdb add 02:00:00:00:00:ab dev p0 vlan 11 master static
fdb add 02:00:00:00:00:ac dev p0 vlan 11 master extern_learn
""")
    daemon = t.collectd("ReportVlans true\nSlowInterval 0.1", ns, plugin="netmon_neighbor")
    daemon.wait_value("p0/gauge-fdb_static_vlan11", 1)
    for i in range(5):
        ns.frames("q0", 1, 60, source=f"02:00:00:00:01:{i:02x}", proto=0x8100,
                  payload=struct.pack("!HH", 12, 0x88b5))
    daemon.wait_value("p0/gauge-fdb_learned_vlan12", 5)
    daemon.reading(since=daemon.now())
    same(counted(daemon), fdb_counts(ns), "entries")
    ns.run("bridge", "fdb", "del", "00:00:00:00:00:00", "dev", "vx0", "dst", "198.51.100.1", "self")
    ns.run("bridge", "fdb", "del", "02:00:00:00:00:ab", "dev", "p0", "vlan", "11", "master")
    daemon.wait_value("vx0/gauge-vxlan_remotes", 1)
    daemon.wait_value("p0/gauge-fdb_static_vlan11", 0)
    daemon.reading(since=daemon.now())
    same(counted(daemon), fdb_counts(ns), "entries after a change")


@vm
def test_neighbour_table_that_is_full(t):
    """The limit belongs to the whole machine, here the VM."""
    limit = {f"gc_thresh{i}": n for i, n in ((1, 1), (2, 10), (3, 20))}
    for name, n in limit.items():
        with open(f"/proc/sys/net/ipv4/neigh/default/{name}", "w") as f:
            f.write(str(n))
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.ip("addr add 198.18.0.1/16 dev a0")
    daemon = t.collectd(ns=ns, plugin="netmon_neighbor")
    daemon.wait_value("arp_cache/gauge-gc_thresh3", 20)
    with ns.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setblocking(False)
        for i in range(100):
            try:
                s.sendto(b"x", (f"198.18.1.{i + 1}", 9))
            except OSError:  # that is what a full table does
                pass
    told = daemon.wait_notification("table_full", "arp_cache")
    same(told.severity, "failure", told.message)
    fulls = json.loads(ns.ip("-j -s ntable show name arp_cache"))
    kernel = max(d.get("stats", d).get("table_fulls", 0) for d in fulls if isinstance(d, dict))
    daemon.wait_value("arp_cache/derive-table_fulls", lambda n: n > 0 and n >= kernel)


# ---- multicast ------------------------------------------------------------------------------------


@vm
def test_groups_by_vlan(t):
    ns = switch(t, "mcast_vlan_snooping 1 mcast_querier 1")
    ns.run("bridge", "-batch", "-", input="""
mdb add dev br0 port p0 grp 239.1.1.1 permanent vid 10
mdb add dev br0 port p1 grp 239.1.1.1 permanent vid 11
mdb add dev br0 port p1 grp 239.1.1.2 permanent vid 11
mdb add dev br0 port p1 grp ff05::7 permanent vid 12
vlan global set dev br0 vid 10 mcast_snooping 1 mcast_querier 1
""")
    querying = {v["vlan"] for d in bridge(ns, "-d", "vlan", "global") for v in d["vlans"]
                if v["mcast_querier"]}
    same(querying, {10}, "the story: a querier of one VLAN")
    daemon = t.collectd('CollectVlans Detail\nSlowInterval 0.1', ns, plugin="netmon_mdb")
    daemon.wait_value("br0/gauge-groups", 4)
    daemon.wait_value("p1/gauge-groups_vlan12", 1)
    daemon.reading(since=daemon.now())
    expected = Counter()
    for e in (e for d in bridge(ns, "-d", "mdb") for e in d.get("mdb", [])):
        expected[f"{e['port']}/gauge-groups_vlan{e['vid']}"] += 1
    groups = {(e["grp"], e["vid"]) for d in bridge(ns, "-d", "mdb") for e in d.get("mdb", [])}
    expected.update(Counter(f"br0/gauge-groups_vlan{vid}" for _, vid in groups))
    same({id: v.plain for id in daemon.ids("groups_vlan") if (v := daemon.latest(id)).plain},
         dict(expected), "groups by VLAN")
    same({id: daemon.latest(id).plain for id in daemon.ids("br0/bool-querier_vlan")},
         {f"br0/bool-querier_vlan{vid}": vid in querying for vid in (1, 10, 11, 12)},
         "queriers by VLAN")
    same(daemon.ids("br0/bool-querier$"), set(), "a querier of the bridge, which has none")


def vlan_options(ns, dev):
    """What `bridge` says of each VLAN, also of those that it tells as a range."""
    return {vid: v for d in bridge(ns, "-d", "vlan", "global") if d["ifname"] == dev
            for v in d["vlans"] for vid in range(v["vlan"], v.get("vlanEnd", v["vlan"]) + 1)}


@vm
def test_queriers_by_vlan(t):
    """One that is heard in a VLAN and goes, own ones, and VLANs that the kernel tells as a range."""
    ns, other = switch(t, "mcast_vlan_snooping 1"), t.namespace()
    ns.run("bridge", "-batch", "-", input="""
vlan add dev p1 vid 20-22
vlan global set dev br0 vid 10 mcast_querier 1
vlan global set dev br0 vid 11 mcast_querier_interval 600
vlan global set dev br0 vid 12 mcast_snooping 0
""")
    ns.ip(f"link set q1 netns {other.name}")
    other.batch(["link add br1 type bridge vlan_filtering 1 mcast_vlan_snooping 1 "
                 "mcast_query_use_ifaddr 1", "addr add 198.51.100.9/24 dev br1",
                 "link set q1 master br1", "link set q1 up", "link set br1 up"])
    other.run("bridge", "-batch", "-", input="""
vlan add dev q1 vid 10-12
vlan add dev br1 vid 11 self
vlan global set dev br1 vid 11 mcast_query_interval 100 mcast_startup_query_interval 100
""")
    until(lambda: "forwarding" in other.run("bridge", "link", "show", "dev", "q1"), "a port")
    until(lambda: "forwarding" in ns.run("bridge", "link", "show", "dev", "p1"), "a port")
    daemon = t.collectd("SlowInterval 0.1", ns, plugin="netmon_mdb")
    daemon.wait_value("br0/bool-querier_vlan11", 0)

    other.run("bridge", "vlan", "global", "set", "dev", "br1", "vid", "11", "mcast_querier", "1")
    heard = daemon.wait_notification("querier", "br0", new="198.51.100.9", family="ipv4")
    same((heard.severity, heard.meta["vlan"], heard.meta["port"], "VLAN 11" in heard.message),
         ("okay", "11", "p1", True), "a querier is heard")
    daemon.wait_value("br0/bool-querier_vlan11", 1)
    daemon.wait_value("br0/bool-querier_other_ipv4_vlan11", 1)
    daemon.wait_value("br0/duration-querier_ipv4_vlan11", lambda s: 0 <= s < 6)
    daemon.reading(since=daemon.now())
    said = vlan_options(ns, "br0")
    same(sorted(said), [1, 10, 11, 12, 20, 21, 22], "the story: VLANs")
    for name, option in (("bool-snooping", "mcast_snooping"), ("bool-querier_own", "mcast_querier")):
        same({vid: daemon.latest(f"br0/{name}_vlan{vid}").plain for vid in said},
             {vid: v[option] for vid, v in said.items()}, option)
    routers = {vid: len(v.get("router_ports", [])) for vid, v in said.items()}
    same(routers[11], 1, "the story: a router port")
    same({vid: daemon.latest(f"br0/gauge-router_ports_vlan{vid}").plain for vid in said}, routers,
         "router ports")
    same({vid: daemon.latest(f"br0/bool-querier_vlan{vid}").plain for vid in said if vid != 12},
         {1: 0, 10: 1, 11: 1, 20: 0, 21: 0, 22: 0}, "queriers")
    same(daemon.ids("br0/bool-querier_vlan12$") | daemon.ids("br0/bool-querier$"), set(),
         "a querier where nobody snoops, and of the bridge")

    since = daemon.now()
    other.run("bridge", "vlan", "global", "set", "dev", "br1", "vid", "11", "mcast_querier", "0")
    lost = daemon.wait_notification("querier", "br0", since=since, old="198.51.100.9", new="none",
                                    timeout=30)
    same((lost.severity, lost.meta["vlan"], lost.meta["reason"]), ("failure", "11", "timeout"),
         "the querier is lost")
    daemon.wait_value("br0/bool-querier_vlan11", 0, since=lost.time)
    ns.run("bridge", "vlan", "global", "set", "dev", "br0", "vid", "10", "mcast_querier", "0")
    off = daemon.wait_notification("querier", "br0", old="own", new="none", vlan="10")
    same(off.meta["reason"], "disabled", "the bridge's own")
    ns.ip("link set br0 type bridge mcast_vlan_snooping 0")
    daemon.wait_value("br0/bool-querier", 0)


def add_vxlan_group(ns, dev, group, remote):
    entry = struct.pack("=IBBH", index(ns, dev), MDB_PERMANENT, 0, 0) \
        + socket.inet_aton(group) + bytes(12) + struct.pack("!H2x", ETH_P_IP)
    request(ns, RTM_NEWMDB, struct.pack("=BxxxI", socket.AF_BRIDGE, index(ns, dev))
            + attr(MDBA_SET_ENTRY, entry)
            + nest(MDBA_SET_ENTRY_ATTRS, attr(MDBE_ATTR_DST, socket.inet_aton(remote))))


@vm
def test_groups_of_a_vxlan(t):
    """They are the VXLAN's own: no bridge has them, and JSON has every attribute."""
    ns = switch(t)
    add_vxlan_group(ns, "vx0", "239.9.9.9", "198.51.100.9")
    said = json.loads(t.netmon("mdb", ns=ns).stdout)
    vxlan = next(m for m in said["mdb"] if m["ifindex"] == index(ns, "vx0"))
    entries = [e for group in vxlan["mdb"] for e in group]
    same([(e["addr"], e.get("dst"), [k for k in e if k.isdigit()]) for e in entries],
         [("239.9.9.9", "198.51.100.9", [])], "entries")
    daemon = t.collectd(ns=ns, plugin="netmon_mdb")
    bridges = [e for d in bridge(ns, "mdb") for e in d.get("mdb", []) if e["dev"] == "br0"]
    daemon.wait_value("br0/gauge-groups", len({e["grp"] for e in bridges}))
    daemon.wait_value("vx0/gauge-groups", 0)
    since = daemon.now()
    add_vxlan_group(ns, "vx0", "239.9.9.10", "198.51.100.9")
    reading = daemon.reading(since=daemon.now())
    same(reading["vx0/gauge-groups"].plain, 0, "groups of the port")
    assert not [n for n in daemon.notices(since) if "239.9.9.10" in n.message], "told of a bridge"


# ---- routes and rules -------------------------------------------------------------------------------


@vm
def test_routes_of_mpls_and_vrfs_and_nexthop_objects(t):
    ns = t.namespace()
    ns.run("modprobe", "-a", "mpls_router", "mpls_iptunnel")
    ns.sysctl("mpls/platform_labels", 1000)
    ns.veth("a0", "b0")
    ns.batch(["addr add 192.0.2.1/24 dev a0", "link add vrf0 type vrf table 10",
              "link set vrf0 up", "link add d0 type dummy", "link set d0 master vrf0",
              "link set d0 up", "addr add 198.18.0.1/24 dev d0",
              "route add table 10 default via 198.18.0.254",
              "route add 203.0.113.0/24 encap mpls 100 via 192.0.2.254",
              "nexthop add id 1 via 192.0.2.2 dev a0", "nexthop add id 2 via 192.0.2.3 dev a0",
              "nexthop add id 10 group 1/2",
              "nexthop add id 11 group 1/2 type resilient buckets 8 idle_timer 60",
              "route add 198.51.100.0/24 nhid 10", "route add 198.51.101.0/24 nhid 11"])
    ns.ip("-f mpls route add 100 via inet 192.0.2.254 dev a0")
    ns.ip("-f mpls route add 200 as 300/301 via inet 192.0.2.254 dev a0")
    daemon = t.collectd("Collect Detail\nSlowInterval 0.1", ns, plugin="netmon_route")
    daemon.wait_value("10/bool-default_ipv4", 1)
    daemon.wait_value("nexthops/gauge-buckets", 8)
    daemon.reading(since=daemon.now())

    routes = json.loads(ns.ip("-j -4 route show table all"))
    expected = Counter(f"{r.get('table', 'main')}/routes-ipv4_{r.get('type', 'unicast')}_"
                       f"{r.get('protocol', 'boot')}" for r in routes)
    mpls = json.loads(ns.ip("-j -f mpls route"))
    expected["main/routes-mpls_unicast_boot"] = len(mpls)
    same({id: v.plain for id in daemon.ids("routes-(ipv4|mpls)")
          if (v := daemon.latest(id)).plain}, dict(expected), "routes")
    buckets = Counter(b["bucket"]["nhid"] for b in json.loads(ns.ip("-j nexthop bucket")))
    same({n: daemon.latest(f"nexthops/gauge-group_11_nexthop_{n}_buckets").plain for n in buckets},
         dict(buckets), "buckets")
    objects = json.loads(ns.ip("-j nexthop"))
    same((daemon.latest("nexthops/gauge-objects").plain,
          daemon.latest("nexthops/gauge-groups").plain),
         (sum("group" not in o for o in objects), sum("group" in o for o in objects)), "objects")

    ours = json.loads(t.netmon("route", ns=ns).stdout)["mpls"]
    same(sorted((r["dst"], r.get("newdst")) for r in ours), [([100], None), ([200], [300, 301])],
         "labels")

    since = daemon.now()
    ns.ip("link set d0 down")
    told = daemon.wait_notification("default", "10", since=since)
    same(told.severity, "failure", "the VRF has no default route")
    ns.ip("-f mpls route del 200")
    daemon.wait_value("main/routes-mpls_unicast_boot", 1)


@vm
def test_rules_of_vrfs(t):
    """The kernel makes the rule for all VRFs with the first of them."""
    ns = t.namespace()
    daemon = t.collectd("SlowInterval 0.1", ns, plugin="netmon_rule")
    daemon.wait_value("ipv4/gauge-rules", 3)
    ns.batch(["link add vrf0 type vrf table 10", "link set vrf0 up",
              "rule add iif vrf0 lookup 10"])
    added = daemon.wait_notification("add", "ipv4")
    rules = json.loads(ns.ip("-j rule"))
    same([r["priority"] for r in rules if "l3mdev" in r], [1000], "the story: a rule of VRFs")
    assert re.search("1000.*l3mdev", added.message), added.message
    daemon.wait_value("ipv4/gauge-rules", len(rules))
    daemon.wait_value("ipv4/gauge-rules_lookup", len(rules))
    ns.ip("link del vrf0")
    detached = len([r for r in json.loads(ns.ip("-j rule")) if "iif_detached" in r])
    same(detached, 1, "the story: a rule that has lost its interface")
    daemon.wait_value("ipv4/gauge-rules_detached", detached)
