# SPDX-License-Identifier: MIT
"""What netmon_forward counts is what nstat, ip and /proc say; a router is made of namespaces."""

import contextlib
import json
import os
import pathlib
import socket
import struct

from harness import ROOT, alone, same, time_limit
from test_churn import assert_no_jump

PLUGIN = "netmon_forward"
SLOWLY = "SlowInterval 3600"  # a slow value after the first reading is sent because it changed
EVERYTHING = 'Value "/./"\n'
LEVELS = {"Ip": ["Forwarding", "DefaultTTL"],
          "Tcp": ["RtoAlgorithm", "RtoMin", "RtoMax", "MaxConn", "CurrEstab"],
          "MPTcpExt": ["MPCurrEstab"]}
TOGGLES = {"forwarding": "bool-{}_forwarding", "mc_forwarding": "bool-{}_mc_forwarding",
           "proxy_neigh": "bool-{}_proxy_neigh",
           "ignore_routes_with_linkdown": "bool-{}_ignore_linkdown",
           "rp_filter": "gauge-rp_filter"}


def start(t, block="", ns=None, **kw):
    daemon = t.collectd(block, ns, plugin=PLUGIN, **kw)
    daemon.wait_value("self/derive-dumps", timeout=20)
    return daemon


def proc(ns, path):
    return ns.call(pathlib.Path("/proc/thread-self/net", path).read_text)


def grouped(text):
    """/proc/net/snmp and netstat: group -> name -> number."""
    lines = text.splitlines()
    return {names.split()[0].rstrip(":"): dict(zip(names.split()[1:],
                                                   map(int, numbers.split()[1:])))
            for names, numbers in zip(lines[::2], lines[1::2])}


def flat(text):
    """/proc/net/snmp6 and its like: name -> number."""
    return {name: int(number) for name, number in map(str.split, text.splitlines())}


def nstat(ns):
    """The kernel's counters by nstat's names; of the levels it knows but one as a counter."""
    environment = {**os.environ, "NSTAT_HISTORY": "/dev/null"}
    counters = json.loads(ns.run("nstat", "-azsj", env=environment))["kernel"]
    counters.pop("MPTcpExtMPCurrEstab", None)
    return counters


def protocols(reading):
    """What a reading has of whole protocols, by nstat's names."""
    counters = {}
    for id, value in reading.items():
        instance, _, rest = id.partition("/")
        if rest.startswith("protocol_counter-") and instance[0].isupper():
            counters[instance + rest.removeprefix("protocol_counter-")] = value.plain
    return counters


class Network:
    """left -- router -- right; IPv4 10.N.0.0/24 and IPv6 2001:db8:N::/64, N = 1 left, 2 right."""

    def __init__(self, t):
        self.left, self.router, self.right = t.namespace(), t.namespace(), t.namespace()
        for n, (ns, dev) in enumerate(((self.left, "r1"), (self.right, "r2")), 1):
            self.router.veth(dev, "eth0", ns)
            self.router.ipv6(dev)
            ns.ipv6("eth0")
            self.router.batch([f"addr add 10.{n}.0.1/24 dev {dev}",
                               f"addr add 2001:db8:{n}::1/64 dev {dev} nodad",
                               f"addr add fe80::1/64 dev {dev} nodad"])
            ns.batch([f"addr add 10.{n}.0.2/24 dev eth0",
                      f"addr add 2001:db8:{n}::2/64 dev eth0 nodad",
                      f"route add default via 10.{n}.0.1",
                      f"route add default via 2001:db8:{n}::1"])
        self.router.sysctl("ipv4/ip_forward", 1)
        self.router.sysctl("ipv6/conf/all/forwarding", 1)

    def send(self, ns, to, count, size=100, options=(), port=9):
        family = socket.AF_INET6 if ":" in to else socket.AF_INET

        def inside():
            with socket.socket(family, socket.SOCK_DGRAM) as s:
                for option in options:
                    s.setsockopt(*option)
                for _ in range(count):
                    with contextlib.suppress(OSError):  # what ICMP said of the one before
                        s.sendto(bytes(size), (to, port))

        ns.call(inside)

    def trouble(self):
        """Everything that a router does with packets, and every way to lose them."""
        left, right = self.left, self.right
        ttl4 = (socket.IPPROTO_IP, socket.IP_TTL, 1)
        ttl6 = (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1)
        self.send(left, "10.2.0.2", 30)
        self.send(left, "2001:db8:2::2", 40)
        self.send(right, "10.1.0.2", 5, size=1200)
        self.send(left, "10.2.0.2", 3, options=[ttl4])
        self.send(left, "2001:db8:2::2", 4, options=[ttl6])
        self.send(left, "10.9.0.1", 6)  # the router has no route
        self.send(left, "2001:db8:9::1", 7)
        self.router.ip("link set r2 mtu 1280")
        IP_MTU_DISCOVER, IP_PMTUDISC_PROBE = 10, 3
        probe = (socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)  # DF, whatever is known
        self.send(left, "10.2.0.2", 2, size=1400, options=[(socket.IPPROTO_IP, IP_MTU_DISCOVER, 0)])
        self.send(left, "10.2.0.2", 2, size=1400, options=[probe])
        self.send(left, "2001:db8:2::2", 1, size=1400)
        # A source that is behind the other interface, and a header with a wrong checksum.
        self.router.sysctl("ipv4/conf/r1/rp_filter", 1)
        router_mac = self.router.link("r1")["address"]
        for source, broken in (("10.2.0.77", 0), ("10.1.0.2", 1)):
            head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 1, 0, 9, 17, 0,
                               socket.inet_aton(source), socket.inet_aton("10.2.0.2"))
            total = sum(struct.unpack("!10H", head))
            total = (total & 0xFFFF) + (total >> 16)
            head = head[:10] + struct.pack("!H", (~total & 0xFFFF) ^ broken) + head[12:]
            left.frames("eth0", count=8, size=60, to=router_mac, proto=0x0800,
                        source=left.link("eth0")["address"], payload=head + bytes(8))


def settled(daemon, ns):
    """A reading with the witness before and after it, once nothing is counted any more."""
    for _ in range(20):
        before = nstat(ns)
        reading = daemon.reading(since=daemon.now())
        if before == nstat(ns):
            return reading, before
    raise AssertionError("the network does not come to rest")


def test_every_counter_is_nstats(t):
    net = Network(t)
    daemon = start(t, EVERYTHING, net.router)
    net.trouble()
    reading, kernel = settled(daemon, net.router)
    got = protocols(reading)
    moved = ["IpForwDatagrams", "IpInHdrErrors", "IpExtInOctets", "IpFragFails", "IpFragCreates",
             "IpExtInNoRoutes", "TcpExtIPReversePathFilter", "IcmpOutTimeExcds",
             "Ip6OutForwDatagrams", "Ip6InHdrErrors", "Ip6InNoRoutes", "Ip6InTooBigErrors",
             "Icmp6OutTimeExcds", "Ip6InOctets", "Icmp6OutType1", "IcmpMsgOutType3"]
    still = [name for name in moved if not kernel.get(name)]
    assert still in ([], ["IpExtInNoRoutes"]), f"the story went wrong: {still} did not move"
    same({k: got.get(k) for k in kernel}, kernel, "counters against nstat")

    text = {**grouped(proc(net.router, "snmp")), **grouped(proc(net.router, "netstat"))}
    expected = {group + name: n for group, names in text.items() for name, n in names.items()
                if name not in LEVELS.get(group, [])}
    expected.update(flat(proc(net.router, "snmp6")))
    same(got, expected, "counters against /proc")
    t.note(f"{len(got)} counters")


def test_levels_are_gauges(t):
    ns = t.namespace()
    daemon = start(t, EVERYTHING, ns)
    assert daemon.latest("Ip/gauge-Forwarding").plain == 2

    with ns.call(socket.create_server, ("127.0.0.1", 0)) as server:
        ns.sysctl("ipv4/ip_forward", 1)
        ns.sysctl("ipv4/ip_default_ttl", 77)
        with ns.call(socket.create_connection, server.getsockname()), server.accept()[0]:
            daemon.wait_value("Tcp/gauge-CurrEstab", 2)
            reading = daemon.reading(since=daemon.now())
    kernel = {**grouped(proc(ns, "snmp")), **grouped(proc(ns, "netstat"))}
    expected = {f"{group}/gauge-{name}": kernel[group][name] for group, names in LEVELS.items()
                for name in names if name in kernel.get(group, {})}
    expected["Tcp/gauge-CurrEstab"] = 2
    same({id: reading[id].plain for id in reading if "/gauge-" in id and id[0].isupper()},
         expected, "levels")
    same((expected["Ip/gauge-Forwarding"], expected["Ip/gauge-DefaultTTL"],
          expected["Tcp/gauge-MaxConn"]), (1, 77, -1), "the test's own levels")
    daemon.wait_value("Tcp/gauge-CurrEstab", 0)


def test_what_is_sent_without_value(t):
    """What a router's operator needs: received, delivered, forwarded, octets, every drop."""
    ns = t.namespace()
    daemon = start(t, "", ns)
    got = set(protocols(daemon.reading()))
    for wanted in ("IpInReceives IpInDelivers IpForwDatagrams IpExtInOctets IpExtOutOctets "
                   "IpOutNoRoutes IpInHdrErrors IpInAddrErrors IpInDiscards IpOutDiscards "
                   "IpFragFails IpReasmFails IpExtInNoRoutes TcpExtIPReversePathFilter "
                   "IcmpOutTimeExcds Ip6InReceives Ip6InDelivers Ip6OutForwDatagrams "
                   "Ip6InOctets Ip6OutOctets Ip6InNoRoutes Ip6OutNoRoutes Ip6InHdrErrors "
                   "Ip6InAddrErrors Ip6InDiscards Ip6OutDiscards Ip6FragFails "
                   "Icmp6OutTimeExcds").split():
        assert wanted in got, f"{wanted} is not sent by default"
    assert len(got) < 60, f"{len(got)} counters by default"
    assert not [name for name in got if name.startswith(("Tcp", "Udp"))
                and name != "TcpExtIPReversePathFilter"], "what is no router's is sent"


def test_value_and_ignore_selected_as_in_protocols(t):
    ns = t.namespace()

    def names(block):
        daemon = start(t, block + "\nReportSelf true", ns)
        got = protocols(daemon.reading())
        daemon.stop()
        return set(got)

    kernel = set(nstat(ns))
    same(names('Value "Udp:InErrors" "/^Ip6:.*Octets/"'),
         {"UdpInErrors"} | {n for n in kernel if n.startswith("Ip6") and "Octets" in n},
         "chosen counters")
    same(names('Value "/^TcpExt:/"\nIgnoreSelected true'),
         {n for n in kernel if not n.startswith("TcpExt")}, "all but the chosen")
    same(names("IgnoreSelected true"), kernel, "all but none")


def test_a_counter_that_appears_later(t):
    """IcmpMsg has a column for each type that was seen: the places of the others move."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    daemon = start(t, 'Value "/^IcmpMsg:/"', ns, expect_log=['nothing is named "/.IcmpMsg:/"'])
    same(protocols(daemon.reading()), {}, "types before any message")

    def ping(count, type):
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as s:
            for _ in range(count):
                body = struct.pack("!BBHI", type, 0, 0, 0)
                s.sendto(struct.pack("!BBHI", type, 0, 0xFFFF - (type << 8), 0) if body else b"",
                         ("127.0.0.1", 0))

    for type, count in ((13, 3), (8, 5)):
        ns.call(ping, count, type)
        daemon.wait_value(f"IcmpMsg/protocol_counter-InType{type}", count)
    got = protocols(daemon.reading(since=daemon.now()))
    same(got, {f"IcmpMsg{name}": n for name, n in grouped(proc(ns, "snmp"))["IcmpMsg"].items()},
         "types after two kinds of messages")


# ---- interfaces ---------------------------------------------------------------------------------


def dev_snmp6(ns, dev):
    return flat(proc(ns, f"dev_snmp6/{dev}"))


def test_ipv6_counters_of_each_interface(t):
    net = Network(t)
    daemon = start(t, "Verbose true", net.router)
    net.trouble()
    reading, _ = settled(daemon, net.router)
    for dev in ("lo", "r1", "r2"):
        kernel = dev_snmp6(net.router, dev)
        assert dev == "lo" or kernel["Ip6InOctets"] + kernel["Ip6OutOctets"] > 4000, \
            "the story went wrong: no traffic"
        same(reading[f"{dev}/if_octets-ipv6"].plain,
             {"rx": kernel["Ip6InOctets"], "tx": kernel["Ip6OutOctets"]}, f"octets of {dev}")
        same(reading[f"{dev}/if_packets-ipv6"].plain,
             {"rx": kernel["Ip6InReceives"], "tx": kernel["Ip6OutTransmits"]}, f"packets of {dev}")
        prefix = f"{dev}/protocol_counter-"
        got = {id.removeprefix(prefix): v.plain for id, v in reading.items()
               if id.startswith(prefix)}
        expected = {k: n for k, n in kernel.items() if k.startswith("Ip6") or k in got}
        same(got, expected, f"all counters of {dev}")
        assert {"Icmp6InMsgs", "Icmp6OutMsgs", "Icmp6InErrors"} <= set(got), "no ICMPv6"


def test_without_verbose_two_lists_an_interface(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    daemon = start(t, "", ns)
    got = {id.removeprefix("a0/") for id in daemon.reading() if id.startswith("a0/")}
    same({id for id in got if not id.startswith(("bool", "gauge"))},
         {"if_octets-ipv6", "if_packets-ipv6"}, "values of a0")


def test_interfaces_are_chosen(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.batch(["link add Ip type ifb", "link add all0 type ifb", "link set all0 name softnet"])
    daemon = start(t, "", ns)
    number = {dev: ns.link(dev)["ifindex"] for dev in ("Ip", "softnet")}
    interfaces = {id.partition("/")[0] for id in daemon.reading() if "/if_octets-ipv6" in id}
    same(interfaces, {"lo", "a0", "b0", f"Ip_if{number['Ip']}",
                      f"softnet_if{number['softnet']}"}, "interfaces and their labels")
    daemon.stop()
    for block, expected in (('Interface "/^[ab]0/"', {"a0", "b0"}),
                            ('Interface "a0"\nInterfaceIgnoreSelected true',
                             {"lo", "b0", *(i for i in interfaces if "_if" in i)})):
        daemon = start(t, block, ns)
        reading = daemon.reading()
        same({id.partition("/")[0] for id in reading if "/if_octets-ipv6" in id}, expected, block)
        same({id.partition("/")[0] for id in reading if "/bool-ipv4_forwarding" in id},
             expected | {"all", "default"}, block)
        daemon.stop()


def test_renamed_created_and_deleted(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    daemon = start(t, SLOWLY, ns)
    ns.batch(["link set a0 down", "link set a0 name z0", "link add c0 type ifb"])
    changed = daemon.now()
    daemon.wait_value("z0/if_octets-ipv6", since=changed)
    daemon.wait_value("c0/bool-ipv4_forwarding", 0, since=changed)
    ns.ip("link del c0")
    gone = daemon.now()
    reading = daemon.reading(since=gone)
    same({id.partition("/")[0] for id in reading if "if_octets" in id}, {"lo", "z0", "b0"},
         "interfaces at the end")


def test_two_interfaces_that_swap_names_make_no_spike(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.veth("c0", "d0")
    ns.settled("a0", "c0")
    ns.ipv6("a0", "c0")
    ns.batch(["addr add fe80::1/64 dev a0 nodad", "addr add fe80::2/64 dev c0 nodad"])

    def talk(count, address):
        with ns.call(socket.socket, socket.AF_INET6, socket.SOCK_DGRAM) as s:
            for _ in range(count):
                s.sendto(bytes(1000), (address, 9))

    for dev, count in ("a0", 500), ("c0", 20):
        talk(count, f"ff02::1:3%{ns.link(dev)['ifindex']}")
    daemon = start(t, "Verbose true\nEstimateIPv4 true", ns)
    daemon.wait_value("a0/if_octets-ipv6", lambda n: n["tx"] > 500000)
    ns.batch(["link set a0 down", "link set c0 down", "link set a0 name swap0",
              "link set c0 name a0", "link set swap0 name c0", "link set a0 up", "link set c0 up"])
    assert dev_snmp6(ns, "c0")["Ip6OutOctets"] > 500000, "the test's own swap"
    daemon.reading(since=daemon.now())
    daemon.reading(since=daemon.now())
    assert_no_jump(daemon, "^[ac]0/", most=50000)


def test_estimate_of_ipv4_is_an_upper_bound(t):
    net = Network(t)
    plain = start(t, "", net.router)
    assert not plain.ids("estimated"), "an estimate that nobody asked for"
    plain.stop()
    daemon = start(t, "EstimateIPv4 true", net.router)
    net.send(net.left, "10.2.0.2", 1)  # neighbours are found: nothing is dropped later
    net.send(net.left, "2001:db8:2::2", 1)
    first, _ = settled(daemon, net.router)
    before = grouped(proc(net.router, "netstat"))["IpExt"]
    net.send(net.left, "10.2.0.2", 50, size=500)
    net.send(net.left, "2001:db8:2::2", 500, size=900)
    reading, _ = settled(daemon, net.router)
    after = grouped(proc(net.router, "netstat"))["IpExt"]
    ipv4 = after["OutOctets"] - before["OutOctets"]
    assert ipv4 > 50 * 500, "the story went wrong: no IPv4"
    for dev, way in (("r1", "rx"), ("r2", "tx")):
        id = f"{dev}/if_octets-ipv4_estimated"
        stats = net.router.link(dev)["stats64"]
        same(reading[id].plain[way], stats[way]["bytes"]
             - reading[f"{dev}/if_octets-ipv6"].plain[way], f"total less IPv6 of {dev}")
        growth = reading[id].plain[way] - first[id].plain[way]
        frames = stats[way]["packets"]
        least = 50 * 528
        assert least <= growth <= least + 14 * frames + 2000, \
            f"{dev}: {least} octets of IPv4, estimated {growth} with {frames} frames"


# ---- switches -----------------------------------------------------------------------------------


def netconf(ns):
    """ip -j netconf: (instance, identifier) -> number."""
    words = {"off": 0, "strict": 1, "loose": 2}
    expected = {}
    for entry in json.loads(ns.ip("-j netconf")):
        family = {"inet": "ipv4", "inet6": "ipv6"}.get(entry["family"])
        for name, pattern in TOGGLES.items():
            if family and name in entry:
                value = entry[name]
                expected[f"{entry['interface']}/{pattern.format(family)}"] = \
                    words[value] if name == "rp_filter" else int(value)
    return expected


def test_switches_are_ip_netconfs(t):
    """At the start, after changes of all kinds, and with those that no event tells."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.sysctl("ipv4/conf/b0/rp_filter", 2)
    daemon = start(t, SLOWLY, ns)

    def compare(what):
        reading = daemon.reading(since=daemon.now())
        assert reading
        expected = netconf(ns)
        assert len(expected) > 30, "the test's own witness"
        same({id: daemon.latest(id).plain for id in expected if daemon.latest(id)}, expected, what)

    compare("at the start")
    for path, value in (("ipv4/ip_forward", 1), ("ipv6/conf/a0/forwarding", 1),
                        ("ipv4/conf/all/proxy_arp", 1), ("ipv6/conf/b0/proxy_ndp", 1),
                        ("ipv4/conf/a0/ignore_routes_with_linkdown", 1),
                        ("ipv6/conf/all/ignore_routes_with_linkdown", 1)):
        ns.sysctl(path, value)
    compare("after changes")
    ns.sysctl("ipv4/conf/default/rp_filter", 1)  # a0 and lo take it over, and no event says so
    same(netconf(ns)["a0/gauge-rp_filter"], 1, "the test's own silent change")
    compare("after a change of the default")
    same(daemon.latest("b0/gauge-rp_filter").plain, 2, "the one that was set by hand")
    ns.batch(["link add c0 type ifb"])
    compare("with a new interface")
    same(daemon.latest("c0/bool-ipv4_forwarding").plain, 1, "what a new interface starts with")
    ns.ip("link set a0 mtu 1000")  # IPv6 leaves the interface
    daemon.reading(since=daemon.now())
    assert "a0/bool-ipv6_forwarding" not in netconf(ns), "the story went wrong"
    count = len(daemon.values("a0/bool-ipv6_forwarding"))
    ns.sysctl("ipv4/conf/a0/forwarding", 0)
    daemon.wait_value("a0/bool-ipv4_forwarding", 0)
    same(len(daemon.values("a0/bool-ipv6_forwarding")), count, "switches that are gone")


# ---- softnet ------------------------------------------------------------------------------------


def softnet():
    text = pathlib.Path("/proc/net/softnet_stat").read_text()
    return [[int(word, 16) for word in line.split()] for line in text.splitlines()]


def test_softnet_is_procs(t):
    ns = t.namespace()
    before = softnet()
    daemon = start(t, "Verbose true", ns)
    reading = daemon.reading()
    after = softnet()
    for column, name in enumerate(("packets", "dropped", "time_squeezed")):
        got = reading[f"softnet/derive-{name}"].plain
        low, high = (sum(cpu[column] for cpu in cpus) for cpus in (before, after))
        assert low <= got <= high, f"softnet {name}: {got} is not from {low} to {high}"
        for a, b in zip(before, after):
            got = reading[f"softnet_cpu{a[12]}/derive-{name}"].plain
            assert a[column] <= got <= b[column], f"softnet {name} of CPU {a[12]}: {got}"
    daemon.stop()
    daemon = start(t, "", ns)
    same({id for id in daemon.reading() if id.startswith("softnet")},
         {f"softnet/derive-{name}" for name in ("packets", "dropped", "time_squeezed")},
         "without Verbose")


# ---- other namespaces, many interfaces, own cost -------------------------------------------------


def test_another_namespace_is_read_from_inside(t):
    net = Network(t)
    net.trouble()
    daemon = t.collectd(f'{EVERYTHING}Namespace "{net.router.name}" "{net.left.name}"',
                        plugin=PLUGIN)
    for ns in (net.router, net.left):
        for _ in range(10):
            kernel = nstat(ns)
            reading = daemon.reading(since=daemon.now(), timeout=20,
                                     has=f"Ip@{ns.name}/protocol_counter-InReceives")
            if kernel == nstat(ns):
                break
        got = protocols({id.replace(f"@{ns.name}", ""): v for id, v in reading.items()})
        same({k: got.get(k) for k in kernel}, kernel, f"counters in {ns.name}")
    same(daemon.latest(f"all@{net.router.name}/bool-ipv4_forwarding").plain, 1, "router")
    same(daemon.latest(f"all@{net.left.name}/bool-ipv4_forwarding").plain, 0, "left")
    assert not daemon.ids("^softnet"), "softnet is of the whole machine, not of a namespace"


def test_a_reading_costs_as_little_as_it_can(t):
    """Nothing changed: the switches are not asked for again."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    daemon = start(t, "AuditInterval 0", ns)
    first = daemon.wait_value("self/derive-messages", since=daemon.now())
    second = daemon.wait_value("self/derive-messages", since=first.time)
    same(second.plain - first.plain, 3 + 1 + 4, "messages: interfaces, their end, files")
    assert daemon.latest("self/duration-read").plain > 0


@alone
@time_limit(180)
def test_ten_thousand_interfaces(t):
    """Alone, because the kernel tells carrier for all namespaces through one queue, of which it
    serves 100 links a second (MAX_DO_DEV_WORK, net/core/link_watch.c): new ones are in it too.
    """
    ns = t.namespace()
    ns.batch([f"link add a{i} group 7 type veth peer name b{i}" for i in range(5000)])
    daemon = t.collectd(f'{SLOWLY}\nInterface "a17" "b4999"', ns, plugin=PLUGIN, interval=2)
    daemon.wait_value("a17/if_octets-ipv6", timeout=60)
    called = daemon.now()
    ns.sysctl("ipv4/ip_forward", 1)
    told = daemon.wait_notification("forwarding", "all", family="ipv4", new="on", timeout=20)
    daemon.wait_value("b4999/bool-ipv4_forwarding", 1, timeout=20)
    ns.sysctl("ipv6/conf/all/forwarding", 1)
    daemon.wait_notification("forwarding", "all", family="ipv6", new="on", timeout=20)
    daemon.wait_value("a17/bool-ipv6_forwarding", 1, timeout=20)
    same(len(daemon.notices()), 2, "notifications for 20,000 changes")
    t.note(f"told {1000 * (told.arrived - called):.0f} ms after the call, "
           f"read in {1000 * daemon.latest('self/duration-read').plain:.1f} ms")
    ns.ip("link del group 7")  # else the kernel removes them later, and holds up the next test


# ---- which order the arrays have -----------------------------------------------------------------

GOLDEN = ROOT / "tests/golden/forward/snapshot.pcap"
LINUX_6_15 = [0, 1, 2, 3, 32, 33, 34, 35, 5, 37, 6, 4, *range(7, 32), 36]  # -> place in Linux 6.7


def attributes(data):
    while len(data) >= 4:
        length, type = struct.unpack_from("=HH", data)
        yield type & 0x3FFF, data[4:length]
        data = data[(length + 3) & ~3:]


def attribute(type, payload):
    return struct.pack("=HH", 4 + len(payload), type) + payload + bytes(-len(payload) % 4)


def rewritten(pcap, array, keep=lambda name: True):
    """A recording whose interfaces have another array of IPv6 counters; some files left out."""
    AF_INET6, RTM_NEWLINK, IFLA_PROTINFO, IFLA_INET6_STATS, USERSOCK = 10, 16, 12, 3, 2
    data, out = pcap.read_bytes(), b""
    out, data = data[:24], data[24:]
    while data:
        head, (size,) = data[:8], struct.unpack_from("=I", data, 8)
        cooked, packet, data = data[16:32], data[32:16 + size], data[16 + size:]
        protocol, = struct.unpack_from("!H", cooked, 14)
        if protocol == USERSOCK and not keep(packet[16:packet.index(b"\0", 16)].decode()):
            continue
        messages = b""
        while packet:
            length, type = struct.unpack_from("=IH", packet)
            message, packet = packet[:length], packet[(length + 3) & ~3:]
            if protocol == 0 and type == RTM_NEWLINK and message[16] == AF_INET6:
                body = b""
                for kind, payload in attributes(message[32:]):
                    if kind == IFLA_PROTINFO:
                        payload = b"".join(
                            attribute(k, array(p) if k == IFLA_INET6_STATS else p)
                            for k, p in attributes(payload))
                    body += attribute(kind, payload)
                message = struct.pack("=I", 32 + len(body)) + message[4:32] + body
            messages += message + bytes(-len(message) % 4)
        out += head + struct.pack("=II", 16 + len(messages), 16 + len(messages)) + cooked + messages
    return out


def values_of(t, recording, *options):
    path = t.directory("replay") / "recording.pcap"
    path.write_bytes(recording)
    words = [word for option in ("Verbose true", *options) for word in ("--option", option)]
    return dict(line.rsplit(" ", 1) for line in
                t.netmon("metrics", "forward", "--replay", path, *words).stdout.splitlines()
                if not line.startswith("#") and not line.endswith("slow"))


def of_interfaces(values):
    return {id: v for id, v in values.items()
            if id.startswith(("p0/", "lo/")) and "Icmp6" not in id}


def numbers(data):
    return struct.unpack(f"={len(data) // 8}Q", data)


def packed(values):
    return struct.pack(f"={len(values)}Q", *values)


def linux_6_7(data):
    old = [0] * 38
    for place, n in enumerate(numbers(data)):
        old[LINUX_6_15[place]] = n
    old[0] = 38
    return packed(old)


def test_every_order_of_the_kernels_arrays_is_understood(t):
    """The same counters as Linux 5.10, 6.7 and 6.15 would put them: the same values."""
    now = of_interfaces(values_of(t, rewritten(GOLDEN, lambda data: data)))
    same(int(now["p0/protocol_counter-Ip6OutRequests"]) > 20, True, "the recording's own traffic")
    same(of_interfaces(values_of(t, rewritten(GOLDEN, linux_6_7))), now, "as Linux 6.7")

    old = of_interfaces(values_of(t, rewritten(
        GOLDEN, lambda data: packed([37, *numbers(linux_6_7(data))[1:37]]))))
    sent = old.pop("p0/if_packets-ipv6").split(":")[1]
    same(sent, old["p0/protocol_counter-Ip6OutRequests"], "packets sent, nothing forwarded")
    same(old, {id: v for id, v in now.items() if id in old}, "as Linux 5.10")
    same(set(now) - set(old), {"p0/if_packets-ipv6", "lo/protocol_counter-Ip6OutTransmits",
                               "p0/protocol_counter-Ip6OutTransmits"}, "what Linux 5.10 lacks")


def test_an_order_that_is_not_known_sends_nothing(t):
    def shuffled(data):
        return packed([38, *reversed(numbers(data)[1:])])

    def longer(data):
        return packed([39, *numbers(data)[1:], 0])

    def wrong(data):
        return packed([30, *numbers(data)[1:]])

    for array in (shuffled, longer, wrong):
        same(of_interfaces(values_of(t, rewritten(GOLDEN, array))), {}, array.__name__)


def test_without_a_witness_only_what_is_certain(t):
    """No snmp6: an order cannot be ruled out; sent is what is the same in both."""
    whole = of_interfaces(values_of(t, rewritten(GOLDEN, lambda data: data)))
    values = values_of(t, rewritten(GOLDEN, lambda data: data, lambda name: name != "net/snmp6"))
    assert not [id for id in values if id.startswith("Ip6/")], "counters of a file that is missing"
    assert "Ip/protocol_counter-InReceives" in values, "the other files are missing too"
    got = of_interfaces(values)
    same(got, {id: whole[id] for id in got}, "values that are certain")
    assert "p0/protocol_counter-Ip6InOctets" in got and "p0/if_octets-ipv6" not in got


# ---- the command ---------------------------------------------------------------------------------


def test_command_shows_what_the_kernel_says(t):
    net = Network(t)
    net.trouble()
    net.router.sysctl("ipv4/conf/r1/forwarding", 0)
    files = before = None
    while before is None or before != files:  # MLD's words of new interfaces are counted too
        before = {name: proc(net.router, name) for name in ("snmp", "netstat", "snmp6")}
        shown = json.loads(t.netmon("forward", "--namespace", net.router.name).stdout)
        files = {name: proc(net.router, name) for name in before}
    same(shown["snmp"], [grouped(files["snmp"])], "snmp")
    same(shown["netstat"], [grouped(files["netstat"])], "netstat")
    same(shown["snmp6"], [flat(files["snmp6"])], "snmp6")
    same(len(shown["softnet"][0]), len(softnet()), "CPUs")
    same({(e["family"], e["ifindex_name"]): e["forwarding"] for e in shown["netconf"]},
         {(e["family"], e["interface"]): int(e["forwarding"])
          for e in json.loads(net.router.ip("-j netconf")) if e["family"] in ("inet", "inet6")},
         "forwarding")
    same({e["ifname"] for e in shown["ipv6"]}, {"lo", "r1", "r2"}, "interfaces")
