# SPDX-License-Identifier: MIT
"""The command on a kernel with WireGuard and DPLL: what changed, who is there, what is not allowed."""

import json

from harness import PATIENCE, same, time_limit, until, vm
from test_cli_changes import Watch, snapshot
from test_cli_show import shown, validate
from test_dpll import Sim
from test_wireguard import Tunnel, dump, of_json, wg

OTHER = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE="


def said(watch, word):
    line = watch.see(word, 10 * PATIENCE)
    assert line, f"nothing was told with {word}: {watch.lines}"
    return line.partition(" ")[2]


@vm
@time_limit(120)
def test_tunnels_are_watched_though_the_kernel_tells_nothing(t):
    tunnel = Tunnel(t)
    watch = Watch(t, tunnel.a, "wireguard", "link", "--interval", "0.2").ready(tunnel.a)
    peer = f"peers device wg0 public_key {tunnel.public[2]}"
    tunnel.ping()
    assert "online false -> true" in said(watch, f"~ {peer}"), watch.lines[-1]
    tunnel.ping(5)  # counters are no change
    wg(tunnel.a, "wg0", "peer", OTHER, "allowed-ips", "10.9.0.0/24")
    said(watch, f"+ peers device wg0 public_key {OTHER}")
    wg(tunnel.a, "wg0", "peer", OTHER, "endpoint", "192.0.2.9:7")
    assert "endpoint (none) -> 192.0.2.9:7" in said(watch, f"~ peers device wg0 public_key {OTHER}")
    wg(tunnel.b, "wg0", "listen-port", "51999")
    tunnel.ping(source=tunnel.b, to=1)
    assert "endpoint 192.0.2.2:51820 -> 192.0.2.2:51999" in said(watch, f"~ {peer}")
    wg(tunnel.a, "wg0", "peer", OTHER, "remove")
    said(watch, f"- peers device wg0 public_key {OTHER}")
    wg(tunnel.a, "wg0", "fwmark", "7")
    said(watch, "~ devices wg0: fwmark 0 -> 7")
    tunnel.a.ip("link add wg1 type wireguard")
    said(watch, "+ devices wg1")
    tunnel.a.ip("link del wg0")
    said(watch, f"- {peer}")
    watch.end()
    about = [line.partition(" ")[2] for line in watch.lines if " peers " in line]
    same([line[0] for line in about], ["~", "+", "~", "~", "-", "-"], f"changes of peers: {about}")


@vm
def test_traffic_through_a_tunnel_is_no_difference(t):
    tunnel = Tunnel(t)
    tunnel.ping()
    paths = {noun: snapshot(t, tunnel.a, noun) for noun in ("wireguard", "all", "link")}
    tunnel.ping(3)
    same(t.netmon("diff", paths["wireguard"], ns=tunnel.a).stdout, "", "difference")
    lines = t.netmon("diff", "--counters", paths["wireguard"], ns=tunnel.a, ok=(1,)).stdout
    assert "tx_bytes" in lines and "rx_bytes" in lines, lines
    for noun in ("all", "link"):
        done = t.netmon("diff", paths[noun], ns=tunnel.a, ok=(0, 1))
        moved = [line for line in done.stdout.splitlines() if "neighbors" not in line]
        same(moved, [], f"difference of {noun}")
    wg(tunnel.a, "wg0", "peer", OTHER, "allowed-ips", "10.9.0.0/24")
    entry, = json.loads(t.netmon("diff", "--json", paths["wireguard"], ns=tunnel.a, ok=(1,)).stdout)
    same((entry["change"], entry["what"], entry["identity"]),
         ("added", "peers", {"device": "wg0", "public_key": OTHER}), "the new peer")


@vm
def test_the_summary_of_tunnels_is_what_wg_says(t):
    tunnel = Tunnel(t)
    tunnel.ping()
    wg(tunnel.a, "wg0", "peer", OTHER, "allowed-ips", "10.9.0.0/24")
    document = shown(t, "wireguard", ns=tunnel.a)
    validate(t, "wireguard", document)
    theirs = dump(tunnel.a)
    same({d["ifname"] for d in document["devices"]}, set(theirs), "devices")
    same(of_json(json.dumps(document))["wg0"]["peers"].keys(), theirs["wg0"]["peers"].keys(), "peers")
    same(document["summary"]["devices"],
         {"total": 1, "peers": 2, "peers_by_state": {"never": 1, "online": 1}}, "summary")
    table = t.netmon("wireguard", "--summary", ns=tunnel.a).stdout
    assert "1, 2 peers" in table and "1 online" in table, table


@vm
def test_what_is_not_permitted(t):
    """Exit 4, one line that says what is needed, and everything else all the same."""
    tunnel = Tunnel(t)
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all",
            "--inh-caps=-all"]
    for words in (["wireguard"], ["link", "--wireguard"], ["all"], ["wireguard", "--ndjson"]):
        done = t.netmon(*words, ns=tunnel.a, ok=None, before=user)
        same((done.returncode, done.stderr.count("\n")), (4, 3 if words == ["all"] else 1),
             f"{words}: {done.stderr!r}")
        assert "CAP_NET_ADMIN" in done.stderr, done.stderr
        meta = (json.loads(done.stdout.splitlines()[-1]) if "--ndjson" in words
                else json.loads(done.stdout)["metadata"])
        same((meta["complete"], "CAP_NET_ADMIN" in meta["reason"]), (False, True), f"{words}")
    done = t.netmon("route", "--namespace", tunnel.a.name, ok=None, before=user)
    same((done.returncode, done.stdout, done.stderr.count("\n")), (4, "", 1), "another namespace")
    assert "CAP_SYS_ADMIN" in done.stderr, done.stderr
    done = t.netmon("watch", "wireguard", ns=tunnel.a, ok=None, before=user)
    same((done.returncode, done.stdout, done.stderr.count("\n")), (4, "", 1), done.stderr)


@vm
def test_clocks(t):
    """Validated, counted as the driver says, measured values no difference, changes told."""
    sim = Sim(t)
    document = shown(t, "dpll")
    validate(t, "dpll", document)
    states = {1: "unlocked", 2: "locked", 3: "locked_ho_acq", 4: "holdover"}
    locks = [states[n] for (kind, *_, what), n in sim.read().items()
             if (kind, what) == ("dev", "lock_status")]
    same(document["summary"]["devices"]["by_lock_status"],
         {s: locks.count(s) for s in set(locks)}, "locks")
    path = t.directory("snapshot") / "json"
    path.write_text(json.dumps(document))
    sim.do("quiet dev 0 temp 1234", "quiet pin 0 0 ffo 77", "quiet pin 0 1 phase_offset 99")
    same(t.netmon("diff", path).stdout, "", "difference")
    assert "temp" in t.netmon("diff", "--counters", path, ok=(1,)).stdout
    watch = Watch(t, None, "dpll", "link").ready(None)
    sim.do("dev 0 lock_status 4")
    assert "-> holdover" in said(watch, "~ devices"), watch.lines
    watch.end()


def switch(t):
    """Kinds of links that few kernels have, and what moves by itself on a bridge."""
    ns = t.namespace()
    ns.batch(["link add br0 type bridge vlan_filtering 1 mcast_querier 1 mcast_vlan_snooping 1 "
              "mcast_stats_enabled 1 stp_state 1 forward_delay 200 vlan_stats_enabled 1",
              "link add bond0 type bond mode 802.3ad miimon 100", "link add vrf0 type vrf table 10",
              "link set vrf0 up", "link add d0 type dummy", "link set d0 up",
              "link add d0.7 link d0 type vlan id 7", "link add vx0 type vxlan id 7 dstport 4789",
              "link add m0 link d0 type macvlan", "link add gre0x type gretap remote 192.0.2.9 local 192.0.2.1"])
    for i in range(3):
        ns.veth(f"p{i}", f"q{i}")
    ns.batch(["link set p0 master br0", "link set p1 down", "link set p1 master bond0",
              "link set p2 master vrf0", "link set br0 up", "link set bond0 up", "link set p1 up",
              "addr add 192.0.2.1/24 dev p2", "route add 198.51.100.0/24 via 192.0.2.2 vrf vrf0",
              "addr add 203.0.113.1/24 dev q2", "route add blackhole 198.51.101.0/24 table 10"])
    ns.run("bridge", "vlan", "add", "dev", "p0", "vid", "10")
    ns.run("bridge", "vlan", "add", "dev", "br0", "vid", "10", "self")
    ns.run("bridge", "vlan", "global", "set", "dev", "br0", "vid", "10", "mcast_snooping", "1",
           "mcast_querier", "1")
    ns.run("bridge", "mdb", "add", "dev", "br0", "port", "p0", "grp", "239.1.2.3", "temp", "vid", "10")
    return ns


@vm
@time_limit(120)
def test_kinds_of_links_are_validated_and_what_moves_is_no_difference(t):
    ns = switch(t)
    for noun in ("link", "mdb", "neighbor", "route", "rule", "forward", "address", "all"):
        validate(t, noun, shown(t, noun, ns=ns))
        assert noun == "all" or t.netmon(noun, "--summary", ns=ns).stdout.startswith(noun), noun
    kinds = shown(t, "link", ns=ns)["summary"]["links"]["by_kind"]
    assert {"bridge", "bond", "vrf", "dummy", "vlan", "vxlan", "macvlan"} <= set(kinds), kinds
    until(lambda: "state forwarding" in ns.run("bridge", "link", "show", "dev", "p0"),
          "the port to forward", timeout=60)
    paths = {noun: snapshot(t, ns, noun) for noun in ("link", "mdb", "route", "rule", "forward")}
    ns.frames("q0", count=20, size=200)
    timer = lambda: json.dumps(shown(t, "mdb", ns=ns)["mdb"])
    before = timer()
    until(lambda: timer() != before, "a timer to move")
    for noun, path in paths.items():
        same(t.netmon("diff", path, ns=ns, ok=(0, 1)).stdout, "", f"difference of {noun}")


@vm
def test_a_port_of_two_commands_is_told_once(t):
    ns = switch(t)
    watch = Watch(t, ns, "link", "mdb").ready(ns)
    ns.run("bridge", "vlan", "add", "dev", "p0", "vid", "20")
    assert "af_spec.vlan_info[20].vid (none) -> 20" in said(watch, "~ ports p0"), watch.lines
    ns.run("bridge", "link", "set", "dev", "p0", "isolated", "on")
    said(watch, "isolated 0 -> 1")
    ns.ip("link set vrf0 mtu 1400")
    said(watch, "links vrf0")
    watch.end()
    same(len([line for line in watch.lines if "isolated" in line]), 1, f"told: {watch.lines}")
    alone = Watch(t, ns, "mdb")
    until(lambda: alone.see("ports p0", 0.2) or flip(ns), "mdb alone to tell of its port")
    assert not [line for line in alone.lines if "vlan_info" in line], alone.lines
    alone.end()


def flip(ns):
    for state in ("off", "on"):
        ns.run("bridge", "link", "set", "dev", "p0", "isolated", state)


@vm
def test_the_way_through_a_vrf(t):
    ns = switch(t)
    ns.sysctl("ipv4/conf/all/rp_filter", 0)
    ns.sysctl("ipv4/conf/p2/rp_filter", 0)
    for dev in ("all", "p2", "vrf0"):
        ns.sysctl(f"ipv4/conf/{dev}/forwarding", 1)
    words = ["--from", "192.0.2.7", "--iif", "p2"]
    for address, stop in (("198.51.100.9", None), ("198.51.101.9", "route"), ("198.51.102.9", "route")):
        got = ns.run("ip", "-j", "route", "get", address, "from", "192.0.2.7", "iif", "p2", ok=None)
        document = json.loads(t.netmon("explain", "--json", address, *words, ns=ns).stdout)
        steps = {step["step"]: step for step in document["steps"]}
        same((document["stopped_by"], not got.strip()), (stop, bool(stop)), f"way to {address}")
        if address != "198.51.102.9":
            same((steps["rule"]["entry"].get("l3mdev"), steps["route"]["entry"]["table"]), (1, 10),
                 f"rule and table of {address}")
        if not stop:
            same(steps["next hop"]["entry"]["gateway"], json.loads(got)[0]["gateway"], "next hop")
