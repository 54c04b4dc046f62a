# SPDX-License-Identifier: MIT
"""What netmon_link says of bridges, bonds, VLANs, tunnels and VRFs, against ip, bridge and /proc."""

import json
import pathlib
import re
import socket
import struct

from harness import same, time_limit, until, vm

ONLY_CHANGES = "SlowInterval 3600"
RTM_NEWLINK, RTM_SETLINK, RTM_NEWVLAN = 16, 19, 112
IFLA_LINKINFO, IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_AF_SPEC = 18, 1, 2, 26
IFLA_BR_MULTI_BOOLOPT, IFLA_BR_FDB_MAX_LEARNED = 46, 49
IFLA_BRIDGE_MST, MST_ENTRY, MST_ENTRY_MSTI, MST_ENTRY_STATE = 6, 1, 1, 2
VLANDB_GLOBAL_OPTIONS, GOPTS_ID, GOPTS_MSTI = 2, 1, 18
BOOLOPT_MST_ENABLE = 2
STATES = {"disabled": 0, "listening": 1, "learning": 2, "forwarding": 3, "blocking": 4}
FAST_STP = "stp_state 1 forward_delay 200 hello_time 100 max_age 600"


# ---- what this iproute2 has no words for ------------------------------------------------------


def attr(type, data):
    return struct.pack("=HH", 4 + len(data), type) + data + b"\0" * (-len(data) % 4)


def nest(type, data):
    return attr(type | 0x8000, data)


def request(ns, type, body):
    """One request to rtnetlink, which the kernel must accept."""
    flags = 0x405  # NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE
    message = struct.pack("=IHHII", 16 + len(body), type, flags, 1, 0) + body
    with ns.call(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as s:
        s.send(message)
        error, = struct.unpack_from("=i", s.recv(65536), 16)
    assert not error, f"request {type}: error {error}"


def index(ns, dev):
    return int(ns.sysfs(f"{dev}/ifindex")[0])


def set_bridge(ns, dev, type, data):
    info = attr(IFLA_INFO_KIND, b"bridge\0") + nest(IFLA_INFO_DATA, attr(type, data))
    request(ns, RTM_NEWLINK, struct.pack("=BxHiII", 0, 0, index(ns, dev), 0, 0)
            + nest(IFLA_LINKINFO, info))


def set_mst_state(ns, dev, msti, state):
    entry = attr(MST_ENTRY_MSTI, struct.pack("=H", msti)) + attr(MST_ENTRY_STATE, bytes([state]))
    mst = nest(IFLA_BRIDGE_MST, nest(MST_ENTRY, entry))
    request(ns, RTM_SETLINK, struct.pack("=BxHiII", socket.AF_BRIDGE, 0, index(ns, dev), 0, 0)
            + nest(IFLA_AF_SPEC, mst))


def set_msti(ns, dev, vid, msti):
    options = attr(GOPTS_ID, struct.pack("=H", vid)) + attr(GOPTS_MSTI, struct.pack("=H", msti))
    request(ns, RTM_NEWVLAN, struct.pack("=BBHI", socket.AF_BRIDGE, 0, 0, index(ns, dev))
            + nest(VLANDB_GLOBAL_OPTIONS, options))


# ---- witnesses ----------------------------------------------------------------------------------


def bridge(ns, *words):
    return json.loads(ns.run("bridge", "-j", *words))


def bridge_link(ns, dev):
    return next(p for p in bridge(ns, "-d", "link") if p["ifname"] == dev)


def bridge_file(ns, dev, name):
    return ns.sysfs(f"{dev}/bridge/{name}")[0]


def proc_bonding(ns, dev):
    """/proc/net/bonding: the words of the bond, and by port those of each."""
    text = ns.call(pathlib.Path(f"/proc/thread-self/net/bonding/{dev}").read_text)
    bond, *ports = re.split(r"^Slave Interface: ", text, flags=re.M)
    words = lambda part: dict(line.strip().split(": ", 1) for line in part.splitlines()
                              if ": " in line)  # noqa: E731
    return words(bond), {p.split("\n", 1)[0]: words(p) for p in ports}


def stp_xstats(ns, dev):
    """What `ip` says of the BPDUs and transitions of a port."""
    stp = json.loads(ns.ip(f"-j link xstats type bridge_slave dev {dev}"))[0]["stp"]
    return {"if_rx_packets-bpdu": stp["rx_bpdu"], "if_tx_packets-bpdu": stp["tx_bpdu"],
            "if_rx_packets-tcn": stp["rx_tcn"], "if_tx_packets-tcn": stp["tx_tcn"],
            "transitions-stp_blocking": stp["transition_blk"],
            "transitions-stp_forwarding": stp["transition_fwd"]}


def plain(daemon, dev, *ids):
    return {id: v.plain if (v := daemon.latest(f"{dev}/{id}")) else None for id in ids}


# ---- bridges --------------------------------------------------------------------------------------


@vm
def test_spanning_tree(t):
    """Two bridges with two links between them: one port of one of them must block."""
    ns = t.namespace()
    ns.ip(f"link add br0 type bridge priority 8192 {FAST_STP}")
    ns.ip(f"link add br1 type bridge priority 4096 {FAST_STP}")
    for i in (0, 1):
        ns.ip(f"link add p{i} type veth peer name q{i}")
        ns.batch([f"link set p{i} master br0", f"link set q{i} master br1",
                  f"link set p{i} up", f"link set q{i} up"])
    ns.veth("r0", "s0")  # who leads nobody on tells nobody of changes
    ns.batch(["link set r0 master br0", "link set br0 up", "link set br1 up"])
    until(lambda: bridge_link(ns, "p0")["state"] == "forwarding"
          and bridge_link(ns, "p1")["state"] == "blocking"
          and bridge_file(ns, "br1", "topology_change") == "0", "a tree at rest", timeout=20)
    daemon = t.collectd('Notify "stp" "stp_port" "state"', ns).ready()

    daemon.wait_value("p1/gauge-stp_state", STATES["blocking"])
    for dev in ("br0", "br1"):
        root = bridge_file(ns, dev, "root_id") == bridge_file(ns, dev, "bridge_id")
        same(plain(daemon, dev, "gauge-stp", "bool-stp_root", "gauge-stp_root_port",
                   "gauge-stp_root_cost", "gauge-stp_priority"),
             {"gauge-stp": 1, "bool-stp_root": int(root),
              "gauge-stp_root_port": int(bridge_file(ns, dev, "root_port")),
              "gauge-stp_root_cost": int(bridge_file(ns, dev, "root_path_cost")),
              "gauge-stp_priority": None}, dev)
    same(plain(daemon, "br0", "bool-stp_root"), {"bool-stp_root": 0}, "who is root")
    for dev in ("p0", "p1", "q0", "q1"):
        said = bridge_link(ns, dev)
        same(plain(daemon, dev, "gauge-stp_state", "gauge-stp_cost"),
             {"gauge-stp_state": STATES[said["state"]], "gauge-stp_cost": said["cost"]}, dev)
    daemon.wait_value("q0/if_tx_packets-bpdu", lambda n: n > 0)
    before = stp_xstats(ns, "p0")
    seen = daemon.wait_value("p0/if_rx_packets-bpdu", lambda n: n > before["if_rx_packets-bpdu"])
    got = daemon.reading(since=seen.time - 0.001)
    between = {id: got[f"p0/{id}"].plain for id in before}
    after = stp_xstats(ns, "p0")
    wrong = {id: n for id, n in between.items() if not before[id] <= n <= after[id]}
    assert not wrong, f"{wrong} not from {before} to {after}"

    # the link that is used goes: the other takes over, and the tree says so
    since = daemon.now()
    ns.ip("link set q0 down")
    daemon.wait_notification("stp_port", "p1", since=since, timeout=20, new="forwarding")
    daemon.wait_value("p1/gauge-stp_state", STATES["forwarding"], since=since)
    daemon.wait_value("p1/transitions-stp_forwarding",
                      stp_xstats(ns, "p1")["transitions-stp_forwarding"], since=since, timeout=20)
    same(daemon.latest("br0/gauge-stp_root_port").plain,
         int(bridge_file(ns, "br0", "root_port")), "root port of br0")
    changed = daemon.wait_notification("stp", "br1", since=since)
    same(changed.severity, "warning", "topology change")
    daemon.wait_value("br1/transitions-stp_topology", lambda n: n > 0, since=since)

    # another root
    since = daemon.now()
    ns.ip("link set br0 type bridge priority 0")
    told = daemon.wait_notification("stp", "br1", since=since, timeout=20,
                                    new=root_text(ns, "br0", "bridge_id"))
    assert "root" in told.message, told.message
    daemon.wait_value("br1/bool-stp_root", 0, since=since)
    daemon.wait_value("br0/bool-stp_root", 1, since=since)


def root_text(ns, dev, name):
    prio, mac = bridge_file(ns, dev, name).split(".")
    return f"{prio}." + ":".join(re.findall("..", mac))


@vm
def test_notification_of_a_port_comes_from_its_event(t):
    ns = t.namespace()
    ns.ip(f"link add br0 type bridge {FAST_STP}")
    ns.veth("p0", "q0")
    ns.batch(["link set p0 master br0", "link set br0 up"])
    until(lambda: bridge_link(ns, "p0")["state"] == "forwarding", "a port that forwards", timeout=20)
    daemon = t.collectd('Notify "stp_port"', ns, interval=60).ready("p0")
    ns.ip("link set q0 down")
    told = daemon.wait_notification("stp_port", "p0", old="forwarding", new="disabled")
    same((told.severity, len(daemon.values("lo/if_octets"))), ("warning", 1), "and readings so far")


@vm
def test_without_spanning_tree_nothing_is_said_of_it(t):
    ns = t.namespace()
    ns.ip("link add br0 type bridge")
    ns.veth("p0", "q0")
    ns.batch(["link set p0 master br0", "link set br0 up"])
    daemon = t.collectd('Notify "all"', ns).ready("p0")
    ns.ip("link set q0 down")
    daemon.wait_notification("state", "p0", new="down")
    ns.ip("link set q0 up")
    daemon.wait_notification("state", "p0", new="up")
    daemon.wait_value("br0/gauge-stp", 0)
    daemon.reading(since=daemon.now())
    same({n.kind for n in daemon.notices()} - {"state", "speed"}, set(), "kinds of notifications")
    same(daemon.ids("br0/.*stp_|bpdu|transitions-stp"), set(), "values of a tree")


@vm
def test_learned_entries_and_their_limit(t):
    ns = t.namespace()
    ns.ip("link add br0 type bridge")
    ns.veth("p0", "q0")
    ns.batch(["link set p0 master br0", "link set br0 up"])
    set_bridge(ns, "br0", IFLA_BR_FDB_MAX_LEARNED, struct.pack("=I", 4))
    daemon = t.collectd(ns=ns).ready("p0")
    daemon.wait_value("br0/gauge-fdb_limit", 4)

    def learned():
        return len([e for e in bridge(ns, "fdb", "show", "br", "br0") if e["state"] == ""])

    for i in range(3):
        ns.frames("q0", 1, 60, source=f"02:00:00:00:01:{i:02x}")
    same(learned(), 3, "the story: entries")
    daemon.wait_value("br0/gauge-fdb_learned", 3)
    daemon.wait_value("br0/percent-fdb", 75)
    for i in range(6):
        ns.frames("q0", 1, 60, source=f"02:00:00:00:01:{i:02x}")
    full = daemon.wait_notification("fdb", "br0")
    same((full.severity, full.meta["old"], full.meta["new"]), ("failure", "4", "4"), "full")
    same(learned(), 4, "the story: the limit holds")
    daemon.wait_value("br0/percent-fdb", 100)
    since = daemon.now()
    ns.ip("link set br0 type bridge fdb_flush")
    same(daemon.wait_notification("fdb", "br0", since=since).severity, "okay", "room again")
    daemon.wait_value("br0/gauge-fdb_learned", 0)


@vm
def test_flags_of_ports_come_with_their_events(t):
    ns = t.namespace()
    ns.ip("link add br0 type bridge")
    ns.veth("p0", "q0")
    ns.batch(["link set p0 master br0", "link set br0 up"])
    daemon = t.collectd(ONLY_CHANGES, ns).ready("p0")
    words = {"bool-learning": "learning", "bool-locked": "locked", "bool-isolated": "isolated",
             "bool-guard": "guard", "bool-protect": "root_block"}
    for on in (False, True):
        for id, word in words.items():
            since = daemon.now()
            ns.run("bridge", "link", "set", "dev", "p0", word, "off" if on else "on")
            ns.run("bridge", "link", "set", "dev", "p0", word, "on" if on else "off")
            daemon.wait_value(f"p0/{id}", int(on)) if on else None
            said = bridge_link(ns, "p0")
            same(said[word], on, f"the story: {word}")
            daemon.wait_value(f"p0/{id}", int(on), since=since if on else 0)
    daemon.wait_value("p0/bool-mab", 0)
    ns.run("bridge", "link", "set", "dev", "p0", "cost", "77")
    daemon.wait_value("p0/gauge-stp_cost", 77)


@vm
def test_querier_of_a_bridge(t):
    ns = t.namespace()
    ns.ip("link add br0 type bridge")
    ns.ip("link set br0 up")
    daemon = t.collectd(ONLY_CHANGES, ns).ready("br0")
    daemon.wait_value("br0/bool-querier", 0)
    ns.ip("link set br0 type bridge mcast_querier 1")
    daemon.wait_value("br0/bool-querier", 1)
    off = daemon.now()
    ns.ip("link set br0 type bridge mcast_querier 0")
    daemon.wait_value("br0/bool-querier", 0, since=off)
    ns.ip("link set br0 type bridge mcast_snooping 0")
    gone = daemon.now()
    daemon.reading(since=gone)
    same(daemon.wait_value("br0/gauge-fdb_learned", since=gone).plain, 0, "a reading more")


# ---- VLANs of bridges -------------------------------------------------------------------------------


def vlan_bridge(t, options="vlan_stats_enabled 1 vlan_stats_per_port 1"):
    ns = t.namespace()
    ns.ip(f"link add br0 type bridge vlan_filtering 1 mcast_snooping 0 {options}")
    for i in (0, 1):
        ns.veth(f"p{i}", f"q{i}")
        ns.ip(f"link set p{i} master br0")
        ns.run("bridge", "vlan", "add", "dev", f"p{i}", "vid", "10-12")
    ns.run("bridge", "vlan", "add", "dev", "p1", "vid", "20", "pvid", "untagged")
    ns.run("bridge", "vlan", "add", "dev", "br0", "vid", "10", "self")
    ns.ip("link set br0 up")
    until(lambda: all(bridge_link(ns, p)["state"] == "forwarding" for p in ("p0", "p1")),
          "ports that forward")
    return ns


def vlans(ns):
    """Every VLAN value as `bridge` has it, membership and traffic."""
    values = {}
    for dev in bridge(ns, "-s", "vlan"):
        name = dev["ifname"]
        values[f"{name}/gauge-vlans"] = len(dev["vlans"])
        for v in dev["vlans"]:
            vid, flags = v["vlan"] if "vlan" in v else v["vid"], v.get("flags", [])
            values[f"{name}/bool-untagged_vlan{vid}"] = int("Egress Untagged" in flags)
            if "PVID" in flags:
                values[f"{name}/gauge-pvid"] = vid
            for id, key in (("if_rx_octets", "rx_bytes"), ("if_tx_octets", "tx_bytes"),
                            ("if_rx_packets", "rx_packets"), ("if_tx_packets", "tx_packets")):
                values[f"{name}/{id}-vlan{vid}"] = v[key]
    return values


def vlan_ids(reading):
    return {id for id in reading if re.search(r"vlan\d|gauge-vlans|gauge-pvid", id)}


def tagged(ns, dev, vid, count, size):
    ns.frames(dev, count, size, proto=0x8100, payload=struct.pack("!HH", vid, 0x88b5))


@vm
def test_vlans_and_their_traffic(t):
    ns = vlan_bridge(t)
    daemon = t.collectd("CollectVlan true\nSlowInterval 0.1", ns).ready("p0")
    tagged(ns, "q0", 10, 30, 500)
    tagged(ns, "q0", 11, 7, 100)
    tagged(ns, "q1", 12, 5, 100)
    stopped = daemon.now()
    expected = vlans(ns)
    assert expected["p0/if_rx_octets-vlan10"] >= 30 * 480, "the story: no traffic was counted"
    reading = daemon.reading(since=stopped)
    same({id: reading[id].plain for id in vlan_ids(reading)}, expected, "VLANs")

    ns.run("bridge", "vlan", "del", "dev", "p0", "vid", "11")
    ns.run("bridge", "vlan", "add", "dev", "p0", "vid", "33", "untagged")
    stopped = daemon.now()
    expected = vlans(ns)
    reading = daemon.reading(since=stopped)
    same({id: reading[id].plain for id in vlan_ids(reading)}, expected, "VLANs after a change")


@vm
def test_many_vlans_in_many_messages(t):
    """Thousands of VLANs do not fit into one message: the kernel continues in the next."""
    ns = vlan_bridge(t)
    ns.run("bridge", "vlan", "add", "dev", "p0", "vid", "100-2100")
    daemon = t.collectd("CollectVlan true\nInterface p0", ns, interval=2).ready("p0")
    tagged(ns, "q0", 2000, 9, 200)
    stopped = daemon.now()
    reading = daemon.reading(since=stopped, timeout=30)
    expected = {id: n for id, n in vlans(ns).items() if re.match(r"p0/if_", id)}
    same({id: v.plain for id, v in reading.items() if re.match(r"p0/if_.x_.*-vlan", id)}, expected,
         "VLANs")


@vm
def test_traffic_is_of_the_bridge_where_ports_do_not_count(t):
    ns = vlan_bridge(t, "vlan_stats_enabled 1")
    daemon = t.collectd("CollectVlan true", ns).ready("p0")
    tagged(ns, "q0", 10, 30, 500)
    stopped = daemon.now()
    expected = {id: n for id, n in vlans(ns).items() if re.match(r"br0/if_", id)}
    reading = daemon.reading(since=stopped)
    same({id: v.plain for id, v in reading.items() if re.search(r"/if_.x_.*-vlan", id)}, expected,
         "traffic by VLAN")


@vm
def test_vlans_are_asked_for(t):
    """Without CollectVlan, and without counters in the bridge, there is no such value."""
    ns = vlan_bridge(t, "")
    daemon = t.collectd("CollectVlan true", ns).ready("p0")
    daemon.wait_value("p1/gauge-pvid", 20)
    same(daemon.ids(r"/if_.x_.*-vlan"), set(), "traffic that nobody counts")
    daemon.stop()
    daemon = t.collectd(ns=ns).ready("p0")
    daemon.reading()
    same(vlan_ids(daemon.ids()), set(), "VLANs that nobody wants")


@vm
def test_a_port_that_left_and_came_back_makes_no_spike(t):
    """Its counters start at 0, and so do those of a port that took another's name."""
    ns = vlan_bridge(t)
    daemon = t.collectd("CollectVlan true", ns).ready("p0")
    tagged(ns, "q0", 10, 30, 500)
    expected = vlans(ns)["p0/if_rx_octets-vlan10"]
    daemon.wait_value("p0/if_rx_octets-vlan10", expected)
    ns.batch(["link set p0 nomaster", "link set p0 master br0"])
    ns.run("bridge", "vlan", "add", "dev", "p0", "vid", "10")
    daemon.wait_value("p0/if_rx_octets-vlan10", 0, since=daemon.now())

    until(lambda: bridge_link(ns, "p1")["state"] == "forwarding", "a port that forwards")
    tagged(ns, "q1", 10, 300, 1000)
    daemon.wait_value("p1/if_rx_octets-vlan10", vlans(ns)["p1/if_rx_octets-vlan10"])
    ns.batch(["link set p0 down", "link set p1 down", "link set p0 name x0",
              "link set p1 name p0", "link set p0 up"])
    renamed = daemon.now()
    for _ in range(3):
        reading = daemon.reading(since=daemon.now())
        assert "p0/if_octets" in reading, sorted(reading)
    seen = [v.plain for v in daemon.values("p0/if_rx_octets-vlan10") if v.time > renamed]
    assert seen and max(seen) < 1000, f"counters of another port under the name: {seen}"


@vm
def test_states_by_multiple_spanning_tree(t):
    ns = t.namespace()
    ns.ip("link add br0 type bridge vlan_filtering 1")
    mst = 1 << BOOLOPT_MST_ENABLE
    set_bridge(ns, "br0", IFLA_BR_MULTI_BOOLOPT, struct.pack("=II", mst, mst))
    ns.veth("p0", "q0")
    ns.batch(["link set p0 master br0", "link set br0 up"])
    ns.run("bridge", "vlan", "add", "dev", "br0", "vid", "10", "self")
    ns.run("bridge", "vlan", "add", "dev", "p0", "vid", "10")
    set_msti(ns, "br0", 10, 3)
    daemon = t.collectd("AuditInterval 0\nSlowInterval 1", ns).ready("p0")
    set_mst_state(ns, "p0", 3, STATES["blocking"])
    daemon.wait_value("p0/gauge-mst3_state", STATES["blocking"])
    set_mst_state(ns, "p0", 3, STATES["forwarding"])
    daemon.wait_value("p0/gauge-mst3_state", STATES["forwarding"])
    # an event of the port says nothing of them
    ns.run("bridge", "link", "set", "dev", "p0", "isolated", "on")
    isolated = daemon.wait_value("p0/bool-isolated", 1).time
    assert "p0/gauge-mst3_state" in daemon.reading(since=isolated - 0.001), "it is kept"


# ---- bonds ------------------------------------------------------------------------------------------


def bonded(t, options, ports=2):
    ns = t.namespace()
    ns.ip(f"link add bond0 type bond {options}")
    for i in range(ports):
        ns.ip(f"link add p{i} type veth peer name q{i}")
        ns.batch([f"link set p{i} master bond0", f"link set p{i} up", f"link set q{i} up"])
    ns.ip("link set bond0 up")
    until(lambda: all(p["MII Status"] == "up" for p in proc_bonding(ns, "bond0")[1].values()),
          "ports that are up")
    return ns


def assert_bond(ns, daemon):
    """Every value of the bond and its ports is what /proc/net/bonding says."""
    bond, ports = proc_bonding(ns, "bond0")
    info = ns.link("bond0")["linkinfo"]["info_data"]
    same(plain(daemon, "bond0", "gauge-ports", "gauge-ports_up"),
         {"gauge-ports": len(ports),
          "gauge-ports_up": sum(p["MII Status"] == "up" for p in ports.values())}, "ports")
    for name, port in ports.items():
        slave = ns.link(name)["linkinfo"]["info_slave_data"]
        same(plain(daemon, name, "bool-mii_up", "bool-active", "derive-link_failures"),
             {"bool-mii_up": int(port["MII Status"] == "up"),
              "bool-active": int(slave["state"] == "ACTIVE"),
              "derive-link_failures": int(port["Link Failure Count"])}, name)
    return bond, info


@vm
def test_bond_with_a_spare_port(t):
    ns = bonded(t, "mode active-backup miimon 50")
    daemon = t.collectd('SlowInterval 0.1\nNotify "bond" "active_port" "partner"', ns,
                        interval=1).ready("bond0")
    daemon.wait_value("bond0/gauge-bond_mode", 1)
    daemon.reading(since=daemon.now())
    bond, info = assert_bond(ns, daemon)
    same((bond["Currently Active Slave"], info["active_slave"]), ("p0", "p0"), "the story")

    since = daemon.now()
    ns.ip("link set q0 down")
    degraded = daemon.wait_notification("bond", "bond0", since=since, old="2", new="1")
    same(degraded.severity, "warning", "degraded")
    active = daemon.wait_notification("active_port", "bond0", since=since, old="p0", new="p1")
    same(active.severity, "warning", "active port changed")
    daemon.wait_value("bond0/transitions-active_port", 1)
    daemon.wait_value("p0/derive-link_failures", 1)
    daemon.reading(since=daemon.now())
    assert_bond(ns, daemon)

    since = daemon.now()
    ns.ip("link set q1 down")
    same(daemon.wait_notification("bond", "bond0", since=since, new="0").severity, "failure",
         "no port left")
    same(daemon.wait_notification("active_port", "bond0", since=since, new="none").severity,
         "failure", "no active port")
    since = daemon.now()
    ns.batch(["link set q0 up", "link set q1 up"])
    restored = daemon.wait_notification("bond", "bond0", since=since, new="2")
    same(restored.severity, "okay", "restored")
    daemon.reading(since=daemon.now())
    assert_bond(ns, daemon)

    since = daemon.now()
    ns.ip("link set p0 nomaster")
    daemon.wait_value("bond0/gauge-ports", 1, since=since)
    daemon.reading(since=daemon.now())
    assert_bond(ns, daemon)
    same([n.message for n in daemon.notices(since) if n.kind == "bond"], [], "told of a smaller bond")

    # what is set down does not look after its ports
    ns.ip("link set bond0 down")
    reading = daemon.reading(since=daemon.now())
    assert "bond0/gauge-bond_mode" in reading and "bond0/gauge-ports_up" not in reading, \
        "ports of a bond that is down"


@vm
def test_notification_of_a_bond_comes_from_its_event(t):
    ns = bonded(t, "mode active-backup miimon 10")
    daemon = t.collectd('Notify "bond" "active_port"', ns, interval=60).ready("bond0")
    ns.ip("link set q0 down")
    daemon.wait_notification("bond", "bond0", new="1")
    daemon.wait_notification("active_port", "bond0", new="p1")
    same(len(daemon.values("lo/if_octets")), 1, "readings so far")


@vm
def test_bond_of_different_speeds(t):
    ns = t.namespace()
    ns.run("modprobe", "tun")
    ns.ip("link add bond0 type bond mode balance-rr miimon 50")
    for i, speed in enumerate((1000, 100)):
        t.tap(ns, f"t{i}")
        ns.run("ethtool", "-s", f"t{i}", "speed", speed, "duplex", "full")
        ns.batch([f"link set t{i} down", f"link set t{i} master bond0", f"link set t{i} up"])
    ns.ip("link set bond0 up")
    daemon = t.collectd("SlowInterval 0.1", ns).ready("bond0")
    daemon.wait_value("bond0/bool-mixed_speed", 1)
    ns.run("ethtool", "-s", "t1", "speed", "1000", "duplex", "full")
    daemon.wait_value("bond0/bool-mixed_speed", 0)


@vm
@time_limit(110)
def test_lacp(t):
    """Two bonds that agree, then one stops to speak: the partner is lost, and what is churn comes."""
    options = "mode 802.3ad miimon 50 lacp_rate fast"
    ns, peer = t.namespace(), t.namespace()
    for n, prefix in ((ns, "p"), (peer, "q")):
        n.ip(f"link add bond0 type bond {options}")
    for i in (0, 1):
        ns.ip(f"link add p{i} type veth peer name q{i} netns {peer.name}")
        ns.batch([f"link set p{i} master bond0", f"link set p{i} up"])
        peer.batch([f"link set q{i} master bond0", f"link set q{i} up"])
    ns.ip("link set bond0 up")
    peer.ip("link set bond0 up")
    until(lambda: proc_bonding(ns, "bond0")[0].get("Number of ports") == "2", "an aggregator of two",
          timeout=30)
    daemon = t.collectd('SlowInterval 0.1\nNotify "bond" "partner"', ns).ready("bond0")
    daemon.wait_value("bond0/gauge-lacp_ports", 2)
    daemon.wait_value("p0/bool-lacp_distributing", 1)
    daemon.reading(since=daemon.now())
    bond, ports = proc_bonding(ns, "bond0")
    same(plain(daemon, "bond0", "gauge-bond_mode", "gauge-lacp_aggregator", "gauge-lacp_ports",
               "bool-lacp_partner", "gauge-ports", "gauge-ports_up"),
         {"gauge-bond_mode": 4, "gauge-lacp_aggregator": int(bond["Aggregator ID"]),
          "gauge-lacp_ports": int(bond["Number of ports"]), "bool-lacp_partner": 1,
          "gauge-ports": 2, "gauge-ports_up": 2}, "bond")
    partner = bond["Partner Mac Address"]
    same(partner, peer.sysfs("bond0/address")[0], "the story: the partner")
    for name, port in ports.items():
        same(plain(daemon, name, "gauge-lacp_aggregator", "bool-lacp_synchronized",
                   "bool-lacp_distributing", "bool-lacp_partner"),
             {"gauge-lacp_aggregator": int(port["Aggregator ID"]), "bool-lacp_synchronized": 1,
              "bool-lacp_distributing": 1, "bool-lacp_partner": 1}, name)

    since = daemon.now()
    peer.batch(["link set q1 nomaster", "link set q1 up"])  # has a carrier, and is silent
    degraded = daemon.wait_notification("bond", "bond0", since=since, timeout=20, new="1")
    same(degraded.severity, "warning", "a port that is in no aggregator of use")
    until(lambda: proc_bonding(ns, "bond0")[0]["Number of ports"] == "1", "an aggregator of one")
    daemon.wait_value("bond0/gauge-lacp_ports", 1, since=since)
    daemon.wait_value("p1/bool-lacp_partner", 0)
    peer.batch(["link set q0 nomaster", "link set q0 up"])
    lost = daemon.wait_notification("partner", "bond0", since=since, timeout=20)
    same((lost.severity, lost.meta["old"], lost.meta["new"]), ("failure", partner, "none"), "lost")
    daemon.wait_value("bond0/bool-lacp_partner", 0)

    def churned(who):
        return {f"{name}/bool-lacp_{who}_churned":
                int(port[f"{who.title()} Churn State"] == "churned")
                for name, port in proc_bonding(ns, "bond0")[1].items()}

    if daemon.latest("p0/bool-lacp_partner_churned"):  # not every kernel tells
        until(lambda: any(churned("partner").values()), "churn", timeout=20)
        since, expected = daemon.now(), {**churned("partner"), **churned("actor")}
        reading = daemon.reading(since=since)
        same({id: reading[id].plain for id in expected}, expected, "churn")
    since = daemon.now()
    for i in (0, 1):
        peer.batch([f"link set q{i} down", f"link set q{i} master bond0", f"link set q{i} up"])
    found = daemon.wait_notification("partner", "bond0", since=since, timeout=30, new=partner)
    same(found.severity, "okay", "found")
    daemon.wait_notification("bond", "bond0", since=since, timeout=30, new="2")


# ---- what else there is -----------------------------------------------------------------------------

KINDS = {
    "v5": "link base name v5 type vlan id 5",
    "mv0": "link base name mv0 type macvlan mode bridge",
    "vx0": "name vx0 type vxlan id 7 dev base dstport 4789 remote 192.0.2.1",
    "vx1": "name vx1 type vxlan id 8 dstport 4790 local 192.0.2.5",
    "gt0": "name gt0 type gretap local 192.0.2.3 remote 192.0.2.4 key 5 dev base",
    "g6": "name g6 type ip6gre local 2001:db8::1 remote 2001:db8::2",
    "ipip9": "name ipip9 type ipip local 192.0.2.3 remote 192.0.2.5 dev base",
    "sit9": "name sit9 type sit local 192.0.2.3 remote 192.0.2.6",
    "t6": "name t6 type ip6tnl local 2001:db8::1 remote 2001:db8::3",
    "vti9": "name vti9 type vti local 192.0.2.3 remote 192.0.2.7 key 9",
    "gnv": "name gnv type geneve id 9 remote 192.0.2.9",
    "vrf0": "name vrf0 type vrf table 10",
    "nka": "name nka type netkit",
    "x0": "name x0 type xfrm dev base if_id 77",
    "bond9": "name bond9 type bond mode 802.3ad miimon 100",
    "br9": "name br9 type bridge",
}
PARENTS = {"v5", "mv0", "vx0", "gt0", "ipip9", "x0"}
# What `ip` says -> what the kernel's attribute is called.
SAME_WORDS = {
    "vlan": {"id": "id"},
    "macvlan": {"mode": "mode"},
    "vxlan": {"id": "id", "port": "port", "local": "local", "remote": "group", "ageing": "ageing"},
    "gretap": {"local": "local", "remote": "remote"},
    "ip6gre": {"local": "local", "remote": "remote", "encap_limit": "encap_limit"},
    "ipip": {"local": "local", "remote": "remote"},
    "sit": {"local": "local", "remote": "remote", "prefixlen": "6rd_prefixlen"},
    "ip6tnl": {"local": "local", "remote": "remote", "encap_limit": "encap_limit"},
    "vti": {"local": "local", "remote": "remote"},
    "geneve": {"id": "id", "remote": "remote", "port": "port"},
    "vrf": {"table": "table"},
    "bond": {"miimon": "miimon", "resend_igmp": "resend_igmp", "min_links": "min_links"},
    "bridge": {"ageing_time": "ageing_time", "priority": "priority", "mcast_hash_max":
               "mcast_hash_max", "vlan_stats_enabled": "vlan_stats_enabled"},
}


def with_kinds(t):
    ns = t.namespace()
    ns.veth("base", "other")
    for words in KINDS.values():
        ns.ip(f"link add {words}")
    return ns


@vm
def test_json_of_every_kind(t):
    ns = with_kinds(t)
    ours = {link["ifname"]: link for link in json.loads(t.netmon("link", ns=ns).stdout)["links"]}
    compared = 0
    for dev, said in ns.json_links().items():
        info = said.get("linkinfo", {})
        same(ours[dev].get("linkinfo", {}).get("kind"), info.get("info_kind"), f"kind of {dev}")
        for ip, our in SAME_WORDS.get(info.get("info_kind"), {}).items():
            data = info["info_data"]
            if data.get(ip) not in (None, "any"):
                same(ours[dev]["linkinfo"]["data"][our], data[ip], f"{ip} of {dev}")
                compared += 1
    assert compared > 30, f"only {compared} attributes were compared"
    assert not [k for link in ours.values() for k in link.get("linkinfo", {}).get("data", {})
                if k.isdigit()], "an attribute without a name"
    same(ours["nka"]["linkinfo"]["data"]["mode"], "l3", "netkit")


@vm
def test_kind_and_parent_are_meta_data(t):
    ns = with_kinds(t)
    ns.ip("link set gt0 master vrf0")
    daemon = t.collectd('Notify "all"', ns).ready("base")
    for dev, words in KINDS.items():
        kind = words.split(" type ")[1].split()[0]
        meta = daemon.wait_value(f"{dev}/bool-admin_up").meta
        expected = {"kind": kind}
        if dev in PARENTS:
            expected["parent"] = "base"
        if dev == "nka":
            expected["peer"] = "nk0"
        same(meta, expected, f"meta data of {dev}")
        same(daemon.latest(f"{dev}/if_octets").meta, {}, "of a value of every reading")
    same(daemon.latest("base/bool-admin_up").meta, {"kind": "veth", "peer": "other"}, "a veth")
    same(daemon.latest("lo/bool-admin_up").meta, {}, "a device without a kind")
    ns.ip("link set v5 mtu 1400")
    told = daemon.wait_notification("mtu", "v5").meta
    same((told["kind"], told["parent"]), ("vlan", "base"), "meta data of a notification")
    ns.ip("link set gt0 nomaster")
    daemon.wait_notification("master", "gt0", old="vrf0", new="none")
