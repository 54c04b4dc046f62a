# SPDX-License-Identifier: MIT
"""netmon diff and netmon watch: what changed, from what to what, and nothing that did not."""

import json
import os
import random
import select
import signal
import subprocess
import time

from harness import ROOT, command, same


def network(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.batch(["link add br0 type bridge mcast_snooping 0", "link set br0 up",
              "addr add 192.0.2.1/24 dev a0", "route add 198.51.100.0/24 via 192.0.2.2",
              "rule add from 192.0.2.0/24 lookup 100 priority 100",
              "neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev a0 nud permanent"])
    ns.settled("a0", "b0")
    return ns


def snapshot(t, ns, name, *words):
    path = t.directory("snapshot") / "json"
    path.write_text(t.netmon(name, *words, ns=ns).stdout)
    return path


def test_nothing_differs_from_itself(t):
    ns = network(t)
    for noun in ("link", "address", "route", "neighbor", "mdb", "rule", "forward", "all"):
        path = snapshot(t, ns, noun)
        ns.frames("a0", count=5, size=100)  # counters are no difference
        for words in ([path], [path, path], [path, snapshot(t, ns, noun, "--pretty")],
                      [path, snapshot(t, ns, noun, "--ndjson")]):
            done = t.netmon("diff", *words, ns=ns)
            same(done.stdout, "", f"diff of {noun} {words}")


def test_what_differs_is_said_by_identity(t):
    ns = network(t)
    links, routes, rules = (snapshot(t, ns, noun) for noun in ("link", "route", "rule"))
    ns.batch(["link set b0 mtu 1400", "link set b0 master br0", "link add i0 type ifb",
              "route del 198.51.100.0/24", "route add 203.0.113.0/24 via 192.0.2.2",
              "rule add from 192.0.2.0/24 lookup 101 priority 50"])
    done = t.netmon("diff", links, ns=ns, ok=(1,))
    lines = done.stdout.splitlines()
    changed = next(line for line in lines if line.startswith("~ links b0"))
    assert "mtu 1500 -> 1400" in changed and "master_name (none) -> br0" in changed, changed
    assert any(line.startswith("+ links i0") for line in lines), lines
    assert not any("links a0" in line and "mtu" in line for line in lines), lines
    lines = t.netmon("diff", routes, ns=ns, ok=(1,)).stdout.splitlines()
    same([(line.split()[0], "198.51.100.0" in line, "203.0.113.0" in line) for line in lines],
         [("-", True, False), ("+", False, True)], "routes")
    lines = t.netmon("diff", rules, ns=ns, ok=(1,)).stdout.splitlines()
    same([line[0] for line in lines], ["+"], f"rules: {lines}")


def test_differences_as_json(t):
    ns = network(t)
    path = snapshot(t, ns, "link")
    ns.ip("link set a0 alias 'up \"link\"'")
    for words in (["--json"], ["--ndjson"]):
        out = t.netmon("diff", *words, path, ns=ns, ok=(1,)).stdout
        entry, = json.loads(out) if words == ["--json"] else map(json.loads, out.splitlines())
        same((entry["change"], entry["what"], entry["name"], entry["attributes"]),
             ("changed", "links", "a0", {"ifalias": {"old": None, "new": 'up "link"'}}), "entry")


def test_devices_are_the_same_whatever_became_of_them(t):
    """Clocks by their id, tunnels by their interface."""
    for noun, attribute in (("dpll", "lock_status"), ("wireguard", "listen_port")):
        pcap = ROOT / f"tests/golden/{noun}/snapshot.pcap"
        document = json.loads(t.netmon(noun, "--replay", pcap).stdout)
        (t.dir / "a").write_text(json.dumps(document))
        document["devices"][0][attribute] = 7
        (t.dir / "b").write_text(json.dumps(document))
        said = t.netmon("diff", t.dir / "a", t.dir / "b", ok=(1,)).stdout.splitlines()
        same(len(said), 1, f"changes of {noun}: {said}")
        assert said[0].startswith("~ devices") and f"{attribute} " in said[0], said


def test_what_is_no_snapshot(t):
    ns = t.namespace()
    whole = snapshot(t, ns, "link")
    cut, text, other = (t.dir / name for name in ("cut", "text", "other"))
    cut.write_text(whole.read_text()[:-40])
    text.write_text("no JSON\n")
    other.write_text('{"a": [1, {"b": [[{}]]}], "c": [[[{"x": {}}]]]}')
    for words in ([cut], [text], ["/nosuch"], [whole, cut], ["/dev/null"], [], [other]):
        done = t.netmon("diff", *words, ns=ns, ok=None)
        same((done.returncode, done.stdout, done.stderr.count("\n")), (2, "", 1),
             f"diff {words}: {done.stderr!r}")


def test_damaged_snapshots_do_no_harm(t):
    """Whatever stands in the file: compared, or refused in one line; no report of a sanitizer."""
    ns = t.namespace()
    whole = bytearray(snapshot(t, ns, "link", "--no-unknown-attrs").read_bytes())
    random.seed(8259)
    damaged = t.dir / "damaged"
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(random.randrange(1, 6)):
            at = random.randrange(len(data))
            data[at:at + random.randrange(3)] = random.choice(
                [b"[", b"]", b"{", b"}", b'"', b",", b":", b"\\u0000", b"\xff", b"1e999", b""])
        damaged.write_bytes(data)
        done = t.netmon("diff", damaged, damaged, ns=ns, ok=None)
        assert done.returncode in (0, 2) and done.stderr.count("\n") <= 1, \
            f"exit {done.returncode}: {done.stderr!r}"


class Watch:
    """A running `netmon watch`, read line by line."""

    def __init__(self, t, ns, *words):
        self.process = subprocess.Popen(
            [*(["ip", "netns", "exec", ns.name] if ns else []), *t.build.outer_prefix(), t.build.netmon, "watch",
             *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=t.build.environment(t.directory("watch")))
        t.cleanup(self.process.kill)
        self.lines, self.rest = [], b""

    def ready(self, ns):
        """It listens when a change that is made again and again is told."""
        mtu = 1300
        while not self.see("lo", 0.2):
            mtu += 1
            command("ip", *(["-n", ns.name] if ns else []), "link", "set", "lo", "mtu", mtu)
        while self.see("lo", 0.2):
            pass
        return self

    def see(self, word, timeout=10):
        """The next line with a word; what was seen before it is kept."""
        deadline = time.monotonic() + timeout
        while True:
            line, newline, rest = self.rest.partition(b"\n")
            if newline:
                self.rest = rest
                self.lines.append(line.decode())
                if word in self.lines[-1]:
                    return self.lines[-1]
                continue
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                return None
            more = os.read(self.process.stdout.fileno(), 65536)
            if not more:
                return None
            self.rest += more

    def end(self):
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=10)
        same((self.process.returncode, err), (0, b""), "end of netmon watch")
        return out


def unbuffered(line):
    assert line, "nothing was told"
    return line.partition(" ")[2]


def test_changes_are_told_as_they_happen(t):
    ns = network(t)
    watch = Watch(t, ns, "link", "route", "neighbor", "rule")
    os.set_blocking(watch.process.stdout.fileno(), True)
    watch.ready(ns)
    for change, word, expected in (
        ("link set b0 mtu 1400", "b0", "~ links b0: mtu 1500 -> 1400"),
        ("link set b0 master br0", "~ links b0", "master_name (none) -> br0"),
        ("addr add 10.0.0.1/24 dev b0", "+ addresses", "10.0.0.1"),
        ("route add 203.0.113.0/24 via 192.0.2.2", "203.0.113", "+ ipv4 dst 203.0.113.0 dst_len 24"),
        ("route replace 203.0.113.0/24 via 192.0.2.3", "203.0.113",
         "gateway 192.0.2.2 -> 192.0.2.3"),
        ("neigh change 192.0.2.2 lladdr 02:00:00:00:00:77 dev a0", "192.0.2.2",
         "lladdr 02:00:00:00:00:02 -> 02:00:00:00:00:77"),
        ("neigh del 192.0.2.2 dev a0", "- neigh", "192.0.2.2"),
        ("rule del from 192.0.2.0/24 lookup 100 priority 100", "- ipv4", "priority 100"),
        ("link del b0", "- links b0", "- links b0"),
    ):
        ns.ip(change)
        line = unbuffered(watch.see(word))
        assert expected in line, f"{change}: {line!r} lacks {expected!r}"
    watch.end()


def test_switches_and_groups_are_told_one_by_one(t):
    """An event has one switch of an interface, or one group of a bridge: the rest is as it was."""
    ns = network(t)
    ns.ip("link set b0 master br0")
    ns.batch(["link set br0 type bridge mcast_snooping 1", "link set a0 up", "link set b0 up"])
    ns.settled("a0", "b0", "br0")
    for group in ("239.1.1.1", "239.1.1.2"):
        ns.run("bridge", "mdb", "add", "dev", "br0", "port", "b0", "grp", group, "permanent")
    before = snapshot(t, ns, "mdb")
    watch = Watch(t, ns, "forward", "mdb", "link").ready(ns)
    ns.sysctl("ipv4/conf/a0/forwarding", 1)
    same(unbuffered(watch.see("a0")), "~ netconf a0 family inet: forwarding 0 -> 1", "forwarding")
    ns.sysctl("ipv4/conf/a0/rp_filter", 1)
    same(unbuffered(watch.see("a0")), "~ netconf a0 family inet: rp_filter 0 -> 1", "rp_filter")
    ns.run("bridge", "mdb", "del", "dev", "br0", "port", "b0", "grp", "239.1.1.1")
    same(unbuffered(watch.see("239")), "- mdb b0 addr 239.1.1.1 bridge br0 vid 0 state permanent",
         "a group that goes")
    ns.run("bridge", "mdb", "add", "dev", "br0", "port", "b0", "grp", "239.1.1.3", "permanent")
    assert unbuffered(watch.see("239")).startswith("+ mdb b0 addr 239.1.1.3"), watch.lines[-1]
    ns.ip("link add i0 type ifb")  # no bridge, and no change of what mdb shows
    assert "links i0" in watch.see("+ links"), watch.lines[-1]
    watch.end()
    assert not [line for line in watch.lines if " bridges i0" in line or "ipv6" in line], watch.lines
    lines = t.netmon("diff", before, ns=ns, ok=(1,)).stdout.splitlines()
    same([" ".join(line.split()[:5]) for line in lines if line[2:5] == "mdb"],
         ["- mdb b0 addr 239.1.1.1", "+ mdb b0 addr 239.1.1.3"], "difference")


def test_counters_are_a_difference_if_wanted(t):
    ns = network(t)
    paths = [snapshot(t, ns, noun) for noun in ("link", "forward")]
    ns.frames("a0", count=5, size=100)
    for path, says in zip(paths, ("~ links a0: stats", "~ counters b0: link_64")):
        same(t.netmon("diff", path, ns=ns).stdout, "", "difference without counters")
        out = t.netmon("diff", "--counters", path, ns=ns, ok=(1,)).stdout
        assert any(line.startswith(says) for line in out.splitlines()), out


def test_changes_as_json_and_counted(t):
    ns = network(t)
    watch = Watch(t, ns, "link", "--ndjson", "--since-start").ready(ns)
    for mtu in (1400, 1350):
        ns.ip(f"link set a0 mtu {mtu}")
        entry = json.loads(watch.see('"a0"'))
    same((entry["change"], entry["what"], entry["attributes"]["mtu"], entry["changes"]),
         ("changed", "links", {"old": 1400, "new": 1350}, 2), "entry")
    watch.end()


def test_lost_events_are_repaired(t):
    """The watcher is stopped until its socket has overflowed; then the difference is told."""
    ns = network(t)
    watch = Watch(t, ns, "neighbor")
    ns.batch([f"neigh add 10.1.0.{i} lladdr 02:00:00:00:00:01 dev a0 nud permanent"
              for i in range(1, 3)])
    deadline = time.monotonic() + 10
    ns.ip("neigh add 10.1.9.9 lladdr 02:00:00:00:00:01 dev a0 nud permanent")
    while not watch.see("10.1.9.9", 0.2) and time.monotonic() < deadline:
        ns.ip("neigh del 10.1.9.9 dev a0")
        ns.ip("neigh add 10.1.9.9 lladdr 02:00:00:00:00:01 dev a0 nud permanent")
    watch.process.send_signal(signal.SIGSTOP)
    ns.batch([f"neigh add 10.2.{i >> 8}.{i & 255} lladdr 02:00:00:00:00:01 dev a0 nud permanent"
              for i in range(24000)])
    ns.batch(["neigh del 10.1.9.9 dev a0"])
    watch.process.send_signal(signal.SIGCONT)
    assert watch.see("events were lost", 40), watch.lines[-3:]  # TSan: 2,000 a second
    assert watch.see("- neighbors a0 dst 10.1.9.9", 40), watch.lines[-3:]
    added = {line.split(" dst ")[1].split()[0] for line in watch.lines if "+ neigh" in line}
    missing = [i for i in range(24000) if f"10.2.{i >> 8}.{i & 255}" not in added]
    assert not missing, f"{len(missing)} of 24000 were never told"
    watch.end()
