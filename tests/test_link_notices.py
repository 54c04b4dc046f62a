# SPDX-License-Identifier: MIT
"""What changes on an interface is told at once, once, and with what one needs to know."""

import statistics

import harness
from harness import alone, same


def kinds(notices):
    return [n.kind for n in notices]


def fence(ns, daemon):
    """A change after all others: when its notification is here, all the others have been."""
    since = daemon.now()
    ns.ip("link set fence0 up")
    daemon.wait_notification("state", "fence0", since=since, new="up")


def with_fence(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.batch(["link add fence0 type ifb"])
    return ns


def test_interface_taken_down_and_up(t):
    ns = with_fence(t)
    ifindex = str(ns.link("a0")["ifindex"])
    daemon = t.collectd(ns=ns).ready()

    ns.ip("link set a0 down")
    down = daemon.wait_notification("state", "a0", new="down")
    same((down.severity, down.meta),
         ("failure", {"ifindex": ifindex, "old": "up", "new": "down", "reason": "admin_down",
                      "kind": "veth", "peer": "b0"}), "taken down")
    same((down.plugin, down.type, down.host), ("netmon_link", "", "testhost"), "identity")
    assert "a0" in down.message, f"message without the interface: {down.message}"

    peer = daemon.wait_notification("state", "b0", new="down")
    same(peer.meta["reason"], "carrier", "the other end lost its carrier")

    ns.ip("link set a0 up")
    up = daemon.wait_notification("state", "a0", new="up")
    same((up.severity, up.meta["old"], up.meta["ifindex"]), ("okay", "down", ifindex), "up again")
    fence(ns, daemon)
    same([n.meta["new"] for n in daemon.notices() if n.instance == "a0"], ["down", "up"],
         "each change is told once")


def test_carrier_lost_and_found(t):
    ns = with_fence(t)
    daemon = t.collectd(ns=ns).ready()
    ns.ip("link set b0 down")
    lost = daemon.wait_notification("state", "a0", new="down")
    same((lost.severity, lost.meta["reason"]), ("failure", "carrier"), "carrier lost")
    ns.ip("link set b0 up")
    same(daemon.wait_notification("state", "a0", new="up").severity, "okay", "carrier found")


def test_deleted_while_up_is_a_failure(t):
    ns = with_fence(t)
    ns.batch(["link add c0 type ifb", "link set c0 up"])
    daemon = t.collectd('Notify "state" "delete"', ns).ready()
    ns.ip("link del c0")
    gone = daemon.wait_notification("state", "c0", new="down", reason="deleted")
    same(gone.severity, "failure", "deleted")
    daemon.wait_notification("delete", "c0")
    fence(ns, daemon)
    # The kernel sets it down first, and says so: that may be told before the deletion is known.
    told = [(n.kind, n.meta.get("reason")) for n in daemon.notices() if n.instance == "c0"]
    same([x for x in told if x != ("state", "admin_down")],
         [("state", "deleted"), ("delete", None)], "what was told of the deletion")


def test_what_exists_at_the_start_is_no_news(t):
    ns = with_fence(t)
    ns.ip("addr add 192.0.2.1/24 dev a0")
    daemon = t.collectd('Notify "all"', ns).ready()
    daemon.reading()
    fence(ns, daemon)
    same(kinds(daemon.notices()), ["state"], "notifications before anything changed")


def test_created_renamed_changed_and_deleted(t):
    """The life of one interface, told from beginning to end."""
    ns = with_fence(t)
    ns.batch(["link add br0 type bridge", "link set br0 up"])
    daemon = t.collectd('Notify "all"', ns).ready()

    ns.ip("link add c0 type veth peer name d0")
    ifindex = str(ns.link("c0")["ifindex"])
    daemon.wait_notification("create", "c0", ifindex=ifindex)

    ns.ip("link set c0 mtu 1400")
    daemon.wait_notification("mtu", "c0", ifindex=ifindex, old="1500", new="1400")

    ns.ip("link set c0 name e0")
    daemon.wait_notification("rename", ifindex=ifindex, old="c0", new="e0")

    ns.ip("link set e0 promisc on")
    on = daemon.wait_notification("promiscuous", "e0", ifindex=ifindex)
    off_since = daemon.now()
    ns.ip("link set e0 promisc off")
    off = daemon.wait_notification("promiscuous", "e0", since=off_since)
    assert on.meta["new"] != off.meta["new"] == on.meta["old"], f"{on.meta} then {off.meta}"

    ns.ip("link set e0 master br0")
    daemon.wait_notification("master", "e0", new="br0")
    ns.ip("link set e0 nomaster")
    daemon.wait_notification("master", "e0", old="br0")

    ns.ip("link del e0")
    daemon.wait_notification("delete", "e0", ifindex=ifindex)
    daemon.wait_notification("delete", "d0")
    same(len([n for n in daemon.notices() if n.kind == "create" and n.instance == "c0"]), 1,
         "creations of c0")


def test_addresses_come_and_go(t):
    ns = with_fence(t)
    ns.ipv6("a0")
    daemon = t.collectd('Notify "address"', ns).ready()
    for address in ("192.0.2.1/24", "2001:db8::1/64"):
        ns.ip(f"addr add {address} dev a0" + (" nodad" if ":" in address else ""))
        added = daemon.wait_notification("address", "a0", new=address)
        assert "old" not in added.meta, f"an address added, and {added.meta}"
        ns.ip(f"addr del {address} dev a0")
        removed = daemon.wait_notification("address", "a0", old=address)
        assert "new" not in removed.meta, f"an address removed, and {removed.meta}"
    same(kinds(daemon.notices()), ["address"] * 4, "notifications")


def test_an_address_that_another_host_has(t):
    ns, peer = with_fence(t), t.namespace()
    ns.veth("x0", "y0", peer)
    ns.ipv6("x0")
    peer.ipv6("y0")
    peer.ip("addr add 2001:db8::66/64 dev y0 nodad")
    daemon = t.collectd(ns=ns).ready()
    ns.ip("addr add 2001:db8::66/64 dev x0")
    found = daemon.wait_notification("duplicate", "x0")
    assert found.severity != "okay", "a duplicate address is no good news"
    assert "2001:db8::66" in found.message and "2001:db8::66" in str(found.meta), found
    fence(ns, daemon)
    same(kinds(daemon.notices()).count("duplicate"), 1, "told once")


def test_a_link_that_negotiates_less(t):
    ns = with_fence(t)
    t.tap(ns, "t0")
    speed = "ethtool -s t0 duplex full speed".split()
    ns.run(*speed, "1000")
    daemon = t.collectd(ns=ns).ready()
    daemon.wait_value("t0/gauge-speed", 1e9)
    ns.run(*speed, "100")
    slower = daemon.wait_notification("speed", "t0")
    same((slower.meta["old"], slower.meta["new"]), ("1000000000", "100000000"), "speeds, bit/s")
    assert slower.severity in ("warning", "failure"), slower.severity
    daemon.wait_value("t0/gauge-speed", 1e8)


def test_xdp_program_that_goes(t):
    ns = with_fence(t)
    harness.xdp_attach(ns, "a0")
    daemon = t.collectd(ns=ns).ready()
    ns.ip("link set a0 xdpgeneric off")
    gone = daemon.wait_notification("xdp", "a0")
    assert gone.severity in ("warning", "failure"), gone.severity


def everything_changes(t, ns):
    """One change of each kind that Notify can choose, on a0 but for create and delete."""
    ns.ip("link add c0 type veth peer name d0")
    ns.ip("link set c0 name e0")
    ns.ip("link del e0")
    ns.batch(["addr add 192.0.2.1/24 dev a0", "link set a0 mtu 1400", "link set a0 promisc on",
              "link set a0 master br0", "link set a0 xdpgeneric off", "link set a0 down"])
    ns.run("ethtool", "-s", "t0", "speed", "100", "duplex", "full")


def after_everything(t, block):
    ns = with_fence(t)
    ns.batch(["link add br0 type bridge", "link set br0 up"])
    harness.xdp_attach(ns, "a0")
    t.tap(ns, "t0")
    ns.run("ethtool", "-s", "t0", "speed", "1000", "duplex", "full")
    daemon = t.collectd(block, ns).ready()
    everything_changes(t, ns)
    return ns, daemon


def test_by_default_only_what_an_operator_wants_at_night(t):
    ns, daemon = after_everything(t, "")
    daemon.wait_notification("speed", "t0")
    fence(ns, daemon)
    same(set(kinds(daemon.notices())), {"state", "speed", "master", "xdp"}, "default kinds")


def test_notify_chooses(t):
    ns, daemon = after_everything(t, 'Notify "mtu"\nNotify "rename" "state"')
    fence(ns, daemon)
    same(set(kinds(daemon.notices())), {"mtu", "rename", "state"}, "chosen kinds")


def test_notify_all_and_none(t):
    ns, daemon = after_everything(t, 'Notify "all"')
    daemon.wait_notification("speed", "t0")
    fence(ns, daemon)
    same(set(kinds(daemon.notices())), {"state", "speed", "rename", "create", "delete", "address",
                                        "promiscuous", "master", "xdp", "mtu"}, "all kinds")
    daemon.stop()
    ns, daemon = after_everything(t, 'Notify "none"')
    daemon.wait_value("a0/bool-admin_up", 0)
    daemon.reading(since=daemon.now())
    same(kinds(daemon.notices()), [], "no kinds")


def test_interfaces_that_are_not_selected_are_silent(t):
    ns = with_fence(t)
    daemon = t.collectd('Interface "b0" "fence0"\nNotify "all"', ns).ready("b0")
    ns.batch(["link set a0 mtu 1400", "link add c0 type ifb", "link del c0"])
    fence(ns, daemon)
    same({n.instance for n in daemon.notices()} - {"fence0"}, set(), "instances")


@alone
def test_notification_leaves_within_100_ms(t):
    """From before the call that takes the link down to the writer; no reading can have helped."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    daemon = t.collectd(ns=ns, interval=60).ready()
    delays = []
    for _ in range(9):
        for state in ("down", "up"):
            called = daemon.now()
            ns.ip(f"link set a0 {state}")
            told = daemon.wait_notification("state", "a0", since=called, new=state)
            delays.append((told.arrived - called) * 1000)
    same(len(daemon.values("lo/if_octets")), 1, "readings so far")
    t.note(f"median {statistics.median(delays):.1f} ms, worst {max(delays):.1f} ms, "
           "ip's own start included")
    assert statistics.median(delays) < 100, f"delays in ms: {[round(d) for d in delays]}"


def test_reading_and_event_agree(t):
    """The event is told first; the next reading shows the same, without a second notification."""
    ns = with_fence(t)
    daemon = t.collectd(ns=ns).ready()
    for _ in range(3):
        since = daemon.now()
        ns.ip("link set a0 down")
        daemon.wait_notification("state", "a0", since=since, new="down")
        daemon.wait_value("a0/gauge-link_state", 0, since=since)
        ns.ip("link set a0 up")
        daemon.wait_notification("state", "a0", since=since, new="up")
        daemon.wait_value("a0/gauge-link_state", lambda v: v > 0, since=since)
    fence(ns, daemon)
    same([n.meta["new"] for n in daemon.notices() if n.instance == "a0"], ["down", "up"] * 3,
         "told once each")
