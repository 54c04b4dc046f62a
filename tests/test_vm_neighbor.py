# SPDX-License-Identifier: MIT
"""What other network namespaces do to the kernel's neighbour tables, which all of them share."""

from harness import same, time_limit, vm

OURS = 3000
INTERVAL = 0.02


def neighbours(ns, first, number):
    ns.batch([f"neigh add 10.{i >> 16}.{i >> 8 & 255}.{i & 255} lladdr 02:00:00:00:00:01 dev d0 "
              "nud permanent" for i in range(first, first + number)])


def grown(daemon):
    return daemon.latest("arp_cache/derive-hash_grows").plain


@vm
@time_limit(90)
def test_no_entry_is_missed_while_others_make_the_table_grow(t):
    """Entries have other places then, and a dump that runs meanwhile is not flagged."""
    ns, other = t.namespace(), t.namespace()
    for each in ns, other:
        each.batch(["link add d0 type dummy", "link set d0 up"])
    neighbours(ns, 0, OURS)
    daemon = t.collectd(f"AuditInterval 0.001\nSlowInterval {INTERVAL}\nTrackStations false", ns,
                        plugin="netmon_neighbor", interval=INTERVAL,
                        expect_log=["interval"])
    daemon.wait_value("d0/gauge-ipv4_permanent", OURS, timeout=20)
    daemon.wait_value("arp_cache/derive-hash_grows")
    before, since = grown(daemon), daemon.now()
    neighbours(other, 0, 30000)
    daemon.reading(since=daemon.now())
    seen = [v.plain for v in daemon.values("d0/gauge-ipv4_permanent") if v.time > since]
    assert grown(daemon) > before, "the story went wrong: the table has not grown"
    same(set(seen), {OURS}, f"neighbours in {len(seen)} readings")
    reading = daemon.reading(since=daemon.now())
    t.note(f"{len(seen)} readings, {grown(daemon) - before} growths, "
           + ", ".join(f"{reading[f'self/derive-{what}'].plain} {what}"
                       for what in ("dumps", "interrupted")))
