# SPDX-License-Identifier: MIT
"""netmon explain: the way of a packet, against `ip route get`, and what would stop it."""

import json

from harness import same


def network(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.veth("c0", "d0")
    ns.batch(["link add br0 type bridge mcast_snooping 0", "link set c0 master br0",
              "link set br0 up", "addr add 192.0.2.1/24 dev a0", "addr add 10.5.0.1/24 dev br0",
              "route add default via 192.0.2.2", "route add blackhole 203.0.113.0/24",
              "route add 198.51.100.0/24 via 192.0.2.3 table 100",
              "rule add fwmark 7 lookup 100 priority 50",
              "rule add to 198.18.0.0/15 prohibit priority 60",
              "neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev a0 nud permanent",
              "neigh add 10.5.0.9 lladdr 02:00:00:00:00:09 dev br0 nud permanent"])
    ns.run("bridge", "fdb", "add", "02:00:00:00:00:09", "dev", "c0", "master", "static")
    ns.ipv6("a0")
    ns.batch(["addr add 2001:db8::1/64 dev a0 nodad", "route add 2001:db8:9::/48 via 2001:db8::2"])
    ns.settled("a0", "b0", "c0", "d0", "br0")
    return ns


def explained(t, ns, *words):
    document = json.loads(t.netmon("explain", "--json", *words, ns=ns).stdout)
    return document, {step["step"]: step for step in document["steps"]}


def test_the_kernels_own_choice(t):
    ns = network(t)
    for address in ("198.51.100.7", "192.0.2.77", "10.5.0.9", "2001:db8:9::1", "2001:db8::7",
                    "127.0.0.1"):
        got, = json.loads(ns.ip(f"-j route get {address}"))
        document, steps = explained(t, ns, address)
        hop = steps["next hop"]["entry"]
        same((hop.get("gateway"), hop["oif_name"], hop.get("prefsrc"), document["stopped_by"]),
             (got.get("gateway"), got["dev"], got.get("prefsrc"), None), f"way to {address}")


def test_rules_marks_and_tables(t):
    ns = network(t)
    for words, priority, table in ((["198.51.100.7"], 32766, "main"),
                                   (["198.51.100.7", "--mark", "7"], 50, "100"),
                                   (["192.0.2.1"], 0, "local")):
        _, steps = explained(t, ns, *words)
        rule = steps["rule"]["entry"]
        same((rule.get("priority", 0), rule.get("table_name", str(rule["table"]))),
             (priority, table), f"rule of {words}")
        assert f"in table {table}" in steps["route"]["text"], steps["route"]["text"]


def test_neighbour_and_port(t):
    ns = network(t)
    _, steps = explained(t, ns, "8.8.8.8")
    assert "192.0.2.2 is 02:00:00:00:00:02, permanent" in steps["neighbor"]["text"], steps
    _, steps = explained(t, ns, "10.5.0.9")
    same(steps["port"]["entry"]["ifindex_name"], "c0", "port")
    assert "c0 is up" in steps["port link"]["text"], steps["port link"]


def test_what_would_stop_it(t):
    ns = network(t)
    document, _ = explained(t, ns, "203.0.113.7")
    same(document["stopped_by"], "route", "a blackhole")
    document, steps = explained(t, ns, "198.18.0.1")
    same((document["stopped_by"], document["reason"], steps["rule"]["entry"]["priority"]),
         ("rule", "prohibit", 60), "a rule")
    ns.ip("link set d0 down")
    document, _ = explained(t, ns, "10.5.0.9")
    assert document["stopped_by"] in ("link", "port link"), document
    ns.ip("route del default")
    document, _ = explained(t, ns, "8.8.8.8")
    same((document["stopped_by"], "unreachable" in document["reason"]), ("route", True), "nothing")


def test_as_text_in_another_namespace(t):
    ns = network(t)
    lines = t.netmon("explain", "8.8.8.8", "--namespace", ns.name).stdout.splitlines()
    same([line.split()[0] for line in lines[:3]], ["8.8.8.8", "rule", "route"], "lines")
    assert "via 192.0.2.2 dev a0" in "".join(lines), lines


def test_mistakes(t):
    ns = t.namespace()
    for words, status, says in (([], 2, "address"), (["example"], 2, "example"),
                                (["1.2.3.4", "--from", "::1"], 2, "::1"),
                                (["1.2.3.4", "--iif", "lo"], 2, "--from"),
                                (["1.2.3.4", "--from", "1.1.1.1", "--iif", "no0"], 1, "no0")):
        done = t.netmon("explain", *words, ns=ns, ok=None)
        same((done.returncode, done.stderr.count("\n")), (status, 1), f"{words}: {done.stderr}")
        assert says in done.stderr, done.stderr
