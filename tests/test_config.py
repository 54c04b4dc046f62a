# SPDX-License-Identifier: MIT
"""Options choose what is sent; what the user wrote wrongly is refused in words that help."""

import re

from harness import INTERVAL, ROOT, plain_build_only, same

# A wrong line -> words that must stand in the message, beside the block and the option.
WRONG = {
    'Intreface "a0"': ["Intreface", "Interface"],
    'Interface "/eth"': ["/eth"],  # the second slash was forgotten
    "<Interface a0>\n  Verbose true\n</Interface>": ["block"],
    'Interface ""': ['""'],
    'Interface "//"': ["//"],
    'Interface "/(/"': ["/(/"],
    'Interface "a0" "/[/"': ["/[/"],
    "Interface true": ["true"],
    'IgnoreSelected "perhaps"': ["perhaps", "true", "false"],
    'Verbose "perhaps"': ["perhaps", "true", "false"],
    "Verbose 3": ["3", "true", "false"],
    "Verbose true false": ["true"],
    "ReportTotal 2": ["2", "true", "false"],
    'ReportInactive "x"': ["x", "true", "false"],
    'ReportSelf "x"': ["x", "true", "false"],
    'IdleTimeout "soon"': ["soon"],
    "IdleTimeout -1": ["-1"],
    "IdleTimeout true": ["true"],
    "SlowInterval -1": ["-1"],
    'SlowInterval "x"': ["x"],
    "AuditInterval -1": ["-1"],
    'ReceiveBuffer "much"': ["much"],
    "ReceiveBuffer -1": ["-1"],
    'Speed "a0"': ["a0"],
    'Speed "a0" "fast"': ["fast"],
    'Speed "a0" -5': ["-5"],
    "Speed 100": ["100"],
    'Notify "everything"': ["everything", "state", "speed", "promiscuous", "all", "none"],
    'Notify "state" "sate"': ["sate", "state"],
    "Notify true": ["true", "state"],
    'Label "name"': ["name", "ifname", "alias", "altname"],
    'Label "ifname" "alias"': ["ifname", "altname"],
    'PluginName ""': ['""'],
    'PluginName "my-links"': ["my-links"],
    'PluginName "my/links"': ["my/links"],
    'Namespace ""': ['""'],
    'Namespace "/*/"': ["/*/"],
    'Namespace "/run/netns/blue"': ["/run/netns/blue"],
    'NamespaceIgnoreSelected "x"': ["x", "true", "false"],
}


def test_wrong_options_are_refused_by_name_and_value(t):
    failures = []
    for line, words in WRONG.items():
        option = re.match(r"<?(\w+)", line)[1]
        daemon = t.collectd(line)
        try:
            log = daemon.refused()
        except AssertionError as e:
            failures.append(f"{line!r}: {e}")
            continue
        messages = [m for m in log.splitlines()
                    if "<Plugin netmon_link>" in m and option in m and "[error]" in m]
        if not any(all(w in m for w in words) for m in messages):
            failures.append(f"{line!r}: nothing names the block, {option} and {words}: "
                            f"{messages or log}")
    assert not failures, "\n".join(failures)


def test_an_interface_that_does_not_exist_is_a_warning(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    daemon = t.collectd('Interface "a0" "nosuch0"', ns, expect_log=["nosuch0"]).ready("a0")
    line = daemon.wait_log(r"\[warning\].*nosuch0")
    assert "Interface" in line and "netmon_link" in line, f"names no option: {line}"
    daemon.wait_value("a0/if_octets", since=daemon.now() + 3 * INTERVAL)
    same(sum("nosuch0" in line for line in daemon.log()), 1, "warnings")
    same(daemon.instances(), {"a0"}, "instances")

    ns.ip("link add nosuch0 type ifb")
    daemon.wait_value("nosuch0/if_octets")


def instances(t, ns, block):
    """The interfaces that a daemon with these options reports."""
    daemon = t.collectd(block, ns)
    daemon.reading()
    daemon.stop()
    return daemon.instances()


def test_interfaces_are_selected(t):
    ns = t.namespace()
    ns.veth("eth0", "veth0")
    ns.veth("eth1", "wan")
    every = {"lo", "eth0", "eth1", "veth0", "wan"}
    for block, expected in {
        "": every,
        'Interface "eth0"': {"eth0"},
        'Interface "eth0" "wan"': {"eth0", "wan"},
        'Interface "eth0"\nInterface "wan"': {"eth0", "wan"},
        'Interface "/^eth/"': {"eth0", "eth1"},
        'Interface "/eth/"': {"eth0", "eth1", "veth0"},
        'Interface "/^(wan|lo)$/"': {"wan", "lo"},
        'Interface "eth0" "/^lo/"\nIgnoreSelected true': every - {"eth0", "lo"},
        'Interface "eth0"\nIgnoreSelected false': {"eth0"},
        "IgnoreSelected true": every,
    }.items():
        same(instances(t, ns, block), expected, block or "no option")


def test_what_never_moved_can_be_left_out(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.batch(["link add ifb0 type ifb"])
    ns.frames("a0", count=1, size=100)
    daemon = t.collectd("ReportInactive false", ns).ready("a0")
    daemon.reading()
    same(daemon.instances(), {"a0", "b0"}, "interfaces that moved")
    ns.ip("link set ifb0 up")
    ns.frames("ifb0", count=1, size=100)
    daemon.wait_value("ifb0/if_octets")
    daemon.wait_value("ifb0/gauge-mtu")  # its first reading is whole, too


def test_labels(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.batch(["link set a0 alias 'up link'", "link property add dev b0 altname downlink0"])
    for label, expected in {"ifname": {"lo", "a0", "b0"}, "alias": {"lo", "up link", "b0"},
                            "altname": {"lo", "a0", "downlink0"}}.items():
        same(instances(t, ns, f'Label "{label}"'), expected, f"Label {label}")


def test_a_label_that_changes_is_followed(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    daemon = t.collectd('Label "alias"', ns).ready("a0")
    changed = daemon.now()
    ns.ip("link set a0 alias uplink")
    daemon.wait_value("uplink/if_octets", since=changed)
    late = daemon.now()
    daemon.wait_value("uplink/if_octets", since=late)
    assert daemon.latest("a0/if_octets").time < late, "sent under both labels"


def test_plugin_name_for_existing_dashboards(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.frames("a0", count=3, size=100)
    daemon = t.collectd('PluginName "interface"', ns)
    daemon.wait_value("a0/if_octets", {"rx": 0, "tx": 300}, plugin="interface")
    ns.ip("link set a0 down")
    same(daemon.wait_notification("state", "a0").plugin, "interface", "plugin of notifications")
    assert not daemon.instances(), f"sent under its own name: {sorted(daemon.ids())[:3]}"


def test_plugin_name_of_a_plugin_that_is_loaded(t):
    """Both would write the same series; whichever of the two is loaded first."""
    load = "LoadPlugin interface"
    log = t.collectd('PluginName "interface"', before=load).refused()
    line = next((m for m in log.splitlines() if "PluginName" in m and "[error]" in m), "")
    assert "<Plugin netmon_link>" in line and "interface" in line, f"no clear error: {log}"

    daemon = t.collectd('PluginName "interface"', more=load, expect_log=["PluginName"])
    daemon.wait_log(r"\[error\].*PluginName.*interface")
    if daemon.process.poll() is None:
        daemon.wait_value("lo/if_octets", plugin="interface", since=daemon.now() + INTERVAL)
        assert "lo/gauge-mtu" not in daemon.ids(plugin="interface"), "writes all the same"
        daemon.kill()


def test_total_only_when_asked(t):
    ns = t.namespace()
    daemon = t.collectd("", ns).ready()
    daemon.reading()
    assert "total" not in daemon.instances()


def test_self_only_when_wanted(t):
    daemon = t.collectd("ReportSelf false", t.namespace()).ready()
    daemon.reading()
    assert not daemon.ids("^self/")


def test_interval_of_loadplugin_is_kept(t):
    """Intervals belong to <LoadPlugin>, not to a plugin's own options."""
    ns = t.namespace()
    daemon = t.collectd(ns=ns, load_interval=0.25).ready()
    value = daemon.wait_value("lo/if_octets")
    again = daemon.wait_value("lo/if_octets", since=value.time)
    same(value.interval, 0.25, "interval of a counter")
    assert 0.2 < again.time - value.time < 0.4, f"read after {again.time - value.time:.2f} s"


def test_interfaces_named_like_our_own_instances(t):
    ns = t.namespace()
    ns.batch(["link add total type ifb", "link add self type ifb", "link set total up"])
    ns.frames("total", count=5, size=100)
    daemon = t.collectd("ReportTotal true", ns).ready()
    reading = daemon.reading()
    assert "total/gauge-mtu" not in reading and "self/gauge-mtu" not in reading
    same(len([id for id in reading if id.endswith("/gauge-mtu")]), 3, "interfaces")


def test_two_interfaces_with_one_alias_stay_two(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.batch(["link set a0 alias uplink", "link set b0 alias uplink"])
    daemon = t.collectd('Label "alias"', ns).ready()
    reading = daemon.reading()
    same(len([id for id in reading if id.endswith("/if_octets")]), 3, "interfaces")


def test_quoted_names_and_odd_labels_arrive_whole(t):
    """A slash cannot stand in an identifier: collectd's rule makes it an underscore."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.run("ip", "link", "set", "a0", "alias", 'up/link "1" \\ é')
    daemon = t.collectd('Label "alias"', ns).ready()
    daemon.wait_value('up_link "1" \\ é/if_octets')


@plain_build_only  # collectd leaks the name of a plugin that is loaded twice
def test_the_example_loads_as_it_is_and_with_every_option(t):
    example = (ROOT / "conf/netmon.conf").read_text()
    ns = t.namespace()
    ns.veth("eth0", "wan0")
    t.collectd(ns=ns, more=f'PluginDir "{t.build.dir}"\n{example}',
               expect_log=["no generic netlink family"]).ready("eth0").stop()

    every = re.sub("^#\t", "\t", example, flags=re.MULTILINE)
    every = every.replace("/var/lib/collectd", str(t.dir))
    assert every.count("\n\tPluginName ") == 1, "the options were not found"
    daemon = t.collectd(ns=ns, more=f'PluginDir "{t.build.dir}"\n{every}',
                        expect_log=["nothing is named", "no generic netlink family"])
    daemon.wait_value("eth0/if_octets", plugin="interface")
    daemon.wait_value("wan0/gauge-speed", 1e8, plugin="interface")
