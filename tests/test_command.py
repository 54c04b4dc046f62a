# SPDX-License-Identifier: MIT
"""`netmon link` and `netmon metrics link`: the same interfaces for a person and for the tests."""

import json
import struct
import subprocess

from harness import same

# The members of struct rtnl_link_stats64, in their order (linux/if_link.h).
STATS64 = """rx_packets tx_packets rx_bytes tx_bytes rx_errors tx_errors rx_dropped tx_dropped
    multicast collisions rx_length_errors rx_over_errors rx_crc_errors rx_frame_errors
    rx_fifo_errors rx_missed_errors tx_aborted_errors tx_carrier_errors tx_fifo_errors
    tx_heartbeat_errors tx_window_errors rx_compressed tx_compressed rx_nohandler
    rx_otherhost_dropped""".split()

# Where each of them must come out with `Verbose true`.
METRICS = {
    "if_octets": "rx_bytes:tx_bytes", "if_packets": "rx_packets:tx_packets",
    "if_errors": "rx_errors:tx_errors", "if_dropped": "rx_dropped:tx_dropped",
    "if_multicast": "multicast", "if_collisions": "collisions",
    "if_rx_errors-length": "rx_length_errors", "if_rx_errors-over": "rx_over_errors",
    "if_rx_errors-crc": "rx_crc_errors", "if_rx_errors-frame": "rx_frame_errors",
    "if_rx_errors-fifo": "rx_fifo_errors", "if_rx_errors-missed": "rx_missed_errors",
    "if_tx_errors-aborted": "tx_aborted_errors", "if_tx_errors-carrier": "tx_carrier_errors",
    "if_tx_errors-fifo": "tx_fifo_errors", "if_tx_errors-heartbeat": "tx_heartbeat_errors",
    "if_tx_errors-window": "tx_window_errors", "if_rx_packets-compressed": "rx_compressed",
    "if_tx_packets-compressed": "tx_compressed", "if_rx_nohandler": "rx_nohandler",
    "if_rx_dropped-otherhost": "rx_otherhost_dropped",
}


def small_network(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.batch(["link add br0 type bridge mcast_snooping 0", "link set b0 master br0",
              "link set br0 up", "link set a0 alias 'up \"link\"'", "addr add 192.0.2.1/24 dev a0",
              "link property add dev a0 altname uplink0"])
    ns.frames("a0", count=10, size=100)
    return ns


def links(t, *args, ns=None):
    return json.loads(t.netmon("link", *args, ns=ns).stdout)


def metrics(t, *args, ns=None):
    """instance/type-instance -> text of its value"""
    lines = t.netmon("metrics", "link", *args, ns=ns).stdout.splitlines()
    return dict(line.removesuffix(" slow").rsplit(" ", 1) for line in lines)


def test_json_says_what_ip_says(t):
    ns = small_network(t)
    ns.settled("a0", "b0", "br0")
    ours = {link["ifname"]: link for link in links(t, ns=ns)["links"]}
    theirs = ns.json_links()
    same(sorted(ours), sorted(theirs), "interfaces")
    for dev, ip in theirs.items():
        our = ours[dev]
        for key, value in {
            "index": ip["ifindex"], "mtu": ip["mtu"], "operstate": ip["operstate"].lower(),
            "qdisc": ip["qdisc"], "txqlen": ip["txqlen"], "address": ip["address"],
            "promiscuity": ip["promiscuity"], "num_tx_queues": ip["num_tx_queues"],
            "gso_max_size": ip["gso_max_size"], "ifalias": ip.get("ifalias"),
            "master_name": ip.get("master"),
        }.items():
            same(our.get(key), value, f"{key} of {dev}")
        same(our.get("linkinfo", {}).get("kind"), ip.get("linkinfo", {}).get("info_kind"),
             f"kind of {dev}")
        rx, tx = ip["stats64"]["rx"], ip["stats64"]["tx"]
        for counters in ("stats64", "stats"):  # neither has reached 2^32 here
            same([our[counters][k] for k in ("rx_bytes", "tx_packets", "rx_dropped")],
                 [rx["bytes"], tx["packets"], rx["dropped"]], f"{counters} of {dev}")
        flags = {flag.lower() for flag in ip["flags"]} - {"no-carrier", "m-down"}
        assert flags <= set(our["flags"]), f"flags of {dev}: {our['flags']}, ip says {flags}"


def test_json_has_the_addresses(t):
    ns = small_network(t)
    ns.ipv6("a0")
    ns.ip("addr add 2001:db8::1/64 dev a0 nodad")
    ours = {(a["index_name"], f'{a.get("local", a["address"])}/{a["prefixlen"]}')
            for a in links(t, ns=ns)["addresses"]}
    theirs = {(link["ifname"], f'{a["local"]}/{a["prefixlen"]}')
              for link in json.loads(ns.ip("-j addr show")) for a in link.get("addr_info", [])}
    same(sorted(ours), sorted(theirs), "addresses")


def test_unknown_attributes_can_be_left_out(t):
    ns = small_network(t)
    whole = t.netmon("link", ns=ns).stdout
    known = t.netmon("link", "--no-unknown-attrs", ns=ns).stdout
    json.loads(known)
    assert len(known) <= len(whole)


def test_another_namespace(t):
    ns = small_network(t)
    names = {link["ifname"] for link in links(t, "--namespace", ns.name)["links"]}
    same(names, set(ns.json_links()), "interfaces of the other namespace")


def recorded(t, ns):
    path = t.dir / "recording"
    text = t.netmon("link", "--record", path, ns=ns).stdout
    return path, text


def test_a_replayed_recording_prints_the_same(t):
    path, live = recorded(t, small_network(t))
    replayed = t.netmon("link", "--replay", path, ns=t.namespace()).stdout
    before = replayed.partition('"metadata"')[0]
    assert before and live.startswith(before), "replayed and live differ"


def packets(data):
    """The packets of a pcap file of netlink messages: (offset of the message, its type)."""
    magic, linktype = struct.unpack_from("=I16xI", data)
    same((hex(magic), linktype), ("0xa1b23c4d", 253), "magic and link type of the file")
    at = 24
    while at < len(data):
        length, = struct.unpack_from("=8xI4x", data, at)
        at, end = at + 16, at + 16 + length
        message = at + 16
        while message + 16 <= end:
            size, kind = struct.unpack_from("=IH", data, message)
            yield message, kind
            message += (size + 3) & ~3
        at = end


def test_every_counter_comes_out_under_its_name(t):
    """A recording in which each member of the kernel's struct has a value of its own."""
    RTM_NEWSTATS, IFLA_STATS_LINK_64 = 92, 1
    ns = t.namespace()
    path = t.dir / "recording"
    t.netmon("metrics", "link", "--record", path, ns=ns)
    data = bytearray(path.read_bytes())
    value = {name: (7 << 40) + 1000 + i for i, name in enumerate(STATS64)}
    found = 0
    for message, kind in packets(data):
        attribute = message + 16 + 12  # behind struct nlmsghdr and struct if_stats_msg
        if kind == RTM_NEWSTATS:
            length, type = struct.unpack_from("=HH", data, attribute)
            same(type, IFLA_STATS_LINK_64, "attribute of the counters")
            have = min((length - 4) // 8, len(STATS64))
            struct.pack_into(f"={have}Q", data, attribute + 4, *list(value.values())[:have])
            found += 1
    assert found, "no counters in the recording"
    path.write_bytes(data)

    shown = metrics(t, "--replay", path, "--option", "Verbose true")
    expected = {f"lo/{id}": ":".join(str(value[name]) for name in names.split(":"))
                for id, names in METRICS.items()}
    same({id: shown.get(id) for id in expected}, expected, "metrics of the recording")


def test_a_dump_that_is_not_whole_is_seen(t):
    """The kernel says so in one of four ways; none of them may pass for a complete answer."""
    NLMSG_DONE, RTM_NEWLINK, NLM_F_DUMP_INTR, EBADR = 3, 16, 0x10, 53
    path = t.dir / "recording"
    t.netmon("link", "--record", path, ns=small_network(t))
    data = path.read_bytes()
    links = [at for at, kind in packets(data) if kind == RTM_NEWLINK]
    done = next(at for at, kind in packets(data) if kind == NLMSG_DONE)  # the links came first
    flags, = struct.unpack_from("=H", data, links[1] + 6)
    for what, format, at, value in (
        ("interrupted", "=H", links[1] + 6, flags | NLM_F_DUMP_INTR),
        ("an error at its end", "=i", done + 16, -EBADR),
        ("another sequence number", "=I", links[1] + 8, 12345),
        ("no end", "=H", done + 4, 1),
    ):
        changed = bytearray(data)
        struct.pack_into(format, changed, at, value)
        path.write_bytes(changed)
        for command in (["link"], ["metrics", "link"]):
            shown = t.netmon(*command, "--replay", path, ok=None)
            assert shown.returncode == 3 and shown.stderr.count("\n") == 1, \
                f"{what}: netmon {' '.join(command)}: exit {shown.returncode}, {shown.stderr!r}"


def test_metrics_equal_the_kernels(t):
    ns = small_network(t)
    shown = metrics(t, ns=ns)
    stats = ns.link("a0")["stats64"]
    same({id: shown.get(f"a0/{id}") for id in
          ("if_octets", "if_packets", "gauge-mtu", "bool-admin_up", "gauge-addresses_ipv4")},
         {"if_octets": f'{stats["rx"]["bytes"]}:{stats["tx"]["bytes"]}',
          "if_packets": f'{stats["rx"]["packets"]}:{stats["tx"]["packets"]}',
          "gauge-mtu": "1500", "bool-admin_up": "1", "gauge-addresses_ipv4": "1"}, "metrics")


def refused(t, *args, words, status=2, ns=None):
    """A mistake is answered by one line that names it, and nothing on standard output."""
    done = t.netmon(*args, ns=ns, ok=None)
    complaint = done.stderr.strip()
    what = f"netmon {' '.join(map(str, args))}: exit {done.returncode}, says {complaint!r}"
    assert done.returncode == status, f"{what}, expected exit {status}"
    assert complaint and "\n" not in complaint, f"{what}, expected one line"
    missing = [str(w) for w in words if str(w) not in complaint]
    assert not missing, f"{what}, which lacks {missing}"


def test_files_that_are_no_recording(t):
    text, empty, missing = t.dir / "text", t.dir / "empty", t.dir / "missing"
    text.write_text("I am no recording, but long enough to be mistaken for one.\n" * 10)
    empty.touch()
    for path in (text, empty, "/dev/null", t.dir, missing):
        for command in ("link", ("metrics", "link")):
            words = [command] if isinstance(command, str) else command
            refused(t, *words, "--replay", path, words=[path])


def test_recordings_that_are_cut_off(t):
    """Wherever it ends: said in words, by one line, and never a crash."""
    path, whole = recorded(t, small_network(t))
    data = path.read_bytes()
    ends = list(packets(data))
    cut = t.dir / "cut"
    step = max(1, len(data) // 40)
    for size in [*range(25, len(data), step), len(data) - 1]:
        cut.write_bytes(data[:size])
        done = t.netmon("link", "--replay", cut, ok=None)
        if done.returncode == 0:
            starts = [at - 32 for at, _ in ends] + [24]
            assert size in starts, f"cut at {size} of {len(data)} bytes and no word of it"
            continue
        assert done.returncode == 2 and str(cut) in done.stderr, \
            f"cut at {size}: exit {done.returncode}, {done.stderr!r}"
        same(done.stderr.count("\n"), 1, f"lines of complaint, cut at {size}")


def test_damaged_recordings_do_no_harm(t):
    """One byte after another is wrong: no crash, and no report of a sanitizer."""
    path, _ = recorded(t, t.namespace())
    data = path.read_bytes()
    damaged = t.dir / "damaged"
    step = max(1, len(data) // 60)
    for i in range(0, len(data), step):
        damaged.write_bytes(data[:i] + bytes([data[i] ^ 0xFF]) + data[i + 1:])
        done = t.netmon("link", "--replay", damaged, ok=None)
        assert done.returncode in (0, 2, 3), f"byte {i}: exit {done.returncode}: {done.stderr}"


def test_mistakes_on_the_command_line(t):
    refused(t, "lnik", words=["lnik"])
    refused(t, "link", "--replai", "x", words=["--replai"])
    refused(t, "link", "--replay", words=["--replay"])
    refused(t, "link", "--namespace", "nosuch", words=["nosuch"], status=1)
    refused(t, "link", "--record", "/nosuch/file", words=["/nosuch/file"])
    refused(t, "metrics", "link", "--option", "Verbose perhaps",
            words=["Verbose", "perhaps", "true", "false"])
    refused(t, "metrics", "link", "--option", "Intreface a0", words=["Intreface"])


def test_mistakes_are_named(t):
    refused(t, "metrics", "lnik", words=["lnik"])
    refused(t, "link", "--namespace", "/run/netns/blue", words=["/run/netns/blue"])


def test_odd_names_make_valid_json(t):
    """An interface may be named with quotes, backslashes and bytes that are no UTF-8."""
    ns = t.namespace()
    odd = 'a"b\\c\udcff'
    ns.run("ip", "link", "add", odd.encode(errors="surrogateescape"), "type", "ifb")
    names = [link["ifname"] for link in links(t, ns=ns)["links"]]
    same(names[-1], 'a"b\\c\ufffd', "the name")


def test_a_message_larger_than_the_buffer(t):
    """400 long names make a link message of 50 kB; the kernel usually fills 32 kB."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    daemon = t.collectd('Label "altname"\nSlowInterval 3600', ns).ready()
    names = [f"n{i:03}{'x' * 120}" for i in range(400)]
    ns.batch([f"link property add dev a0 altname {name}" for name in names])
    links = json.loads(t.netmon("link", ns=ns).stdout)["links"]
    same({link["ifname"]: len(link.get("prop_list", [])) for link in links}["a0"], 400, "names of a0")

    # The daemon could not read the last events, and repairs that.
    ns.ip("link set a0 mtu 1400")
    daemon.wait_value(f"{names[0]}/gauge-mtu", 1400)


def test_a_full_disk_is_said(t):
    for words in (["link"], ["metrics", "link"], ["--help"], ["help", "link"], ["schema", "link"],
                  ["link", "--summary"], ["all", "--ndjson"], ["top", "-1", "--interval", "0.1"],
                  ["explain", "127.0.0.1"], ["forward", "--interval", "0.1", "--count", "1"]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([*t.build.outer_prefix(), t.build.netmon, *words], stdout=full,
                                  stderr=subprocess.PIPE, text=True)
        same((done.returncode, "No space left" in done.stderr or "Input/output" in done.stderr,
              done.stderr.count("\n")), (1, True, 1), f"netmon {words}: {done.stderr!r}")
    refused(t, "link", "--record", "/dev/full", words=["--record", "/dev/full"], status=1)
