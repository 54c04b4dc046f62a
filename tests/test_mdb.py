# SPDX-License-Identifier: MIT
"""netmon_mdb: groups, router ports, queriers and IGMP of bridges, against `bridge` and `ip`."""

import json
import re
import signal
import socket
import struct
import threading

from harness import command, same, time_limit, until
from test_churn import assert_no_jump

INTERVAL = 0.25
# While the kernel removes other namespaces, nobody gets an answer about links.
OTHERS_HOLD_THE_LOCK = "took .* seconds, which is above its read interval"
ONLY_CHANGES = "SlowInterval 3600"
EXCLUDE, INCLUDE, ALLOW = 4, 3, 5  # record types of an IGMPv3 report
QUERIER, OTHER_QUERIER = "192.0.2.9", "192.0.2.10"


def bridged(t, options="", ports=2):
    """A bridge br0 with the ports p0, p1 ...; what happens on q0 comes in at p0."""
    ns = t.namespace()
    ns.ip(f"link add br0 type bridge {options}")
    for i in range(ports):
        ns.veth(f"p{i}", f"q{i}")
        ns.ip(f"link set p{i} master br0")
    ns.ip("link set br0 up")
    until(lambda: "forwarding" in ns.run("bridge", "link", "show", "dev", f"p{ports - 1}"),
          "a port that forwards")
    return ns


def start(t, ns, block="", expect_log=()):
    daemon = t.collectd(block, ns, plugin="netmon_mdb", interval=INTERVAL,
                        expect_log=[OTHERS_HOLD_THE_LOCK, *expect_log])
    daemon.wait_value("br0/gauge-groups", timeout=20)
    return daemon


def mdb(ns, *lines):
    command("ip", "netns", "exec", ns.name, "bridge", "-batch", "-",
            input="\n".join(f"mdb {line}" for line in lines) + "\n")


def witness(ns):
    """What `bridge` says: entries, router ports by bridge."""
    said = json.loads(ns.run("bridge", "-j", "-d", "mdb", "show"))
    return ([e for d in said for e in d.get("mdb", [])],
            {b: {p["port"] for p in ports} for d in said
             for b, ports in (d.get("router") or {}).items()})


def counts(ns, bridge="br0", vlans=True):
    """Every count of a bridge and its ports, computed from the words of `bridge`."""
    entries, routers = witness(ns)
    entries = [e for e in entries if e["dev"] == bridge]
    ports = {link["ifname"] for link in json.loads(ns.run("bridge", "-j", "link"))
             if link.get("master") == bridge}
    values = {}
    for who in {bridge} | ports:
        mine = [e for e in entries if who in (bridge, e["port"])]
        stars = [e for e in mine if "src" not in e]
        values |= {f"{who}/gauge-{name}": n for name, n in {
            "groups": len({(e["grp"], e.get("vid")) for e in mine}),
            "entries_temporary": sum(e["state"] == "temp" for e in mine),
            "entries_permanent": sum(e["state"] == "permanent" for e in mine),
            "entries_blocked": sum("blocked" in e["flags"] for e in mine),
            "sources": len(mine) - len(stars),
            "mode_include": sum(e.get("filter_mode") == "include" for e in stars),
            "mode_exclude": sum(e.get("filter_mode") == "exclude" for e in stars),
        }.items()}
        for vid in {e["vid"] for e in mine if "vid" in e} if vlans else ():
            there = [e for e in mine if e.get("vid") == vid]
            values[f"{who}/gauge-groups_vlan{vid}"] = len({e["grp"] for e in there})
            values[f"{who}/gauge-entries_vlan{vid}"] = len(there)
    values[f"{bridge}/gauge-groups_host"] = sum(e["port"] == bridge for e in entries)
    values[f"{bridge}/gauge-router_ports"] = len(routers.get(bridge, ()))
    values |= {f"{p}/bool-router": int(p in routers.get(bridge, ())) for p in ports}
    return values


def compare(daemon, expected, what):
    """The newest value of each; what did not change since was not sent again."""
    daemon.reading(since=daemon.now())
    same({id: daemon.latest(id).plain for id in expected if daemon.latest(id)}, expected, what)


# ---- packets --------------------------------------------------------------------------------------


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def send_igmp(ns, dev, source, to, igmp):
    igmp = igmp[:2] + struct.pack("!H", checksum(igmp)) + igmp[4:]
    head = struct.pack("!BBHHHBBH4s4s4s", 0x46, 0xC0, 24 + len(igmp), 0, 0, 1, 2, 0,
                       socket.inet_aton(source), socket.inet_aton(to), b"\x94\x04\0\0")
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    group = socket.inet_aton(to)
    ether = bytes([1, 0, 0x5E, group[1] & 0x7F, group[2], group[3]]).hex(":")
    ns.frames(dev, 1, 60, to=ether, proto=0x0800, payload=head + igmp)


def query(ns, dev, source):
    """A general query of IGMPv2: its sender wants to be the querier."""
    send_igmp(ns, dev, source, "224.0.0.1", struct.pack("!BBH4x", 0x11, 100, 0))


def report(ns, dev, group, kind, *sources):
    """An IGMPv3 report with one record."""
    record = struct.pack("!BBH4s", kind, 0, len(sources), socket.inet_aton(group))
    send_igmp(ns, dev, "192.0.2.77", "224.0.0.22", struct.pack("!BBHHH", 0x22, 0, 0, 0, 1)
              + record + b"".join(map(socket.inet_aton, sources)))


def mld_query(ns, dev, source):
    """A general query of MLDv1."""
    src, dst = (socket.inet_pton(socket.AF_INET6, a) for a in (source, "ff02::1"))
    mld = struct.pack("!BBHHH16x", 130, 0, 0, 1000, 0)
    pseudo = src + dst + struct.pack("!II", len(mld), 58)
    mld = mld[:2] + struct.pack("!H", checksum(pseudo + mld)) + mld[4:]
    alert = bytes([58, 0, 5, 2, 0, 0, 1, 0])
    head = struct.pack("!IHBB", 6 << 28, len(alert + mld), 0, 1) + src + dst
    ns.frames(dev, 1, 86, to="33:33:00:00:00:01", proto=0x86DD, payload=head + alert + mld)


def set_max_groups(ns, dev, limit):
    """iproute2 6.1 does not know the option."""
    RTM_SETLINK, NLM_F_REQUEST_ACK, NESTED = 19, 5, 0x8000
    IFLA_PROTINFO, IFLA_BRPORT_MCAST_MAX_GROUPS = 12, 42
    nest = struct.pack("=HHI", 8, IFLA_BRPORT_MCAST_MAX_GROUPS, limit)
    body = struct.pack("=BxHiII", socket.AF_BRIDGE, 0, ns.link(dev)["ifindex"], 0, 0)
    body += struct.pack("=HH", 4 + len(nest), IFLA_PROTINFO | NESTED) + nest
    with ns.call(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as s:
        s.send(struct.pack("=IHHII", 16 + len(body), RTM_SETLINK, NLM_F_REQUEST_ACK, 1, 0) + body)
        error, = struct.unpack_from("=i", s.recv(4096), 16)
    assert not error, f"mcast_max_groups of {dev}: {error}"


# ---- groups -----------------------------------------------------------------------------------------


STATIC = ["add dev br0 port p0 grp 239.1.2.3 permanent",
          "add dev br0 port p1 grp 239.1.2.3 permanent",
          "add dev br0 port p1 grp 239.1.2.4 temp",
          "add dev br0 port p0 grp 239.1.2.5 src 192.0.2.1 permanent",
          "add dev br0 port p0 grp ff0e::77 permanent",
          "add dev br0 port p1 grp 01:02:03:04:05:06 permanent",
          "add dev br0 port br0 grp 239.7.7.7"]


def test_counts_equal_what_bridge_says(t):
    """IPv4, IPv6 and MAC groups, with and without a source, of ports and of the bridge."""
    ns = bridged(t)
    mdb(ns, *STATIC[:4])
    daemon = start(t, ns, ONLY_CHANGES)
    compare(daemon, counts(ns), "at the start")
    mdb(ns, *STATIC[4:])
    expected = counts(ns)
    same((expected["br0/gauge-groups"], expected["br0/gauge-groups_host"],
          expected["br0/gauge-sources"]), (6, 1, 1), "the story went wrong")
    compare(daemon, expected, "after joins")
    mdb(ns, *[re.sub(" (temp|permanent)$", "", line).replace("add", "del", 1)
              for line in STATIC[::2]])
    compare(daemon, counts(ns), "after leaves")
    for id in ("br0/gauge-groups", "p0/gauge-groups", "p1/gauge-groups"):
        same(daemon.latest(id).interval, INTERVAL, f"interval of {id}")


def test_groups_by_vlan(t):
    ns = bridged(t)
    lines = ["add dev br0 port p0 grp 239.1.1.1 permanent vid 10",
             "add dev br0 port p1 grp 239.1.1.1 permanent vid 10",
             "add dev br0 port p1 grp 239.1.1.2 permanent vid 10",
             "add dev br0 port p1 grp 239.1.1.1 permanent vid 20"]
    mdb(ns, *lines)
    daemons = {word: start(t, ns, f'{ONLY_CHANGES}\nCollectVlans "{word}"')
               for word in ("No", "Summary", "Detail")}
    expected = counts(ns)
    same((expected["br0/gauge-groups"], expected["br0/gauge-groups_vlan10"],
          expected["br0/gauge-entries_vlan10"]), (3, 2, 3), "the story went wrong")
    compare(daemons["Detail"], expected, "in detail")
    summary = {id: n for id, n in expected.items() if "vlan" not in id or id.startswith("br0/")}
    compare(daemons["Summary"], summary, "as summary")
    same(daemons["Summary"].ids("p./.*vlan"), set(), "VLANs of ports in the summary")
    compare(daemons["No"], counts(ns, vlans=False), "without VLANs")
    same(daemons["No"].ids("vlan"), set(), "VLANs that nobody wants")

    # the last group of a VLAN leaves no VLAN with groups behind
    mdb(ns, lines[3].replace("add", "del").replace(" permanent", ""))
    daemons["Summary"].wait_value("br0/gauge-groups_vlan20", 0)


def test_sources_modes_and_blocked_entries_of_igmp3(t):
    """Hosts tell what they want from whom, change their minds, and time out."""
    ns = bridged(t, "mcast_igmp_version 3 mcast_querier 1 mcast_query_interval 100 "
                    "mcast_membership_interval 250 mcast_startup_query_count 0")
    daemon = start(t, ns, ONLY_CHANGES)
    report(ns, "q0", "239.1.1.1", INCLUDE, "198.51.100.1", "198.51.100.2")
    report(ns, "q1", "239.1.1.2", EXCLUDE, "198.51.100.3")
    report(ns, "q1", "239.1.1.1", EXCLUDE)
    expected = counts(ns)
    assert expected["br0/gauge-mode_include"] and expected["br0/gauge-mode_exclude"] \
        and expected["br0/gauge-sources"] >= 3, f"the story went wrong: {expected}"
    assert expected["br0/gauge-entries_blocked"], f"the story went wrong: {expected}"
    compare(daemon, expected, "after reports")

    report(ns, "q0", "239.1.1.1", ALLOW, "198.51.100.4")
    report(ns, "q1", "239.1.1.2", INCLUDE, "198.51.100.3")
    compare(daemon, counts(ns), "after other reports")

    until(lambda: not witness(ns)[0], "the hosts' silence to be noticed")
    expected = counts(ns)
    same(expected["br0/gauge-groups"], 0, "the story went wrong")
    compare(daemon, expected, "when all have timed out")


def test_joins_and_leaves_are_told_when_wanted(t):
    ns = bridged(t)
    daemon = start(t, ns, 'Notify "joined" "left"')
    quiet = start(t, ns)
    ifindex = str(ns.link("p0")["ifindex"])
    mdb(ns, "add dev br0 port p0 grp 239.1.2.3 permanent vid 7")
    joined = daemon.wait_notification("joined", "p0", new="239.1.2.3")
    same((joined.severity, joined.meta),
         ("okay", {"ifindex": ifindex, "new": "239.1.2.3", "bridge": "br0", "vlan": "7"}), "join")
    mdb(ns, "del dev br0 port p0 grp 239.1.2.3 vid 7")
    left = daemon.wait_notification("left", "p0", old="239.1.2.3")
    assert left.severity == "warning" and "p0" in left.message, left
    mdb(ns, "add dev br0 port br0 grp 239.7.7.7", STATIC[3], "del dev br0 port br0 grp 239.7.7.7")
    daemon.wait_notification("joined", "br0", new="239.7.7.7")
    daemon.wait_notification("joined", "p0", new="239.1.2.5", source="192.0.2.1")
    daemon.wait_notification("left", "br0", old="239.7.7.7")
    ns.ip("link set p0 nomaster")  # its groups go with it
    daemon.wait_notification("left", "p0", old="239.1.2.5")
    same(len(daemon.notices()), 6, "each is told once")
    same(quiet.notices(), [], "what nobody wants at night")


def test_router_ports(t):
    ns = bridged(t)
    daemon = start(t, ns, ONLY_CHANGES)
    compare(daemon, {"br0/gauge-router_ports": 0, "p0/bool-router": 0}, "at the start")
    ns.run("bridge", "link", "set", "dev", "p0", "mcast_router", "2")
    query(ns, "q1", QUERIER)  # whoever queries is a router
    expected = counts(ns)
    same(expected["br0/gauge-router_ports"], 2, "the story went wrong")
    compare(daemon, expected, "a router for ever and one that was heard")
    ns.run("bridge", "link", "set", "dev", "p0", "mcast_router", "0")
    compare(daemon, counts(ns), "one of them")
    same(daemon.latest("p0/bool-router").plain, 0, "p0")


# ---- queriers -----------------------------------------------------------------------------------------


def test_the_life_of_a_querier(t):
    """Heard, replaced, lost, and the bridge itself in its place; no event tells any of it."""
    ns = bridged(t, "mcast_querier_interval 300")
    daemon = start(t, ns)
    daemon.wait_value("br0/bool-querier", 0)
    daemon.wait_value("br0/bool-querier_other_ipv4", 0)

    query(ns, "q1", OTHER_QUERIER)
    back = daemon.wait_notification("querier", "br0", new=OTHER_QUERIER)
    same((back.severity, back.meta["old"], back.meta["family"], back.meta["port"]),
         ("okay", "none", "ipv4", "p1"), "a querier is heard")
    same(back.meta["ifindex"], str(ns.link("br0")["ifindex"]), "ifindex")
    daemon.wait_value("br0/bool-querier", 1)
    daemon.wait_value("br0/bool-querier_other_ipv4", 1)
    daemon.wait_value("br0/bool-querier_other_ipv6", 0)

    query(ns, "q0", QUERIER)  # the lower address wins
    heard = daemon.now()
    changed = daemon.wait_notification("querier", "br0", old=OTHER_QUERIER, new=QUERIER)
    same((changed.severity, changed.meta["port"]), ("warning", "p0"), "another querier")

    age = daemon.wait_value("br0/duration-querier_ipv4", lambda v: v > 1)
    assert abs(age.plain - (age.time - heard)) < 0.3, f"{age.plain} s, heard {age.time - heard} ago"
    lost = daemon.wait_notification("querier", "br0", new="none")
    same((lost.severity, lost.meta["old"], lost.meta["reason"]), ("failure", QUERIER, "timeout"),
         "silence")
    assert lost.time - heard > 2.9, "lost too soon"
    daemon.wait_value("br0/bool-querier", 0, since=lost.time)

    called = daemon.now()
    ns.ip("link set br0 type bridge mcast_querier 1")
    own = daemon.wait_notification("querier", "br0", old="none", new="own")
    same((own.severity, own.meta["family"]), ("okay", "ipv4"), "the bridge itself")
    assert own.arrived - called < 0.3, "an event, and told late"
    daemon.wait_value("br0/bool-querier", 1, since=lost.time)
    daemon.wait_value("br0/bool-querier_own", 1)

    ns.ip("link set br0 type bridge mcast_querier 0")
    off = daemon.wait_notification("querier", "br0", old="own", new="none")
    same((off.severity, off.meta["reason"]), ("failure", "disabled"), "disabled")


def test_an_ipv6_querier(t):
    ns = bridged(t, "mcast_querier_interval 100")
    ns.ipv6("br0")
    daemon = start(t, ns)
    mld_query(ns, "q0", "fe80::9")
    heard = daemon.wait_notification("querier", "br0", new="fe80::9", family="ipv6")
    same((heard.severity, heard.meta["port"]), ("okay", "p0"), "heard")
    lost = daemon.wait_notification("querier", "br0", old="fe80::9", new="none", family="ipv6")
    same(lost.severity, "failure", "lost")


def test_a_querier_that_was_there_is_no_news(t):
    ns = bridged(t, "mcast_querier 1")
    daemon = start(t, ns, 'Notify "all"')
    daemon.wait_value("br0/bool-querier", 1)
    daemon.reading(since=daemon.now())
    same(daemon.notices(), [], "notifications")


# ---- snooping and limits ----------------------------------------------------------------------------------


def test_snooping_off_and_on(t):
    ns = bridged(t)
    mdb(ns, *STATIC[:3])
    daemon = start(t, ns, ONLY_CHANGES)
    daemon.wait_value("br0/bool-snooping", 1)
    ns.ip("link set br0 type bridge mcast_snooping 0")
    off = daemon.wait_notification("snooping", "br0", new="off")
    same(off.severity, "warning", "off")
    daemon.wait_value("br0/bool-snooping", 0)
    compare(daemon, counts(ns), "without snooping")
    said = daemon.now()
    daemon.reading(since=said)
    assert daemon.latest("br0/bool-querier").time < said, "a querier of whom nothing is known"
    ns.ip("link set br0 type bridge mcast_snooping 1")
    same(daemon.wait_notification("snooping", "br0", new="on").severity, "okay", "on")
    compare(daemon, counts(ns), "with snooping")


def test_snooping_switched_while_the_bridge_is_down_is_seen(t):
    """The kernel sends no event then."""
    ns = bridged(t)
    daemon = start(t, ns, f"{ONLY_CHANGES}\nAuditInterval 0")
    ns.ip("link set br0 down")
    daemon.reading(since=daemon.now())
    ns.ip("link set br0 type bridge mcast_snooping 0")
    daemon.wait_notification("snooping", "br0", new="off")
    daemon.wait_value("br0/bool-snooping", 0)


def test_too_many_groups_turn_snooping_off(t):
    """The kernel gives up at mcast_hash_max, and tells nobody."""
    ns = bridged(t, "mcast_hash_max 4")
    daemon = start(t, ns, ONLY_CHANGES)
    daemon.wait_value("br0/gauge-limit", 4)
    mdb(ns, *[f"add dev br0 port p0 grp 239.1.1.{i} permanent" for i in range(3)])
    daemon.wait_value("br0/percent-limit", 75)
    mdb(ns, "add dev br0 port p0 grp 239.1.1.9 permanent")
    full = daemon.wait_notification("limit", "br0")
    same((full.severity, full.meta["old"], full.meta["new"]), ("failure", "4", "4"), "full")
    daemon.wait_value("br0/percent-limit", 100)
    ns.run("bridge", "mdb", "add", "dev", "br0", "port", "p0", "grp", "239.1.1.10", ok=None)
    off = daemon.wait_notification("snooping", "br0", new="off")
    same((off.severity, off.meta["reason"]), ("failure", "limit"), "given up")
    ns.ip("link set br0 type bridge mcast_hash_max 100")
    same(daemon.wait_notification("limit", "br0", old="100").severity, "okay", "room again")
    daemon.wait_value("br0/percent-limit", 4)


def test_a_port_with_as_many_groups_as_it_may_have(t):
    ns = bridged(t)
    mdb(ns, STATIC[0])
    daemon = start(t, ns, ONLY_CHANGES)
    assert not daemon.ids("^p0/.*limit"), "a limit that there is not"
    set_max_groups(ns, "p0", 2)
    daemon.wait_value("p0/gauge-limit", 2)
    daemon.wait_value("p0/percent-limit", 50)
    mdb(ns, "add dev br0 port p0 grp 239.1.2.9 permanent")
    full = daemon.wait_notification("limit", "p0")
    same(full.severity, "failure", "full")
    daemon.wait_value("p0/percent-limit", 100)
    told = json.loads(t.netmon("mdb", ns=ns).stdout)["ports"]
    groups = {p["ifname"]: p["protinfo"]["mcast_n_groups"] for p in told}
    same(groups, {"p0": 2, "p1": 0}, "what the kernel counts itself")
    mdb(ns, "del dev br0 port p0 grp 239.1.2.9")
    same(daemon.wait_notification("limit", "p0", new="1").severity, "okay", "room again")
    set_max_groups(ns, "p0", 0)
    since = daemon.now()
    daemon.reading(since=since)
    assert daemon.latest("p0/gauge-limit").time < since, "a limit that there is no more"


# ---- IGMP and MLD -------------------------------------------------------------------------------------------


def xstats(ns, dev, kind):
    """`ip` names every version and direction."""
    out = json.loads(ns.run("ip", "-j", "link", "xstats", "type", kind, "dev", dev))
    found = next(d for d in out if d["ifname"] == dev)
    return found["multicast"]


def test_igmp_and_mld_equal_ip_xstats(t):
    ns = bridged(t, "mcast_stats_enabled 1 mcast_querier 1 mcast_igmp_version 3")
    ns.ip("link add br1 type bridge")
    ns.ip("link set br1 up")
    daemon = start(t, ns, "Verbose true")
    for _ in range(3):
        report(ns, "q0", "239.1.1.1", EXCLUDE)
    query(ns, "q1", QUERIER)
    mld_query(ns, "q1", "fe80::9")
    send_igmp(ns, "q0", "192.0.2.5", "239.1.1.5", struct.pack("!BBH4s", 0x16, 0, 0,
                                                            socket.inet_aton("239.1.1.5")))
    devices = {"br0": "bridge", "p0": "bridge_slave", "p1": "bridge_slave"}

    def quiet():
        """The bridge asks and answers when it likes: a reading during which it did not."""
        before = {dev: xstats(ns, dev, kind) for dev, kind in devices.items()}
        reading = daemon.reading(since=daemon.now())
        after = {dev: xstats(ns, dev, kind) for dev, kind in devices.items()}
        return before == after and (reading, after)

    reading, said = until(quiet, "a moment without a query")
    for dev, stats in said.items():
        expected = {}
        for proto, what, versions in (("igmp", "queries", 3), ("igmp", "reports", 3),
                                      ("mld", "queries", 2), ("mld", "reports", 2)):
            found = stats[f"{proto}_{what}"]
            for i in range(1, versions + 1):
                expected[f"{dev}/if_packets-{proto}_v{i}{what}"] = \
                    {way: found[f"{way}_v{i}"] for way in ("rx", "tx")}
            expected[f"{dev}/if_packets-{proto}_{what}"] = \
                {way: sum(found[f"{way}_v{i}"] for i in range(1, versions + 1))
                 for way in ("rx", "tx")}
            expected[f"{dev}/if_packets-{proto}_leaves"] = stats[f"{proto}_leaves"]
            expected[f"{dev}/if_rx_errors-{proto}_parse"] = stats[f"{proto}_parse_errors"]
        same({id: reading[id].plain for id in expected if id in reading}, expected,
             f"IGMP and MLD of {dev}")
    assert reading["p0/if_packets-igmp_v3reports"].plain["rx"] >= 3, "the story went wrong"
    assert not daemon.ids("^br1/if_"), "statistics of a bridge that counts nothing"


def test_two_ports_that_swap_names_make_no_spike(t):
    ns = bridged(t, "mcast_stats_enabled 1 mcast_igmp_version 3")
    for _ in range(100):
        report(ns, "q0", "239.1.1.1", EXCLUDE)
    daemon = start(t, ns)
    daemon.wait_value("p0/if_packets-igmp_reports", lambda n: n["rx"] >= 100)
    ns.batch(["link set p0 down", "link set p1 down", "link set p0 name swap0",
              "link set p1 name p0", "link set swap0 name p1", "link set p0 up", "link set p1 up"])
    assert xstats(ns, "p1", "bridge_slave")["igmp_reports"]["rx_v3"] >= 100, "the test's own swap"
    daemon.reading(since=daemon.now())
    before = daemon.wait_value("p1/if_packets-igmp_reports", since=daemon.now())
    for _ in range(7):
        report(ns, "q0", "239.1.1.1", EXCLUDE)
    daemon.wait_value("p1/if_packets-igmp_reports",
                      lambda n: n["rx"] - before.plain["rx"] >= 7, since=daemon.now())
    assert_no_jump(daemon, "^p[01]/if_packets-", most=50)


def test_without_verbose_versions_are_summed_up(t):
    ns = bridged(t, "mcast_stats_enabled 1")
    daemon = start(t, ns)
    daemon.wait_value("p0/if_packets-igmp_reports")
    same(daemon.ids("_v[123]"), set(), "versions")


# ---- bridges and ports that come and go ----------------------------------------------------------------------


def test_bridges_and_ports_come_and_go(t):
    ns = bridged(t)
    mdb(ns, *STATIC)
    daemon = start(t, ns, ONLY_CHANGES)
    ns.ip("link set p0 nomaster")
    compare(daemon, {id: n for id, n in counts(ns).items()}, "a port has left")
    left = daemon.now()
    daemon.reading(since=left)
    assert daemon.latest("p0/gauge-groups").time < left, "a port that left is still sent"

    ns.batch(["link set p0 master br0", "link set p1 name x1"])
    daemon.wait_value("p0/gauge-groups", 0, since=left)
    daemon.wait_value("x1/gauge-groups", 3)

    ns.batch(["link del br0", "link add br0 type bridge", "link set x1 master br0",
              "link set br0 up"])
    expected = counts(ns)
    same(expected["br0/gauge-groups"], 0, "the story went wrong")
    compare(daemon, expected, "a new bridge of the same name")


def test_what_is_selected(t):
    ns = bridged(t)
    ns.batch(["link add br1 type bridge", "link add p9 type veth peer name q9",
              "link set p9 master br1"])
    one = t.collectd('Bridge "br1"\nReportSelf false', ns, plugin="netmon_mdb")
    two = t.collectd('Port "/0$/"\nPortIgnoreSelected true', ns, plugin="netmon_mdb")
    one.reading()
    same(one.instances(), {"br1", "p9"}, "instances of br1")
    two.reading()
    same(two.instances(), {"br0", "br1", "p1", "p9"}, "instances without p0")


# ---- many, fast, and lost -----------------------------------------------------------------------------------


def groups(n, first=0):
    return [f"239.{1 + (i >> 16)}.{i >> 8 & 255}.{i & 255}" for i in range(first, first + n)]


def test_ten_thousand_groups(t):
    """With nothing changed, a reading costs no dump; one change costs one event."""
    ns = bridged(t, "mcast_hash_max 32768")
    mdb(ns, *[f"add dev br0 port p{i % 2} grp {g} permanent" for i, g in enumerate(groups(10000))])
    daemon = start(t, ns, "AuditInterval 0")
    compare(daemon, {"br0/gauge-groups": 10000, "p0/gauge-groups": 5000}, "at the start")
    one = daemon.reading(since=daemon.now())
    two = daemon.reading(since=one["self/derive-messages"].time)
    messages = two["self/derive-messages"].plain - one["self/derive-messages"].plain
    same(messages, 2, "messages of a reading: the bridge's answer and its end")
    same(two["self/derive-dumps"].plain, one["self/derive-dumps"].plain, "dumps")
    t.note(f"{two['self/duration-read'].plain * 1000:.2f} ms")
    mdb(ns, f"del dev br0 port p0 grp {groups(1)[0]}")
    daemon.wait_value("br0/gauge-groups", 9999)
    daemon.wait_value("p0/gauge-groups", 4999)


@time_limit(90)
def test_churn_of_groups(t):
    """Dumps under change miss what did not change: no reading may show that."""
    ns = bridged(t, "mcast_hash_max 32768")
    stable, moving = groups(3000), groups(300, first=20000)
    mdb(ns, *[f"add dev br0 port p0 grp {g} permanent" for g in stable])
    daemon = start(t, ns, 'AuditInterval 0.5\nNotify "joined" "left"')
    lines = [f"mdb {word} dev br0 port p1 grp {g}" + " permanent" * (word == "add")
             for word in ("add", "del") for g in moving]
    feed = "\n".join(lines * 20) + "\n"
    ends, rounds = daemon.now() + 6, []

    def churn():
        while daemon.now() < ends:
            command("ip", "netns", "exec", ns.name, "bridge", "-batch", "-", input=feed)
            rounds.append(1)

    thread = threading.Thread(target=churn)
    thread.start()
    thread.join()
    t.note(f"{len(rounds) * len(lines) * 20} changes, "
           f"{daemon.latest('self/derive-interrupted').plain} dumps read again")
    compare(daemon, counts(ns), "when all is quiet")
    same({v.plain for v in daemon.values("p0/gauge-groups")}, {3000}, "groups of a quiet port")
    lowest = min(v.plain for v in daemon.values("br0/gauge-groups"))
    same(lowest, 3000, "the fewest groups of the bridge")
    same([n.message for n in daemon.notices() if n.instance == "p0"], [], "news of a quiet port")


def test_lost_events_are_repaired_by_the_next_reading(t):
    ns = bridged(t, "mcast_hash_max 32768")
    mdb(ns, *STATIC)
    daemon = start(t, ns, f'ReceiveBuffer 4096\nNotify "all"\n{ONLY_CHANGES}',
                   expect_log=["ENOBUFS", "lost"])
    noise = [line for g in groups(1000, first=70000)
             for line in (f"add dev br0 port p1 grp {g} permanent", f"del dev br0 port p1 grp {g}")]
    daemon.signal(signal.SIGSTOP)
    mdb(ns, *noise)
    mdb(ns, "del dev br0 port p0 grp 239.1.2.3", "add dev br0 port p0 grp 239.8.8.8 permanent")
    ns.run("bridge", "link", "set", "dev", "p1", "mcast_router", "2")
    ns.ip("link set br0 type bridge mcast_querier 1")
    mdb(ns, *noise)
    woken = daemon.now()
    daemon.signal(signal.SIGCONT)
    expected = counts(ns)
    first = daemon.reading(since=woken)
    same({id: first[id].plain for id in expected if id in first}, expected, "the first reading")
    assert first["self/derive-lost"].plain > 0, "the loss is not counted"
    daemon.wait_notification("left", "p0", old="239.1.2.3")
    daemon.wait_notification("joined", "p0", new="239.8.8.8")
    daemon.wait_notification("querier", "br0", new="own")
    since = daemon.now()
    mdb(ns, "del dev br0 port p0 grp 239.8.8.8")  # and events work as before
    daemon.wait_notification("left", "p0", since=since, old="239.8.8.8")


# ---- the command --------------------------------------------------------------------------------------------


def test_json_says_what_bridge_says(t):
    ns = bridged(t, "mcast_igmp_version 3")
    mdb(ns, *STATIC)
    query(ns, "q1", QUERIER)
    said = json.loads(t.netmon("mdb", ns=ns).stdout)
    got = sorted((m["ifindex_name"], e["ifindex_name"], e["addr"], e.get("source", ""), e["vid"],
                  e["state"], e.get("group_mode", ""))
                 for m in said["mdb"] for group in m["mdb"] for e in group)
    entries, routers = witness(ns)
    same(got, sorted((e["dev"], e["port"], e["grp"], e.get("src", ""), e.get("vid", 0),
                      {"temp": "temporary"}.get(e["state"], e["state"]), e.get("filter_mode", ""))
                     for e in entries), "entries")
    same({m["ifindex_name"]: {r["ifindex_name"] for r in m["router"]} for m in said["mdb"]},
         routers, "router ports")
    same([link["ifname"] for link in said["bridges"]], ["br0"], "bridges")
    querier = said["bridges"][0]["linkinfo"]["data"]["mcast_querier_state"]
    same((querier["ip_address"], querier["ip_port"]), (QUERIER, ns.link("p1")["ifindex"]),
         "querier")
