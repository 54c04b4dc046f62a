# SPDX-License-Identifier: MIT
"""Names that the administrator gives to tables and protocols, while the daemon runs."""

import contextlib
import os
import pathlib
import shutil

from harness import same


def names(t, ns):
    """A directory that is /etc/iproute2 to whoever is started in the namespace."""
    path = pathlib.Path("/etc/netns", ns.name, "iproute2")
    path.parent.mkdir(parents=True)
    t.cleanup(clean, path.parent)
    shutil.copytree("/etc/iproute2", path)
    return path


def clean(path):
    shutil.rmtree(path)
    with contextlib.suppress(OSError):  # of another test
        path.parent.rmdir()


def add(path, line):
    with path.open("a") as f:
        f.write(line + "\n")


def test_routes_go_on_under_the_new_name(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.batch(["addr add 192.0.2.1/24 dev a0", "route add 10.0.0.0/8 dev a0 table 77 proto 199",
              "route add 10.0.0.0/8 dev a0 table 78 proto 199"])
    etc = names(t, ns)
    daemon = t.collectd('Table "main" "/^seven/"\nSlowInterval 3600', ns, plugin="netmon_route",
                        interval=0.2, expect_log=["nothing is named"])
    daemon.wait_value("main/bool-default_ipv4")
    daemon.reading()
    same(daemon.instances() - {"nexthops"}, {"main"}, "tables")
    add(etc / "rt_tables", "77 seventyseven")
    daemon.wait_value("seventyseven/routes-ipv4_unicast_199", 1)
    (etc / "rt_protos.d").mkdir(exist_ok=True)
    (etc / "rt_protos.d/ours.conf").write_text("199 ours\n")
    daemon.wait_value("seventyseven/routes-ipv4_unicast_ours", 1)
    os.replace(shutil.copy(etc / "rt_tables", etc / "new"), etc / "rt_tables")
    (etc / "rt_tables").write_text((etc / "rt_tables").read_text().replace("yseven", "y_seven"))
    daemon.wait_value("seventy_seven/routes-ipv4_unicast_ours", 1)
    since = daemon.now()
    daemon.reading(since=since)
    same({v.instance for (_, _), s in daemon.series.items() for v in s if v.time > since}
         - {"nexthops", "self", "main", "seventy_seven"}, set(), "tables under an old name")


def test_rules_are_expected_by_a_name_that_comes_and_goes(t):
    ns = t.namespace()
    ns.batch(["rule add priority 5 lookup 77", "rule add priority 6 lookup 78"])
    etc = names(t, ns)
    add(etc / "rt_tables", "77 ours")
    block = 'Expect "one" "priority 5 lookup ours"\nNotify "expected"\nSlowInterval 3600'
    daemon = t.collectd(block, ns, plugin="netmon_rule", interval=0.2)
    daemon.wait_value("ipv4/bool-expected-one", 1)
    daemon.wait_value("ipv4/gauge-rules_table_ours", 1)
    text = (etc / "rt_tables").read_text()
    (etc / "rt_tables").write_text(text.replace("77 ours", "78 ours\n77 theirs"))
    daemon.wait_value("ipv4/gauge-rules_table_theirs", 1)
    daemon.wait_value("ipv4/bool-expected-one", 0)
    daemon.wait_notification("expected", new="missing")
    ns.ip("rule add priority 5 lookup 78")
    daemon.wait_notification("expected", new="present")
