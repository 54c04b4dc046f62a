# SPDX-License-Identifier: MIT
"""JSON as text: what the fast printing of addresses, numbers and repeated values must not change."""

import contextlib
import ipaddress
import json
import os
import pathlib
import random
import re
import select
import subprocess

from harness import alone, plain_build_only, same, time_limit


def test_addresses_are_written_as_everybody_writes_them(t):
    """Runs of zeros of every length and place, and IPv4 addresses within IPv6 ones."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.ipv6("a0")
    random.seed(5952)
    hosts = {ipaddress.IPv6Address(sum(word << 16 * i for i, word in enumerate(words)))
             for words in ([random.choice((0, 0, 0, 1, 0xA, 0xBC, 0xDEF, 0xFFFF))
                            for _ in range(7)] + [0x2001] for _ in range(300))}
    hosts |= {ipaddress.IPv6Address(text) for text in
              ("64:ff9b::c000:201", "2001::", "2001:0:0:1::", "2001:0:0:1:0:0:0:1", "::2",
               "::ffff:192.0.2.9", "::192.0.2.9", "1:2:3:4:5:6:7:8")}
    four = [f"{a}.{b}.{a}.{b}" for a in (1, 9, 10, 99, 100, 199) for b in (0, 1, 10, 100, 255)]
    ns.batch([f"neigh add {host} lladdr 02:00:00:00:00:ff dev a0 nud permanent"
              for host in hosts]
             + [f"neigh add {host} lladdr 02:00:00:00:00:ff dev a0 nud permanent"
                for host in four])
    ours = [n["dst"] for n in json.loads(t.netmon("neighbor", ns=ns).stdout)["neighbors"]
            if n.get("lladdr") == "02:00:00:00:00:ff"]
    theirs = [n["dst"] for n in json.loads(ns.ip("-j neigh show nud permanent"))]
    same(sorted(ours), sorted(theirs), "addresses")


def test_what_repeats_is_not_carried_over(t):
    """Flags, names and heads are remembered: neighbouring entries that differ in one of them."""
    ns = t.namespace()
    for i in range(3):
        ns.veth(f"a{i}", f"b{i}")
        ns.ip(f"addr add 10.{i}.0.1/24 dev a{i}")
    lines = []
    for i in range(60):
        kind = ("", "", "blackhole ", "unreachable ")[i % 4]
        hop = f"via 10.{i % 3}.0.2 dev a{i % 3}" if not kind else ""
        lines.append(f"route add {kind}172.16.{i}.0/{24 + i % 3 * 4} {hop} table {100 + i % 5} "
                     f"proto {('static', 'bird', '77')[i % 3]} metric {i}")
    ns.batch(lines)
    ours = {}
    for r in json.loads(t.netmon("route", ns=ns).stdout)["ipv4"]:
        if 100 <= r["table"] < 200:
            ours[f'{r["dst"]}/{r["dst_len"]}'] = (r["type"], str(r["protocol"]), r.get("priority"),
                                                  r["table"], r.get("gateway"), r.get("oif_name"))
    theirs = {}
    for table in range(100, 105):
        for r in json.loads(ns.ip(f"-d -j route show table {table}")):
            dst = r["dst"] if "/" in r["dst"] else r["dst"] + "/32"
            theirs[dst] = (r["type"], r["protocol"], r.get("metric"), table, r.get("gateway"),
                           r.get("dev"))
    same(ours, theirs, "routes")


def peak_while_read(t, ns, *words):
    """The output, and the most memory that the command was seen to have while it ran, in KiB."""
    run = subprocess.Popen(["ip", "netns", "exec", ns.name, t.build.netmon, *words],
                           stdout=subprocess.PIPE)
    peak, parts, poll = 0, [], select.poll()
    poll.register(run.stdout)
    while True:
        with contextlib.suppress(OSError):
            status = pathlib.Path(f"/proc/{run.pid}/status").read_text()
            peak = max([peak, *map(int, re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.M))])
        if not poll.poll(5):  # a summary is silent until the end
            continue
        if not (part := os.read(run.stdout.fileno(), 1 << 16)):
            break
        parts.append(part)
    same(run.wait(), 0, f"end of netmon {words}")
    return b"".join(parts), peak


@alone
@plain_build_only
@time_limit(300)
def test_memory_does_not_grow(t):
    """A million routes and 100,000 neighbours, in every form, within 32 MiB."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.ip("addr add 10.0.0.1/8 dev a0")
    ns.batch(f"route add 20.{i >> 16}.{i >> 8 & 255}.{i & 255} via 10.0.0.{2 + i % 200}"
             for i in range(1000000))
    ns.batch(f"neigh add 10.{1 + (i >> 16)}.{i >> 8 & 255}.{i & 255} lladdr 02:00:00:00:00:01 "
             "dev a0 nud permanent" for i in range(100000))
    for noun, array, count in (("route", "ipv4", 1000000), ("neighbor", "neighbors", 100000)):
        for words in ([], ["--ndjson"], ["--pretty"], ["--summary"]):
            text, peak = peak_while_read(t, ns, noun, *words)
            t.note(f"{noun} {' '.join(words)}: {len(text) >> 20} MiB, peak {peak / 1024:.1f} MiB")
            assert 500 < peak < 32 << 10, f"{noun} {words}: peak {peak} KiB"
            if not words:
                tail = json.loads(b"{" + text[text.rindex(b'"summary"'):])
                same(tail["metadata"]["complete"], True, "complete")
                assert tail["summary"][array]["total"] >= count, tail["summary"]
            if words == ["--ndjson"]:
                key = b'{"what":"%s"' % array.encode()
                same(text.count(key), tail["summary"][array]["total"], f"lines of {noun}")
