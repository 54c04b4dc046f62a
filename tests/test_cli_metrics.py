# SPDX-License-Identifier: MIT
"""netmon metrics: configured as the daemon is, for a person, a script and Prometheus."""

import json
import re

from harness import ROOT, same


def network(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.frames("a0", count=10, size=100)
    return ns


def values(text):
    """instance/type-instance -> its numbers"""
    lines = (line.removesuffix(" slow") for line in text.splitlines() if "/" in line)
    return {id: [float(n) for n in numbers.split(":")]
            for id, numbers in (line.rsplit(" ", 1) for line in lines)}


def steady(all):
    """Without what changes from one reading to the next."""
    return {id: n for id, n in all.items() if not id.startswith("self/")}


def test_the_daemons_own_configuration(t):
    """A file of collectd's with blocks of others, one with the lines alone, and --option."""
    ns = network(t)
    whole, alone = t.dir / "collectd.conf", t.dir / "lines"
    whole.write_text('Interval 10\nLoadPlugin netmon_link\n<Plugin csv>\n  DataDir "/nosuch"\n'
                     '  Interface "b0"\n</Plugin>\n# a comment\n<Plugin "netmon_link">\n'
                     '  Interface "a0" # and why\n  ReportSelf false\n</Plugin>\n'
                     '<Plugin netmon_rule>\n  ReportSelf false\n</Plugin>\n')
    alone.write_text('Interface "a0"\nReportSelf false\n')
    shown = [values(t.netmon("metrics", "link", *words, ns=ns).stdout)
             for words in (["-c", whole], [f"--config={alone}"],
                           ["--option", "Interface a0", "-o", "ReportSelf false"])]
    same({id.split("/")[0] for id in shown[0]}, {"a0"}, "instances")
    same(shown[1], shown[0], "with the lines alone")
    same(shown[2], shown[0], "with --option")
    both = t.netmon("metrics", "link", "rule", "-c", whole, ns=ns).stdout
    same({line.split("/")[0] for line in both.splitlines()},
         {"netmon_link-a0", "netmon_rule-ipv4", "netmon_rule-ipv6", "netmon_rule-ipmr",
          "netmon_rule-ip6mr"} & {line.split("/")[0] for line in both.splitlines()}
         | {"netmon_link-a0", "netmon_rule-ipv4"}, "two plugins")


def test_mistakes_in_it_are_named(t):
    path = t.dir / "netmon.conf"
    path.write_text("<Plugin netmon_link>\n\n  Verbose perhaps\n</Plugin>\n")
    done = t.netmon("metrics", "link", "-c", path, ok=(2,))
    same((done.stdout, done.stderr.count("\n")), ("", 1), "output")
    assert f"{path}:3" in done.stderr and "perhaps" in done.stderr, done.stderr
    done = t.netmon("metrics", "link", "-c", "/nosuch/file", ok=(2,))
    assert "/nosuch/file" in done.stderr, done.stderr
    done = t.netmon("metrics", "link", "nosuch", ok=(2,))
    assert "nosuch" in done.stderr, done.stderr
    done = t.netmon("metrics", ok=(2,))
    assert "plugin" in done.stderr, done.stderr


def test_the_shipped_configuration_is_understood(t):
    for plugin in ("link", "forward", "route", "neighbor", "mdb", "rule"):
        t.netmon("metrics", plugin, "-c", ROOT / "conf/netmon.conf", ns=t.namespace())


def test_json_has_the_same_values(t):
    ns = network(t)
    text = steady(values(t.netmon("metrics", "link", ns=ns).stdout))
    for words in (["--json"], ["--ndjson"]):
        out = t.netmon("metrics", "link", *words, ns=ns).stdout
        entries = json.loads(out) if words == ["--json"] else map(json.loads, out.splitlines())
        shown = {}
        for e in entries:
            same(e["plugin"], "netmon_link", "plugin")
            id = f'{e["plugin_instance"]}/{e["type"]}'
            shown[id + (f'-{e["type_instance"]}' if e["type_instance"] else "")] = e["values"]
        same(steady(shown), text, f"values with {words}")


LABEL = r'[a-z_]+="(?:[^"\\\n]|\\["\\n])*"'


def test_openmetrics(t):
    """Families together and each announced once, counters end in _total, # EOF is the end."""
    ns = network(t)
    ns.run("ip", "link", "add", 'od"d\\', "type", "ifb")
    text = t.netmon("metrics", "link", "rule", "--openmetrics", ns=ns).stdout
    lines = text.splitlines()
    same(lines[-1], "# EOF", "the last line")
    families, seen = {}, set()
    for line in lines[:-1]:
        if match := re.fullmatch(r"# TYPE (\w+) (counter|gauge)", line):
            name, kind = match.groups()
            assert name not in families, f"{name} is announced twice"
            families[name] = kind
            continue
        match = re.fullmatch(rf"(\w+)\{{({LABEL}(?:,{LABEL})*)\}} (-?[0-9.e+-]+|NaN)", line)
        assert match, f"not a sample: {line}"
        same(match[1], name + ("_total" if kind == "counter" else ""), "name of a sample")
        assert (match[1], match[2]) not in seen, f"twice: {line}"
        seen.add((match[1], match[2]))
    same(families["netmon_link_if_octets_rx"], "counter", "kind of octets")
    rx = ns.link("b0")["stats64"]["rx"]["bytes"]
    assert f'netmon_link_if_octets_rx_total{{instance="b0"}} {rx}' in lines, "octets of b0"
    assert r'instance="od\"d\\"' in text, "the odd name"
