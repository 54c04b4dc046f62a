# SPDX-License-Identifier: MIT
"""Fleets: hosts with conf/client.conf, a server with conf/server.conf, rrdcached and carbon.

Each host is a network namespace with a collectd of its own; a bridge joins them to the server's.
"""

import math
import time

import servers
from harness import command, plain_build_only, same, time_limit, until
from test_backends import Graphite, Rrdcached, arrived, file_of
from test_rrd import fetch

INTERVAL = 2  # RRD keeps one value a second, and readings jitter a little
# collectd sets the number of its threads, and of rrdcached, up before there is a context.
CONTEXT = ["Unable to determine Interval from context"]


class Fleet:
    def __init__(self, t):
        self.t = t
        self.ns = t.namespace()
        self.ns.ip("link add br0 type bridge")
        self.ns.ip("link set br0 up")
        self.ns.ip("address add 192.0.2.1/24 dev br0")
        self.rrd, self.graphite = Rrdcached(t, self.ns), Graphite(t, self.ns)
        self.users = t.dir / "fleet-users"
        self.users.touch()
        self.hosts = []

    def host(self, **kw):
        """A host whose user the server knows; its name is that of the user."""
        host = Host(self, len(self.hosts) + 1, **kw)
        self.hosts.append(host)
        with open(self.users, "a") as f:
            f.write(f"{host.name}: {host.password}\n")
        return host

    def server(self, more="", expect_log=(), changes={}):
        text = servers.example("server.conf", {
            "Interval 10": f"Interval {INTERVAL}", "/etc/collectd/fleet-users": self.users,
            **self.rrd.changes, **changes})
        self.collectd = self.daemon(self.ns, text + more, expect_log)
        self.collectd.wait_log("Initialization complete")
        return self.collectd

    def daemon(self, ns, text, expect_log, under=()):
        plugins = ["forward", "route", "neighbor"]
        before = f'PluginDir "{self.t.build.dir}"\n' + "".join(
            f"LoadPlugin netmon_{p}\n" for p in plugins) + 'PluginDir "/usr/lib/collectd"'
        return self.t.collectd(ns=ns, interval=INTERVAL, before=before, more=text, under=under,
                               expect_log=[*CONTEXT, *expect_log])


class Host:
    """A namespace with eth0 to the server, and lan0, which has the test's own traffic only."""

    def __init__(self, fleet, number):
        self.fleet, self.number = fleet, number
        self.name, self.password = f"host{number}", f"secret of {number}"
        self.ns = fleet.t.namespace()
        self.ns.veth("eth0", f"port{number}", fleet.ns)
        fleet.ns.ip(f"link set port{number} master br0")
        self.ns.ip(f"address add 192.0.2.{10 + number}/24 dev eth0")
        self.ns.veth("lan0", "lan1")
        self.ns.ip(f"link set lan0 mtu {1400 + number}")
        self.ns.settled("eth0", "lan0", "lan1")

    def start(self, password=None, name=None, security="Encrypt", expect_log=(), under=()):
        text = servers.example("client.conf", {
            '#Hostname "router1"': f'Hostname "{name or self.name}"',
            "Interval 10": f"Interval {INTERVAL}",
            'SecurityLevel "Encrypt"': f'SecurityLevel "{security}"',
            'Username "router1"': f'Username "{self.name}"',
            'Password "change me"': f'Password "{password or self.password}"'})
        self.collectd = self.fleet.daemon(self.ns, text, expect_log, under)
        return self.collectd

    def octets(self):
        """What `ip` says of lan0."""
        stats = self.ns.link("lan0")["stats64"]
        return {way: stats[way]["bytes"] for way in ("rx", "tx")}

    def frames(self, count=100):
        self.ns.frames("lan0", count, 1000)
        self.ns.frames("lan1", count, 100)

    # -- at the server --

    def values(self, id, plugin=None):
        return [v for v in self.fleet.collectd.values(id, plugin) if v.host == self.name]

    def arrives(self, id="lan0/if_octets", wanted=None, since=0, timeout=20, plugin=None):
        """The newest value of this host, once it is the wanted one."""
        def look():
            values = [v for v in self.values(id, plugin)[-1:] if v.time > since
                      and wanted in (None, v.plain)]
            return values and values[0]
        return until(look, f"{id} = {wanted} of {self.name}", timeout)

    def file(self, id="lan0/if_octets"):
        return self.fleet.rrd.data / self.name / f"netmon_link-{id}.rrd"

    def octets_of_rates(self, since, to, way="tx"):
        """The octets that the rates in the RRD file add up to, and whether each row is known."""
        command("rrdtool", "flushcached", self.file(), *self.fleet.rrd.words)
        step, rates = fetch(self.file(), since, to)
        known = [r for r in rates[way] if not math.isnan(r)]
        return sum(known) * step, [not math.isnan(r) for r in rates[way]]


@plain_build_only
@time_limit(120)
def test_values_of_each_host_are_in_rrd_and_graphite(t):
    fleet = Fleet(t)
    hosts = [fleet.host() for _ in range(3)]
    fleet.server()
    for host in hosts:
        host.start()
    for host in hosts:
        host.arrives()
    for host in hosts:
        host.frames(100 * host.number)
    for host in hosts:
        octets = host.octets()
        same(octets, {"rx": 10000 * host.number, "tx": 100000 * host.number}, "the test's traffic")
        v = host.arrives(wanted=octets)
        same(v.meta["network:username"], host.name, "who sent it")
        found = arrived(fleet.rrd, host, v)
        same(max(found.items())[1], octets, f"counters of {host.name}, ip and RRD")
        found = arrived(fleet.graphite, host, v)
        assert found, "no rate in Graphite"
        mtu = host.arrives("lan0/gauge-mtu", 1400 + host.number)
        for backend in (fleet.rrd, fleet.graphite):
            same(max(arrived(backend, host, mtu).items())[1],
                 {"value": host.ns.link("lan0")["mtu"]}, f"MTU of {host.name}, ip and server")
    print(fleet.collectd.log()[-30:])
