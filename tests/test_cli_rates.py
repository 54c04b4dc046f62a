# SPDX-License-Identifier: MIT
"""netmon forward --interval: deltas are what /proc says meanwhile, and the unknown is null."""

import json
import pathlib
import re
import signal
import socket
import subprocess

from harness import same


def routed(t):
    """client - router - server"""
    client, router, server = t.namespace(), t.namespace(), t.namespace()
    router.veth("c0", "eth0", client)
    router.veth("s0", "eth0", server)
    for ns, dev, address in ((router, "c0", "10.1.0.1"), (client, "eth0", "10.1.0.2"),
                             (router, "s0", "10.2.0.1"), (server, "eth0", "10.2.0.2")):
        ns.ip(f"addr add {address}/24 dev {dev}")
    client.ip("route add default via 10.1.0.1")
    server.ip("route add default via 10.2.0.1")
    router.sysctl("ipv4/ip_forward", 1)
    return client, router


def send(ns, count):
    with ns.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _ in range(count):
            s.sendto(b"x" * 500, ("10.2.0.2", 9))


def snmp(ns):
    text = ns.call(pathlib.Path("/proc/thread-self/net/snmp").read_text)
    names, values = (line.split()[1:] for line in text.splitlines() if line.startswith("Ip:"))
    return dict(zip(names, map(int, values)))


def follow(t, ns, *words):
    p = subprocess.Popen(["ip", "netns", "exec", ns.name, *t.build.outer_prefix(), t.build.netmon,
                          "forward", "--interval", "0.4", *words], text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    t.cleanup(p.kill)
    return p


def test_totals_deltas_and_rates(t):
    client, router = routed(t)
    send(client, 1)  # ARP
    before = snmp(router)
    p = follow(t, router, "--json")
    first = json.loads(p.stdout.readline())
    send(client, 50)
    documents = [first, json.loads(p.stdout.readline()), json.loads(p.stdout.readline())]
    p.send_signal(signal.SIGINT)
    _, err = p.communicate(timeout=10)
    same((p.returncode, err), (0, ""), "its end")
    last = documents[-1]
    same((last["ipv4"]["forwarding_enabled"], last["ipv6"]["forwarding_enabled"]), (True, False),
         "forwarding")
    forwarded = snmp(router)["ForwDatagrams"]  # and what the server answers
    assert forwarded >= before["ForwDatagrams"] + 50, forwarded
    same(last["ipv4"]["forwarding"]["outgoing_packets_total"], forwarded, "forwarded")
    of = first["ipv4"]["forwarding"]
    start = of["outgoing_packets_total"] - of["outgoing_packets_delta"]
    same(sum(d["ipv4"]["forwarding"]["outgoing_packets_delta"] for d in documents),
         forwarded - start, "deltas")
    three = lambda *names: {f"{name}_{what}" for name in names for what in ("delta", "rate", "total")}
    for d in documents:
        of = d["ipv4"]["forwarding"]
        assert abs(of["outgoing_packets_rate"] * d["interval_seconds"]
                   - of["outgoing_packets_delta"]) < 0.01, d
        assert 0.2 < d["interval_seconds"] < 4, d["interval_seconds"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", d["timestamp"]), d
        same(set(d), {"timestamp", "interval_seconds", "ipv4", "ipv6", "interfaces"}, "members")
        same(set(d["interfaces"]), {"lo", "c0", "s0"}, "interfaces")
        for family in ("ipv4", "ipv6"):
            same(set(of), three("incoming_packets", "outgoing_packets"), "forwarding")
            assert three("bytes_received", "bytes_sent", "packets_received", "packets_sent") \
                <= set(d[family]["traffic"]), d[family]
            same({v for k, v in d[family]["forwarding"].items() if "incoming" in k}, {None},
                 "packets on their way in, which Linux does not count")
        for dev in d["interfaces"].values():
            same(set(dev), {"ipv4", "ipv6", "total"}, "of an interface")
            for ways in dev.values():
                same(set(ways), three("rx_bytes", "tx_bytes", "rx_packets", "tx_packets"), "ways")
    c0 = last["interfaces"]["c0"]
    same(set(c0["ipv4"].values()), {None}, "IPv4 of an interface, which nobody counts")
    same(c0["total"]["rx_packets_total"], router.link("c0")["stats64"]["rx"]["packets"], "c0")
    assert c0["total"]["rx_bytes_delta"] is not None and c0["total"]["rx_bytes_rate"] is not None


def test_a_table_for_people(t):
    _, router = routed(t)
    p = follow(t, router, "--count", "2")
    out, err = p.communicate(timeout=10)
    same((p.returncode, err), (0, ""), "its end")
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80, "wider than 80 columns"
    same(len([line for line in lines if re.match(r"IPv4 router +0 bit/s", line)]), 2, "intervals")
    assert any(line.startswith("c0 ") for line in lines), out


def test_history_needs_another_program(t):
    """It is looked for beside netmon itself, and given the words as they are."""
    for name in ("history", "summary"):
        copy = t.directory("bin") / "netmon"
        copy.write_bytes(t.build.netmon.read_bytes())
        copy.chmod(0o755)
        run = lambda: subprocess.run([*t.build.outer_prefix(), copy, name, "--a", "b c"],
                                     capture_output=True, text=True)
        done = run()
        same((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1), name)
        assert "netmon-graph" in done.stderr, done.stderr
        (copy.parent / "netmon-graph").write_text('#!/bin/sh\nprintf "<%s>" "$@"; exit 7\n')
        (copy.parent / "netmon-graph").chmod(0o755)
        done = run()
        same((done.returncode, done.stdout), (7, f"<{name}><--a><b c>"), name)
