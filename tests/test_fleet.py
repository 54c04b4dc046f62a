# SPDX-License-Identifier: MIT
"""Fleets: hosts with conf/client.conf, a server with conf/server.conf, rrdcached and carbon.

Each host is a network namespace with a collectd of its own; a bridge joins them to the server's.
"""

import glob
import math
import os
import pathlib
import re
import signal
import time

import servers
from harness import ROOT, STOCK_PLUGINS, Skip, command, plain_build_only, same, time_limit, until
from test_backends import Graphite, Rrdcached, arrived
from test_rrd import fetch

INTERVAL = 2  # RRD keeps one value a second, and readings jitter a little
# What CollectInternalStats true makes collectd say of itself.
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

    def server(self, expect_log=(), changes={}):
        text = servers.example("server.conf", {
            "Interval 10": f"Interval {INTERVAL}", "/etc/collectd/fleet-users": self.users,
            **self.rrd.changes, **changes})
        self.collectd = self.daemon(self.ns, text, [*CONTEXT, *expect_log])
        self.collectd.wait_log("Initialization complete")
        return self.collectd

    def daemon(self, ns, text, expect_log, under=()):
        plugins = re.findall("^LoadPlugin (netmon_.*)", text, re.M)
        return self.t.collectd(ns=ns, interval=INTERVAL, before=ours(self.t, plugins), more=text,
                               under=under, expect_log=expect_log)


def ours(t, plugins):
    """Lines that load plugins from where they were built: a plugin is loaded once."""
    load = "\n".join(f"LoadPlugin {p}" for p in plugins)
    return f'PluginDir "{t.build.dir}"\n{load}\nPluginDir "{STOCK_PLUGINS}"'


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

    def start(self, password=None, name=None, security="Encrypt", expect_log=(), under=(),
              changes={}):
        text = servers.example("client.conf", {
            '#Hostname "router1"': f'Hostname "{name or self.name}"',
            "Interval 10": f"Interval {INTERVAL}",
            "FlushInterval 5": f"FlushInterval {INTERVAL / 2}",
            'SecurityLevel "Encrypt"': f'SecurityLevel "{security}"',
            'Username "router1"': f'Username "{self.name}"',
            'Password "change me"': f'Password "{password or self.password}"', **changes})
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

    def octets_of_rates(self, since, way="tx"):
        """The octets that the rates in the RRD file add up to, and whether each row is known."""
        last = self.arrives(since=time.time() + 2 * INTERVAL)
        arrived(self.fleet.rrd, self, last)  # flushes it too
        step, rates = fetch(self.file(), since, last.time - INTERVAL)  # its last row is not whole
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
        t.note(f"{max(x.arrived - x.time for x in host.values('lan0/if_octets')):.1f} s old at most")
        mtu = host.arrives("lan0/gauge-mtu", 1400 + host.number)
        for backend in (fleet.rrd, fleet.graphite):
            same(max(arrived(backend, host, mtu).items())[1],
                 {"value": host.ns.link("lan0")["mtu"]}, f"MTU of {host.name}, ip and server")
    picture = t.dir / "lan0.svg"
    command(t.build.dir / "netmon-graph", "link", "lan0", "--rrd", fleet.rrd.data, "--host",
            hosts[1].name, *fleet.rrd.words, "-o", picture)
    assert "<svg" in picture.read_text(), "no picture of a host"


@plain_build_only
def test_a_wrong_password_is_refused(t):
    fleet = Fleet(t)
    good, bad, unknown, plain = [fleet.host() for _ in range(4)]
    fleet.users.write_text(fleet.users.read_text().replace(f"{unknown.name}: ", "nobody: "))
    server = fleet.server(expect_log=["ecrypt", "Checksum", "cypher", "Unencrypted"])
    good.start()
    bad.start(password="another")
    unknown.start()
    plain.start(security="None")
    good.arrives()
    for line in (f"Checksum mismatch. Username: {bad.name}",
                 f"Failed to get cypher. Username: {unknown.name}", "Unencrypted packet"):
        server.wait_log(line)
    refused_until = good.arrives(since=server.now() + INTERVAL)
    for host in (bad, unknown, plain):
        same(host.values("lan0/if_octets"), [], f"values of {host.name}")
        assert not (fleet.rrd.data / host.name).exists(), f"{host.name} has RRD files"
        assert not (fleet.graphite.carbon.data / "netmon" / host.name).exists()

    with open(fleet.users, "a") as f:  # it is read again
        f.write(f"{unknown.name}: {unknown.password}\n")
    unknown.arrives(since=refused_until.time)
    fleet.users.write_text(fleet.users.read_text().replace(f"{good.name}: ", "nobody: "))
    later = int(time.time()) + 1  # the server knows it was changed by whole seconds
    os.utime(fleet.users, (later, later))
    server.wait_log(f"Failed to get cypher. Username: {good.name}")


@plain_build_only
def test_what_both_sides_tell_of_the_way(t):
    fleet = Fleet(t)
    host = fleet.host()
    server = fleet.server()
    client = host.start()
    client.wait_value("/if_packets", plugin="network")
    sent = client.wait_value("/total_values-send-accepted", since=time.time(), plugin="network")
    packets = client.latest("/if_packets", "network").values["tx"]
    assert packets > 0 and sent.plain > 50, f"sent {packets} packets, {sent.plain} values"

    def arrived_at_server(id, n):
        until(lambda: any(max(v.values.values()) >= n and v.host == "testhost"
                          for v in server.values(id, "network")), f"{id} {n}", 20)

    arrived_at_server("/if_packets", packets)
    arrived_at_server("/total_values-dispatch-accepted", sent.plain)
    same(server.wait_value("Udp/protocol_counter-RcvbufErrors", plugin="netmon_forward").plain, 0,
         "packets that the kernel dropped")
    same(server.wait_value("write_queue/derive-dropped", plugin="collectd").plain, 0, "dropped")
    server.wait_value("write_queue/queue_length", plugin="collectd")
    server.wait_value("/queue_length", plugin="network")


@plain_build_only
def test_a_notification_of_a_host_arrives(t):
    fleet = Fleet(t)
    host = fleet.host()
    server = fleet.server()
    host.start().ready("lan0")
    host.arrives()
    since = server.now()
    host.ns.ip("link set lan1 down")
    here = host.collectd.wait_notification("state", "lan0", since=since)
    there = server.wait_notification("state", "lan0", since=since)
    same((there.host, there.severity, there.message, there.time),
         (host.name, here.severity, here.message, here.time), "the notification at the server")
    t.note(f"{1e3 * (there.arrived - here.arrived):.1f} ms later")
    same(there.meta, {"network:received": True}, "meta data do not cross the network")


@plain_build_only
@time_limit(90)
def test_a_host_that_falls_silent_is_told(t):
    fleet = Fleet(t)
    host = fleet.host()
    server = fleet.server()
    host.start().ready("lan0")
    host.arrives("self/duration-read")
    host.collectd.stop()
    since = server.now()
    gone = server.wait_notification("read", "self", since=since, timeout=30)
    same((gone.host, gone.severity), (host.name, "failure"), "what the server says")
    host.start()
    back = server.wait_notification("read", "self", since=gone.time, timeout=30)
    same((back.host, back.severity), (host.name, "okay"), "what the server says")


@plain_build_only
@time_limit(120)
def test_the_server_is_restarted(t):
    """A short time: the counters that come next span it.  A longer one is a gap, and no zeros."""
    fleet = Fleet(t)
    host = fleet.host()
    heartbeat = 3 * INTERVAL
    changes = {"HeartBeat 120": f"HeartBeat {heartbeat}"}
    fleet.server(changes=changes)
    host.start().ready("lan0")
    until(host.file().exists, "its RRD file")
    host.arrives(since=time.time() + INTERVAL)  # a row that is known in part counts as a whole one
    start = host.values("lan0/if_octets")[-1].time

    host.frames()
    fleet.collectd.stop()
    host.frames()
    fleet.server(changes=changes)
    host.arrives(wanted=host.octets())
    octets, known = host.octets_of_rates(start)
    same(known, [True] * len(known), "rows that are known")
    near(octets, host.octets()["tx"], "octets, over a short gap")

    last = host.values("lan0/if_octets")[-1]
    fleet.collectd.stop()
    host.frames()
    until(lambda: time.time() > last.time + heartbeat + INTERVAL, "the heartbeat", 20)
    fleet.server(changes=changes)
    first = host.arrives()
    same(first.plain, host.octets(), "counters after a long gap")
    host.arrives(since=first.time + INTERVAL)
    host.frames()
    host.arrives(wanted=host.octets())
    octets, known = host.octets_of_rates(start)
    gap = (known.index(False), len(known) - known[::-1].index(False))
    same(known[gap[0]:gap[1]], [False] * (gap[1] - gap[0]), "rows of the gap")
    t.note(f"{first.time - last.time:.0f} s without server: {gap[1] - gap[0]} rows unknown")
    near(octets, host.octets()["tx"] - (first.plain["tx"] - last.plain["tx"]),
         "octets, but for those of the gap")


def near(got, expected, what):
    assert abs(got - expected) < 1e-3 * expected, f"{what}: got {got}, expected {expected}"


@plain_build_only
@time_limit(120)
def test_rrdcached_is_killed(t):
    """Its journal has what was not yet in the files."""
    fleet = Fleet(t)
    host = fleet.host()
    server = fleet.server(expect_log=["onnect to RRDCacheD", "rrdc_update"])
    host.start().ready("lan0")
    arrived(fleet.rrd, host, host.arrives())
    host.frames()
    v = host.arrives(wanted=host.octets())
    host.arrives(since=v.time)
    fleet.rrd.server.stop(signal.SIGKILL)
    in_file = command("rrdtool", "lastupdate", host.file())
    assert "100000" not in in_file, f"nothing to be found in the journal: {in_file}"
    server.wait_log("Failed to connect to RRDCacheD")

    fleet.rrd.server.start()
    when, numbers = max(fleet.rrd.series(v).items())
    assert when >= int(v.time), f"the file ends at {when}, the value is of {v.time}"
    same(numbers, host.octets(), "octets from the journal")
    arrived(fleet.rrd, host, host.arrives(since=server.now()))  # collectd is connected again


class Clock:
    """A clock that a daemon takes for its machine's."""

    def __init__(self, t, seconds):
        found = [path for where in ("/usr/lib*", "/usr/lib*/*")
                 for path in glob.glob(f"{where}/faketime/libfaketimeMT.so.1")]
        if not found:
            raise Skip("libfaketime is missing (Debian's package libfaketime)")
        self.file = t.directory("clock") / "offset"
        self.set(seconds)
        t.cleanup(self.sweep, t)
        self.under = ["env", f"LD_PRELOAD={found[0]}", f"FAKETIME_TIMESTAMP_FILE={self.file}",
                      "FAKETIME_CACHE_DURATION=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"]

    @staticmethod
    def sweep(t):
        """What the library leaves behind of a process that was killed."""
        for daemon in t.daemons:
            for name in f"faketime_shm_{daemon.process.pid}", \
                        f"sem.faketime_sem_{daemon.process.pid}":
                pathlib.Path("/dev/shm", name).unlink(missing_ok=True)

    def set(self, seconds):
        self.file.write_text(f"{seconds:+d}s\n")


@plain_build_only
@time_limit(120)
def test_a_clock_that_goes_wrong(t):
    """The host is kept out, and missing; nothing of the future is in its files."""
    fleet = Fleet(t)
    host = fleet.host()
    server = fleet.server()
    clock = Clock(t, 0)
    host.start(under=clock.under, expect_log=["Not sleeping"])
    v = host.arrives()
    until(host.file().exists, "its RRD file")
    clock.set(300)
    host.collectd.wait_value("lan0/if_octets", since=time.time() + 250)
    gone = server.wait_notification("read", "self", since=v.time, timeout=30)
    same((gone.host, gone.severity), (host.name, "failure"), "what the server says")
    last = host.values("lan0/if_octets")[-1]
    assert max(fleet.rrd.series(last)) <= time.time(), "a value of the future in the RRD file"

    host.collectd.kill()  # set back, it would sleep until the time at which it wanted to read
    clock.set(0)
    host.start()
    arrived(fleet.rrd, host, host.arrives(since=time.time()))


@plain_build_only
@time_limit(120)
def test_why_wrong_clocks_are_kept_out(t):
    """Values keep the time of their host; what is older than what is there is refused, and said."""
    fleet = Fleet(t)
    ahead, behind = fleet.host(), fleet.host()
    server = fleet.server(expect_log=["rrdc_update", "uc_get_rate"], changes={'PreCacheChain "clocks"': ""})
    clocks = Clock(t, 300), Clock(t, -300)
    for host, clock, off in zip((ahead, behind), clocks, (300, -300)):
        host.start(under=clock.under, expect_log=["Not sleeping"])
        v = host.arrives()
        assert abs(v.time - v.arrived - off) < 10, f"{host.name}: {v.time - v.arrived} s"
        until(host.file().exists, "its RRD file")
        host.frames()
        v = host.arrives(wanted=host.octets())
        arrived(fleet.rrd, host, v)
        until(lambda: fleet.graphite.has(v), "its whisper file", 20)
        path = fleet.graphite.path(fleet.graphite.names(v)[-1])
        until(lambda: [when for when in map(int, re.findall(r"^\d+: (\d+),", command(
            "whisper-dump", path), re.M)) if abs(when - v.time) < 30], "a value of its time", 20)

    # Forward, to the right time: a gap.
    clocks[1].set(0)
    v = host.arrives(since=time.time())
    arrived(fleet.rrd, host, v)

    # Back: collectd sleeps until the time at which it wanted to read, so it is started again.
    ahead.collectd.kill()
    future = max(fleet.rrd.series(ahead.values("lan0/if_octets")[-1]))
    ahead.start()
    server.wait_log(f"uc_update: Value too old: name = {ahead.name}/")
    server.wait_log(f"rrdc_update .*/{ahead.name}/.*illegal attempt to update")
    ahead.frames()
    v = until(lambda: [x for x in ahead.values("lan0/if_octets")[-1:]
                       if x.plain == ahead.octets()], "a counter", 20)[0]
    same(max(fleet.rrd.series(v)), future, "the last time in the RRD file")

    # collectd forgets what it knew after Timeout, and goes on: for back ends that take any time.
    server.wait_log(f"{ahead.name}/netmon_link-self/duration-read has not been updated", 20)
    ahead.frames(1000)
    arrived(fleet.graphite, ahead, ahead.arrives(wanted=ahead.octets()))


@plain_build_only
def test_the_user_is_not_the_host(t):
    """What server.conf says of passwords: who knows one sends under any name."""
    fleet = Fleet(t)
    host, other = fleet.host(), fleet.host()
    fleet.server()
    host.start(name=other.name)
    same(other.arrives().meta["network:username"], host.name, "the user")


@plain_build_only
def test_layout_wide(t):
    """27 numbers in a list; write_graphite 5.12 has room for 1,428 bytes of lines."""
    fleet = Fleet(t)
    host = fleet.host()
    fleet.server(expect_log=["format_graphite: target buffer too small"], changes={"#TypesDB": "TypesDB", "/usr/share/doc/netmon/examples": ROOT / "conf"})
    host.start(changes={'#<Plugin netmon_link>\n#\tLayout "wide"\n#</Plugin>':
                        '<Plugin netmon_link>\n\tLayout "wide"\n</Plugin>'})
    host.arrives("lan0/netmon_link")
    host.frames()
    octets = host.octets()
    until(lambda: host.values("lan0/netmon_link")[-1].values["tx_bytes"] == octets["tx"],
          "octets in the wide type")
    until(host.file("lan0/netmon_link").exists, "its RRD file")
    fleet.collectd.wait_log("format_graphite: target buffer too small")


@plain_build_only
def test_what_is_commented_out_is_understood_too(t):
    for name in "client.conf", "server.conf":
        text = (ROOT / "conf" / name).read_text()
        text = re.sub("^#(?=\t|<|LoadPlugin|TypesDB|Hostname)", "", text, flags=re.M)
        text = text.replace("/usr/share/doc/netmon/examples", str(ROOT / "conf"))
        text = re.sub("/(run|var/lib/collectd|etc/collectd)/", f"{t.dir}/", text)
        (t.dir / "fleet-users").touch()
        servers.need_library("librdkafka.so.1", "librdkafka1")
        daemon = t.collectd(before=ours(t, re.findall("^LoadPlugin (netmon_.*)", text, re.M)),
                            more=text, ns=t.namespace(), expect_log=["."])
        daemon.wait_log("Initialization complete")
        wrong = [line for line in daemon.log() if re.search(
            "nvalid|nknown|gnor|not allowed|not (a|be)|nexpected|equires|needs", line)
            and "UNKNOWN plugin" not in line]
        assert not wrong, f"{name}: {wrong}"
        daemon.kill()
