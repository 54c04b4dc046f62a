# SPDX-License-Identifier: MIT
"""netmon link, route ...: against `ip -j` and `bridge -j`, their schema, and what a person sees."""

import contextlib
import fcntl
import ipaddress
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import termios
import threading
import time

from harness import ROOT, command, plain_build_only, same

NOUNS = ["link", "address", "route", "neighbor", "mdb", "rule", "forward"]
TOOLKIT = {"netmon-device": "link", "netmon-route": "route", "netmon-neighbor": "neighbor",
           "netmon-mdb": "mdb", "netmon-rule": "rule"}

OPTIONS = {  # what each of them takes besides
    "netmon-device": ["--extended", "--addresses", "--extended --addresses", "--json"],
    "netmon-route": ["--ipv4", "--ipv6", "--ipv4 --ipv6", "--table main", "--table 100 --ipv4"],
    "netmon-neighbor": ["--arp", "--ndp", "--bridge", "--arp --ndp --bridge", "--interface a0",
                        "--bridge --interface b1"],
    "netmon-mdb": ["--interface br0", "--interface a0"],
    "netmon-rule": ["--ipv4", "--ipv6", "--table 100"],
}


def network(t):
    """Something of everything."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.veth("a1", "b1")
    ns.batch(["link add br0 type bridge mcast_snooping 1 mcast_querier 1",
              "link set b1 master br0", "link set br0 up", "link add m0 link a0 type macvlan",
              "link add vx0 type vxlan id 3 dstport 4789 dev a0",
              "link set a0 alias 'up \"link\"'", "addr add 192.0.2.1/24 dev a0",
              "route add 198.51.100.0/24 via 192.0.2.2 metric 5",
              "route add blackhole 203.0.113.0/24 table 100 proto static",
              "route add 198.18.0.0/15 nexthop via 192.0.2.3 dev a0 nexthop via 192.0.2.4 dev a0",
              "rule add from 192.0.2.0/24 lookup 100 priority 100",
              "neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev a0 nud permanent",
              "neigh add 192.0.2.3 lladdr 02:00:00:00:00:03 dev a0 nud stale"])
    ns.ipv6("a0")
    ns.batch(["addr add 2001:db8::1/64 dev a0 nodad",
              "route add 2001:db8:1::/48 via 2001:db8::2",
              "neigh add 2001:db8::2 lladdr 02:00:00:00:00:22 dev a0 nud permanent"])
    ns.run("bridge", "fdb", "add", "02:00:00:00:00:99", "dev", "b1", "master", "static")
    ns.run("bridge", "mdb", "add", "dev", "br0", "port", "b1", "grp", "239.1.1.1", "permanent")
    return ns


def shown(t, *words, ns=None, **kw):
    return json.loads(t.netmon(*words, ns=ns, **kw).stdout)


def schema_of(t, noun):
    return json.loads((t.build.dir / "schema" / f"netmon-{noun}.json").read_text())


def validate(t, noun, document):
    import jsonschema

    schema = schema_of(t, noun)
    jsonschema.Draft202012Validator.check_schema(schema)
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(document))
    assert not errors, f"{noun}: {errors[0].json_path}: {errors[0].message[:300]}"


def test_every_output_obeys_its_schema(t):
    ns = network(t)
    for noun in NOUNS:
        validate(t, noun, shown(t, noun, ns=ns))
        validate(t, noun, shown(t, noun, "--no-unknown-attrs", "--pretty", ns=ns))
    for pcap in sorted((ROOT / "tests/golden").glob("*/*.pcap")):
        validate(t, pcap.parent.name, shown(t, pcap.parent.name, "--replay", pcap))


def of_lines(text):
    """The document that --ndjson has told line by line."""
    document = {}
    for line in map(json.loads, text.splitlines()):
        what = line.pop("what")
        if what in ("summary", "metadata"):
            document[what] = line
        else:
            document.setdefault(what, []).append(line)
    return document


def test_lines_and_everything_obey_their_schema_too(t):
    ns = network(t)
    for noun in NOUNS:
        validate(t, noun, of_lines(t.netmon(noun, "--ndjson", ns=ns).stdout))
    validate(t, "all", shown(t, "all", ns=ns, ok=(0, 4)))
    lines = t.netmon("all", "--ndjson", ns=ns, ok=(0, 4)).stdout.splitlines()
    parts = {}
    for line in lines:
        of = json.loads(line)
        command = of.pop("command", None) if of["what"] != "metadata" else None
        parts.setdefault(command, []).append(json.dumps(of))
    meta = of_lines("\n".join(parts.pop(None)))
    validate(t, "all", {**{noun: of_lines("\n".join(part)) for noun, part in parts.items()}, **meta})
    validate(t, "link", shown(t, "link", "--wireguard", "--extended", ns=ns, ok=(0, 4)))
    for words in (["--table", "main"], ["-4"], ["-6"]):
        validate(t, "route", shown(t, "route", *words, ns=ns))
    for pcap in sorted((ROOT / "tests/golden").glob("*/*.pcap")):
        validate(t, pcap.parent.name,
                 of_lines(t.netmon(pcap.parent.name, "--replay", pcap, "--ndjson").stdout))


def test_a_schema_refuses_what_is_wrong(t):
    import jsonschema

    document = shown(t, "rule", ns=network(t))
    validator = jsonschema.Draft202012Validator(schema_of(t, "rule"))
    for change in (lambda d: d["ipv4"][0].update(table="main"), lambda d: d.pop("metadata"),
                   lambda d: d["ipv4"][0].update(nosuch=1), lambda d: d.update(nosuch=[])):
        copy = json.loads(json.dumps(document))
        change(copy)
        assert list(validator.iter_errors(copy)), "a wrong document passes"


def test_metadata_tell_when_where_and_whether_all_is_there(t):
    ns = network(t)
    meta = shown(t, "route", ns=ns)["metadata"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", meta["timestamp"]), meta
    same({k: meta[k] for k in ("hostname", "kernel", "namespace", "complete")},
         {"hostname": os.uname().nodename, "kernel": os.uname().release, "namespace": None,
          "complete": True}, "metadata")
    assert 0 < meta["collection_time_ms"] < 10000, meta
    meta = shown(t, "route", "--namespace", ns.name)["metadata"]
    same(meta["namespace"], ns.name, "namespace")


def test_what_changed_while_it_was_read_is_said(t):
    """Interfaces come and go all the time: exit 3 and why, or a document that is whole."""
    ns = t.namespace()
    ns.batch([f"link add l{i} type ifb" for i in range(300)])
    churn = subprocess.Popen(["ip", "-n", ns.name, "-batch", "-"], stdin=subprocess.PIPE, text=True)
    t.cleanup(churn.kill)
    over = threading.Event()

    def change():
        with contextlib.suppress(BrokenPipeError):
            while not over.is_set():
                churn.stdin.write("link add x type ifb\nlink del x\n")
            churn.stdin.close()

    thread = threading.Thread(target=change)
    thread.start()
    seen = set()
    deadline = time.monotonic() + 30
    try:
        while 3 not in seen and time.monotonic() < deadline:
            done = t.netmon("link", ns=ns, ok=(0, 3))
            seen.add(done.returncode)
            document = json.loads(done.stdout)
            meta = document["metadata"]
            same((meta["complete"], "reason" in meta), (not done.returncode, bool(done.returncode)),
                 "metadata")
            validate(t, "link", document)
            names = {link["ifname"] for link in document["links"]}
            missing = {f"l{i}" for i in range(300)} - names
            assert not missing or done.returncode == 3, f"whole, but without {missing}"
            for line in done.stderr.splitlines():
                assert re.fullmatch(r"netmon: link: \w+ changed while they were read; try again",
                                    line), done.stderr
            same("; ".join(line.removeprefix("netmon: ") for line in done.stderr.splitlines()),
                 meta.get("reason", ""), "reason")
    finally:
        over.set()
        churn.kill()
        thread.join()
    assert 3 in seen, "no dump was disturbed"


def test_the_summary_counts_what_is_there(t):
    ns = network(t)
    links = ns.json_links()
    summary = shown(t, "link", ns=ns)["summary"]["links"]
    kinds = [link.get("linkinfo", {}).get("info_kind") for link in links.values()]
    same(summary["total"], len(links), "interfaces")
    same(summary["up"], sum("LOWER_UP" in link["flags"] for link in links.values()), "up")
    same(summary["by_kind"], {k: kinds.count(k) for k in set(kinds) if k}, "kinds")

    routes = json.loads(ns.ip("-d -j -4 route show table all"))
    tables = [route.get("table", "main") for route in routes]
    summary = shown(t, "route", ns=ns)["summary"]["ipv4"]
    same((summary["total"], summary["by_table"]),
         (len(routes), {table: tables.count(table) for table in set(tables)}), "routes")

    states = [s.lower() for n in json.loads(ns.ip("-j neigh show nud all")) for s in n["state"]]
    summary = shown(t, "neighbor", "--arp", "--ndp", ns=ns)["summary"]["neighbors"]
    ours = {k: n for k, n in summary["by_state"].items() if k != "noarp"}  # the kernel's groups
    same(ours, {state: states.count(state) for state in set(states) - {"noarp"}}, "neighbours")
    summary = shown(t, "mdb", ns=ns)["summary"]["mdb"]
    same(summary["entries_by_port"], {"b1": 1}, "multicast entries")


def test_the_summary_of_tunnels_and_clocks(t):
    """Peers as they were when it was recorded: a session lasts for three minutes."""
    pcap = ROOT / "tests/golden/wireguard/snapshot.pcap"
    document = shown(t, "wireguard", "--replay", pcap)
    seconds, = struct.unpack_from("=I", pcap.read_bytes(), 24)
    shook = [p["last_handshake_time"]["tv_sec"] for d in document["devices"] for p in d["peers"]]
    states = ["never" if not s else "online" if seconds - s < 180 else "stale" for s in shook]
    assert len(set(states)) > 1, "the story went wrong"
    same(document["summary"]["devices"],
         {"total": 1, "peers": len(shook),
          "peers_by_state": {s: states.count(s) for s in set(states)}}, "peers")
    late = bytearray(pcap.read_bytes())  # the same, recorded an hour later
    at = 24
    while at < len(late):
        when, _, length = struct.unpack_from("=III", late, at)
        struct.pack_into("=I", late, at, when + 3600)
        at += 16 + length
    (t.dir / "late.pcap").write_bytes(late)
    same(shown(t, "wireguard", "--replay", t.dir / "late.pcap")["summary"]["devices"]
         ["peers_by_state"], {s.replace("online", "stale"): states.count(s) for s in set(states)},
         "peers an hour later")

    document = shown(t, "dpll", "--replay", ROOT / "tests/golden/dpll/snapshot.pcap")
    count = lambda values: {v: values.count(v) for v in set(values)}
    states = lambda of: count([p["state"] for pin in document["pins"] for p in pin.get(of, [])])
    same((document["summary"]["devices"]["by_lock_status"],
          document["summary"]["pins"]["by_state"], document["summary"]["pins"]["by_state_on_pin"]),
         (count([d["lock_status"] for d in document["devices"]]), states("parent_device"),
          states("parent_pin")), "clocks")


def destinations(routes):
    return sorted(r["dst"] + (f'/{r["dst_len"]}' if r["dst_len"] not in (32, 128) else "")
                  for r in routes if "dst" in r)


def of_ip(ns, words):
    return sorted(r["dst"] for r in json.loads(ns.ip(words)) if r["dst"] != "default")


def test_routes_by_family_and_table(t):
    ns = network(t)
    ns.ip("route add 198.51.100.0/24 via 192.0.2.2 table 77")
    for words, arrays, theirs in (
        (["--ipv4"], {"ipv4"}, "-j -4 route show table all"),
        (["--ipv6"], {"ipv6"}, "-j -6 route show table all"),
        (["--table", "main", "--ipv4"], {"ipv4"}, "-j -4 route show table main"),
        (["--table", "100", "--ipv4"], {"ipv4"}, "-j -4 route show table 100"),
        (["--table=local", "-4"], {"ipv4"}, "-j -4 route show table local"),
    ):
        document = shown(t, "route", *words, ns=ns)
        same(set(document) - {"summary", "metadata"}, arrays, f"arrays of {words}")
        same(destinations(r for a in arrays for r in document[a]), of_ip(ns, theirs),
             f"routes with {words}")


def test_a_table_without_routes_is_empty(t):
    ns = network(t)
    for words in (["--table", "12345"], ["--table", "main"], ["--table", "12345", "-6"]):
        done = t.netmon("route", *words, ns=ns)
        same(done.stderr, "", f"words about {words}")
        document = json.loads(done.stdout)
        validate(t, "route", document)
        ours = {r["table_name"] if "table_name" in r else r["table"]
                for r in document.get("ipv4", []) + document["ipv6"]}
        same((ours, document["metadata"]["complete"]), ({"main"} & set(words), True), f"{words}")


def test_neighbours_by_kind_and_interface(t):
    ns = network(t)
    ns.ip("addr add 10.9.0.1/24 dev a1")
    ns.ip("neigh add 10.9.0.2 lladdr 02:00:00:00:00:42 dev a1 nud permanent")
    for words, theirs in ((["--arp"], "-4 -j neigh show nud all"),
                          (["--ndp"], "-6 -j neigh show nud all"),
                          (["--arp", "--interface", "a1"], "-4 -j neigh show nud all dev a1"),
                          (["--arp", "--ndp"], "-j neigh show nud all")):
        document = shown(t, "neighbor", *words, ns=ns)
        hosts = lambda entries: sorted(n["dst"] for n in entries
                                       if not ipaddress.ip_address(n["dst"]).is_multicast)
        same(hosts(document["neighbors"]), hosts(json.loads(ns.ip(theirs))),
             f"neighbours with {words}")
    document = shown(t, "neighbor", "--bridge", "-i", "b1", ns=ns)
    theirs = json.loads(ns.run("bridge", "-j", "fdb", "show", "dev", "b1"))
    same(sorted(e["lladdr"] for e in document["fdb"]), sorted(e["mac"] for e in theirs),
         "forwarding entries of b1")
    same(list(document), ["fdb", "summary", "metadata"], "arrays")


def test_one_interface_and_its_addresses(t):
    ns = network(t)
    document = shown(t, "link", "--addresses", "--interface", "a0", ns=ns)
    same([link["ifname"] for link in document["links"]], ["a0"], "interfaces")
    same(sorted(a.get("local", a["address"]) for a in document["addresses"]),
         sorted(a["local"] for a in json.loads(ns.ip("-j addr show dev a0"))[0]["addr_info"]),
         "addresses")
    same(set(document), {"links", "addresses", "summary", "metadata"}, "arrays")
    document = shown(t, "link", "--interface", "b1", ns=ns)
    for array, key in (("links", "ifname"), ("ports", "ifname"), ("addresses", "index_name")):
        same({e[key] for e in document[array]} | {"b1"}, {"b1"}, f"{array} of b1")
    same(len(document["ports"]), 1, "ports named b1")
    document = shown(t, "mdb", "--interface", "br0", ns=ns)
    same([b["ifname"] for b in document["bridges"]], ["br0"], "bridges")
    same([p["ifname"] for p in document["ports"]], ["b1"], "ports")
    document = shown(t, "address", "--ipv6", ns=ns)
    same({a["family"] for a in document["addresses"]}, {"inet6"}, "families")


def test_the_toolkits_names(t):
    ns = network(t)
    for name, noun in TOOLKIT.items():
        path = t.dir / name
        path.symlink_to(t.build.netmon)
        run = [*t.build.outer_prefix(), path]
        here = json.loads(ns.run(*run, "--no-unknown-attrs"))
        validate(t, noun, here)
        assert noun in ns.run(*run, "--summary").splitlines()[0], f"{name} --summary"
        for option in OPTIONS[name]:
            options = option.split()
            validate(t, noun, json.loads(ns.run(*run, *options)))
            assert ns.run(*run, *options, "--summary").startswith(f"{noun}\n"), f"{name} {option}"
    device = [*t.build.outer_prefix(), t.dir / "netmon-device"]
    arrays = lambda *words: set(json.loads(ns.run(*device, *words))) - {"summary", "metadata"}
    same(arrays(), {"links"}, "netmon-device")
    same(arrays("--addresses"), {"links", "addresses"}, "netmon-device --addresses")
    same(arrays("--extended"), {"links", "linkmodes", "counters"}, "netmon-device --extended")


def test_counters_are_told_once(t):
    """What the interfaces tell of their counters is what the kernel tells of them alone."""
    ns = network(t)
    everything = {"links", "ports", "addresses", "linkmodes"}
    same(set(shown(t, "link", ns=ns)) - {"summary", "metadata"}, everything, "netmon link")
    document = shown(t, "link", "--extended", ns=ns)
    for link, alone in zip(document["links"], document["counters"], strict=True):
        same(set(alone["link_64"]) - set(link["stats64"]), set(), "counters of " + link["ifname"])
    document = shown(t, "link", "--record", t.dir / "all.pcap", ns=ns)
    same(set(document) - {"summary", "metadata"}, everything | {"counters"}, "--record")
    same(set(shown(t, "link", "--replay", t.dir / "all.pcap")) - {"summary", "metadata"},
         everything | {"counters"}, "--replay")


@plain_build_only
def test_what_is_installed(t):
    command("make", "-C", ROOT, "-s", f"B={t.build.dir}", "install", f"DESTDIR={t.dir}/root",
            env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")})
    bin = t.dir / "root/usr/bin"
    for name in TOOLKIT:
        json.loads(command(bin / name))
    for noun in NOUNS:
        json.loads((t.dir / f"root/usr/share/netmon/schema/netmon-{noun}.json").read_text())


@plain_build_only
def test_the_manual_has_every_option(t):
    text = command("man", "-l", t.build.dir / "netmon.8", ok=None,
                   env={**os.environ, "MANWIDTH": "80"}) if shutil.which("man") \
        else (t.build.dir / "netmon.8").read_text().replace("\\-", "-")
    for noun in [*NOUNS, "metrics", "watch", "diff", "top", "explain", "options"]:
        for option in re.findall(r"--[a-z0-9-]+", t.netmon("help", noun).stdout):
            assert option in text, f"netmon(8) lacks {option}"
    assert "@" not in (t.build.dir / "netmon.8").read_text(), "a placeholder is left"


def test_all_is_everything(t):
    ns = network(t)
    document = shown(t, "all", ns=ns, ok=(0, 4))
    assert {"link", "route", "neighbor", "mdb", "rule", "forward", "metadata"} <= set(document)
    same(len(document["link"]["links"]), len(ns.json_links()), "interfaces")
    lines = t.netmon("all", "--summary", ns=ns, ok=(0, 4)).stdout.split("\n\n")
    same([part.splitlines()[0] for part in lines],
         [noun for noun in document if isinstance(document[noun], dict) and noun != "metadata"],
         "parts of the table")


def test_wireguard_beside_the_interfaces(t):
    """Without the plugin that is said; with it, its privilege may be missing."""
    done = t.netmon("link", "--wireguard", ns=network(t), ok=(0, 2, 4))
    if done.returncode == 2:
        assert "wireguard" in done.stderr, done.stderr
    else:
        assert {"links", "wireguard"} <= set(json.loads(done.stdout)), done.stdout[:300]


def test_one_object_on_a_line(t):
    ns = network(t)
    lines = [json.loads(line) for line in t.netmon("rule", "--ndjson", ns=ns).stdout.splitlines()]
    same([line["what"] for line in lines[-2:]], ["summary", "metadata"], "the last lines")
    rules = json.loads(ns.ip("-j rule show"))
    same(sum(line["what"] == "ipv4" for line in lines), len(rules), "rules")


def test_an_object_of_several_messages_is_one(t):
    """WireGuard's interface with many peers, whatever the form."""
    pcap = ROOT / "tests/golden/wireguard/changes.pcap"
    replay = ("wireguard", "--replay", pcap)
    whole = shown(t, *replay)
    more = [d for d in whole["devices"] if len(d["peers"]) > 1]
    assert more, "no interface has several peers: the story went wrong"
    summary = whole["summary"]["devices"]
    same((summary["total"], summary["peers"]),
         (len(whole["devices"]), sum(len(d["peers"]) for d in whole["devices"])), "summary")
    same(shown(t, *replay, "--pretty"), whole, "indented")
    lines = [json.loads(line) for line in t.netmon(*replay, "--ndjson").stdout.splitlines()]
    same([{**line, "what": None} for line in lines if line["what"] == "devices"],
         [{"what": None, **d} for d in whole["devices"]], "lines")
    assert str(len(whole["devices"])) in t.netmon(*replay, "--summary").stdout
    same(t.netmon("diff", *[written(t, whole)] * 2).stdout, "", "difference from itself")


def written(t, document):
    path = t.dir / "snapshot"
    path.write_text(json.dumps(document))
    return path


def test_keys_are_not_in_a_schema(t):
    text = json.dumps(schema_of(t, "wireguard"))
    assert "public_key" in text and "private" not in text and "preshared" not in text, text


def terminal(t, ns, *words, columns=80, env=None):
    """What a command writes to a terminal of so many columns."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    run = subprocess.Popen(["ip", "netns", "exec", ns.name, *t.build.outer_prefix(), t.build.netmon,
                            *words], stdin=slave, stdout=slave, stderr=slave,
                           env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})})
    os.close(slave)
    text = b""
    while True:
        try:
            more = os.read(master, 65536)
        except OSError:  # EIO: the other side was closed
            break
        if not more:
            break
        text += more
    run.wait()
    os.close(master)
    return text.decode().replace("\r\n", "\n")


def test_tables_for_people(t):
    ns = network(t)
    ns.ip("link set a0 name a-long-name-123")
    for noun in NOUNS:
        for columns in (80, 60):
            text = terminal(t, ns, noun, "--summary", columns=columns)
            plain = re.sub(r"\033\[\d+m", "", text)
            long = [line for line in plain.splitlines() if len(line) > columns]
            assert not long, f"{noun}: {long[0]!r} has more than {columns} columns"
            assert "\033[" in text, f"{noun}: no colour on a terminal"
    table = t.netmon("link", "--summary", ns=ns).stdout
    assert "\033" not in table, "colours in a file"
    row = next(line for line in table.splitlines() if "a-long-name-123" in line)
    assert re.search(r"\bup\b.*\b1500\b", row), row
    assert "\033" not in terminal(t, ns, "link", "-s", env={"NO_COLOR": "1"}), "NO_COLOR"
    assert "\033[" in t.netmon("link", "-s", "--color", ns=ns).stdout, "--color"
    assert "\033" not in terminal(t, ns, "link", "-s", "--color=never"), "--color=never"


def test_json_for_people_is_indented(t):
    ns = network(t)
    text = terminal(t, ns, "rule")
    same(json.loads(text)["ipv4"], shown(t, "rule", ns=ns)["ipv4"], "rules")
    assert '\n      "family": "inet",\n' in text, text[:200]


def test_a_peer_elsewhere_has_no_name_of_ours(t):
    """Its index is another namespace's, where another interface has it."""
    ns, other = t.namespace(), t.namespace()
    ns.veth("a0", "b0")
    ns.veth("c0", "d0", other)
    ours = {link["ifname"]: link for link in shown(t, "link", ns=ns)["links"]}
    same(ours["a0"].get("link_name"), "b0", "the peer here")
    same((ours["c0"].get("link_name"), "link_netnsid" in ours["c0"]), (None, True), "peer elsewhere")

    # Messages of other families do not tell of which namespace the number is.
    ns.batch(["link add br0 type bridge", "link set c0 master br0"])
    ns.ipv6("c0")
    for noun, array in (("link", "ports"), ("mdb", "ports"), ("forward", "ipv6")):
        entry = next(e for e in shown(t, noun, ns=ns)[array] if e["ifname"] == "c0")
        same((entry["link"], entry.get("link_name")), (ours["c0"]["link"], None), f"{noun} {array}")


def test_names_cannot_command_a_terminal(t):
    ns = t.namespace()
    ns.run("ip", "link", "add", b"\033[31mred", "type", "ifb")
    table = t.netmon("link", "--summary", ns=ns).stdout
    assert "\033" not in table and "?[31mred" in table, table


def test_a_pipe_that_closes_is_no_error(t):
    ns = network(t)
    ns.batch([f"route add 172.16.{i >> 8}.{i & 255} dev a0" for i in range(2000)])
    for words in ("route", "route --ndjson", "route --pretty", "metrics link --openmetrics"):
        done = subprocess.run(
            ["ip", "netns", "exec", ns.name, "bash", "-c", f"{t.build.netmon} {words} | head -c 99; "
             "echo; echo ${PIPESTATUS[0]}"], capture_output=True, text=True)
        same((done.stdout.splitlines()[-1], done.stderr), ("0", ""), f"netmon {words} | head")


def test_what_people_mistype(t):
    ns = network(t)
    for words, says in ((["rout"], "\"route\""), (["neihgbor"], "\"neighbor\""),
                        (["arp"], "`netmon --help`"),
                        (["--summary", "link"], "--summary: a command comes first"), (["options"], "options: "),
                        (["route", "--ipv"], "--ipv4"), (["route", "--sumary"], "--summary"),
                        (["route", "--arp"], "route takes no --arp"),
                        (["route", "--table"], "TABLE"), (["route", "--table", "nosuch"], "nosuch"),
                        (["link", "a0"], "a0"), (["link", "--color=red"], "red"),
                        (["link", "--summary=1"], "takes no value"), (["all", "--replay", "x"], "all"),
                        (["schema", "nosuch"], "nosuch"), (["help", "nosuch"], "nosuch")):
        done = t.netmon(*words, ns=ns, ok=None)
        same((done.returncode, done.stdout, done.stderr.count("\n")), (2, "", 1),
             f"netmon {words}: {done.stderr!r}")
        assert says in done.stderr, f"netmon {words}: {done.stderr!r}"
    done = t.netmon("link", "--interface", "eth99", ns=ns, ok=None)
    same((done.returncode, done.stdout), (1, ""), "no such interface")
    assert "eth99" in done.stderr


def test_every_command_helps(t):
    top = t.netmon("--help").stdout
    for name in NOUNS + ["all", "metrics", "options", "schema", "help"]:
        assert re.search(rf"^  {name}\b", top, re.M), f"--help lacks {name}"
        text = t.netmon(name, "--help").stdout
        same(text, t.netmon("help", name).stdout, f"help of {name}")
        assert f"netmon {name}" in text and "--help" in text, text
        long = [line for line in (top + text).splitlines() if len(line) > 80 and "Plugins" not in line]
        assert not long, long


def test_nothing_needs_privilege_but_wireguard(t):
    ns = network(t)
    for noun in NOUNS:
        done = ns.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                      "--bounding-set=-all", *t.build.outer_prefix(), t.build.netmon, noun)
        same(json.loads(done)["metadata"]["complete"], True, f"{noun} without privilege")
