# SPDX-License-Identifier: MIT
"""The alarms of netmon-alarms(7) whose trouble needs bonds, tunnels, clocks or the whole machine."""

import contextlib
import math
import re
import socket

from harness import plain_build_only, same, vm
from test_alarms import Watched
from test_dpll import EEC, HOLDOVER, LOCKED, Sim
from test_link_kinds import bonded
from test_wireguard import HANDSHAKE_LIMIT, Tunnel, wg


@vm
@plain_build_only
def test_bond_degraded(t):
    ns = bonded(t, "mode active-backup miimon 50")
    w = Watched(t, ns, interval=1)
    w.daemon.ready("bond0")
    ns.ip("link set q0 down")
    w.alarm("WARNING", "bond bond0 is degraded: 1 of its 2 ports are up",
            ["netmon link -s", "netmon-graph link bond0"])
    ns.ip("link set q0 up")
    w.over("bond bond0 is restored: all of its 2 ports are up")


@vm
@plain_build_only
def test_wireguard_peer_stale(t):
    tunnel = Tunnel(t)
    w = Watched(t, tunnel.a, "netmon_wireguard", HANDSHAKE_LIMIT, interval=1)
    w.daemon.wait_value("wg0/gauge-peers", timeout=20)
    tunnel.ping()
    peer = f"peer {re.escape(tunnel.name)} of wg0"  # base64 has "+"
    w.wait(f"^OKAY testhost: {peer} is online", timeout=30)
    w.alarm("WARNING", f"{peer} is offline: no handshake for",
            ["netmon wireguard -s", "netmon-graph link wg0"])
    tunnel.new_session()
    tunnel.ping()
    w.over(f"{peer} is online")


@vm
@plain_build_only
def test_clock_in_holdover(t):
    sim = Sim(t)
    w = Watched(t, None, "netmon_dpll", interval=1)
    w.daemon.wait_value(f"{EEC}/gauge-lock_status", timeout=20)
    sim.do(f"dev 0 lock_status {LOCKED}")
    w.daemon.wait_value(f"{EEC}/gauge-lock_status", LOCKED)
    sim.do(f"dev 0 lock_status {HOLDOVER}")
    w.alarm("FAILURE", "holdover", ["netmon dpll -s", f"netmon-graph dpll {EEC}"])
    sim.do(f"dev 0 lock_status {LOCKED}")
    w.over(EEC)


@vm
@plain_build_only
def test_neighbour_table_that_fills(t):
    """The limit belongs to the whole machine, here the VM.  That it is full no more is told after
    five minutes: a recording tests that."""
    for name, n in ((1, 1), (2, 100), (3, 200)):
        with open(f"/proc/sys/net/ipv4/neigh/default/gc_thresh{name}", "w") as f:
            f.write(str(n))
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.ip("addr add 198.18.0.1/16 dev a0")
    w = Watched(t, ns, "netmon_neighbor", interval=1)
    w.daemon.wait_value("arp_cache/gauge-gc_thresh3", 200)
    ns.batch([f"neigh replace 198.18.1.{i} lladdr 02:00:00:00:00:99 dev a0 nud reachable"
              for i in range(1, 171)])
    w.alarm("WARNING", r"instance arp_cache.*percent \(instance fill\).*above the warning threshold",
            ["netmon neighbor -s", "netmon-graph neighbor"])
    with ns.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setblocking(False)
        for i in range(200):
            with contextlib.suppress(OSError):  # that is what a full table does
                s.sendto(b"x", (f"198.18.2.{i + 1}", 9))
    w.alarm("FAILURE", "arp_cache is full", ["netmon neighbor -s"])
    ns.ip("neigh flush all dev a0")
    ns.ip("link set a0 down")
    w.wait(r"^OKAY testhost: .*percent \(instance fill\).*within range again")


def nowhere(ns, count):
    with ns.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _ in range(count):
            with contextlib.suppress(OSError):
                s.sendto(b"x", ("10.0.7.7", 9))


@vm
@plain_build_only
def test_errors(t):
    """WireGuard counts an error for each packet to an address that no peer has."""
    tunnel = Tunnel(t)
    ns = tunnel.a
    wg(ns, "wg0", "peer", tunnel.public[2], "persistent-keepalive", "0")
    w = Watched(t, ns, interval=1)
    w.daemon.ready("wg0")
    before = ns.link("wg0")["stats64"]["tx"]["errors"]
    nowhere(ns, 20)
    assert ns.link("wg0")["stats64"]["tx"]["errors"] > before, "the story: no errors"
    w.alarm("FAILURE", r"\(instance wg0\) type percent \(instance errors_tx\).*above the failure",
            ["ip -s -s link show dev wg0", "netmon-graph link wg0 --graph errors"])
    w.over(r"\(instance wg0\) type percent \(instance errors_tx\).*within range again")
    tunnel.ping(3)
    nowhere(ns, 5)
    w.daemon.wait_value("wg0/percent-errors_tx", 0, since=w.daemon.now())

    readings = [r for r in w.daemon.readings() if "wg0/if_errors" in r]
    shares = []
    for was, now in zip(readings, readings[1:]):
        errors, packets = (now[f"wg0/{id}"].plain["tx"] - was[f"wg0/{id}"].plain["tx"]
                           for id in ("if_errors", "if_packets"))
        if errors:
            shares.append(now["wg0/percent-errors_tx"].plain)
            assert math.isclose(shares[-1], 100 * errors / (errors + packets)), (errors, packets)
    assert shares[0] == 100 and len(shares) > 1, shares
    same(w.daemon.ids("percent-errors") - {"wg0/percent-errors_tx"}, set(), "shares of no errors")
