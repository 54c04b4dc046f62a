# SPDX-License-Identifier: MIT
"""netmon explain: the way of a packet, against `ip route get`, and what would stop it."""

import json

from harness import same, until


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


def refused(ns, *words):
    """What `ip route get` is answered: the kernel refuses it."""
    done = ns.run("ip", "-6" if ":" in words[0] else "-4", "route", "get", *words, ok=None)
    return "via" not in done and "dev" not in done


def test_what_the_kernel_only_refuses_is_found_in_the_tables(t):
    ns = network(t)
    ns.batch(["rule add from 192.0.2.0/24 lookup 101 priority 40",
              "route add blackhole 198.51.0.0/16 table 101", "route add throw 8.8.0.0/16 table 101",
              "route add unreachable 198.51.101.0/24", "route add prohibit 198.51.102.0/24",
              "route add prohibit 2001:db8:ff::/48", "rule add iif b0 goto 32766 priority 45"])
    for words, stop, reason, table in (
        (["198.51.101.1"], "route", "unreachable", "main"),
        (["198.51.102.1"], "route", "prohibit", "main"),
        (["203.0.113.1"], "route", "blackhole", "main"),
        (["2001:db8:ff::1"], "route", "prohibit", "main"),
        (["198.51.101.1", "--from", "192.0.2.1"], "route", "blackhole", "101"),
        (["198.18.0.1"], "rule", "prohibit", None),
    ):
        assert refused(ns, *[w.removeprefix("--") for w in words]), words
        document, steps = explained(t, ns, *words)
        same((document["stopped_by"], document["reason"]), (stop, reason), f"{words}")
        if table:
            assert f"{reason} " in steps["route"]["text"], steps["route"]
            assert f"table {table}," in steps["route"]["text"], steps["route"]
            assert steps["rule"]["text"].endswith(f"lookup {table}"), steps["rule"]
    document, steps = explained(t, ns, "8.8.8.8", "--from", "192.0.2.1")  # thrown, then default
    same((document["stopped_by"], steps["rule"]["entry"]["table"]), (None, 254), "throw")


def test_what_comes_in_and_is_not_let_through(t):
    """Forwarding and rp_filter, and the same packet when nothing stops it."""
    ns = network(t)
    came = ["10.5.0.9", "--from", "192.0.2.9", "--iif", "a0"]
    by_ip = ["10.5.0.9", "from", "192.0.2.9", "iif", "a0"]
    ns.sysctl("ipv4/conf/all/rp_filter", 0)
    ns.sysctl("ipv4/conf/a0/rp_filter", 0)
    assert refused(ns, *by_ip)
    document, steps = explained(t, ns, *came)
    same((document["stopped_by"], "10.5.0.0/24" in steps["route"]["text"]), ("forwarding", True),
         "forwarding is off")
    assert "net.ipv4.conf.a0.forwarding" in steps["forwarding"]["text"], steps
    ns.sysctl("ipv4/conf/a0/forwarding", 1)
    document, steps = explained(t, ns, *came)
    same((document["stopped_by"], steps["next hop"]["entry"]["oif_name"], refused(ns, *by_ip)),
         (None, "br0", False), "forwarding is on")
    for filter, source, stop in ((1, "10.5.0.3", "source"), (2, "10.5.0.3", None),
                                 (2, "192.0.2.9", None), (1, "192.0.2.9", None)):
        ns.sysctl("ipv4/conf/a0/rp_filter", filter)
        document, _ = explained(t, ns, "10.5.0.9", "--from", source, "--iif", "a0")
        same((document["stopped_by"], bool(stop)),
             (stop, refused(ns, "10.5.0.9", "from", source, "iif", "a0")),
             f"rp_filter {filter}, from {source}")
        assert not stop or document["reason"] == "rp_filter", document
    document, _ = explained(t, ns, "10.5.0.9", "--from", "224.0.0.1", "--iif", "a0")
    same(document["stopped_by"], "source", "a source that is none")

    ns.sysctl("ipv6/conf/all/forwarding", 0)
    document, _ = explained(t, ns, "2001:db8:9::1", "--from", "2001:db8::7", "--iif", "a0")
    same((document["stopped_by"], document["reason"]),
         ("forwarding", "this host does not forward IPv6"), "IPv6")
    document, _ = explained(t, ns, "2001:db8::1", "--from", "2001:db8::7", "--iif", "a0")
    same(document["stopped_by"], None, "what is for this host itself")


def test_several_next_hops_and_a_silent_neighbour(t):
    ns = network(t)
    ns.batch(["route add 172.16.0.0/16 nexthop via 192.0.2.3 dev a0 nexthop via 192.0.2.4 dev a0",
              "neigh add 192.0.2.3 dev a0 nud failed", "neigh add 192.0.2.4 dev a0 nud failed"])
    for host in range(1, 9):
        got, = json.loads(ns.ip(f"-j route get 172.16.0.{host}"))
        document, steps = explained(t, ns, f"172.16.0.{host}")
        assert "2 next hops" in steps["route"]["text"], steps["route"]["text"]
        same((steps["next hop"]["entry"]["gateway"], document["stopped_by"]),
             (got["gateway"], "neighbor"), "next hop")


def test_a_port_that_does_not_forward(t):
    ns = network(t)
    _, steps = explained(t, ns, "10.5.0.9")
    same(steps["port state"]["entry"]["protinfo"]["state"], "forwarding", "port")
    ns.ip("link set b0 master br0")  # else the bridge would have no carrier
    ns.settled("b0")  # the bridge may have got another address now, which forgets neighbours
    ns.ip("neigh replace 10.5.0.9 lladdr 02:00:00:00:00:09 dev br0 nud permanent")

    def explained_while_disabled():  # a late event of the carrier would enable it again
        ns.run("bridge", "link", "set", "dev", "c0", "state", "0")
        document, _ = explained(t, ns, "10.5.0.9")
        return "state disabled" in ns.run("bridge", "link", "show", "dev", "c0") and document

    document = until(explained_while_disabled, "a port that stays disabled")
    same((document["stopped_by"], document["reason"]), ("port state", "the port does not forward"),
         "a disabled port")


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
