# SPDX-License-Identifier: MIT
"""The whole daemon on the kernel of tests/vm: every plugin at once, into RRD files."""

import json
import shutil

from harness import ROOT, STOCK_PLUGINS, Skip, command, same, time_limit, until, vm

INTERVAL = 5


def network(t):
    """A router with a bridge of VLANs, a bond, a VRF, a tunnel and a VPN."""
    ns = t.namespace()
    ns.ip("link add br0 type bridge vlan_filtering 1 vlan_stats_enabled 1 vlan_stats_per_port 1 "
          "mcast_querier 1 mcast_stats_enabled 1")
    for i in (0, 1):
        ns.veth(f"p{i}", f"q{i}")
        ns.ip(f"link set p{i} master br0")
        ns.run("bridge", "vlan", "add", "dev", f"p{i}", "vid", "10")
    ns.ip("link set br0 up")
    ns.ip("link add bond0 type bond mode active-backup miimon 100")
    for i in (0, 1):
        ns.ip(f"link add a{i} type veth peer name c{i}")
        ns.batch([f"link set a{i} master bond0", f"link set a{i} up", f"link set c{i} up"])
    ns.batch(["link set bond0 up", "link add vrf0 type vrf table 10", "link set vrf0 up",
              "link set q0 master vrf0", "addr add 192.0.2.1/24 dev q0",
              "route add table 10 default via 192.0.2.254 dev q0",
              "rule add priority 100 from 10.0.0.0/8 lookup 10",
              "link add vx0 type vxlan id 7 dstport 4789 local 192.0.2.1", "link set vx0 up",
              "neigh add 192.0.2.7 lladdr 02:00:00:00:00:07 dev q0 nud permanent"])
    ns.ip("link add wg0 type wireguard")
    ns.run("wg", "set", "wg0", "listen-port", "51820", "peer",
           "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=", "allowed-ips", "10.9.0.0/24")
    ns.ip("link set wg0 up")
    until(lambda: "forwarding" in ns.run("bridge", "link", "show", "dev", "p1"), "a bridge")
    ns.run("bridge", "mdb", "add", "dev", "br0", "port", "p0", "grp", "239.1.2.3", "vid", "10")
    return ns


def last(path):
    """What was written last: a level as it is, a counter as its value."""
    names, _, values = command("rrdtool", "lastupdate", path).split("\n")[:3]
    numbers = [float(n) for n in values.partition(":")[2].split()]
    return dict(zip(names.split(), numbers)) if len(numbers) > 1 else numbers[0]


@vm
@time_limit(110)
def test_every_plugin_writes_what_the_kernel_says(t):
    if not shutil.which("rrdtool"):
        raise Skip("rrdtool is not installed")
    ns = network(t)
    plugins = sorted(p.stem for p in ROOT.glob("plugins/netmon_*.c"))
    others = "\n".join(f"LoadPlugin {p}" for p in plugins if p != "netmon_link")
    daemon = t.collectd("CollectVlan true\nCollectVF true", ns, interval=INTERVAL, more=f"""
PluginDir "{t.build.dir}"
{others}
PluginDir "{STOCK_PLUGINS}"
LoadPlugin rrdtool
<Plugin rrdtool>
  DataDir "{t.dir}/rrd"
  CacheTimeout 600
  RRARows 60
  RRATimespan 300
</Plugin>""", expect_log=["this kernel does not tell"]).ready("bond0")
    ns.frames("q1", 50, 400, proto=0x8100, payload=b"\0\x0a\x88\xb5")
    ns.ip("link set c0 down")
    daemon.wait_notification("active_port", "bond0", new="a1")
    stopped = daemon.now()
    daemon.wait_value("bond0/transitions-active_port", 1, since=stopped, timeout=30)
    for p in plugins:
        if p != "netmon_dpll":  # without a device there is nothing to tell but this
            daemon.wait_value("self/duration-read", since=stopped, plugin=p, timeout=30)
    vlan = next(v for d in json.loads(ns.run("bridge", "-j", "-s", "vlan")) if d["ifname"] == "p1"
                for v in d["vlans"] if v["vid" if "vid" in v else "vlan"] == 10)
    daemon.stop()  # writes what it still holds

    base = t.dir / "rrd/testhost"
    wrote = {d.name for d in base.iterdir()}
    for p in plugins:
        assert any(name.startswith(f"{p}-") for name in wrote), f"no files of {p}: {wrote}"
    expected = {
        "netmon_link-p1/if_rx_octets-vlan10": vlan["rx_bytes"],
        "netmon_link-br0/gauge-vlans": 1,
        "netmon_link-bond0/gauge-ports": 2,
        "netmon_link-bond0/gauge-ports_up": 1,
        "netmon_link-a1/bool-active": 1,
        "netmon_link-vrf0/bool-admin_up": 1,
        "netmon_mdb-p0/gauge-groups": 1,
        "netmon_wireguard-wg0/gauge-peers": 1,
    }
    assert vlan["rx_bytes"] > 50 * 300, f"the story: {vlan}"
    same({name: last(base / f"{name}.rrd") for name in expected}, expected, "RRD files")
    rates = command("rrdtool", "fetch", base / "netmon_link-p1/if_rx_octets-vlan10.rrd", "AVERAGE",
                    "--start", "-120")
    assert "value" in rates, rates
