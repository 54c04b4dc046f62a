# SPDX-License-Identifier: MIT
"""Stations: who is new, who has changed, who comes back, and what is remembered of them."""

import stat
import time

from harness import same, time_limit, until
from test_neighbor import watch, with_bridge, with_pair

A, B, C, D = (f"02:00:00:00:00:{x}" for x in ("0a", "0b", "0c", "0d"))
DAY = 86400


def at(ns, address, lladdr, dev="a0"):
    ns.ip(f"neigh replace {address} lladdr {lladdr} dev {dev} nud reachable")


def life(ns, daemon, address):
    """Through every word of arpwatch."""
    for lladdr, word, old in [(A, "new", None), (B, "changed", A), (A, "flipflop", B),
                              (C, "changed", A), (B, "reused", C)]:
        since = daemon.now()
        at(ns, address, lladdr)
        told = daemon.wait_notification(word, "a0", since=since, address=address, new=lladdr)
        same(told.meta.get("old"), old, f"{word}: the address before")
        same(told.meta["ifindex"], str(ns.link("a0")["ifindex"]), "ifindex")
        assert address in told.message and lladdr in told.message, told.message


def test_new_changed_flip_flop_and_reused(t):
    ns = with_pair(t)
    ns.ipv6("a0")
    at(ns, "192.0.2.9", D)
    daemon = watch(t, ns, 'Notify "all"')
    same(daemon.notices(), [], "notifications about what was there at the start")
    life(ns, daemon, "192.0.2.10")
    life(ns, daemon, "2001:db8::10")
    reading = daemon.reading(since=daemon.now())
    same({name: reading[f"stations/derive-{name}"].plain
          for name in ("new", "changed", "flipflop", "reused", "activity", "moved")},
         {"new": 2, "changed": 4, "flipflop": 2, "reused": 2, "activity": 0, "moved": 0}, "counts")
    same(reading["stations/gauge-known"].plain, 3, "stations")


def test_two_stations_with_one_address(t):
    ns = with_pair(t)
    at(ns, "192.0.2.10", A)
    daemon = watch(t, ns, "DuplicateInterval 1")
    at(ns, "192.0.2.10", B)
    at(ns, "192.0.2.10", A)
    told = daemon.wait_notification("duplicate", "a0", address="192.0.2.10")
    same((told.severity, {told.meta["old"], told.meta["new"]}), ("failure", {A, B}), "duplicate")
    over = daemon.wait_notification("duplicate", "a0", since=told.time)
    same((over.severity, over.meta["address"]), ("okay", "192.0.2.10"), "over")
    assert over.time - told.time > 1, "over before its time"


def test_by_default_only_what_an_operator_wants_at_night(t):
    ns = with_pair(t)
    daemon = watch(t, ns)
    for lladdr in (A, B, C):
        at(ns, "192.0.2.10", lladdr)
    at(ns, "192.0.2.10", B)
    daemon.wait_notification("flipflop")
    same({n.kind for n in daemon.notices()} - {"flipflop", "duplicate"}, set(), "kinds")


def test_without_tracking_nothing_is_told(t):
    ns = with_pair(t)
    daemon = watch(t, ns, 'TrackStations false\nNotify "all"')
    at(ns, "192.0.2.10", A)
    at(ns, "192.0.2.10", B)
    daemon.wait_value("a0/gauge-ipv4_reachable", 1)
    same((daemon.notices(), daemon.ids("^stations/")), ([], set()), "notifications and values")


def test_no_more_than_so_many(t):
    ns = with_pair(t)
    daemon = watch(t, ns, 'MaxStations 16\nNotify "none"')
    for i in range(100):
        at(ns, f"192.0.2.{i + 10}", f"02:00:00:00:01:{i:02x}")
    daemon.wait_value("a0/gauge-ipv4_reachable", 100)
    reading = daemon.reading(since=daemon.now())
    known = reading["stations/gauge-known"].plain
    assert 8 <= known <= 16, f"{known} stations"
    same(known + reading["stations/derive-forgotten"].plain, 100, "known and forgotten")


# ---- the state file ------------------------------------------------------------------------------


def block(path, more=""):
    return f'StateFile "{path}"\nNotify "all"\n{more}'


def test_stations_are_remembered_over_a_restart(t):
    """What was known is no news; what changed while nobody looked is told at the next start."""
    ns = with_bridge(t)
    ns.veth("a0", "b0")
    path = t.directory("state") / "stations"
    for i, lladdr in enumerate((A, B)):
        at(ns, f"192.0.2.{10 + i}", lladdr)
    ns.frames("q0", 1, 60, source=D)
    daemon = watch(t, ns, block(path))
    daemon.stop()
    same(daemon.notices(), [], "the first start")
    same(stat.S_IMODE(path.stat().st_mode), 0o600, "permissions")
    lines = path.read_text().splitlines()
    same({tuple(x.split()[:2]) for x in lines[1:-1]} >= {("a0", "192.0.2.10"), ("a0", "192.0.2.11"),
                                                        ("br0", D)}, True, f"lines {lines}")
    at(ns, "192.0.2.11", C)
    at(ns, "192.0.2.12", D)
    ns.frames("q1", 1, 60, source=D)
    again = watch(t, ns, block(path))
    same((again.wait_notification("changed", "a0", address="192.0.2.11").meta["old"],
          again.wait_notification("new", "a0").meta["address"],
          again.wait_notification("moved", "br0", address=D).meta["new"]),
         (B, "192.0.2.12", "p1"), "what happened meanwhile")
    same([n.meta for n in again.notices() if n.meta.get("address") == "192.0.2.10"], [],
         "a station that was known")
    assert not list(path.parent.glob("*.new")), "a file that is not finished is left"


def test_new_activity_after_quiet_days(t):
    ns = with_pair(t)
    path = t.directory("state") / "stations"
    now = int(time.time())
    path.write_text(f"netmon stations 1\na0 192.0.2.10 {now - 200 * DAY} {A}\n"
                    f"a0 192.0.2.11 {now - 100 * DAY} {B}\nend 2\n")
    daemon = watch(t, ns, block(path))
    at(ns, "192.0.2.11", B)
    at(ns, "192.0.2.10", A)
    told = daemon.wait_notification("activity", "a0", address="192.0.2.10")
    same((told.severity, [n.kind for n in daemon.notices()]), ("okay", ["activity"]), "activity")
    assert "200 days" in told.message, told.message


def test_a_damaged_file_is_set_aside(t):
    ns = with_pair(t)
    at(ns, "192.0.2.10", A)
    good = f"netmon stations 1\na0 192.0.2.10 1700000000 {B}\nend 1\n"
    for text in ("rubbish\n", good[:-6], good[:-1], good[:18], good.replace("end 1", "end 2"),
                 good.replace(B, "02:00:0g:00:00:01"), good + "more\n",
                 good.replace("a0", "a" * 16), good.replace("1700000000", "soon"), "x" * 5000,
                 "\0" * 100):
        path = t.directory("state") / "stations"
        path.write_text(text)
        daemon = watch(t, ns, block(path))
        told = daemon.wait_notification("state_file")
        same((told.severity, told.meta["reason"]), ("warning", "damaged"), repr(text[:40]))
        same(path.with_name("stations.damaged").read_text(), text, "what was set aside")
        daemon.stop()
        same([n.kind for n in daemon.notices()], ["state_file"], "news from a damaged file")
        assert path.read_text().startswith("netmon stations 1\n"), "no new file"


def test_an_empty_file_is_a_new_one(t):
    ns = with_pair(t)
    at(ns, "192.0.2.10", A)
    path = t.directory("state") / "stations"
    path.touch()
    daemon = watch(t, ns, block(path))
    daemon.stop()
    same(daemon.notices(), [], "notifications")
    assert "192.0.2.10" in path.read_text(), "not remembered"


def test_a_file_that_cannot_be_read_or_written(t):
    ns = with_pair(t)
    path = t.directory("state") / "stations"
    path.mkdir()  # root may read everything but a directory
    daemon = watch(t, ns, block(path))
    told = daemon.wait_notification("state_file")
    same(told.severity, "warning", "unreadable")
    daemon.stop()
    assert path.is_dir(), "what could not be read was replaced"


@time_limit(120)
def test_stations_are_written_once_a_minute_while_the_daemon_runs(t):
    ns = with_pair(t)
    at(ns, "192.0.2.10", A)
    path, nowhere = t.directory("state") / "stations", t.directory("gone") / "none" / "stations"
    daemon = watch(t, ns, block(path))
    lost = watch(t, ns, block(nowhere))
    at(ns, "192.0.2.11", B)
    assert not path.exists(), "written too early"
    told = lost.wait_notification("state_file", timeout=70)
    same((told.severity, told.meta["reason"]), ("warning", "No such file or directory"), "told")
    until(path.exists, "the file", timeout=5)
    lines = path.read_text().splitlines()
    assert {line.split()[1] for line in lines[1:-1]} >= {"192.0.2.10", "192.0.2.11"}, lines
    same(lines[-1], f"end {len(lines) - 2}", "the last line")
    same([p.name for p in path.parent.iterdir()], ["stations"], "files")
    same([n for n in daemon.notices() if n.kind == "state_file"], [], "of the one that is written")


def test_arpwatch_is_imported(t):
    ns = with_pair(t)
    path = t.directory("state") / "arp.dat"
    now = int(time.time())
    arp = (f"2:0:0:0:0:a\t192.0.2.10\t{now - 10}\thost\ta0\n"
           f"2:0:0:0:0:b\t192.0.2.10\t{now - 1000}\thost\ta0\n"
           f"2:0:0:0:0:c\t192.0.2.11\t{now - 10}\n")
    path.write_text(arp)
    daemon = watch(t, ns, block(path))
    at(ns, "192.0.2.10", B)
    daemon.wait_notification("flipflop", "a0", address="192.0.2.10", old=A, new=B)
    at(ns, "192.0.2.11", D)  # it was known, wherever
    daemon.wait_notification("changed", "a0", address="192.0.2.11", old=C, new=D)
    daemon.stop()
    same([n.kind for n in daemon.notices() if n.kind == "new"], [], "new stations")
    same(path.with_name("arp.dat.arpwatch").read_text(), arp, "arpwatch's own file")
    lines = path.read_text().splitlines()
    same(sorted(" ".join(x.split()[:2] + x.split()[3:]) for x in lines[1:-1]),
         sorted([f"a0 192.0.2.10 {B} {A}", f"a0 192.0.2.11 {D} {C}"]), "our own")


def test_a_path_must_be_absolute(t):
    daemon = t.collectd('StateFile "stations"', plugin="netmon_neighbor",
                        expect_log=["StateFile", "stations"])
    assert "StateFile" in daemon.refused(), "the option is not named"
