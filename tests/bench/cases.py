# SPDX-License-Identifier: MIT
"""The table of what is measured: objects, scales, how they are made, and who takes part."""

import dataclasses

from bench import (Contender, Daemon, collectd, entries, floor, netdata, node_exporter, once, peer,
                   reader, values)


@dataclasses.dataclass
class Case:
    name: str
    what: str
    scales: tuple
    make: object
    contenders: list


def make_links(s):
    pairs = s.n // 2
    s.links(pairs)
    s.load("address", f"a:{pairs},b:{pairs}", 0, 2 * s.n)


def make_busy_links(s):
    """Every interface moves a frame a second: what has not changed may not be sent at all."""
    make_links(s)
    s.frames(f"a:{s.n // 2},b:{s.n // 2}", s.n)


def make_routes(s):
    s.gateway()
    s.load("route", "d0", 0, s.n)


def make_routes6(s):
    s.gateway()
    s.load("route6", "d0", 0, s.n)


def make_neighbours(s):
    s.gateway()
    s.load("neighbour", "d0", 0, s.n)


def make_fdb(s):
    s.ports(16)
    s.load("fdb", "p:16", 0, s.n)


def make_mdb(s):
    s.ports(16)
    s.load("mdb", "br0,p:16", 0, s.n)


def make_rules(s):
    s.load("rule", "lo", 0, s.n)


def make_peers(s):
    """One interface, as a concentrator has it."""
    import base64
    s.ip("link add wg0 type wireguard")
    text = "[Interface]\nListenPort = 51820\nPrivateKey = " + "A" * 42 + "E=\n"
    for i in range(s.n):
        key = base64.b64encode(bytes([1]) + i.to_bytes(4, "big") + bytes(27)).decode()
        text += f"[Peer]\nPublicKey = {key}\n" \
                f"AllowedIPs = 10.{i >> 16}.{i >> 8 & 255}.{i & 255}/32\n"
    conf = s.bench.dir / "wg.conf"
    conf.write_text(text)
    s.run("wg", "setconf", "wg0", conf)
    s.ip("link set wg0 up")


def built(plugin, option=""):
    return lambda bench: bench.has(plugin, option)


def of_plugin(plugin, times, check, again=2):
    """The three ways in which a plugin reads."""
    return [
        Contender(f"netmon_{plugin}, nothing changed", reader("steady", plugin, times),
                  check=check),
        Contender(f"netmon_{plugin}, all read again", reader("again", plugin, again)),
        Contender(f"netmon_{plugin}, at its start", reader("first", plugin, again)),
    ]


CASES = [
    Case("link", "interfaces", (100, 1000, 5000), make_links, [
        Contender("floor", floor("counters", 10)),
        Contender("floor: RTM_GETLINK", floor("links", 3)),
        Contender("/proc/net/dev", floor("/proc/net/dev", 5)),
        *of_plugin("link", 12, values("link", "[ab]*/if_octets", sum_up=False)),
        Contender("netmon link", once("NETMON link"),
                  check=entries("NETMON link", '"kind":"veth"')),
        *[Contender(name, run, beside="netmon_link, nothing changed") for name, run in (
            ("ip -s -j link", once("ip -s -j link")),
            ("psutil", peer("psutil", 3)),
            ("pyroute2 get_links()", peer("links")),
            ("sysstat sadc, one reading of two", once("/usr/lib/sysstat/sadc -S XALL 1 2 -")),
            ("node_exporter netdev", node_exporter("--collector.netdev")),
            ("node_exporter netclass by netlink",
             node_exporter("--collector.netclass", "--collector.netclass.netlink")),
            ("node_exporter netclass by sysfs", node_exporter("--collector.netclass")),
            ("netdata, /proc/net/dev alone", Daemon(netdata, start=4)))],
        Contender("ip -s -d -j link", once("ip -s -d -j link"), beside="netmon link"),
        Contender("floor: addresses", floor("addresses")),
        Contender("netmon address", once("NETMON address"), needs=lambda b: b.knows("address")),
        Contender("ip -j addr", once("ip -j addr"), beside="netmon address"),
    ]),
    # Whole daemons, with no writer, at an interval of a second.
    Case("daemon", "interfaces", (1000, 5000), make_busy_links, [
        Contender("floor", floor("counters", 10)),
        Contender("collectd netmon_link", collectd("netmon_link")),
        *[Contender(f"collectd netmon_link, Layout {word}",
                    collectd("netmon_link", f'Layout "{word}"'), needs=built("link", "Layout"))
          for word in ("brief", "wide")],
        *[Contender(name, run, beside="collectd netmon_link") for name, run in (
            ("collectd interface", collectd("interface")),
            ("collectd netlink", collectd("netlink", 'Interface "All"')),
            ("collectd netlink, VerboseInterface All",
             collectd("netlink", 'VerboseInterface "All"')))],
    ]),
    Case("route", "IPv4 routes", (10000, 100000, 1000000), make_routes, [
        Contender("floor", floor("routes", 3)),
        *of_plugin("route", 20, values("route", "main/*ipv4_unicast_bgp"), 3),
        Contender("netmon route", once("NETMON route"),
                  check=entries("NETMON route", '"protocol":"bgp"')),
        Contender("ip -j route", once("ip -j route"), beside="netmon route"),
        Contender("pyroute2 get_routes()", peer("routes"), most=10000,
                  beside="netmon_route, all read again"),
    ]),
    Case("route6", "IPv6 routes", (20000, 200000), make_routes6, [
        Contender("floor", floor("routes6", 3)),
        *of_plugin("route", 20, values("route", "main/*ipv6_unicast_bgp"), 3),
        Contender("netmon route", once("NETMON route"),
                  check=entries("NETMON route", '"protocol":"bgp"')),
        Contender("ip -6 -j route", once("ip -6 -j route"), beside="netmon route"),
    ]),
    Case("neighbour", "neighbours", (10000, 100000), make_neighbours, [
        Contender("floor", floor("neighbours", 3)),
        *of_plugin("neighbor", 20, values("neighbor", "d0/gauge-ipv4_permanent"), 3),
        Contender("netmon neighbor", once("NETMON neighbor"),
                  check=entries("NETMON neighbor", '"02:00:')),
        Contender("ip -j neigh", once("ip -j neigh show nud all"), beside="netmon neighbor"),
        Contender("pyroute2 get_neighbours()", peer("neighbours"), most=10000,
                  beside="netmon_neighbor, all read again"),
        Contender("node_exporter arp", node_exporter("--collector.arp"), rounds=1,
                  beside="netmon_neighbor, nothing changed"),
    ]),
    Case("fdb", "FDB entries on 16 ports", (10000, 100000), make_fdb, [
        Contender("floor", floor("fdb", 2)),
        # "all read again" would rest for 99 times a dump: `at its start` reads the same.
        *[c for c in of_plugin("neighbor", 20, values("neighbor", "p*/gauge-fdb_static"), 1)
          if "again" not in c.name],
        Contender("netmon neighbor", once("NETMON neighbor"),
                  check=entries("NETMON neighbor", '"02:00:')),
        Contender("bridge -j fdb", once("bridge -j fdb"), beside="netmon neighbor"),
        Contender("pyroute2 fdb()", peer("fdb"), most=10000,
                  beside="netmon_neighbor, at its start"),
    ]),
    Case("mdb", "MDB entries", (1000, 10000), make_mdb, [
        Contender("floor", floor("mdb")),
        *of_plugin("mdb", 20, values("mdb", "br0/gauge-entries_permanent")),
        Contender("netmon mdb", once("NETMON mdb"),
                  check=entries("NETMON mdb", '"state":"permanent"')),
        Contender("bridge -j mdb", once("bridge -j mdb"), beside="netmon mdb"),
    ]),
    Case("rule", "rules", (1000, 10000), make_rules, [
        Contender("floor", floor("rules")),
        *of_plugin("rule", 20, values("rule", "ipv4/gauge-rules_table_100")),
        Contender("netmon rule", once("NETMON rule"),
                  check=entries("NETMON rule", '"table":100')),
        Contender("ip -j rule", once("ip -j rule"), beside="netmon rule"),
        Contender("pyroute2 get_rules()", peer("rules"), beside="netmon_rule, all read again"),
    ]),
    Case("wireguard", "WireGuard peers", (1000, 10000), make_peers, [
        Contender("floor", floor("wireguard")),
        *of_plugin("wireguard", 5, values("wireguard", "wg0/gauge-peers"), 3),
        Contender("wg show all dump", once("wg show all dump"),
                  beside="netmon_wireguard, nothing changed"),
    ]),
]

IN_VM = {"wireguard"}  # what needs that kernel
