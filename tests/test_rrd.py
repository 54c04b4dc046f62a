# SPDX-License-Identifier: MIT
"""The whole way: kernel, netmon_link, collectd, its stock rrdtool plugin, RRD file, rrdtool."""

import math
import shutil

from harness import Skip, command, same

INTERVAL = 2  # collectd's rrdtool plugin keeps one value a second, and readings jitter a little


def lastupdate(path):
    """{data source: last value as written}"""
    lines = command("rrdtool", "lastupdate", path).split("\n")
    names, numbers = lines[0].split(), lines[2].partition(":")[2].split()
    return {ds: int(float(n)) for ds, n in zip(names, numbers)}


def fetch(path, start, end):
    """(step, {data source: [rate or NaN, ...]})"""
    lines = command("rrdtool", "fetch", path, "AVERAGE", "--start", int(start), "--end",
                    int(end)).splitlines()
    names, rows = lines[0].split(), [line.split() for line in lines[2:]]
    step = int(rows[1][0].rstrip(":")) - int(rows[0][0].rstrip(":"))
    return step, {ds: [float(row[i + 1]) for row in rows] for i, ds in enumerate(names)}


def test_counters_arrive_in_rrd_files(t):
    if not shutil.which("rrdtool"):
        raise Skip("rrdtool is not installed")
    ns = t.namespace()
    ns.veth("a0", "b0")
    daemon = t.collectd("", ns, interval=INTERVAL, more=f"""
LoadPlugin rrdtool
<Plugin rrdtool>
  DataDir "{t.dir}/rrd"
</Plugin>""").ready("a0")
    start = daemon.wait_value("a0/if_octets", since=daemon.now()).time

    ns.frames("a0", count=200, size=1000)
    ns.frames("b0", count=10, size=500)
    stopped = daemon.now()
    stats = ns.link("a0")["stats64"]
    expected = {way: stats[way]["bytes"] for way in ("rx", "tx")}
    same(expected, {"rx": 5000, "tx": 200000}, "the test's own traffic")
    daemon.wait_value("a0/if_octets", expected, since=stopped)
    end = daemon.wait_value("a0/if_octets", since=daemon.now()).time
    ns.ip("link set b0 mtu 1280")
    daemon.wait_value("b0/gauge-mtu", 1280)
    daemon.stop()  # writes what it still holds

    base = t.dir / "rrd" / "testhost"
    path = base / "netmon_link-a0" / "if_octets.rrd"
    same(lastupdate(path), expected, "counters in the RRD file")
    step, rates = fetch(path, start - INTERVAL, end)
    for way, total in expected.items():
        # The first interval began at a counter of 0 as well: every octet is in some rate.
        octets = sum(rate * step for rate in rates[way] if not math.isnan(rate))
        assert abs(octets - total) < 1, f"{way}: the rates add up to {octets} octets of {total}"
    same(lastupdate(base / "netmon_link-b0" / "gauge-mtu.rrd"), {"value": 1280}, "mtu of b0")
    for name in ("if_packets", "if_errors", "if_dropped", "if_multicast", "gauge-link_state"):
        assert (path.parent / f"{name}.rrd").exists(), f"no file {name}.rrd"


def test_states_that_change_within_a_second_do_not_upset_rrd(t):
    """Two values of one identifier in a second would be refused, and with them a whole batch."""
    if not shutil.which("rrdtool"):
        raise Skip("rrdtool is not installed")
    ns = t.namespace()
    ns.veth("a0", "b0")
    daemon = t.collectd("", ns, interval=INTERVAL, more=f"""
LoadPlugin rrdtool
<Plugin rrdtool>
  DataDir "{t.dir}/rrd"
  CacheTimeout 120
</Plugin>""").ready("a0")
    for _ in range(5):
        since = daemon.now()
        ns.batch(["link set a0 down", "link set a0 up"])
        daemon.wait_notification("state", "a0", since=since, new="up")
    daemon.wait_value("a0/if_octets", since=daemon.now())
    daemon.stop()  # a refusal would be an error in its log
    for id in daemon.ids("^a0/"):
        seconds = [int(v.time) for v in daemon.values(id)]
        same(len(seconds), len(set(seconds)), f"values of {id}, one a second")
