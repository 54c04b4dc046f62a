# SPDX-License-Identifier: MIT
"""Neighbours, forwarding entries and the kernel's tables, against `ip -j neigh` and `bridge -j`."""

import collections
import json
import signal
import socket
import threading

from harness import INTERVAL, command, same, time_limit, until

EVERY_READING = f"SlowInterval {INTERVAL}"
COUNTS = r"/gauge-(ipv4|ipv6|fdb)_[a-z]+$"


def watch(t, ns, block="", **kw):
    daemon = t.collectd(f"{EVERY_READING}\n{block}", ns, plugin="netmon_neighbor", **kw)
    daemon.wait_value("arp_cache/gauge-collectable", timeout=20)
    return daemon


def with_pair(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.ip("addr add 192.0.2.1/24 dev a0")
    return ns


def with_bridge(t):
    ns = t.namespace()
    ns.batch(["link add br0 type bridge", "link set br0 up"])
    for i in range(2):
        ns.veth(f"p{i}", f"q{i}")
        ns.ip(f"link set p{i} master br0")
    for i in range(2):
        until(lambda i=i: "forwarding" in ns.ip(f"-d link show p{i}"), f"p{i} to forward")
    return ns


def bridge(ns, words):
    return command("bridge", "-n", ns.name, *words.split())


def bridge_batch(ns, lines):
    command("bridge", "-n", ns.name, "-batch", "-", input="\n".join(lines) + "\n")


def fdb(ns):
    return [e for e in json.loads(bridge(ns, "-j -d fdb show")) if "master" in e]


def fdb_kind(entry):
    if "extern_learn" in entry.get("flags", []):
        return "external"
    return {"permanent": "permanent", "static": "static"}.get(entry["state"], "learned")


def kernel_counts(ns):
    """What ip and bridge count: identifier -> number, without those that are 0."""
    counts = collections.Counter()
    for family in (4, 6):
        for e in json.loads(ns.ip(f"-{family} -j neigh show nud all")):
            for state in e["state"]:
                if state != "NONE":
                    counts[f"{e['dev']}/gauge-ipv{family}_{state.lower()}"] += 1
    for e in fdb(ns):
        counts[f"{e['ifname']}/gauge-fdb_{fdb_kind(e)}"] += 1
    return dict(counts)


def our_counts(daemon, reading):
    return {id: reading[id].plain for id in daemon.ids(COUNTS)
            if id in reading and reading[id].plain}


def compare(ns, daemon, what):
    """The next reading equals the kernel, unless the kernel changed meanwhile.

    What IGMP and MLD send makes entries (noarp) without an event: netmon looks for such, but after
    a long dump, as with TSan, not at every reading.
    """
    for _ in range(50):
        before = kernel_counts(ns)
        counts = our_counts(daemon, daemon.reading(since=daemon.now()))
        if before == kernel_counts(ns):
            differ = [id for id in {*before, *counts} if before.get(id) != counts.get(id)]
            if any(not id.endswith("_noarp") for id in differ):
                same(counts, before, what)
            if not differ:
                return counts
    raise AssertionError(f"{what}: the kernel's own counts do not stand still")


def growth(daemon, id, readings=4):
    """By how much a counter grows in so many readings."""
    first = daemon.wait_value(id, since=daemon.now())
    last = daemon.wait_value(id, since=first.time + (readings - 0.5) * INTERVAL)
    return (last.plain - first.plain) / round((last.time - first.time) / INTERVAL)


# ---- counts ------------------------------------------------------------------------------------


def test_neighbors_are_counted_by_interface_family_and_state(t):
    ns = with_pair(t)
    ns.ipv6("a0")
    states = ["permanent", "noarp", "reachable", "stale"]
    ns.batch([f"neigh add 192.0.2.{i + 10} lladdr 02:00:00:00:00:{i:02x} dev a0 nud {state}"
              for i, state in enumerate(states * 2)]
             + [f"neigh add 2001:db8::{i + 10} lladdr 02:00:00:00:00:{i:02x} dev a0 nud {state}"
                for i, state in enumerate(states)]
             + ["neigh add 192.0.2.99 lladdr 02:00:00:00:00:99 dev b0 nud stale"])
    daemon = watch(t, ns)
    compare(ns, daemon, "what was there at the start")

    ns.batch(["neigh replace 192.0.2.10 lladdr 02:00:00:00:00:01 dev a0 nud stale",
              "neigh add 192.0.2.50 dev a0 lladdr 02:00:00:00:00:50 nud reachable",
              "neigh del 192.0.2.11 dev a0", "neigh change 192.0.2.12 dev a0 nud failed",
              "neigh del 2001:db8::10 dev a0"])
    counts = compare(ns, daemon, "after changes")
    assert counts["a0/gauge-ipv4_stale"] >= 3, f"the story went wrong: {counts}"

    ns.ip("link set b0 down")  # a0 loses its carrier: all but permanent entries go
    counts = compare(ns, daemon, "without a carrier")
    assert "a0/gauge-ipv4_stale" not in counts, f"the story went wrong: {counts}"
    ns.ip("link set a0 down")
    compare(ns, daemon, "with the interface down")
    same(growth(daemon, "self/derive-interrupted"), 0, "interrupted dumps")


def test_entries_that_are_born_silently_are_seen(t):
    """An entry that waits for its first answer sends no event until the answer is there or not."""
    ns = with_pair(t)
    daemon = watch(t, ns)
    with ns.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as s:
        for i in range(5):
            s.sendto(b"x", (f"192.0.2.{100 + i}", 9))
    daemon.wait_value("a0/gauge-ipv4_incomplete", 5, timeout=3)
    daemon.wait_value("a0/gauge-ipv4_failed", 5)
    compare(ns, daemon, "after nobody has answered")


def test_what_is_born_elsewhere_makes_us_look_in_every_other_reading(t):
    """The kernel counts births of all network namespaces together."""
    ns, other = with_pair(t), with_pair(t)
    daemon = watch(t, ns, "AuditInterval 0")
    over = threading.Event()

    def births():
        while not over.wait(0.1):
            other.batch([f"neigh {verb} 192.0.2.9 lladdr 02:00:00:00:00:09 dev a0"
                         for verb in ("add", "del")])

    thread = threading.Thread(target=births)
    thread.start()
    try:
        until(lambda: growth(daemon, "self/derive-dumps", 4) <= 1.5,
              "a dump of the tables in each reading, of neighbours in every other", timeout=20)
        with ns.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"x", ("192.0.2.100", 9))
        daemon.wait_value("a0/gauge-ipv4_incomplete", 1, timeout=3)
    finally:
        over.set()
        thread.join()


def test_forwarding_entries_are_counted_by_port_and_kind(t):
    ns = with_bridge(t)
    bridge_batch(ns, [f"fdb add 02:00:00:00:01:{i:02x} dev p{i % 2} master {kind}"
                      for i, kind in enumerate(["static"] * 3 + ["dynamic"] * 5
                                               + ["extern_learn"] * 2 + ["local"])])
    daemon = watch(t, ns)
    counts = compare(ns, daemon, "what was there at the start")
    assert counts["p0/gauge-fdb_external"] == 1, f"the story went wrong: {counts}"

    ns.frames("q0", 1, 60, source="02:00:00:00:02:01")
    ns.frames("q0", 1, 60, source="02:00:00:00:02:02")
    bridge(ns, "fdb del 02:00:00:00:01:00 dev p0 master")
    counts = compare(ns, daemon, "after learning")
    ns.ip("link set p0 down")  # what was learned there goes
    same("p0/gauge-fdb_learned" in compare(ns, daemon, "with a port down"), False, "learned")
    ns.ip("link set p1 nomaster")
    compare(ns, daemon, "without a port")
    ns.ip("link del br0")
    compare(ns, daemon, "without the bridge")


def test_an_address_that_moves_between_ports(t):
    ns = with_bridge(t)
    ns.frames("q0", 1, 60, source="02:00:00:00:02:01")
    daemon = watch(t, ns, 'Notify "all"')
    daemon.wait_value("br0/derive-moves", 0)
    ns.frames("q1", 1, 60, source="02:00:00:00:02:01")
    moved = daemon.wait_notification("moved", "br0", address="02:00:00:00:02:01")
    same((moved.severity, moved.meta["old"], moved.meta["new"]), ("warning", "p0", "p1"), "moved")
    daemon.wait_value("br0/derive-moves", 1)
    compare(ns, daemon, "after the move")

    # Also when it is forgotten in between: the port goes down, the station turns up elsewhere.
    ns.ip("link set p1 down")
    since = daemon.now()
    ns.frames("q0", 1, 60, source="02:00:00:00:02:01")
    daemon.wait_notification("moved", "br0", since=since, old="p1", new="p0")
    daemon.wait_value("br0/derive-moves", 2)


def test_with_nothing_changed_no_entry_is_read(t):
    """One dump a reading, of the tables, which have a message for each interface.

    They count for all network namespaces: what others do meanwhile may make us look.
    """
    ns = with_pair(t)
    ns.batch([f"neigh add 192.0.2.{i} lladdr 02:00:00:00:00:{i:02x} dev a0 nud permanent"
              for i in range(10, 250)])
    daemon = watch(t, ns, "AuditInterval 0")

    def quiet():
        return growth(daemon, "self/derive-dumps", 2) == 1 \
            and growth(daemon, "self/derive-messages", 2) < 20

    until(quiet, "two readings that read no entry", timeout=40)
    compare(ns, daemon, "kept by events")


def test_tables_equal_ip_ntable(t):
    ns = with_pair(t)
    ns.batch([f"neigh add 192.0.2.{i} lladdr 02:00:00:00:00:{i:02x} dev a0 nud {state}"
              for i, state in zip(range(10, 30), ["permanent", "stale"] * 10)]
             + ["neigh add 192.0.2.30 lladdr 02:00:00:00:00:30 dev a0 nud stale extern_learn"])
    daemon = watch(t, ns)

    def tables():
        return {e["name"]: e for e in json.loads(ns.ip("-j -s ntable show")) if "entries" in e}

    before = tables()
    reading = daemon.reading(since=daemon.now())
    after = tables()
    for name in ("arp_cache", "ndisc_cache"):
        for i in (1, 2, 3):
            same(reading[f"{name}/gauge-gc_thresh{i}"].plain, before[name][f"thresh{i}"], name)
        for key in ("allocs", "destroys", "hash_grows", "res_failed", "lookups", "hits",
                    "rcv_probes_mcast", "rcv_probes_ucast", "periodic_gc_runs", "forced_gc_runs",
                    "table_fulls"):
            n = reading[f"{name}/derive-{key}"].plain
            if key in before[name]:  # other namespaces count too
                assert before[name][key] <= n <= after[name][key], f"{name} {key}: {n}"
    assert reading["arp_cache/gauge-entries"].plain >= 21
    same(reading["arp_cache/gauge-collectable"].plain, 10, "not permanent, not learned elsewhere")
    fill = reading["arp_cache/percent-fill"].plain
    assert abs(fill - 1000 / before["arp_cache"]["thresh3"]) < 0.001, f"fill {fill}"


def test_renamed_deleted_and_not_selected(t):
    ns = with_pair(t)
    ns.batch(["neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev a0 nud permanent",
              "neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev b0 nud permanent"])
    daemon = watch(t, ns, 'Interface "/^[az]0/"\nNotify "all"')
    daemon.wait_value("a0/gauge-ipv4_permanent", 1)
    ns.batch(["link set a0 down", "link set a0 name z0", "link set z0 up"])
    daemon.wait_value("z0/gauge-ipv4_permanent")
    ns.ip("neigh replace 192.0.2.9 lladdr 02:00:00:00:00:0a dev z0")
    told = daemon.notices()
    if ns.ip("neigh show 192.0.2.9 dev z0"):
        daemon.wait_value("z0/gauge-ipv4_permanent", 1)
    ns.ip("link del z0")
    gone = daemon.now()
    daemon.reading(since=gone)
    assert daemon.latest("z0/gauge-ipv4_permanent").time < gone, "a deleted interface is sent"
    assert not daemon.ids("^b0/"), "an interface that was not selected"
    assert "new" not in {n.kind for n in told}, f"a renamed interface has new stations: {told}"


# ---- loss, churn, size ---------------------------------------------------------------------------


def test_lost_events_are_repaired(t):
    ns = with_bridge(t)
    ns.veth("a0", "b0")
    ns.ip("neigh add 192.0.2.10 lladdr 02:00:00:00:00:10 dev a0 nud reachable")
    bridge(ns, "fdb add 02:00:00:00:01:01 dev p0 master static")
    daemon = watch(t, ns, 'ReceiveBuffer 4096\nNotify "all"',
                   expect_log=["ENOBUFS", "lost"])
    daemon.signal(signal.SIGSTOP)
    noise = [f"neigh replace 198.51.100.1 lladdr 02:00:00:00:0{i % 2}:01 dev b0" for i in
             range(2000)]
    ns.batch(noise)
    ns.batch(["neigh replace 192.0.2.10 lladdr 02:00:00:00:00:11 dev a0 nud permanent",
              "neigh add 192.0.2.12 lladdr 02:00:00:00:00:12 dev a0 nud stale"])
    bridge_batch(ns, ["fdb del 02:00:00:00:01:01 dev p0 master",
                      "fdb add 02:00:00:00:01:02 dev p1 master static"])
    ns.batch(noise)
    woken = daemon.now()
    daemon.signal(signal.SIGCONT)
    first = daemon.reading(since=woken)
    ours, kernel = our_counts(daemon, first), kernel_counts(ns)
    for id in {**ours, **kernel}:
        if "_noarp" not in id:  # the bridge sends its own IGMP reports
            same(ours.get(id), kernel.get(id), f"{id} in the first reading after the loss")
    owed = daemon.wait_notification("changed", "a0", address="192.0.2.10")
    same(owed.meta["new"], "02:00:00:00:00:11", "the notification that was owed")
    assert first["self/derive-lost"].plain > 0, "the loss is not counted"


@time_limit(120)
def test_ten_thousand_of_each(t):
    ns = with_bridge(t)
    ns.veth("a0", "b0")
    ns.batch([f"neigh add 10.0.{i >> 8}.{i & 255} lladdr 02:00:00:00:{i >> 8:02x}:{i & 255:02x} "
              "dev a0 nud permanent" for i in range(10000)])
    bridge_batch(ns, [f"fdb add 02:00:00:01:{i >> 8:02x}:{i & 255:02x} dev p{i % 2} master static"
                      for i in range(10000)])
    daemon = watch(t, ns, "AuditInterval 0", expect_log=["above its read interval"])
    counts = compare(ns, daemon, "10,000 neighbours, 10,000 forwarding entries")
    same(counts["a0/gauge-ipv4_permanent"], 10000, "neighbours")
    ns.batch([f"neigh del 10.0.{i >> 8}.{i & 255} dev a0" for i in range(5000)])
    compare(ns, daemon, "after 5,000 were deleted")
    t.note(f"a reading: {daemon.latest('self/duration-read').plain * 1000:.2f} ms")
    same(daemon.latest("self/derive-lost").plain, 0, "lost events")


@time_limit(90)
def test_stable_forwarding_entries_under_churn(t):
    """Others come and go all the time: no reading lacks one of those that stay, or has it twice."""
    ns = with_bridge(t)
    bridge_batch(ns, [f"fdb add 02:00:00:01:{i >> 8:02x}:{i & 255:02x} dev p0 master static"
                      for i in range(3000)])
    stop = threading.Event()

    def churn():
        lines = [f"fdb {word} 02:00:00:02:00:{i:02x} dev p1 master static" for i in range(256)
                 for word in ("add", "del")]
        while not stop.is_set():
            bridge_batch(ns, lines)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        daemon = watch(t, ns, 'AuditInterval 1\nNotify "all"')
        start = daemon.now()
        daemon.wait_value("p0/gauge-fdb_static", since=start + 5)
        ns.frames("q0", 1, 60, source="02:00:00:00:02:01")  # what happens now is news all the same
        daemon.wait_notification("new", "br0", address="02:00:00:00:02:01")
    finally:
        stop.set()
        thread.join()
    same({v.plain for v in daemon.values("p0/gauge-fdb_static") if v.time > start}, {3000},
         "entries that stay")
    compare(ns, daemon, "when it is over")
    t.note(f"{daemon.latest('self/derive-interrupted').plain} interrupted of "
           f"{daemon.latest('self/derive-dumps').plain} dumps")


def ip_neighbors(ns):
    return {(e["dev"], e["dst"], e["lladdr"], e["state"][0].lower())
            for e in json.loads(ns.ip("-j neigh show nud all"))}


def test_command_prints_what_ip_prints(t):
    ns = with_bridge(t)
    ns.ipv6("q0")
    ns.batch(["neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev p0 nud permanent router",
              "neigh add 2001:db8::9 lladdr 02:00:00:00:00:09 dev q0 nud stale"])
    before, said = None, ip_neighbors(ns)
    while before != said:  # bridges that are new say who they are, and each word is an entry
        before = said
        got = json.loads(t.netmon("neighbor", "--namespace", ns.name).stdout)
        said = ip_neighbors(ns)
    same({(e["ifindex_name"], e["dst"], e["lladdr"], *e["state"]) for e in got["neighbors"]},
         said, "neighbours")
    same({(e["ifindex_name"], e["lladdr"]) for e in got["fdb"] if "master" in e},
         {(e["ifname"], e["mac"]) for e in fdb(ns)}, "forwarding entries")
    same({e["name"] for e in got["tables"]}, {"arp_cache", "ndisc_cache"}, "tables")
