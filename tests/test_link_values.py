# SPDX-License-Identifier: MIT
"""What netmon_link sends about interfaces is what the kernel says of them."""

import math

from harness import INTERVAL, ROOT, same, until, xdp_attach

EVERY_READING = {
    "if_octets", "if_packets", "if_errors", "if_dropped", "if_multicast",
    "gauge-link_state", "percent-utilization_rx", "percent-utilization_tx",
}
SLOW = {
    "bool-admin_up", "bool-carrier", "transitions-carrier_up", "transitions-carrier_down", "gauge-mtu",
    "gauge-speed", "gauge-duplex", "gauge-promiscuity", "gauge-addresses_ipv4",
    "gauge-addresses_ipv6", "gauge-addresses_tentative", "gauge-addresses_dadfailed",
    "gauge-addresses_deprecated", "bool-xdp",
}
# A slow value that is sent after the first reading is sent because it changed.
ONLY_CHANGES = "SlowInterval 3600"
# What `Verbose true` adds -> the file below /sys/class/net/*/statistics that must say the same.
VERBOSE = {
    **{f"if_rx_errors-{kind}": f"rx_{kind}_errors"
       for kind in ("length", "over", "crc", "frame", "fifo", "missed")},
    **{f"if_tx_errors-{kind}": f"tx_{kind}_errors"
       for kind in ("aborted", "carrier", "fifo", "heartbeat", "window")},
    "if_collisions": "collisions",
    "if_rx_nohandler": "rx_nohandler",
    "if_rx_packets-compressed": "rx_compressed",
    "if_tx_packets-compressed": "tx_compressed",
}
OTHERHOST = "if_rx_dropped-otherhost"  # has no file: `ip` is the witness


def kernel_counters(ns):
    """The five if_* of every interface, as three witnesses agree on them."""
    counters = {}
    proc = ns.proc_net_dev()
    for dev, link in ns.json_links().items():
        rx, tx = link["stats64"]["rx"], link["stats64"]["tx"]
        for type, key in (("if_octets", "bytes"), ("if_packets", "packets"),
                          ("if_errors", "errors"), ("if_dropped", "dropped")):
            counters[f"{dev}/{type}"] = {"rx": rx[key], "tx": tx[key]}
        counters[f"{dev}/if_multicast"] = rx["multicast"]
        files = ns.sysfs(*[f"{dev}/statistics/{f}" for f in
                           ("rx_bytes", "tx_bytes", "rx_errors", "tx_dropped", "multicast")])
        same([int(f) for f in files],
             [rx["bytes"], tx["bytes"], rx["errors"], tx["dropped"], rx["multicast"]],
             f"the test's own witnesses, sysfs against ip, for {dev}")
        same(proc[dev][:2] + proc[dev][8:10],
             [rx["bytes"], rx["packets"], tx["bytes"], tx["packets"]],
             f"the test's own witnesses, /proc/net/dev against ip, for {dev}")
    return counters


def plain(reading, ids):
    return {id: reading[id].plain for id in ids if id in reading}


def of(reading, instance):
    """The identifiers of a reading that belong to one instance, without its name."""
    prefix = instance + "/"
    return {id.removeprefix(prefix) for id in reading if id.startswith(prefix)}


def test_counters_equal_the_kernels(t):
    """Octets, packets, errors, drops and multicasts of five kinds of devices, after traffic."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.veth("p0", "q0")
    ns.batch(["link add br0 type bridge mcast_snooping 0", "link set p0 master br0",
              "link set br0 up", "link add ifb0 type ifb", "link set ifb0 up",
              "link set q0 mtu 400"])
    tap = t.tap(ns, "t0")
    daemon = t.collectd(ns=ns).ready()

    ns.frames("a0", count=300, size=900)
    ns.frames("b0", count=20, size=64)
    ns.frames("q0", count=7, size=200, to="01:00:5e:01:02:03")  # the bridge counts multicasts
    ns.frames("p0", count=5, size=1000)  # larger than its peer takes: dropped on transmit
    ns.frames("ifb0", count=3, size=100)
    ns.frames("t0", count=1500, size=60)  # nobody reads them: dropped when the queue is full
    for _ in range(4):
        tap.write(b"\xff" * 60)
    stopped = daemon.now()

    expected = kernel_counters(ns)
    for id, key in (("a0/if_octets", "tx"), ("p0/if_dropped", "tx"), ("b0/if_dropped", "rx"),
                    ("t0/if_dropped", "tx"), ("t0/if_packets", "rx"), ("ifb0/if_packets", "rx")):
        assert expected[id][key], f"the story went wrong: {id} {key} did not move"
    assert expected["br0/if_multicast"], "the story went wrong: no multicast was counted"
    same(plain(daemon.reading(since=stopped), expected), expected, "counters")


def test_verbose_adds_every_error_by_its_cause(t):
    """Few of them can be provoked here; test_command.py gives each a value of its own."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.ip("addr add 192.0.2.1/24 dev b0")
    t.tap(ns, "t0")
    daemon = t.collectd("Verbose true", ns).ready()

    ipv4 = bytes.fromhex("4500001c000000004011b6cdc0000202c0000201") + bytes(8)
    ns.frames("a0", count=6, size=60, to="02:00:00:00:00:99", proto=0x0800, payload=ipv4)
    stopped = daemon.now()

    reading = daemon.reading(since=stopped)
    for dev, link in ns.json_links().items():
        files = ns.sysfs(*[f"{dev}/statistics/{name}" for name in VERBOSE.values()])
        expected = {f"{dev}/{id}": int(n) for id, n in zip(VERBOSE, files)}
        expected[f"{dev}/{OTHERHOST}"] = link["stats64"]["rx"].get("otherhost", 0)
        same(plain(reading, expected), expected, f"verbose counters of {dev}")
    assert reading[f"b0/{OTHERHOST}"].plain == 6, "the story went wrong: no foreign packets"


def test_without_verbose_nothing_more_is_sent(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    daemon = t.collectd("ReportSelf false", ns).ready()
    same(of(daemon.reading(), "a0"), (EVERY_READING | SLOW)
         - {"percent-utilization_rx", "percent-utilization_tx"}, "first reading of a0")
    daemon.wait_value("a0/percent-utilization_tx")  # the last of them
    same(of(dict.fromkeys(daemon.ids()), "a0"), EVERY_READING | SLOW, "all that is sent of a0")
    same(daemon.instances(), {"lo", "a0", "b0"}, "instances")


def test_all_values_of_a_reading_have_one_time(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    daemon = t.collectd("ReportTotal true", ns).ready()
    daemon.wait_value("a0/if_octets", since=daemon.now() + 2 * INTERVAL)
    readings = daemon.readings()
    for reading in readings:
        for dev in ("lo", "a0", "b0", "total"):
            assert f"{dev}/if_octets" in reading, f"a reading without {dev}: {sorted(reading)}"
    times = [reading["lo/if_octets"].time for reading in readings]
    steps = [b - a for a, b in zip(times, times[1:])]
    assert all(0.5 * INTERVAL < step < 1.5 * INTERVAL for step in steps), f"steps {steps}"
    assert all(v.host == "testhost" for v in readings[0].values())


def test_link_state_tells_down_idle_and_active(t):
    """A day of a link: idle, busy, idle again, cable pulled, cable back, taken down."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    daemon = t.collectd("IdleTimeout 1.5", ns).ready()
    daemon.wait_value("a0/gauge-link_state", 1)

    sent = daemon.now()
    ns.frames("a0", count=1, size=100)
    active = daemon.wait_value("a0/gauge-link_state", 2, since=sent)
    assert active.time - sent < 1.5 * INTERVAL, "active, but late"
    idle = daemon.wait_value("a0/gauge-link_state", 1, since=active.time)
    assert 1.5 - INTERVAL < idle.time - sent < 1.5 + 3 * INTERVAL, \
        f"idle {idle.time - sent:.1f} s after the last packet, IdleTimeout is 1.5"

    pulled = daemon.now()
    ns.ip("link set b0 down")
    until(lambda: ns.sysfs("a0/operstate") == ["lowerlayerdown"], "the test's own cable")
    daemon.wait_value("a0/gauge-link_state", 0, since=pulled)
    daemon.wait_value("a0/bool-carrier", 0, since=pulled)
    daemon.wait_value("a0/bool-admin_up", 1)
    daemon.wait_value("b0/gauge-link_state", 0, since=pulled)
    daemon.wait_value("b0/bool-admin_up", 0, since=pulled)

    back = daemon.now()
    ns.ip("link set b0 up")
    daemon.wait_value("a0/gauge-link_state", lambda v: v > 0, since=back)
    daemon.wait_value("a0/bool-carrier", 1, since=back)

    down = daemon.now()
    ns.ip("link set a0 down")
    daemon.wait_value("a0/gauge-link_state", 0, since=down)
    daemon.wait_value("a0/bool-admin_up", 0, since=down)


def test_unknown_operstate_with_carrier_is_up(t):
    """Tunnels, TAPs and loopback never say UP."""
    ns = t.namespace()
    t.tap(ns, "t0")
    ns.batch(["link add ifb0 type ifb", "link set ifb0 up"])
    daemon = t.collectd(ns=ns).ready()
    for dev in ("lo", "t0", "ifb0"):
        same(ns.link(dev)["operstate"], "UNKNOWN", f"the test's own operstate of {dev}")
        daemon.wait_value(f"{dev}/gauge-link_state", lambda v: v > 0)
        daemon.wait_value(f"{dev}/bool-carrier", 1)


def test_carrier_flaps_between_two_readings_are_counted(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    daemon = t.collectd(ONLY_CHANGES, ns).ready()
    flapped = daemon.now()
    ns.batch(["link set b0 down", "link set b0 up"] * 5)
    up, down = map(int, ns.sysfs("a0/carrier_up_count", "a0/carrier_down_count"))
    assert down >= 5, "the story went wrong: no flaps were counted"
    daemon.wait_value("a0/transitions-carrier_up", up, since=flapped)
    daemon.wait_value("a0/transitions-carrier_down", down, since=flapped)


def test_attributes_equal_ip_and_sysfs(t):
    """mtu, speed, duplex, promiscuity: at the start, and in the next reading after a change."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    t.tap(ns, "t0")
    ns.batch(["link add br0 type bridge", "link set br0 up", "link add ifb0 type ifb"])
    ns.run("ethtool", "-s", "t0", "speed", "1000", "duplex", "full")
    daemon = t.collectd(ONLY_CHANGES, ns).ready()
    reading = daemon.reading()

    def compare(reading, dev):
        link = ns.link(dev)
        speed, duplex = ns.sysfs(f"{dev}/speed", f"{dev}/duplex")
        expected = {f"{dev}/gauge-mtu": link["mtu"],
                    f"{dev}/gauge-promiscuity": link["promiscuity"]}
        if speed and int(speed) > 0:
            expected[f"{dev}/gauge-speed"] = int(speed) * 1e6
        if duplex in ("half", "full"):
            expected[f"{dev}/gauge-duplex"] = ["half", "full"].index(duplex)
        ids = [f"{dev}/gauge-{name}" for name in ("mtu", "promiscuity", "speed", "duplex")]
        same(plain(reading, ids), expected, f"attributes of {dev}")

    for dev in ("a0", "t0", "br0", "ifb0", "lo"):
        compare(reading, dev)
    assert "ifb0/gauge-speed" not in reading, "a speed that nobody knows"

    changed = daemon.now()
    ns.run("ethtool", "-s", "t0", "speed", "100", "duplex", "half")
    ns.batch(["link set t0 mtu 1300", "link set t0 promisc on"])
    compare(daemon.reading(since=changed), "t0")
    same(ns.sysfs("t0/speed", "t0/duplex"), ["100", "half"], "the test's own change")


def test_slow_values_come_seldom_and_at_once_when_they_change(t):
    ns = t.namespace()
    daemon = t.collectd("SlowInterval 2", ns).ready()
    slow = daemon.wait_value("lo/gauge-mtu")
    same(slow.interval, 2, "interval of a slow value")
    same(daemon.values("lo/if_octets")[0].interval, INTERVAL, "interval of a counter")
    state = daemon.wait_value("lo/gauge-link_state")
    same(state.interval, INTERVAL, "interval of the state")

    # The first time comes early, so that not all interfaces are due in the same reading.
    slow = daemon.wait_value("lo/gauge-mtu", since=slow.time)
    again = daemon.wait_value("lo/gauge-mtu", since=slow.time)
    assert abs(again.time - slow.time - 2) < INTERVAL / 2, f"{again.time - slow.time} s, not 2"

    # In the quiet of a slow interval one value changes: it is sent, the others need not be.
    changed = daemon.now()
    ns.ip("link set lo mtu 1300")
    news = daemon.wait_value("lo/gauge-mtu", 1300, since=changed, timeout=5)
    assert news.time - changed < 1.5 * INTERVAL, f"sent {news.time - changed:.1f} s after"
    daemon.wait_value("lo/gauge-mtu", 1300, since=news.time, timeout=5)

    for reading in daemon.readings():
        missing = {"if_octets", "if_packets", "gauge-link_state"} - of(reading, "lo")
        assert not missing, f"a reading without {missing}"
    count = len(daemon.values("lo/bool-admin_up"))
    assert count < len(daemon.values("lo/if_octets")) / 2, f"{count} slow values: too many"


def test_layout_brief_sends_what_changes(t):
    """Traffic at every reading; drops, state and utilization when they differ from what was sent."""
    ns = t.namespace()
    t.tap(ns, "t0")
    ns.veth("a0", "b0")
    daemon = t.collectd(f'Layout "brief"\nSpeed "a0" 10000000\n{ONLY_CHANGES}', ns).ready("t0")
    daemon.wait_value("a0/percent-utilization_tx", 0)
    first = daemon.reading()
    same((EVERY_READING | SLOW) - of(first, "a0"),
         {"percent-utilization_rx", "percent-utilization_tx"}, "not known at the first reading")

    sent = daemon.now()
    ns.frames("a0", count=5, size=100)  # 0.08 % of half a second
    ns.frames("t0", count=1500, size=60)  # nobody reads them: dropped when the queue is full
    dropped = int(ns.sysfs("t0/statistics/tx_dropped")[0])
    assert dropped, "the story went wrong: nothing was dropped"
    change = daemon.wait_value("t0/if_dropped", {"rx": 0, "tx": dropped})
    same(change.interval, 3600, "interval of a value that may rest")
    daemon.wait_value("a0/gauge-link_state", 2, since=sent)
    for _ in range(2):
        quiet = daemon.reading(since=daemon.now())
        same(of(quiet, "t0") - {"gauge-link_state"}, {"if_octets", "if_packets"}, "what rests")
    same(len(daemon.values("a0/percent-utilization_tx")), 1, "values of next to nothing")
    same(len(daemon.values("t0/if_errors")), 1, "values of a counter that did not move")

    ns.frames("a0", count=500, size=1000)
    daemon.wait_value("a0/percent-utilization_tx", lambda v: v > 1)
    daemon.wait_value("a0/percent-utilization_tx", lambda v: v < 0.1, since=daemon.now())
    ns.ip("link set a0 down")
    daemon.wait_value("a0/gauge-link_state", 0)


def test_layout_brief_tells_when_it_changed(t):
    """What a value was in the reading before is sent along: a change took one interval."""
    ns = t.namespace()
    t.tap(ns, "t0")
    ns.veth("a0", "b0")
    daemon = t.collectd(f'Layout "brief"\n{ONLY_CHANGES}', ns).ready("t0")
    for _ in range(3):
        daemon.reading(since=daemon.now())
    ns.frames("t0", count=1500, size=60)  # nobody reads them: dropped when the queue is full
    dropped = int(ns.sysfs("t0/statistics/tx_dropped")[0])
    daemon.wait_value("t0/if_dropped", {"rx": 0, "tx": dropped})
    ns.ip("link set a0 down")
    daemon.wait_value("a0/gauge-link_state", 0)

    for id, before in (("t0/if_dropped", {"rx": 0, "tx": 0}), ("a0/gauge-link_state", 1)):
        readings = [v.time for v in daemon.values(id.split("/")[0] + "/if_octets")]
        sent = daemon.values(id)
        same([v.plain for v in sent[:2]], [before, before], f"{id} while it rests")
        assert readings.index(sent[1].time) - readings.index(sent[0].time) > 1, "it did not rest"
        for a, b in zip(sent[1:], sent[2:]):
            same(readings.index(b.time) - readings.index(a.time), 1, f"readings between two {id}")


def test_slow_interval_is_six_intervals(t):
    daemon = t.collectd(ns=t.namespace(), interval=0.25).ready()
    same(daemon.wait_value("lo/gauge-mtu").interval, 1.5, "interval of a slow value")


def test_a_new_interface_sends_everything_at_first(t):
    ns = t.namespace()
    daemon = t.collectd(ONLY_CHANGES, ns).ready()
    ns.veth("a0", "b0")
    daemon.wait_value("a0/if_octets")
    ns.ip("link set a0 mtu 1400")  # a later reading, which must not be taken for the first
    daemon.wait_value("a0/gauge-mtu", 1400)
    first = next(r for r in daemon.readings() if "a0/if_octets" in r)
    same(of(first, "a0") & SLOW, SLOW, "slow values of the first reading")


def test_addresses_are_counted_by_family_and_state(t):
    ns, peer = t.namespace(), t.namespace()
    ns.veth("a0", "b0", peer)
    ns.ipv6("a0")
    peer.ipv6("b0")
    peer.ip("addr add 2001:db8::66/64 dev b0 nodad")
    daemon = t.collectd(ONLY_CHANGES, ns).ready()

    def counted(**expected):
        for state, n in expected.items():
            daemon.wait_value(f"a0/gauge-addresses_{state}", n)

    counted(ipv4=0, ipv6=0, tentative=0, dadfailed=0, deprecated=0)
    ns.batch(["addr add 192.0.2.1/24 dev a0", "addr add 192.0.2.2/24 dev a0",
              "addr add 192.0.2.3/32 dev a0 preferred_lft 0",
              "addr add 2001:db8::1/64 dev a0 nodad",
              "addr add 2001:db8::2/64 dev a0 nodad preferred_lft 0"])
    counted(ipv4=3, ipv6=2, deprecated=2)

    ns.ip("addr add 2001:db8::66/64 dev a0")  # the peer has it
    until(lambda: "dadfailed" in ns.ip("addr show a0"), "the kernel to find the duplicate")
    counted(ipv6=3, dadfailed=1)

    peer.ip("link set b0 down")
    ns.ip("addr add 2001:db8::3/64 dev a0")  # without a carrier nobody can be asked
    flags = ns.ip("-6 addr show a0 tentative")
    counted(ipv6=4, tentative=flags.count("tentative"))

    ns.batch(["addr del 192.0.2.3/32 dev a0", "addr del 2001:db8::3/64 dev a0",
              "addr del 2001:db8::66/64 dev a0"])
    counted(ipv4=2, ipv6=2, dadfailed=0, tentative=0, deprecated=1)


def test_xdp_program_is_seen(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    daemon = t.collectd(ONLY_CHANGES, ns).ready()
    daemon.wait_value("a0/bool-xdp", 0)
    xdp_attach(ns, "a0")
    assert "xdp" in ns.link("a0"), "the story went wrong: no program is attached"
    daemon.wait_value("a0/bool-xdp", 1)
    ns.ip("link set a0 xdpgeneric off")
    daemon.wait_value("a0/bool-xdp", 0)


def test_utilization_adds_up_to_what_was_sent(t):
    """The share of each interval, times the speed, summed, is the traffic."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.batch(["link add ifb0 type ifb", "link set ifb0 up"])
    speed = 2e6
    daemon = t.collectd('Speed "a0" 2000000\nSpeed "b0" 2000000', ns).ready()
    start = daemon.wait_value("a0/percent-utilization_tx").time
    same(daemon.wait_value("a0/gauge-speed").plain, speed, "the speed that was set")

    for _ in range(3):
        ns.frames("a0", count=50, size=1000)
        daemon.wait_value("a0/percent-utilization_tx", lambda v: v > 0, since=daemon.now())
    daemon.wait_value("a0/percent-utilization_tx", 0, since=daemon.now())

    for id in ("a0/percent-utilization_tx", "b0/percent-utilization_rx"):
        values = [v for v in daemon.values(id) if v.time >= start]
        octets = sum(v.plain / 100 * speed / 8 * (v.time - before.time)
                     for before, v in zip(values, values[1:]))
        assert abs(octets / 150000 - 1) < 0.02, f"{id}: {octets:.0f} octets of 150000"
    assert all(v.plain == 0 for v in daemon.values("a0/percent-utilization_rx"))
    assert not daemon.ids("^ifb0/percent"), "a share of a speed that nobody knows"


def test_utilization_is_never_more_than_all(t):
    """A Speed that is too low; the type percent ends at 100.1, more would be lost on the way."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    daemon = t.collectd('Speed "a0" 1000', ns).ready()
    daemon.wait_value("a0/percent-utilization_tx", 0)
    ns.frames("a0", count=100, size=1000)
    daemon.wait_value("a0/percent-utilization_tx", 100)


def test_total_counts_a_packet_once(t):
    """A bridge and its port both see a packet; the total counts it once."""
    ns, peer = t.namespace(), t.namespace()
    ns.veth("p0", "q0", peer)
    ns.veth("a0", "b0", peer)
    ns.batch(["link add br0 type bridge mcast_snooping 0", "link set p0 master br0",
              "link set br0 up"])
    daemon = t.collectd("ReportTotal true", ns).ready()
    peer.frames("q0", count=40, size=500)
    peer.frames("b0", count=3, size=100)
    ns.frames("a0", count=2, size=200)
    stopped = daemon.now()

    kernel = kernel_counters(ns)
    assert kernel["br0/if_packets"]["rx"] == 40, "the story went wrong: the bridge saw nothing"
    reading = daemon.reading(since=stopped)
    for type in ("if_octets", "if_packets", "if_errors", "if_dropped"):
        expected = {way: sum(kernel[f"{dev}/{type}"][way] for dev in ("lo", "a0", "p0"))
                    for way in ("rx", "tx")}
        same(reading[f"total/{type}"].plain, expected, f"total {type}")
    assert reading["total/if_packets"].plain == {"rx": 43, "tx": 2}

    # The port leaves the bridge: from now on both count, and nothing jumps.
    before = reading["total/if_octets"]
    ns.ip("link set p0 nomaster")
    after = daemon.reading(since=daemon.now())["total/if_octets"]
    for way in ("rx", "tx"):
        growth = after.plain[way] - before.plain[way]
        assert growth <= 0, f"the total jumps by {growth} octets when a port leaves its bridge"


def test_own_cost_is_reported(t):
    ns = t.namespace()
    daemon = t.collectd(ns=ns).ready()
    kinds = {"duration-read", "derive-messages", "derive-bytes", "derive-dumps", "derive-events",
             "derive-interrupted", "derive-lost"}
    first = daemon.reading()
    same(of(first, "self"), kinds, "values about the plugin itself")
    before = daemon.wait_value("self/derive-events").plain
    ns.ip("link set lo mtu 1400")
    daemon.wait_value("self/derive-events", lambda n: n > before)
    same(daemon.latest("self/derive-lost").plain, 0, "lost events")
    assert 0 < daemon.latest("self/duration-read").plain < 1


def test_attributes_are_not_dumped_at_every_reading(t):
    """With 200 interfaces and no change, a reading takes one message each: their counters."""
    ns = t.namespace()
    ns.batch([f"link add v{i} type veth peer name w{i}" for i in range(100)])
    daemon = t.collectd("AuditInterval 0", ns).ready()
    start = daemon.now()
    one = daemon.reading(since=start)
    two = daemon.reading(since=one["self/derive-messages"].time)
    messages = two["self/derive-messages"].plain - one["self/derive-messages"].plain
    assert 201 <= messages <= 210, f"{messages} messages for 201 interfaces"


# ---- Layout wide ---------------------------------------------------------------------------------

PLAIN = {"rx_bytes": "if_octets rx", "tx_bytes": "if_octets tx", "rx_errors": "if_errors rx",
         "rx_dropped": "if_dropped rx", "multicast": "if_multicast value",
         "link_state": "gauge-link_state value"}


def test_wide_layout_has_the_same_values_in_two_lists(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.batch(["link add ifb0 type ifb", "addr add 192.0.2.1/24 dev a0"])
    daemon = t.collectd('Layout "wide"\nSpeed "a0" 1000000', ns).ready("a0", "netmon_link")
    sent = daemon.now()
    ns.frames("a0", count=50, size=1000)
    ns.frames("b0", count=20, size=100)
    stats = ns.link("a0")["stats64"]
    active = daemon.wait_value("a0/netmon_link", lambda v: v["tx_bytes"] == stats["tx"]["bytes"],
                               since=sent).plain
    expected = {f"{way}_{name}": stats[way][name] for way in ("rx", "tx")
                for name in ("packets", "bytes", "errors", "dropped")}
    same({k: active[k] for k in expected}, expected, "counters of a0")
    same(active["link_state"], 2, "state")
    assert 0 < active["utilization_tx"] <= 100, active["utilization_tx"]

    slow = daemon.wait_value("a0/netmon_link_slow")
    same(slow.interval, 6 * INTERVAL, "interval of the slow list")
    expected = {"admin_up": 1, "carrier": 1, "xdp": 0, "mtu": 1500, "speed": 1e6, "addr_ipv4": 1,
                "addr_ipv6": 0, "addr_dadfailed": 0}
    same({k: slow.plain[k] for k in expected}, expected, "slow values of a0")
    unknown = daemon.wait_value("ifb0/netmon_link_slow").plain["speed"]
    assert unknown is None or math.isnan(unknown), f"a speed that nobody knows: {unknown}"

    ns.ip("link set a0 mtu 1280")
    daemon.wait_value("a0/netmon_link_slow", lambda v: v["mtu"] == 1280)
    same({i for i in daemon.ids() if i.startswith("a0/")},
         {"a0/netmon_link", "a0/netmon_link_slow"}, "lists of a0")


def test_types_db_for_receivers_is_that_of_the_plugin(t):
    """The daemon compares its own types with those of a types.db that it has read."""
    types = f'TypesDB "/usr/share/collectd/types.db" "{ROOT}/conf/netmon.types.db"'
    t.collectd('Layout "wide"', t.namespace(), before=types).ready("lo", "netmon_link")


def test_older_types_db_is_said(t):
    older = t.dir / "older.db"
    older.write_text("netmon_link  rx_packets:DERIVE:0:U, tx_packets:DERIVE:0:U\n")
    types = f'TypesDB "/usr/share/collectd/types.db" "{older}"'
    daemon = t.collectd(ns=t.namespace(), before=types, expect_log=["other data sources"]).ready()
    daemon.wait_log("has the type netmon_link with other data sources")
