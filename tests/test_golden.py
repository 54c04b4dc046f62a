# SPDX-License-Identifier: MIT
"""Recorded bytes in, the committed JSON and values out; and damaged bytes in, no harm done."""

import json

from harness import ROOT, alone, command, plain_build_only, same, time_limit

GOLDEN = ROOT / "tests/golden"


def recordings():
    return sorted(GOLDEN.glob("*/*.pcap"))


def options(pcap):
    lines = (pcap.parent / "options").read_text().splitlines()
    return [word for line in lines for word in ("--option", line)]


def known(golden, got):
    """What of the output the golden has too: newer kernel headers give names to more attributes,
    and show under a name what Debian 12's show under a number."""
    if isinstance(golden, dict) and isinstance(got, dict):
        return {k: known(v, got[k]) for k, v in golden.items() if k in got and not k.isdigit()}
    if isinstance(golden, list) and isinstance(got, list) and len(golden) == len(got):
        return [known(a, b) for a, b in zip(golden, got)]
    return got


def test_json_of_recordings(t):
    for pcap in recordings():
        golden = json.loads(pcap.with_suffix(".json").read_text())
        got = json.loads(t.netmon(pcap.parent.name, "--replay", pcap, "--no-unknown-attrs").stdout)
        same(known(golden, got), known(golden, golden), f"JSON of {pcap.name}")


def test_values_of_recordings(t):
    for pcap in recordings():
        golden = pcap.with_suffix(".values").read_text()
        got = t.netmon("metrics", pcap.parent.name, "--replay", pcap, *options(pcap)).stdout
        # The order of interfaces within a reading means nothing.
        for a, b in zip(golden.split("# reading"), got.split("# reading"), strict=True):
            same(sorted(b.splitlines()), sorted(a.splitlines()), f"values of {pcap.name}")


def test_recordings_are_pcap_files_of_netlink(t):
    for pcap in recordings():
        header = pcap.read_bytes()[:24]
        same(int.from_bytes(header[:4], "little"), 0xA1B23C4D, "magic number (nanoseconds)")
        same(int.from_bytes(header[20:24], "little"), 253, "link type (LINKTYPE_NETLINK)")


@alone
@time_limit(300)
def test_mutations_of_recordings_do_no_harm(t):
    mutations = 1000 if "address" in t.build.sanitizer else 100
    where = t.directory("fuzz")
    t.note(command(*t.build.outer_prefix(), t.build.dir / "tests/replay", mutations, *recordings(),
                   env=t.build.environment(where)))
    assert not t.build.reports(where), t.build.reports(where)[:4000]


@plain_build_only
def test_every_option_is_documented(t):
    """The configuration example and the manual name every option with its default."""
    for plugin in sorted(p.stem.removeprefix("netmon_") for p in ROOT.glob("plugins/netmon_*.c")):
        example = (ROOT / "conf/netmon.conf").read_text()
        manual = (t.build.dir / f"collectd-netmon_{plugin}.5").read_text()
        for line in t.netmon("options", plugin).stdout.splitlines():
            if line.startswith(" "):
                continue
            key = line.split()[0]
            assert f"#\t{key} " in example, f"conf/netmon.conf does not show {key}"
            assert f".BR {key} " in manual, f"the manual does not explain {key}"
