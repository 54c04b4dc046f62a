# SPDX-License-Identifier: MIT
"""Interfaces of several network namespaces at once, as these come and go."""

import os

from harness import INTERVAL, NETNS_DIR, same, until


def with_link(t, name="eth0"):
    """A namespace with an interface whose other end is next to it, and a known traffic."""
    ns = t.namespace()
    ns.veth(name, "far0")
    ns.frames(name, count=10, size=100)
    return ns


def octets(ns, dev="eth0"):
    stats = ns.link(dev)["stats64"]
    return {way: stats[way]["bytes"] for way in ("rx", "tx")}


def test_without_the_option_only_its_own(t):
    own, other = with_link(t), with_link(t)
    daemon = t.collectd(ns=own).ready()
    daemon.reading()
    same(daemon.instances(), {"lo", "eth0", "far0"}, "instances")
    assert octets(other)["tx"], "the story went wrong"
    fds = f"/proc/{daemon.process.pid}/fd"
    files = [os.readlink(f"{fds}/{fd}") for fd in os.listdir(fds)]
    assert any("eventfd" in f for f in files), f"the story went wrong: {files}"
    assert not any("inotify" in f for f in files), "others come and go, and it is woken"


def test_another_namespace_by_name(t):
    own, blue = with_link(t), with_link(t)
    blue.frames("eth0", count=5, size=300)
    daemon = t.collectd(f'Namespace "{blue.name}"', own)
    daemon.wait_value(f"eth0@{blue.name}/if_octets", octets(blue))
    daemon.wait_value(f"eth0@{blue.name}/gauge-mtu", 1500)
    same({i.partition("@")[2] for i in daemon.instances()}, {blue.name}, "namespaces reported")

    blue.ip("link set eth0 down")
    daemon.wait_notification("state", f"eth0@{blue.name}", new="down", reason="admin_down")


def test_its_own_beside_another(t):
    own, blue = with_link(t), with_link(t)
    own.frames("eth0", count=1, size=77)
    daemon = t.collectd(f'Namespace "." "{blue.name}"', own)
    daemon.wait_value("eth0/if_octets", octets(own))
    daemon.wait_value(f"eth0@{blue.name}/if_octets", octets(blue))
    own.ip("link set far0 down")
    blue.ip("link set far0 down")
    daemon.wait_notification("state", "eth0", reason="carrier")
    daemon.wait_notification("state", f"eth0@{blue.name}", reason="carrier")


def test_three_at_once_and_one_deleted_while_being_read(t):
    """The deleted one is let go at once, by the witness that its interfaces vanish."""
    own = t.namespace()
    all3 = [with_link(t) for _ in range(3)]
    doomed, *others = all3
    own.veth("peer0", "last0", doomed)
    names = " ".join(f'"{ns.name}"' for ns in all3)
    daemon = t.collectd(f"Namespace {names}", own)
    for ns in all3:
        daemon.wait_value(f"eth0@{ns.name}/if_octets", octets(ns))

    deleted = daemon.now()
    doomed.remove()
    until(lambda: "peer0" not in own.json_links(), "the namespace to end, which a socket in it "
          "would prevent", timeout=5)
    t.note(f"gone after {(daemon.now() - deleted) * 1000:.0f} ms")
    for ns in others:
        daemon.wait_value(f"eth0@{ns.name}/if_octets", octets(ns), since=daemon.now())
    late = daemon.now()
    for ns in others:
        daemon.wait_value(f"eth0@{ns.name}/if_octets", since=late + INTERVAL)
    stale = [v for v in daemon.values(f"eth0@{doomed.name}/if_octets") if v.time > late]
    assert not stale, "values of a namespace that is gone"


def test_a_deleted_namespace_is_let_go_between_readings(t):
    own, doomed = t.namespace(), with_link(t)
    own.veth("peer0", "last0", doomed)
    daemon = t.collectd(f'Namespace "{doomed.name}"', own, interval=60)
    daemon.wait_value(f"eth0@{doomed.name}/if_octets")
    doomed.remove()
    until(lambda: "peer0" not in own.json_links(), "the namespace to end", timeout=5)
    same(len(daemon.values(f"eth0@{doomed.name}/if_octets")), 1, "readings so far")


def test_one_that_appears_is_opened_and_again_under_the_same_name(t):
    own = t.namespace()
    pattern = f"/^nmtest-{os.getpid()}-/"
    daemon = t.collectd(f'Namespace "{pattern}"', own)
    daemon.wait_value(f"lo@{own.name}/if_octets")

    blue = with_link(t)
    appeared = daemon.now()
    first = daemon.wait_value(f"eth0@{blue.name}/if_octets", octets(blue))
    assert first.time - appeared < 1.5 * INTERVAL, f"opened {first.time - appeared:.1f} s late"

    blue.remove()
    again = type(blue)(blue.name)  # the case removes what has this name
    again.veth("eth0", "far0")
    again.frames("eth0", count=3, size=50)
    since = daemon.now()
    daemon.wait_value(f"eth0@{again.name}/if_octets", octets(again), since=since)
    again.ip("link set eth0 down")
    daemon.wait_notification("state", f"eth0@{again.name}", reason="admin_down", since=since)


def test_all_but_the_ignored(t):
    own, blue, red = t.namespace(), with_link(t), with_link(t)
    # What else this machine has named may not be readable, and is not our business.
    daemon = t.collectd(f'Namespace "{red.name}" "."\nNamespaceIgnoreSelected true', own,
                        expect_log=["amespace"])
    daemon.wait_value(f"eth0@{blue.name}/if_octets", octets(blue))
    daemon.reading(has=f"eth0@{blue.name}/if_octets")
    names = {i.partition("@")[2] for i in daemon.instances()}
    assert red.name not in names and "" not in names and own.name in names, f"namespaces {names}"


def test_a_namespace_that_does_not_exist_yet(t):
    own, name = t.namespace(), t.namespace_name()
    daemon = t.collectd(f'Namespace "." "{name}"', own, expect_log=[name]).ready()
    daemon.wait_log(rf"\[warning\].*{name}")
    daemon.wait_value("lo/if_octets", since=daemon.now() + 2 * INTERVAL)
    same(sum(name in line for line in daemon.log()), 1, "warned once, not at every reading")
    late = type(own)(name)
    late.veth("eth0", "far0")
    daemon.wait_value(f"eth0@{name}/if_octets")


def test_a_file_that_is_no_namespace(t):
    """Someone put a plain file there; it is named once, and the rest is served."""
    own, blue, name = t.namespace(), with_link(t), t.namespace_name()
    (NETNS_DIR / name).touch()
    daemon = t.collectd(f'Namespace "{name}" "{blue.name}"', own, expect_log=[name])
    daemon.wait_log(rf"\[(warning|error)\].*{name}")
    daemon.wait_value(f"eth0@{blue.name}/if_octets", since=daemon.now() + 2 * INTERVAL)
    same(sum(name in line for line in daemon.log()), 1, "named once")


def test_without_privilege_its_own_is_served(t):
    """Links need no privilege; another namespace does, and the log says so."""
    own, blue = with_link(t), with_link(t)
    daemon = t.collectd(f'Namespace "." "{blue.name}"', own, user="nobody",
                        expect_log=[blue.name, "capabilit", "CAP_"]).ready()
    line = daemon.wait_log(rf"\[(warning|error)\].*{blue.name}")
    assert "CAP_SYS_ADMIN" in line or "permi" in line.lower(), f"does not say why: {line}"
    daemon.wait_value("eth0/if_octets", octets(own))
    daemon.wait_value("eth0/gauge-mtu", 1500)
    own.ip("link set eth0 down")
    daemon.wait_notification("state", "eth0", reason="admin_down")
    same({i for i in daemon.instances() if "@" in i}, set(), "instances of the other")
