# SPDX-License-Identifier: MIT
"""Policy rules: what netmon_rule counts, expects and tells is what `ip rule` shows."""

import json
import os
import signal
import socket
import statistics
import struct
import subprocess
import threading
import time

from harness import INTERVAL, command, plain_build_only, same, time_limit

FAMILIES = {"ipv4": ("rule",), "ipv6": ("-6", "rule"), "ipmr": ("mrule",), "ip6mr": ("-6", "mrule")}
# One of everything that a rule can say, as `ip rule add` takes it and `ip rule show` prints it.
RULES = [
    "100: from 10.0.0.0/8 lookup 100",
    "101: from 10.1.2.3 to 192.0.2.0/24 lookup main",
    "102: not from 192.0.2.1 lookup 102",
    "103: from all to 198.51.100.7 blackhole",
    "104: from all fwmark 0x7 unreachable",
    "105: from all fwmark 0x3/0xff prohibit",
    "106: from all iif a0 lookup 100",
    "107: from all iif a0 oif b0 lookup 107",
    "108: from all iif nosuch0 [detached] lookup 100",
    "109: from all uidrange 5-99 lookup 100",
    "110: from all ipproto tcp dport 80 lookup 100",
    "111: from all ipproto udp sport 1000-2000 dport 53 lookup 100",
    "112: from all lookup main suppress_prefixlength 0",
    "113: from all lookup main suppress_ifgroup 4",
    "114: from all lookup 100 realms 3/4",
    "115: from all lookup 100 proto static",
    "116: from all lookup [l3mdev-table]",
    "117: from all nop",
    "118: from all goto 32766",
    "119: from all goto 120 [unresolved]",
    "121: from all tos 0x10 lookup 100",
    "122: from all ipproto ipv6-icmp lookup 100",
    "123: from all lookup 4294967295",
    "124: from all tun_id 77 lookup 100",
]
RULES6 = [
    "100: from fc00::/7 lookup 100",
    "101: from 2001:db8::1 to 2001:db8:1::/48 prohibit",
    "102: not from all fwmark 0x1 lookup 102",
]


def to_add(line):
    """A line of `ip rule show` as `ip rule add` takes it."""
    priority, _, words = line.partition(": ")
    for printed, typed in (("[detached] ", ""), (" [unresolved]", ""), ("from all not", "not"),
                           ("lookup [l3mdev-table]", "l3mdev"), ("proto ", "protocol ")):
        words = words.replace(printed, typed) if printed != "proto " or " proto " in words \
            else words
    words = words.replace("ipprotocol", "ipproto")
    return f"rule add priority {priority} {words}"


def change(ns, *lines):
    """Lines for `ip -batch`, which takes no -6 within: those one by one."""
    ns.batch([line for line in lines if not line.startswith("-6 ")])
    command("ip", "-6", "-n", ns.name, "-batch", "-",
            input="".join(line[3:] + "\n" for line in lines if line.startswith("-6 ")))


def shown(ns, family="ipv4"):
    """`ip rule show` without its layout."""
    lines = command("ip", "-n", ns.name, *FAMILIES[family], "show").splitlines()
    return [line.replace(":\t", ": ").strip() for line in lines]


def rules(ns, family="ipv4"):
    return json.loads(command("ip", "-n", ns.name, "-j", *FAMILIES[family], "show"))


def collectd(t, block="", ns=None, **kw):
    daemon = t.collectd(block, ns, plugin="netmon_rule", **kw)
    daemon.wait_value("ipv4/gauge-rules", timeout=20)
    return daemon


def value(daemon, id):
    found = daemon.latest(id)
    return found.plain if found else None


def kinds(daemon, since=0):
    return [(n.instance, n.kind) for n in daemon.notices(since)]


def fence(ns, daemon):
    """A change after all others: when its notification is here, all the others have been."""
    since = daemon.now()
    ns.ip("-6 rule add priority 9999 from 2001:db8:ffff::/48 nop")
    daemon.wait_notification("add", "ipv6", since=since)
    since = daemon.now()
    ns.ip("-6 rule del priority 9999")
    daemon.wait_notification("delete", "ipv6", since=since)


def not_fence(notices):
    return [n for n in notices if "2001:db8:ffff::" not in n.message]


def with_rules(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    change(ns, *[to_add(line) for line in RULES], *["-6 " + to_add(line) for line in RULES6])
    return ns


def test_counts_equal_ip(t):
    """By family, action and table, of one rule of every kind."""
    ns = with_rules(t)
    ns.ip("mrule add priority 9 iif a0 table 8")
    daemon = collectd(t, "ReportSelf false", ns)
    expected = {}
    for family in FAMILIES:
        found = rules(ns, family)
        expected[f"{family}/gauge-rules"] = len(found)
        expected[f"{family}/gauge-rules_detached"] = \
            sum("iif_detached" in r or "oif_detached" in r for r in found)
        expected[f"{family}/gauge-rules_unresolved"] = sum("unresolved" in r for r in found)
        for action in ("nop", "blackhole", "unreachable", "prohibit", "goto"):
            n = sum(r.get("action") == action or action in r for r in found)
            expected[f"{family}/gauge-rules_{action}"] = n
        expected[f"{family}/gauge-rules_lookup"] = sum("table" in r or "l3mdev" in r for r in found)
        for r in found:
            if "table" in r:
                id = f"{family}/gauge-rules_table_{r['table']}"
                expected[id] = expected.get(id, 0) + 1
    assert expected["ipv4/gauge-rules_detached"] == 1, "the story went wrong: no detached rule"
    assert expected["ipmr/gauge-rules"] == 2, "the story went wrong: no multicast rule"
    reading = {id: v.plain for id, v in daemon.reading().items() if not id.endswith("-hash")}
    same(reading, expected, "the first reading")

    ns.batch(["rule del priority 103", "rule del priority 102", "rule add lookup 300"])
    now = daemon.now()
    for id, n in (("rules", len(rules(ns))), ("rules_blackhole", 0), ("rules_table_102", 0),
                  ("rules_table_300", 1)):
        daemon.wait_value(f"ipv4/gauge-{id}", n)
    assert daemon.latest("ipv4/gauge-rules_table_300").time < now + 2 * INTERVAL, "a change is late"


def test_added_and_deleted_in_the_words_of_ip(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    daemon = collectd(t, ns=ns)
    for flag, family, title, lines in (("", "ipv4", "IPv4", RULES), ("-6 ", "ipv6", "IPv6", RULES6)):
        for line in lines:
            before = set(shown(ns, family))
            since = daemon.now()
            ns.ip(flag + to_add(line))
            line, = set(shown(ns, family)) - before
            added = daemon.wait_notification("add", family, since=since)
            same((added.severity, added.message), ("okay", f"{title} rule added: {line}"), "added")
            same(added.meta["new"], line[:63], "meta data new")
        for line in reversed(shown(ns, family)):
            priority = line.partition(":")[0]
            if int(priority) in (0, 32766, 32767):
                continue
            since = daemon.now()
            ns.ip(f"{flag}rule del priority {priority}")
            gone = daemon.wait_notification("delete", family, since=since)
            same((gone.severity, gone.message.partition("; look at: ")[0]),
                 ("warning", f"{title} rule deleted: {line}"), "deleted")
            same((gone.meta["old"], gone.meta["priority"]), (line[:63], priority), "meta data")


def test_multicast_rules_are_told_too(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    daemon = collectd(t, ns=ns)
    for flag, family, title in (("", "ipmr", "IPv4"), ("-6 ", "ip6mr", "IPv6")):
        ns.ip(flag + "mrule add priority 9 iif a0 table 8")
        added = daemon.wait_notification("add", family)
        same(added.message, f"{title} multicast rule added: 9: from all iif a0 lookup 8", "added")
        daemon.wait_value(f"{family}/gauge-rules", 2)
    same(value(daemon, "ipv4/gauge-rules"), 3, "rules that are not multicast's")


def test_what_exists_at_the_start_is_no_news(t):
    ns = with_rules(t)
    daemon = collectd(t, "AuditInterval 0.6\nCheckTables true\nSlowInterval 0.5", ns)
    fence(ns, daemon)
    daemon.wait_value("self/derive-dumps", lambda n: n >= 15)
    same(not_fence(daemon.notices()), [], "notifications before anything changed")


def hash_of(daemon, since):
    return int(daemon.reading(since=since)["ipv4/gauge-hash"].plain)


def test_hash_changes_exactly_when_the_set_does(t):
    ns, other = t.namespace(), t.namespace()
    for n in (ns, other):
        n.veth("a0", "b0")
    ns.batch([to_add(line) for line in RULES])
    other.batch([to_add(line) for line in reversed(RULES)])
    daemon, second = collectd(t, ns=ns), collectd(t, ns=other)
    start = hash_of(daemon, 0)
    same(hash_of(second, 0), start, "the same rules, made in another order")
    same(start, int(f"{float(start):.15g}"), "as the writers print it")

    seen = {start}
    for words in ("rule del priority 100", "rule add priority 100 from 10.0.0.0/9 lookup 100",
                   "rule del priority 121", "rule add priority 121 tos 0x14 lookup 100"):
        ns.ip(words)
        now = hash_of(daemon, daemon.now())
        assert now not in seen, f"{words}: the hash did not change"
        seen.add(now)
    ns.batch(["rule del priority 100", "rule del priority 121", to_add(RULES[0]),
              to_add("121: from all tos 0x10 lookup 100")])
    same(hash_of(daemon, daemon.now()), start, "the same rules as at the start")

    # What is not the rule's own does not change it: its interface goes, its target comes.
    ns.batch(["link del a0", "rule add priority 120 nop"])
    ns.ip("rule del priority 120")
    daemon.wait_value("ipv4/gauge-rules_detached", 3)
    same(hash_of(daemon, daemon.now()), start, "after the interface went")


def test_hash_knows_every_attribute(t):
    """One rule at a time, each different in one thing."""
    ns = t.namespace()
    lines = ["from 10.0.0.0/8", "from 10.0.0.0/9", "from 10.0.0.1/8", "to 10.0.0.0/8", "not",
             "iif a0", "oif a0", "iif a1", "fwmark 1", "fwmark 1/1", "tos 4", "uidrange 1-2",
             "uidrange 1-3", "ipproto tcp", "ipproto udp", "sport 1", "sport 1-2", "dport 1",
             "lookup 5", "lookup 6", "lookup main suppress_prefixlength 0", "prohibit",
             "lookup main suppress_ifgroup 1", "realms 1", "realms 1/2", "protocol static",
             "l3mdev", "nop", "blackhole", "goto 32766", "goto 32767", "tun_id 1"]
    seen = {}
    for line in lines:
        ns.ip(f"rule add priority 50 {line}")
        out = t.netmon("metrics", "rule", "--namespace", ns.name).stdout
        digest = next(x for x in out.splitlines() if x.startswith("ipv4/gauge-hash"))
        assert digest not in seen, f"{line} and {seen[digest]} have one hash"
        seen[digest] = line
        ns.ip("rule del priority 50")


def test_every_printed_rule_can_be_expected(t):
    """What `ip rule show` prints, and what was typed, are understood and found."""
    ns = with_rules(t)
    lines, lines6 = shown(ns), shown(ns, "ipv6")
    block = [f'Expect "shown{i}" "{line}"' for i, line in enumerate(lines)]
    block += [f'Expect "typed{i}" "{to_add(line)[9:]}"' for i, line in enumerate(RULES)]
    block += [f'Expect "shown{i}" "-6 {line}"' for i, line in enumerate(lines6)]
    daemon = collectd(t, "\n".join(block), ns)
    reading = daemon.reading()
    wrong = [id for id, v in reading.items() if "expected" in id and v.plain != 1]
    assert not wrong, f"not found: {wrong}"
    same(sum("expected" in id for id in reading), len(block), "expectations")
    same(daemon.notices(), [], "notifications")


def test_expected_goes_missing_and_comes_back(t):
    ns = t.namespace()
    ns.ip("rule add priority 100 from 10.0.0.0/8 lookup 77")
    ns.ip("-6 rule add priority 100 from fc00::/7 lookup 77")
    daemon = collectd(t, 'Expect "vpn" "priority 100 from 10.0.0.0/8 lookup 77"\n'
                         'Expect "vpn" "from fc00::/7 lookup 77"\n'
                         'Expect "from 10/8 table 77"', ns, interval=1)
    one = "ipv4/bool-expected-from_10_8_table_77"
    for id in ("ipv4/bool-expected-vpn", "ipv6/bool-expected-vpn", one):
        daemon.wait_value(id, 1)

    since = daemon.now()
    ns.ip("rule del priority 100")
    lost = daemon.wait_notification("expected", "ipv4", name="vpn", new="missing")
    same((lost.severity, lost.meta["old"]), ("failure", "present"), "the rule goes")
    assert "priority 100 from 10.0.0.0/8 lookup 77" in lost.message, lost.message
    assert lost.time - since < 0.2, f"told after {lost.time - since:.1f} s"
    for id in ("ipv4/bool-expected-vpn", one):
        daemon.wait_value(id, 0)
    same(value(daemon, "ipv6/bool-expected-vpn"), 1, "the other family's")

    # Another rule will not do; another priority does where none was asked for.
    ns.ip("rule add priority 100 from 10.0.0.0/8 fwmark 1 lookup 77")
    ns.ip("rule add priority 200 from 10.0.0.0/8 lookup 77 protocol static")
    daemon.wait_notification("expected", "ipv4", new="present", rule="from 10/8 table 77")
    daemon.wait_value(one, 1)
    same(value(daemon, "ipv4/bool-expected-vpn"), 0, "the one with a priority")
    ns.ip("rule add priority 100 from 10.0.0.0/8 lookup 77")
    back = daemon.wait_notification("expected", "ipv4", name="vpn", new="present")
    same(back.severity, "okay", "the rule is back")

    # Replaced in one go: nothing was missing.
    ns.ip("rule del priority 100 fwmark 1")
    fence(ns, daemon)
    count = kinds(daemon).count(("ipv4", "expected"))
    daemon.signal(signal.SIGSTOP)
    ns.batch(["rule del priority 100", "rule add priority 100 from 10.0.0.0/8 lookup 77"])
    daemon.signal(signal.SIGCONT)
    fence(ns, daemon)
    same(kinds(daemon).count(("ipv4", "expected")), count, "notifications when it was replaced")


def test_expected_but_missing_at_the_start(t):
    ns = t.namespace()
    ns.ip("rule add priority 100 from 10.0.0.0/8 blackhole")
    daemon = collectd(t, 'Expect "two" "from 10.0.0.0/8 blackhole"\nExpect "two" "iif x0 nop"', ns)
    lost = daemon.wait_notification("expected", "ipv4", name="two")
    same((lost.severity, lost.meta["rule"]), ("failure", "iif x0 nop"), "at the start")
    assert "old" not in lost.meta, f"what was before is not known: {lost.meta}"
    daemon.wait_value("ipv4/bool-expected-two", 0)  # both are expected under this name
    ns.ip("rule add iif x0 nop")
    daemon.wait_value("ipv4/bool-expected-two", 1)


def test_wrong_expectations_are_refused(t):
    for line, words in {
        'Expect "from 10.0.0.0/8 lokup main"': ["lokup main"],
        'Expect "x" "from 10.0.0.0/33"': ["10.0.0.0/33"],
        'Expect "x" "from 10.0.0.300"': ["from 10.0.0.300"],
        'Expect "x" "from 10.0.0.0/8 to fc00::/7"': ["to fc00::/7"],
        'Expect "x" "-6 from 10.0.0.0/8"': ["from 10.0.0.0/8"],
        'Expect "x" "lookup nosuchtable"': ["lookup nosuchtable"],
        'Expect "x" "priority"': ["priority"],
        'Expect "x" "priority -1"': ["-1"],
        'Expect "x" "sport 9-8"': ["sport 9-8"],
        'Expect "x" "nop blackhole"': ["blackhole"],
        'Expect "x" "iif a-name-that-is-too-long"': ["too-long"],
        'Expect "x" " "': ["empty"],
        'Expect ""': ["TEXT"],
        'Expect "x" 7': ["7"],
        'Expect "x" "nop" "y"': ["TEXT"],
        'CheckTables "x"': ["true"],
        'Table "/(/"': ["regular expression"],
        'Notify "added"': ["unresolved"],
    }.items():
        log = t.collectd(line, plugin="netmon_rule").refused()
        option = line.split()[0]
        messages = [m for m in log.splitlines() if "<Plugin netmon_rule>" in m and option in m]
        assert any(all(w in m for w in words) for m in messages), f"{line}: {words} not in {log}"


def test_detached_when_the_interface_goes(t):
    """The kernel sends no event of the rule; told at once, long before the next reading."""
    ns = t.namespace()
    ns.batch(["link add a0 type ifb", "link add c0 type ifb", "rule add priority 5 iif a0 lookup 9",
              "rule add priority 6 oif a0 iif c0 nop", "rule add priority 7 nop"])
    daemon = collectd(t, ns=ns, interval=60)
    delays = []
    for _ in range(3):
        since = daemon.now()
        ns.ip("link del a0")
        gone = daemon.wait_notification("detached", "ipv4", since=since, interface="a0",
                                        new="detached")
        delays.append((gone.arrived - since) * 1000)
        same(gone.severity, "warning", "detached")
        since = daemon.now()
        ns.ip("link add a0 type ifb")
        back = daemon.wait_notification("detached", "ipv4", since=since, interface="a0",
                                        new="attached")
        same(back.severity, "okay", "attached")
    t.note(f"median {statistics.median(delays):.0f} ms, ip's own start included")
    fence(ns, daemon)
    same(len(not_fence(daemon.notices())), 12, "notifications: two rules, three times, two ways")


def detached(ns):
    return sum("iif_detached" in r or "oif_detached" in r for r in rules(ns))


def test_detached_is_what_ip_says(t):
    """Deleted, renamed away and back, known by its altname, moved to another namespace."""
    ns, peer = t.namespace(), t.namespace()
    change(ns, "link add a0 type ifb", "link property add dev a0 altname alt0",
              "rule add priority 5 iif a0 lookup 9", "rule add priority 6 oif alt0 nop",
              "rule add priority 7 iif z0 nop", "-6 rule add priority 5 iif a0 nop")
    daemon = collectd(t, ns=ns)
    seen = set()
    for words in ("link set a0 name z0", "link set z0 name a0", "link set a0 down",
                   f"link set a0 netns {peer.name}", "link add a0 type ifb", "link del a0",
                   "link add alt0 type ifb"):
        ns.ip(words)
        expected = detached(ns)
        daemon.wait_value("ipv4/gauge-rules_detached", expected, since=daemon.now() + INTERVAL)
        seen.add(expected)
    assert len(seen) > 1, f"the story went wrong: always {seen} detached"
    same(value(daemon, "ipv6/gauge-rules_detached"), 1, "IPv6 rules")


def test_goto_without_target(t):
    """The target's own event is all that the kernel sends."""
    ns = t.namespace()
    change(ns, "rule add priority 20 nop", "rule add priority 20 iif lo nop",
              "rule add priority 5 goto 20", "-6 rule add priority 5 goto 20")
    daemon = collectd(t, ns=ns)
    daemon.wait_value("ipv4/gauge-rules_unresolved", 0)
    daemon.wait_value("ipv6/gauge-rules_unresolved", 1)
    ns.ip("rule del priority 20 iif lo")
    fence(ns, daemon)
    assert ("ipv4", "unresolved") not in kinds(daemon), "told while a target is left"
    ns.ip("rule del priority 20")
    lost = daemon.wait_notification("unresolved", "ipv4", new="unresolved", target="20")
    same(lost.severity, "warning", "target lost")
    assert "5: from all goto 20 [unresolved]" in lost.message, lost.message
    assert "5: from all goto 20 [unresolved]" in shown(ns), "the test's own witness"
    daemon.wait_value("ipv4/gauge-rules_unresolved", 1)
    ns.ip("rule add priority 20 nop")
    back = daemon.wait_notification("unresolved", "ipv4", new="resolved", target="20")
    same(back.severity, "okay", "target back")
    daemon.wait_value("ipv4/gauge-rules_unresolved", 0)
    since = daemon.now()
    ns.ip("-6 rule del priority 5")
    daemon.wait_notification("unresolved", "ipv6", since=since, new="resolved")
    daemon.wait_value("ipv6/gauge-rules_unresolved", 0)


def test_tables_without_routes(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.ipv6("a0")
    change(ns, "addr add 192.0.2.1/24 dev a0", "addr add 2001:db8::1/64 dev a0 nodad",
              "route add 198.51.100.0/24 via 192.0.2.2 table 70", "rule add lookup 70",
              "rule add priority 9 iif a0 lookup 70", "rule add lookup 71", "rule add l3mdev",
              "rule add blackhole", "-6 rule add lookup 70",
              "-6 route add 2001:db8:5::/48 via 2001:db8::2 table 70")
    daemon = collectd(t, "CheckTables true\nSlowInterval 1", ns)
    daemon.wait_value("ipv4/gauge-rules_without_routes", 1)  # not the kernel's for table default
    daemon.wait_value("ipv6/gauge-rules_without_routes", 0)
    ns.ip("link set a0 down")  # IPv4 routes go without a word
    daemon.wait_value("ipv4/gauge-rules_without_routes", 3)
    daemon.wait_value("ipv6/gauge-rules_without_routes", 1)
    for family in ("ipv4", "ipv6"):
        same(daemon.wait_notification("empty", family, table="70", new="empty").severity, "warning",
             "table 70 is empty")
    ns.ip("link set a0 up")
    ns.ip("route add 198.51.100.0/24 dev a0 table 70")
    same(daemon.wait_notification("empty", "ipv4", table="70", new="routes").severity, "okay",
         "table 70 has routes again")
    daemon.wait_value("ipv4/gauge-rules_without_routes", 1)
    same([n.meta["table"] for n in daemon.notices()], ["70"] * 3, "tables that were told")


def test_tables_are_not_looked_at_unless_asked(t):
    ns = with_rules(t)
    daemon = collectd(t, "SlowInterval 0.5", ns)
    daemon.wait_value("ipv4/gauge-rules", since=daemon.now() + 3 * INTERVAL)
    assert not daemon.ids("without_routes")
    same(value(daemon, "self/derive-dumps"), 5, "dumps: links and four families, once")


def tables(daemon):
    return {id.rpartition("_")[2] for id in daemon.ids("ipv4/gauge-rules_table_")}


def test_table_and_notify_choose(t):
    ns = with_rules(t)
    daemon = collectd(t, 'Table "main" "/^10[0-5]/"\nNotify "delete"', ns)
    daemon.reading()
    same(tables(daemon), {"main", "100", "102"}, "tables counted one by one")
    ns.batch(["rule add priority 7 nop", "link del a0", "rule del priority 7"])
    daemon.wait_notification("delete", "ipv4")
    same(kinds(daemon), [("ipv4", "delete")], "notifications")
    daemon.stop()
    daemon = collectd(t, 'Table "main"\nIgnoreSelected true\nNotify "none"', ns)
    daemon.reading()
    assert "main" not in tables(daemon) and "100" in tables(daemon), tables(daemon)
    ns.ip("rule del priority 100")
    daemon.wait_value("ipv4/gauge-rules", len(rules(ns)))
    same(daemon.notices(), [], "notifications")


def test_another_namespace_is_another_instance(t):
    ns = t.namespace()
    ns.ip("rule add priority 5 nop")
    daemon = t.collectd(f'Namespace "{ns.name}"', plugin="netmon_rule")
    daemon.wait_value(f"ipv4@{ns.name}/gauge-rules", 4)
    ns.ip("rule del priority 5")
    daemon.wait_notification("delete", f"ipv4@{ns.name}")


def raw_rule(ns, add, priority):
    """A rule for table main, made or deleted as `ip` would not: one that exists already."""
    RTM_NEWRULE, RTM_DELRULE, REQUEST, ACK, CREATE = 32, 33, 1, 4, 0x400
    RT_TABLE_MAIN, FR_ACT_TO_TBL, FRA_PRIORITY = 254, 1, 6
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, RT_TABLE_MAIN, 0, 0, FR_ACT_TO_TBL, 0)
    body += struct.pack("=HHI", 8, FRA_PRIORITY, priority)
    flags = REQUEST | ACK | (CREATE if add else 0)
    head = struct.pack("=IHHII", 16 + len(body), RTM_NEWRULE if add else RTM_DELRULE, flags, 1, 0)
    with ns.call(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as s:
        s.send(head + body)
        error, = struct.unpack_from("=i", s.recv(4096), 16)
    same(error, 0, "the kernel's answer to the test's own rule")


def test_the_same_rule_twice(t):
    ns = t.namespace()
    raw_rule(ns, True, 50)
    raw_rule(ns, True, 50)
    daemon = collectd(t, 'Expect "it" "priority 50"', ns)
    daemon.wait_value("ipv4/gauge-rules", 5)
    once = hash_of(daemon, daemon.now())
    raw_rule(ns, True, 50)
    daemon.wait_value("ipv4/gauge-rules", 6)
    assert hash_of(daemon, daemon.now()) != once, "the hash does not count"
    for left in (5, 4):
        raw_rule(ns, False, 50)
        daemon.wait_value("ipv4/gauge-rules", left)
    daemon.wait_value("ipv4/bool-expected-it", 1)
    raw_rule(ns, False, 50)
    daemon.wait_value("ipv4/bool-expected-it", 0)
    fence(ns, daemon)
    told = [n.kind for n in not_fence(daemon.notices())]
    same(told, ["add", "delete", "delete", "delete", "expected"], "what was told")


def test_lost_events_are_repaired_by_the_next_reading(t):
    ns = t.namespace()
    ns.batch(["link add a0 type ifb", "rule add priority 5 iif a0 nop", "rule add priority 6 nop",
              "rule add priority 7 blackhole"])
    daemon = collectd(t, 'ReceiveBuffer 4096\nSlowInterval 3600\nExpect "six" "priority 6 nop"', ns,
                      expect_log=["ENOBUFS", "lost", "read interval"])
    noise = ["rule add priority 999 nop", "rule del priority 999"] * 300
    daemon.signal(signal.SIGSTOP)
    ns.batch(noise)
    ns.batch(["link del a0", "rule del priority 6", "rule del priority 7", "rule add priority 8 nop"])
    ns.batch(noise)
    woken = daemon.now()
    daemon.signal(signal.SIGCONT)
    first = daemon.reading(since=woken)
    expected = {"rules": len(rules(ns)), "rules_detached": 1, "rules_nop": 2, "rules_blackhole": 0}
    same({id: first[f"ipv4/gauge-{id}"].plain for id in expected}, expected, "the first reading")
    assert first["self/derive-lost"].plain > 0, "the loss is not counted"
    for kind, wanted in (("delete", {"priority": "7"}), ("add", {"priority": "8"}),
                         ("expected", {"new": "missing"}), ("detached", {"interface": "a0"})):
        daemon.wait_notification(kind, "ipv4", since=woken - 60, **wanted)
    ns.ip("rule del priority 8")
    daemon.wait_notification("delete", "ipv4", priority="8")


class Churn(threading.Thread):
    """Adds and deletes rules between the stable ones as fast as the kernel can."""

    def __init__(self, ns, seconds):
        super().__init__()
        self.ns, self.seconds, self.changes = ns, seconds, 0
        self.lines = [f"rule {verb} priority {p} from 10.9.0.0/16 nop"
                      for p in range(1000, 21000, 100) for verb in ("add", "del")] * 5

    def run(self):
        ends = time.monotonic() + self.seconds
        while time.monotonic() < ends:
            self.ns.batch(self.lines)
            self.changes += len(self.lines)


def test_no_reading_is_torn_while_rules_change(t):
    """Dumps of the kernel's miss and repeat stable rules then, and do not say so."""
    ns = t.namespace()
    stable = [f"rule add priority {p} from 10.0.{p % 256}.{p // 256} lookup 100"
              for p in range(1050, 21050, 10)]
    ns.batch(stable)
    n = len(rules(ns))
    daemons = {name: collectd(t, f'{block}\nNotify "add" "delete" "expected"\n'
                                 'Expect "first" "priority 1050 from 10.0.26.4 lookup 100"', ns,
                              expect_log=["read interval"])
               for name, block in {"events": "", "audits": "AuditInterval 0.4"}.items()}
    churn = Churn(ns, 5)
    churn.start()
    churn.join()
    stopped = time.time()
    t.note(f"{churn.changes / 5:.0f} changes a second")
    for name, daemon in daemons.items():
        last = daemon.reading(since=stopped)
        same(last["ipv4/gauge-rules"].plain, n, f"{name}: rules after the churn")
        seen = {v.plain for v in daemon.values("ipv4/gauge-rules")}
        assert seen <= {n, n + 1}, f"{name}: rules while others changed: {seen}, stable {n}"
        same({v.plain for v in daemon.values("ipv4/bool-expected-first")}, {1}, f"{name}: expected")
        same({v.plain for v in daemon.values("ipv4/gauge-rules_table_100")}, {len(stable)},
             f"{name}: the stable rules")
        false = [x.message for x in daemon.notices() if "10.9.0.0/16" not in x.message]
        same(false[:3], [], f"{name}: notifications about stable rules")
        t.note(f"{name}: " + str({k: value(daemon, f"self/derive-{k}")
                                  for k in ("events", "dumps", "interrupted", "lost")}))


@time_limit(120)
def test_ten_thousand_rules(t):
    ns = t.namespace()
    lines = [f"rule add priority {p} from 10.1.{p // 256}.{p % 256} lookup {100 + p % 50}"
             for p in range(10000)]
    ns.batch(lines)
    daemon = collectd(t, 'Notify "expected"\nExpect "one" "priority 77 from 10.1.0.77 lookup 127"',
                      ns)
    daemon.wait_value("ipv4/gauge-rules", 10003)
    daemon.wait_value("ipv4/gauge-rules_table_100", 200)
    before = daemon.wait_value("self/derive-bytes", since=daemon.now())
    cost = daemon.wait_value("self/duration-read", since=daemon.now() + 3 * INTERVAL)
    self_alone = value(daemon, "self/derive-bytes") - before.plain
    same(self_alone, 0, "bytes read while nothing changed")
    t.note(f"a reading with nothing changed: {cost.plain * 1e6:.0f} us")
    if not t.build.sanitizer:
        assert cost.plain < 0.002, f"{cost.plain * 1000:.2f} ms with nothing changed"
    ns.batch([f"rule del priority {p}" for p in range(1, 10000)])
    daemon.wait_notification("expected", "ipv4", new="missing")
    daemon.wait_value("ipv4/gauge-rules", 4)
    daemon.wait_value("ipv4/gauge-rules_table_149", 0)


@plain_build_only
def test_a_kernel_that_lacks_a_family(t):
    """What is missing is said, and all the rest is there."""
    ns = t.namespace()
    ns.ip("rule add priority 5 lookup 77")
    lacks = {**os.environ, "LD_PRELOAD": t.build.dir / "tests/lacks.so"}
    done = subprocess.run([t.build.netmon, "rule", "--namespace", ns.name], env=lacks, text=True,
                          capture_output=True)
    same((done.returncode, done.stderr),
         (0, "netmon: this kernel does not tell ipmr: Address family not supported by protocol\n"),
         "status and complaint")
    told = json.loads(done.stdout)
    same({f: len(told[f]) for f in FAMILIES}, {"ipv4": len(rules(ns)), "ipv6": 2, "ipmr": 0, "ip6mr": 1},
         "rules")
    done = subprocess.run([t.build.netmon, "metrics", "rule", "--namespace", ns.name], env=lacks,
                          text=True, capture_output=True)
    same(({line.partition("/")[0] for line in done.stdout.splitlines()}, done.returncode),
         ({"ipv4", "ipv6", "ip6mr", "self"}, 0), "instances of the values")


def test_json_has_every_attribute(t):
    ns = with_rules(t)
    out = json.loads(t.netmon("rule", "--namespace", ns.name).stdout)
    same(set(out), {*FAMILIES, "summary", "metadata"}, "arrays")
    for family in FAMILIES:
        mine, others = out[family], rules(ns, family)
        same(len(mine), len(others), f"{family}: rules")
        for a, b in zip(mine, others):
            same(a.get("priority", 0), b["priority"], f"{family}: order and priority")
            assert not any(k.isdigit() for k in a), f"an attribute without a name: {a}"
            for ours, theirs in (("iifname", "iif"), ("oifname", "oif"), ("goto", "goto")):
                same(a.get(ours), b.get(theirs), f"{ours} of {b}")
