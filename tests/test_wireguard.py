# SPDX-License-Identifier: MIT
"""netmon_wireguard: tunnels, peers and their names, against `wg show all dump`; and no secret."""

import base64
import contextlib
import json
import os
import pathlib
import random
import re
import socket
import struct
import subprocess
import threading
import time

from harness import ROOT, alone, command, plain_build_only, same, time_limit, until, vm

PLUGIN = "netmon_wireguard"
GOLDEN = ROOT / "tests/golden/wireguard"
INTERVAL = 0.5
MODULE = pathlib.Path("/sys/module/wireguard")
HANDSHAKE_LIMIT = "OnlineTimeout 3"
BUSY = "Not sleeping because the next interval is"  # collectd in a VM without a real processor

# ---- what runs anywhere -----------------------------------------------------------------------


def metrics(t, *options, recording="snapshot", **kw):
    words = [w for option in options for w in ("--option", option)]
    return t.netmon("metrics", "wireguard", "--replay", GOLDEN / f"{recording}.pcap", *words, **kw)


def peers_of(text):
    """The peers' names in the output of `netmon metrics`."""
    return {m[1] for m in re.finditer(r"^wg0/bool-online-(.*) [01]$", text, re.M)}


def golden_keys():
    devices = json.loads((GOLDEN / "snapshot.json").read_text())["devices"]
    return [p["public_key"] for p in devices[0]["peers"]]


def named(t, text, *options):
    """What the peers of the recording are called with such a file of PeerNames."""
    path = t.directory("names") / "wg0.conf"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return peers_of(metrics(t, f'PeerNames "{path}"', *options).stdout)


def test_names_from_comments(t):
    key, *others = golden_keys()
    rest = {k[:8].replace("/", "_") for k in others}
    plain = {key[:8].replace("/", "_")} | rest
    secret = base64.b64encode(b"preshared key, 32 bytes long ...").decode()
    peer = f"[Peer]\nPublicKey = {key}\n"
    for text, name in {
        f"# alice\n{peer}": "alice",
        f"#alice\n{peer}": "alice",
        f"### alice ###\r\n[Peer]\r\nPublicKey={key}\r\n": "alice",
        f"# friendly_name = alice\n{peer}": "alice",
        f"# Name = Alice's laptop\n{peer}": "Alice's laptop",
        f"#name=alice\n{peer}": "alice",
        f"[Peer]\n# friendly_name = alice\nPublicKey = {key}\n": "alice",
        f"# bob\n[Peer]\n# Name = alice\nPublicKey = {key}\n": "alice",
        f"[Interface]\nPrivateKey = {secret}\n\n# all peers\n\n# alice\n{peer}": "alice",
        f"# office\n# alice\n  [peer] # the first\n\tpublickey = {key} # her key\n": "alice",
        f"[Peer]\nPublicKey = {others[0]}\nAllowedIPs = 10.0.0.0/8\n# alice\n{peer}": "alice",
        f"[Peer]\nPublicKey = {others[0]}\n# Name = alice\n{peer}": "alice",
        f"# alice\n{peer}\n# bob\n{peer}": "alice",  # the first is right
        f"# a/b\n{peer}": "a_b",
        f"# {'é' * 40}\n{peer}": "é" * 24,
        f"# total\n{peer}": "total_" + key[:8],
        f"# alice\n{peer}# no end of line": "alice",
    }.items():
        same(named(t, text), {name} | rest, f"names from {text!r}")
    for text in (
        "", "#", "\n\n", f"# alice\n\n{peer}", f"# alice\nTable = off\n{peer}", peer,
        f"# PresharedKey = {secret}\n{peer}",  # lines that were commented out
        f"# old key: {secret}\n{peer}", f"#{secret}\n{peer}", f"# [Peer]\n{peer}",
        f"# alice\n#AllowedIPs = 10.0.0.0/8\n{peer}",
        f"# alice\n[Interface]\nPublicKey = {key}\n", f"# alice\n[Peer\nPublicKey = {key}",
        f"# alice\n[Peer]\nPublicKey = {key[:-1]}\n", f"# alice\n[Peer]\nPublicKey = {key}x\n",
        f"# alice\n[Peer]\nPublicKey = {secret[:-2]}.=\n", "# alice\n[Peer]\nPublicKey\n",
        f"# Name =\n{peer}",
    ):
        same(named(t, text), plain, f"names from {text!r}")


def test_names_are_unique_and_options_come_first(t):
    keys = golden_keys()
    text = "".join(f"# alice\n[Peer]\nPublicKey = {k}\n" for k in keys)
    first, *others = sorted(keys, key=base64.b64decode)
    names = {"alice"} | {"alice_" + k[:8].replace("/", "_") for k in others}
    same(named(t, text), names, "one name for all")
    same(named(t, text), names, "the same again")

    bob = [f'PeerName "{k}" "bob"' for k in keys[:1]]
    got = named(t, text, *bob)
    assert "bob" in got and len(got) == len(keys), got
    # a name that takes the beginning of another's key away
    got = named(t, "", f'PeerName "{keys[0]}" "{keys[1][:8]}"')
    assert {keys[1][:8], keys[1][:9]} <= got, got


def test_files_of_names_that_are_none(t):
    keys = golden_keys()
    plain = {k[:8].replace("/", "_") for k in keys}
    where = t.directory("files")
    (where / "directory").mkdir()
    os.mkfifo(where / "fifo")
    (where / "large").touch()
    os.truncate(where / "large", 65 << 20)
    for path, why in {"missing": "No such file", "directory": "Is a directory",
                      "fifo": "Invalid argument", "large": "File too large"}.items():
        said = metrics(t, f'PeerNames "{where / path}"').stdout
        same(peers_of(said), plain, path)
        lines = [line for line in said.splitlines() if line.startswith("WARNING self names: ")]
        assert len(lines) == 1 and str(where / path)[:40] in lines[0] and why in lines[0], said

    mess = random.Random(1)
    text = "".join(f"# n{i}\n[Peer]\nPublicKey = {k}\n" for i, k in enumerate(keys)).encode()
    for _ in range(20):
        noise = bytearray(text)
        for _ in range(8):
            at = mess.randrange(len(noise))
            noise[at:at + mess.randrange(3)] = mess.randbytes(mess.randrange(4))
        same(len(named(t, bytes(noise))), len(keys), f"peers with {bytes(noise)!r}")
    named(t, b"# " + b"x" * (1 << 20) + b"\n[Peer]\n" + b"\0" * 1000 + b"[" * 1000)


def test_wrong_options_are_refused(t):
    key = golden_keys()[0]
    for line, words in {
        'PeerName "alice"': ["PeerName", "PUBLIC KEY", "alice"],
        f'PeerName "{key}"': ["PeerName", "PUBLIC KEY"],
        f'PeerName "{key[:-2]}=" "alice"': ["PeerName", key[:-2]],
        f'PeerName "{key}" ""': ["PeerName", '""'],
        f'PeerName "alice" "{key}"': ["PeerName", '"alice"'],
        'PeerNames "wg0.conf"': ["PeerNames", "wg0.conf", "/PATH"],
        'Report "All"': ["Report", "All", "No", "Summary", "Detail"],
        "OnlineTimeout 0": ["OnlineTimeout", "0", "from 1"],
        'Notify "gone"': ["Notify", "gone", "offline", "removed"],
    }.items():
        done = t.netmon("metrics", "wireguard", "--option", line, ok=(2,))
        assert all(word in done.stderr for word in words), (line, done.stderr)


def test_nothing_is_asked_and_nothing_said_where_no_interface_is(t):
    """And no module is loaded: to look the family up would load it."""
    loaded = MODULE.exists()
    ns = t.namespace()
    same(json.loads(t.netmon("wireguard", ns=ns).stdout)["devices"], [], "JSON")
    daemon = t.collectd(ns=ns, plugin=PLUGIN, interval=INTERVAL)
    reading = daemon.reading()
    same({id.partition("/")[0] for id in reading}, {"self"}, "instances")
    same(daemon.notices(), [], "notifications")
    if not loaded:
        assert not MODULE.exists(), "the module was loaded"


def test_keys_in_another_programs_recording_are_not_shown(t):
    """tcpdump does not zero them."""
    secret = b"32 bytes that nobody may see ..."
    zeros = struct.pack("=HH", 36, 2) + bytes(32)  # WGPEER_A_PRESHARED_KEY
    private = struct.pack("=HH", 36, 3) + bytes(32)  # WGDEVICE_A_PRIVATE_KEY
    data = (GOLDEN / "changes.pcap").read_bytes()
    assert data.count(zeros) and data.count(private), "the recording has no secrets in it"
    path = t.directory("recording") / "keys.pcap"
    path.write_bytes(data.replace(zeros, zeros[:4] + secret).replace(private, private[:4] + secret))
    for words in (["wireguard"], ["metrics", "wireguard"]):
        done = t.netmon(*words, "--replay", path)
        assert words == ["metrics", "wireguard"] or '"public_key"' in done.stdout
        for needle in (secret.hex(), base64.b64encode(secret).decode()[:-1], secret.decode()):
            assert needle not in done.stdout + done.stderr, "a key is shown"


# A recording that is made up: what no test can make happen with real tunnels.
ANSWER, REQUEST = 0, 4  # directions
ROUTE, GENERIC = 0, 16
DUMP, FAMILY = 0x301, 40


def attr(type, payload):
    return struct.pack("=HH", 4 + len(payload), type) + payload + bytes(-len(payload) % 4)


def message(type, seq, body, flags=0):
    return struct.pack("=IHHII", 16 + len(body), type, flags, seq, 0) + body


def packet(at, direction, protocol, data):
    cooked = struct.pack(">HH10xH", direction, 824, protocol)  # ARPHRD_NETLINK
    size = len(cooked) + len(data)
    return struct.pack("=IIII", int(at), int(at % 1 * 1e9), size, size) + cooked + data


def recording(*readings):
    """(time, {key: time of the handshake}), ...: one interface wg0 with these peers."""
    start, _ = readings[0]
    done, link = struct.pack("=i", 0), struct.pack("=BxHiII", 0, 65534, 5, 0, 0)
    kind = attr(18, attr(1, b"wireguard\0"))
    parts = [
        struct.pack("=IHHIIII", 0xA1B23C4D, 2, 4, 0, 0, 16 << 20, 253),
        packet(start, REQUEST, ROUTE, message(18, 1, link, DUMP)),
        packet(start, ANSWER, ROUTE, message(16, 1, link + attr(3, b"wg0\0") + kind)
               + message(3, 1, done)),
        packet(start, ANSWER, GENERIC, message(16, 0, struct.pack("=BBxx", 1, 1) + attr(
            1, struct.pack("=H", FAMILY)) + attr(2, b"wireguard\0"))),
    ]
    for seq, (at, peers) in enumerate(readings, 2):
        head = struct.pack("=BBxx", 0, 1)
        parts.append(packet(at, REQUEST, GENERIC, message(
            FAMILY, seq, head + attr(1, struct.pack("=I", 5)), DUMP)))
        keys = sorted(peers)
        for n in range(0, len(keys), 200):
            nest = b"".join(attr(0, attr(1, key) + attr(6, struct.pack("=qq", peers[key], 0)))
                            for key in keys[n:n + 200])
            parts.append(packet(at, ANSWER, GENERIC, message(FAMILY, seq, head + attr(8, nest))))
        parts.append(packet(at, ANSWER, GENERIC, message(3, seq, done)))
        parts.append(packet(at, REQUEST, ROUTE, message(1, 0, b"")))  # a reading ends
    return b"".join(parts)


def test_each_of_many_that_go_offline_at_once_is_told(t):
    """All at one reading, and each once."""
    rng = random.Random(3)
    shook = 1_700_000_000
    peers = {rng.randbytes(32): shook for _ in range(5000)}
    path = t.directory("recording") / "many.pcap"
    path.write_bytes(recording(*[(shook + s, peers) for s in (10, 250, 260, 270)]))
    lines = t.netmon("metrics", "wireguard", "--replay", path).stdout.splitlines()
    ends = [n for n, line in enumerate(lines) if line.startswith("# reading")]
    told = [[line.split("public_key=")[1] for line in part if line.startswith("WARNING wg0 offline")]
            for part in (lines[a:b] for a, b in zip([0, *ends], ends))]
    same([len(part) for part in told], [0, 5000, 0, 0], "told before each reading")
    same(set(told[1]), {base64.b64encode(k).decode() for k in peers}, "peers told of")


def test_keys_that_begin_alike(t):
    """Vanity keys; and a peer that comes later never renames those that are there."""
    stem = base64.b64decode("corpcorpcorp")
    keys = [stem + bytes([n]) * 23 for n in (1, 2, 200)]
    shook = 1_700_000_000
    path = t.directory("recording") / "alike.pcap"
    path.write_bytes(recording((shook + 10, dict.fromkeys(keys[1:], shook)),
                               (shook + 20, dict.fromkeys(keys, shook))))
    first, second = t.netmon("metrics", "wireguard", "--replay",
                             path).stdout.split("# reading 2")
    same(peers_of(first), {"corpcorp", "corpcorpc"}, "at first")
    same(peers_of(second), {"corpcorp", "corpcorpc", "corpcorpco"}, "with one more")


# ---- in the VM: tunnels -----------------------------------------------------------------------


def genkey():
    private = os.urandom(32)
    private = bytes([private[0] & 248]) + private[1:31] + bytes([private[31] & 127 | 64])
    return base64.b64encode(private).decode()


def pubkey(private):
    return command("wg", "pubkey", input=private).strip()


def wg(ns, dev, *words, **files):
    """wg set; a word that names one of files is replaced by a file with that text."""
    with contextlib.ExitStack() as stack:
        paths = {}
        for name, text in files.items():
            path = pathlib.Path("/run/tmp", f"{ns.name}-{name}")
            path.write_text(text)
            stack.callback(path.unlink)
            paths[name] = path
        ns.run("wg", "set", dev, *[paths.get(w, w) for w in words])


class Tunnel:
    """Two namespaces, a and b, and wg0 in each of them; 10.0.0.1 and 10.0.0.2 are inside."""

    def __init__(self, t, psk=None):
        self.a, self.b = t.namespace(), t.namespace()
        self.a.veth("veth0", "veth0", self.b)
        self.private = {}
        self.public = {}
        for side, ns in self.sides():
            ns.ip(f"addr add 192.0.2.{side}/24 dev veth0")
            ns.ip("link add wg0 type wireguard")
            ns.ip(f"addr add 10.0.0.{side}/16 dev wg0")
            self.private[side] = genkey()
            self.public[side] = pubkey(self.private[side])
        for side, ns in self.sides():
            other = 3 - side
            more = ["preshared-key", "psk"] if psk else []
            files = {"psk": psk} if psk else {}
            wg(ns, "wg0", "listen-port", "51820", "private-key", "private", "peer",
               self.public[other], *more, "endpoint", f"192.0.2.{other}:51820", "allowed-ips",
               f"10.0.0.{other}/32", private=self.private[side], **files)
            ns.ip("link set wg0 up")
        self.name = self.public[2][:8].replace("/", "_")  # what b is called at a

    def sides(self):
        return (1, self.a), (2, self.b)

    def ping(self, count=1, size=56, source=None, to=2):
        """Real packets through the tunnel, and their answers."""
        ns = source or self.a
        with ns.call(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as s:
            for n in range(count):
                packet = struct.pack("!BBHHH", 8, 0, 0, os.getpid() & 0xFFFF, n) + bytes(size)
                total = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
                total = (total & 0xFFFF) + (total >> 16)
                packet = packet[:2] + struct.pack("!H", ~total & 0xFFFF) + packet[4:]
                s.settimeout(1)
                until(lambda: self._echo(s, packet, f"10.0.0.{to}"), "an echo through the tunnel")

    @staticmethod
    def _echo(s, packet, to):
        s.sendto(packet, (to, 0))
        with contextlib.suppress(socket.timeout):
            while True:
                got = s.recv(65536)
                if got[20] == 0 and got[24:28] == packet[4:8]:
                    return True
        return False

    def new_session(self):
        """Forgets the session, so that the next packet makes a handshake."""
        for _, ns in self.sides():
            ns.ip("link set wg0 down")
        for _, ns in self.sides():
            ns.ip("link set wg0 up")


def dump(ns):
    """`wg show all dump`: {interface: {...}}, with its peers by key, secrets left out."""
    devices = {}
    for line in ns.run("wg", "show", "all", "dump").splitlines():
        f = line.split("\t")
        none = {"(none)": None}
        if len(f) == 5:
            devices[f[0]] = {"public_key": none.get(f[2], f[2]), "listen_port": int(f[3]),
                             "fwmark": 0 if f[4] == "off" else int(f[4], 0), "peers": {}}
        else:
            devices[f[0]]["peers"][f[1]] = {
                "endpoint": none.get(f[3], f[3]),
                "allowed": set() if f[4] == "(none)" else set(f[4].split(",")),
                "handshake": int(f[5]), "rx": int(f[6]), "tx": int(f[7]),
                "keepalive": 0 if f[8] == "off" else int(f[8])}
    return devices


def of_json(text):
    """The same of what `netmon wireguard` prints."""
    devices = {}
    for d in json.loads(text)["devices"]:
        peers = {}
        for p in d["peers"]:
            assert p["public_key"] not in peers, "a peer stands twice"
            peers[p["public_key"]] = {
                "endpoint": p.get("endpoint"),
                "allowed": {f"{ip['ipaddr']}/{ip['cidr_mask']}" for ip in p["allowedips"]},
                "handshake": p["last_handshake_time"]["tv_sec"], "rx": p["rx_bytes"],
                "tx": p["tx_bytes"], "keepalive": p["persistent_keepalive_interval"]}
            assert len(p["allowedips"]) == len(peers[p["public_key"]]["allowed"])
        assert d["ifname"] not in devices, "an interface stands twice"
        devices[d["ifname"]] = {"public_key": d.get("public_key"), "listen_port": d["listen_port"],
                                "fwmark": d["fwmark"], "peers": peers}
    return devices


def start(t, ns, block="", interval=INTERVAL, **kw):
    daemon = collectd(t, ns, block, interval=interval, **kw)
    daemon.wait_value("wg0/gauge-peers", timeout=20)
    return daemon


def collectd(t, ns, block="", interval=INTERVAL, expect_log=(), **kw):
    return t.collectd(block, ns, plugin=PLUGIN, interval=interval, expect_log=[BUSY, *expect_log],
                      **kw)


def plain(reading):
    return {id: v.plain for id, v in reading.items()}


@vm
def test_an_interface_is_followed_from_before_its_module_is_loaded(t):
    """Comes, is renamed, goes; the module goes and comes back with another number."""
    def unload():
        if MODULE.exists():
            subprocess.run(["rmmod", "wireguard"], capture_output=True)
        return not MODULE.exists()

    until(unload, "the module to be free")
    ns = t.namespace()
    daemon = collectd(t, ns, 'Interface "/^wg/"', expect_log=["nothing is named"])
    daemon.reading()
    assert not MODULE.exists(), "netmon has loaded the module"
    for _ in range(2):
        ns.ip("link add wg0 type wireguard")
        daemon.wait_value("wg0/gauge-peers", 0, since=daemon.now())
        ns.ip("link set wg0 name wg1")
        daemon.wait_value("wg1/gauge-peers", 0, since=daemon.now())
        late = daemon.now()
        ns.ip("link set wg1 name other0")
        ns.ip("link add wg2 type wireguard")
        daemon.wait_value("wg2/gauge-peers", 0, since=late)
        ns.ip("link del wg2")
        ns.ip("link del other0")
        gone = daemon.wait_notification("removed", "wg2", since=late)
        same(gone.meta, {"peers": "0"}, "meta data")
        late = daemon.now()
        daemon.wait_value("self/duration-read", since=late + INTERVAL)
        assert daemon.latest("wg2/gauge-peers").time < late, "sent of an interface that is gone"
        until(unload, "the module to be free")
        # other families take the numbers in between
        command("modprobe", "-a", "l2tp_netlink", "fou", ok=None)
    assert not daemon.ids("other0"), "not selected"
    same([n for n in daemon.notices() if n.instance == "other0"], [], "not selected")
    same({id for id in daemon.ids("^(?!self/)") if daemon.latest(id).time > gone.time + INTERVAL},
         set(), "values without an interface")


@vm
def test_values_equal_what_wg_says(t):
    tunnel = Tunnel(t, psk=genkey())
    ns = tunnel.a
    never, silent = (pubkey(genkey()) for _ in range(2))
    wg(ns, "wg0", "fwmark", "0x1234", "peer", never, "allowed-ips", "10.7.0.0/16,2001:db8::/32",
       "peer", silent, "endpoint", "192.0.2.77:1", "persistent-keepalive", "1",
       "allowed-ips", "10.8.0.0/16")
    ns.ip("link add wg1 type wireguard")
    tunnel.ping(5, size=500)
    daemon = start(t, ns, 'Report "Detail"\nSlowInterval 3600')
    quiet = start(t, ns, 'Report "No"')
    daemon.reading()
    wg(ns, "wg0", "peer", silent, "persistent-keepalive", "0")  # from now on nothing moves

    def settled():
        before = dump(ns)
        reading = daemon.reading(since=daemon.now())
        return (before, plain(reading), time.time()) if dump(ns) == before else None

    said, got, now = until(settled, "a reading in which nothing moved", timeout=30)
    peers = said["wg0"]["peers"]
    assert peers[tunnel.public[2]]["rx"] > 5 * 500 and peers[silent]["tx"], "the story went wrong"
    for key, p in peers.items():
        name = key[:8].replace("/", "_")
        same(got[f"wg0/if_octets-{name}"], {"rx": p["rx"], "tx": p["tx"]}, f"octets of {name}")
        same(got[f"wg0/bool-online-{name}"], int(p["handshake"] > 0), f"{name} is online")
        slow = {x: daemon.latest(f"wg0/{x}-{name}").plain
                for x in ("gauge-allowed_ips", "duration-keepalive", "derive-roamed")}
        same(slow, {"gauge-allowed_ips": len(p["allowed"]), "duration-keepalive": p["keepalive"],
                    "derive-roamed": 0}, f"slow values of {name}")
        age = got.get(f"wg0/duration-handshake_age-{name}")
        if p["handshake"]:
            assert now - p["handshake"] - 10 < age < now - p["handshake"] + 1, (age, now, p)
        else:
            same(age, None, f"age of {name} that never shook hands")
    same(got["wg0/if_octets-total"], {w: sum(p[w] for p in peers.values()) for w in ("rx", "tx")},
         "octets of the interface")
    same([got[f"wg0/gauge-peers{x}"] for x in ("", "_online", "_stale", "_never")], [3, 1, 0, 2],
         "peers")
    same([daemon.latest(f"wg0/gauge-{x}").plain for x in ("listen_port", "fwmark", "allowed_ips")],
         [51820, 0x1234, 4], "of the interface")
    same(got["wg1/gauge-peers"], 0, "peers of an interface without")
    same(daemon.latest("wg0/gauge-fwmark").interval, 3600, "interval of slow values")

    def shown():  # the silent peer is tried again now and then
        before = dump(ns)
        got = of_json(t.netmon("wireguard", ns=ns).stdout)
        return (got, before) if dump(ns) == before else None

    same(*until(shown, "JSON while nothing moved", timeout=30), "JSON")
    assert quiet.ids("peers_never") and not quiet.ids(tunnel.name.replace("+", r"\+")), \
        "values of a peer with Report No"
    # one type has either always or never a type instance
    arity = {}
    for id in daemon.ids("^(?!self/)"):
        type, _, instance = id.partition("/")[2].partition("-")
        same(arity.setdefault(type, bool(instance)), bool(instance), f"type instance of {type}")


@vm
@time_limit(120)
def test_online_offline_and_roamed_are_told(t):
    tunnel = Tunnel(t)
    ns, key, name = tunnel.a, tunnel.public[2], tunnel.name
    silent = pubkey(genkey())
    wg(ns, "wg0", "peer", silent, "endpoint", "192.0.2.77:1", "persistent-keepalive", "1",
       "allowed-ips", "10.8.0.0/16")
    daemon = start(t, ns, f'{HANDSHAKE_LIMIT}\nNotify "all"')
    daemon.wait_value(f"wg0/bool-online-{name}", 0)
    tunnel.ping()
    online = daemon.wait_notification("online", "wg0", peer=name)
    same((online.severity, online.meta), ("okay", {"peer": name, "public_key": key,
                                                   "endpoint": "192.0.2.2:51820"}), "online")
    daemon.wait_value(f"wg0/bool-online-{name}", 1)
    daemon.wait_value("wg0/gauge-peers_online", 1)

    offline = daemon.wait_notification("offline", "wg0", peer=name)
    same((offline.severity, offline.meta), ("warning", online.meta), "offline")
    daemon.wait_value("wg0/gauge-peers_stale", 1)
    same(daemon.latest(f"wg0/bool-online-{name}").plain, 0, "online")
    assert daemon.latest(f"wg0/duration-handshake_age-{name}").plain >= 3

    wg(tunnel.b, "wg0", "listen-port", "51999")
    tunnel.ping(source=tunnel.b, to=1)
    roamed = daemon.wait_notification("roamed", "wg0", peer=name)
    same((roamed.severity, roamed.meta["old"], roamed.meta["new"]),
         ("okay", "192.0.2.2:51820", "192.0.2.2:51999"), "roamed to another port")
    tunnel.b.ip("addr del 192.0.2.2/24 dev veth0")
    tunnel.b.ip("addr add 192.0.2.22/24 dev veth0")
    tunnel.ping(source=tunnel.b, to=1)
    daemon.wait_notification("roamed", "wg0", old="192.0.2.2:51999", new="192.0.2.22:51999")
    daemon.wait_value("wg0/derive-roamed", 2)

    # a session that is kept alive and is answered no more is a failure
    wg(ns, "wg0", "peer", key, "persistent-keepalive", "1")
    since = daemon.now()
    tunnel.new_session()
    daemon.wait_notification("online", "wg0", since=since, peer=name)
    tunnel.b.ip("link set wg0 down")
    failed = daemon.wait_notification("offline", "wg0", since=since, peer=name)
    same(failed.severity, "failure", "severity")

    same([n for n in daemon.notices() if n.meta.get("public_key") == silent], [],
         "told of a peer that never answered")
    silent = silent[:8].replace("/", "_")
    assert not daemon.ids(re.escape(f"handshake_age-{silent}")), "an age of no handshake"
    assert daemon.latest(f"wg0/if_octets-{silent}").plain["tx"], "nothing was sent to it"


@vm
def test_peers_that_come_and_go_make_no_spike(t):
    tunnel = Tunnel(t)
    ns, key, name = tunnel.a, tunnel.public[2], tunnel.name
    tunnel.ping(20, size=1000)
    daemon = start(t, ns, 'Notify "all"')
    before = daemon.wait_value("wg0/if_octets-total").plain
    other = pubkey(genkey())
    other_name = other[:8].replace("/", "_")
    wg(ns, "wg0", "peer", other, "allowed-ips", "10.9.0.0/16")
    new = daemon.wait_notification("new", "wg0")
    same((new.severity, new.meta), ("okay", {"peer": other_name, "public_key": other}), "new")
    wg(ns, "wg0", "peer", other, "remove")
    removed = daemon.wait_notification("removed", "wg0")
    same((removed.severity, removed.meta), ("warning", new.meta), "removed")
    daemon.wait_value("wg0/gauge-peers", 1)

    # removed and added again between two readings, or seen to be away: it starts from 0
    for pause in (False, True):
        since = daemon.now()
        wg(ns, "wg0", "peer", key, "remove")
        if pause:
            daemon.wait_notification("removed", "wg0", since=since, peer=name)
        wg(ns, "wg0", "peer", key, "endpoint", "192.0.2.2:51820", "allowed-ips", "10.0.0.2/32")
        daemon.wait_value(f"wg0/if_octets-{name}", lambda v: v["rx"] < 1000, since=since)
        tunnel.ping(2)
    last = None
    for reading in daemon.readings():
        total = plain(reading).get("wg0/if_octets-total")
        if total and last:
            assert 0 <= total["rx"] - last["rx"] < 3000, f"from {last} to {total}"
        last = total or last
    assert last["rx"] >= before["rx"], "the total fell"

    # a name that passes to a peer with more behind it
    names = t.directory("names") / "wg0.conf"
    third = pubkey(genkey())
    wg(ns, "wg0", "peer", third, "allowed-ips", "10.9.0.0/16")

    def write(a, b):
        names.write_text(f"# {a}\n[Peer]\nPublicKey = {key}\n# {b}\n[Peer]\nPublicKey = {third}\n")

    write("alice", "bob")
    daemon = start(t, ns, f'PeerNames "{names}"')
    tunnel.ping(20, size=1000)
    daemon.wait_value("wg0/if_octets-alice", lambda v: v["rx"] > 20000)
    same(daemon.latest("wg0/if_octets-bob").plain, {"rx": 0, "tx": 0}, "octets of bob")
    since = daemon.now()
    write("bob", "alice")
    daemon.wait_value("wg0/duration-handshake_age-bob")  # it is the other one now
    bob = [v.plain["rx"] for v in daemon.values("wg0/if_octets-bob")]
    assert max(bob) < 20000, f"bob jumped: {bob}"
    tunnel.ping(1, size=1000)
    daemon.wait_value("wg0/if_octets-bob", lambda v: 1000 < v["rx"] < 20000, since=since)
    same(daemon.instances(), {"wg0"}, "instances")

    # a file that cannot be read changes nothing
    names.unlink()
    failed = daemon.wait_notification("names", "self")
    same((failed.severity, failed.meta["reason"]), ("warning", "No such file or directory"), "names")
    daemon.wait_value("wg0/if_octets-bob", since=failed.time + INTERVAL)
    write("carol", "alice")
    daemon.wait_value("wg0/if_octets-carol")
    same(daemon.wait_notification("names", "self", reason="read").severity, "okay", "names")
    same(len([n for n in daemon.notices() if n.kind == "names"]), 2, "each is told once")


@vm
def test_two_namespaces_at_once(t):
    tunnel = Tunnel(t)
    tunnel.ping(3)
    own = t.namespace()
    daemon = collectd(t, own, f'Namespace "{tunnel.a.name}" "{tunnel.b.name}"\nNotify "all"')
    for side, ns in tunnel.sides():
        name = tunnel.public[3 - side][:8].replace("/", "_")
        peer = dump(ns)["wg0"]["peers"][tunnel.public[3 - side]]
        daemon.wait_value(f"wg0@{ns.name}/if_octets-{name}", {"rx": peer["rx"], "tx": peer["tx"]})
        daemon.wait_value(f"wg0@{ns.name}/bool-online-{name}", 1)
    tunnel.b.ip("link del wg0")
    daemon.wait_notification("removed", f"wg0@{tunnel.b.name}", peers="1")
    same({i for i in daemon.instances() if not i.startswith("self@")},
         {f"wg0@{ns.name}" for ns in (tunnel.a, tunnel.b)}, "instances")


@vm
def test_without_cap_net_admin_the_rest_goes_on(t):
    ns = t.namespace()
    ns.ip("link add wg0 type wireguard")
    ns.ip("link add dummy0 type dummy")
    daemon = collectd(t, ns, user="nobody", more="LoadPlugin interface",
                      expect_log=["CAP_NET_ADMIN"])
    line = daemon.wait_log("CAP_NET_ADMIN", timeout=20)
    assert "[warning]" in line and "packaging/systemd/netmon.conf" in line \
        and "WireGuard" in line, line
    since = daemon.now()
    for _ in range(3):
        since = daemon.wait_value("self/duration-read", since=since).time
    daemon.wait_value("dummy0/if_octets", plugin="interface", since=since)
    same(sum("CAP_NET_ADMIN" in line for line in daemon.log()), 1, "times that it was said")
    same(daemon.instances(), set(), "instances")

    done = subprocess.run(["ip", "netns", "exec", ns.name, "setpriv", "--bounding-set=-net_admin",
                           t.build.netmon, "wireguard"], capture_output=True, text=True,
                          env=t.build.environment(t.directory("netmon")))
    shown = json.loads(done.stdout)
    same((done.returncode, shown["devices"], shown["metadata"]["complete"]), (4, [], False),
         "netmon wireguard")
    assert "CAP_NET_ADMIN" in done.stderr, done.stderr


class Readings:
    """`netmon metrics` that goes on reading; collectd itself stands still when a clock is set back."""

    def __init__(self, t, ns, *options):
        words = [w for o in ('Notify "all"', *options) for w in ("--option", o)]
        self.where = t.directory("netmon")
        argv = ["ip", "netns", "exec", ns.name, t.build.netmon, "metrics", "wireguard", "--count",
                "1000000", "--interval", str(INTERVAL), *words]
        self.out = open(self.where / "out", "w+")
        self.process = subprocess.Popen([str(a) for a in argv], stdout=self.out,
                                        env=t.build.environment(self.where))
        t.cleanup(self.process.kill)

    def lines(self):
        return (self.where / "out").read_text().splitlines()

    def values(self, id):
        return [float(line.split()[1]) for line in self.lines() if line.startswith(id + " ")]

    def notices(self):
        return [line for line in self.lines() if line.startswith(("OKAY", "WARNING", "FAILURE"))]

    def more(self, count=3):
        """Waits for so many more readings."""
        before = sum(line.startswith("# reading") for line in self.lines())
        until(lambda: sum(line.startswith("# reading") for line in self.lines()) > before + count,
              "readings")

    def stop(self):
        self.process.terminate()
        self.process.wait()


@vm
def test_a_clock_that_is_set_makes_nobody_come_or_go(t):
    tunnel = Tunnel(t)
    name = tunnel.name
    tunnel.ping()

    def set_clock(by):
        time.clock_settime(time.CLOCK_REALTIME, time.time() + by)

    readings = Readings(t, tunnel.a, "OnlineTimeout 100")
    readings.more()
    for by in (-3600, 7200, -3600):
        set_clock(by)
        readings.more()
    readings.stop()
    ages = readings.values(f"wg0/duration-handshake_age-{name}")
    assert len(ages) > 9 and all(0 <= age < 90 for age in ages), ages
    same(set(readings.values(f"wg0/bool-online-{name}")), {1}, "online")
    same(readings.notices(), [], "notifications")

    # one that starts when the handshake seems to lie ahead does not know its age
    set_clock(-3600)
    try:
        readings = Readings(t, tunnel.a)
        readings.more()
        same([readings.values(f"wg0/gauge-peers{x}")[-1] for x in ("", "_online", "_stale", "_never")],
             [1, 0, 0, 0], "peers")
        same(readings.values(f"wg0/bool-online-{name}"), [], "a guess")
        same(readings.values(f"wg0/duration-handshake_age-{name}"), [], "a guess")
        # who was there refuses a handshake that seems to be older than the last one
        wg(tunnel.b, "wg0", "peer", tunnel.public[1], "remove")
        wg(tunnel.b, "wg0", "peer", tunnel.public[1], "allowed-ips", "10.0.0.1/32")
        tunnel.new_session()
        tunnel.ping()
        until(lambda: readings.values(f"wg0/bool-online-{name}") == [1] * 4, "the handshake")
        assert all(0 <= age < 20 for age in readings.values(f"wg0/duration-handshake_age-{name}"))
        same(readings.notices(), [], "notifications")
        readings.stop()
    finally:
        set_clock(3600)


@vm
@time_limit(120)
def test_peers_that_change_all_the_time_are_never_counted_wrong(t):
    """Half of 600 peers come and go; the other half must be in every reading."""
    rng = random.Random(7)
    ns = t.namespace()
    ns.ip("link add wg0 type wireguard")
    keys = [base64.b64encode(rng.randbytes(32)).decode() for _ in range(600)]
    stable, coming = keys[:300], keys[300:]
    config(ns, stable)
    daemon = start(t, ns, 'Notify "all"\nReport "Summary"')
    over = threading.Event()

    def churn():
        while not over.is_set():
            config(ns, coming, "addconf")
            ns.run("wg", "set", "wg0", *[w for k in coming for w in ("peer", k, "remove")])

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        since = daemon.now()
        until(lambda: daemon.now() - since > 8, "the peers to come and go for a while")
    finally:
        over.set()
        thread.join()
    daemon.wait_value("wg0/gauge-peers", 300, since=daemon.now())
    names = {f"wg0/if_octets-{k[:8].replace('/', '_')}" for k in stable}
    whole = [r for r in daemon.readings() if "wg0/gauge-peers" in r]
    assert len(whole) > 3, f"{len(whole)} readings"
    for reading in whole:
        assert names <= set(reading), f"{len(names - set(reading))} peers are missing"
        assert 300 <= reading["wg0/gauge-peers"].plain <= 600, reading["wg0/gauge-peers"]
    told = {n.meta["public_key"] for n in daemon.notices()}
    same(told & set(stable), set(), "told of peers that never moved")


# ---- in the VM: many, and secrets ---------------------------------------------------------------


def config(ns, keys, how="setconf", each=0, more=""):
    """Peers at once; each with so many allowed IPs."""
    lines = []
    for n, key in enumerate(keys):
        ips = ", ".join([f"10.{n >> 8}.{n & 255}.0/24", f"fd00:{n:x}::/64"][:each])
        lines.append(f"[Peer]\nPublicKey = {key}\n{more}")
        lines += [f"AllowedIPs = {ips}\n"] if ips else []
    ns.run("wg", how, "wg0", "/dev/stdin", input="".join(lines))


def cpu(words):
    """Seconds of a processor that a command takes."""
    before = os.times()
    subprocess.run([str(w) for w in words], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user \
        - before.children_system


@vm
@alone
@plain_build_only
@time_limit(300)
def test_ten_thousand_peers(t):
    """And one of them with 5,000 allowed IPs, so that it goes on in the next message."""
    rng = random.Random(1)
    ns = t.namespace()
    ns.ip("link add wg0 type wireguard")
    keys = [base64.b64encode(rng.randbytes(32)).decode() for _ in range(10_000)]
    config(ns, keys, each=2, more="Endpoint = 192.0.2.9:1\nPersistentKeepalive = 25\n")
    ips = ",".join(f"10.200.{i >> 8}.{i & 255}/32" for i in range(5000))
    ns.run("wg", "set", "wg0", "peer", keys[5000], "allowed-ips", ips)
    said = dump(ns)
    peers = said["wg0"]["peers"]
    same((len(peers), sum(len(p["allowed"]) for p in peers.values())), (10_000, 24_998),
         "the story went wrong")
    same(of_json(t.netmon("wireguard", ns=ns).stdout), said, "JSON")

    got = {}
    for line in t.netmon("metrics", "wireguard", "--option", "Report Detail",
                         ns=ns).stdout.splitlines():
        id, number, *_ = line.rsplit(" ", 2) if line.endswith(" slow") else line.rsplit(" ", 1)
        got[id] = number
    for key, p in peers.items():
        name = key[:8].replace("/", "_")
        same([got[f"wg0/{x}-{name}"] for x in ("if_octets", "gauge-allowed_ips",
                                               "duration-keepalive", "bool-online")],
             [f"{p['rx']}:{p['tx']}", str(len(p["allowed"])), "25", "0"], name)
    same([got[f"wg0/gauge-{x}"] for x in ("peers", "peers_never", "allowed_ips")],
         ["10000", "10000", "24998"], "of the interface")

    netns = ["ip", "netns", "exec", ns.name]
    read = [*netns, t.build.netmon, "metrics", "wireguard", "--option", "Report No", "--interval",
            "0.01", "--count"]
    runs = [(cpu([*netns, "wg", "show", "all", "dump"]), cpu([*netns, t.build.netmon, "wireguard"]),
             cpu([*read, 1]), cpu([*read, 6])) for _ in range(5)]
    # of whom the processor was not taken away by others
    wg_s, json_s, one, six = (min(column) for column in zip(*runs))
    t.note(f"wg show all dump {wg_s:.2f} s, netmon wireguard {json_s:.2f} s, a reading "
           f"{(six - one) / 5:.2f} s, {(six - one) / 5 / wg_s:.2f} of wg")
    assert (six - one) / 5 < wg_s, runs
    daemon = start(t, ns, interval=5)
    daemon.wait_value("wg0/gauge-peers", 10_000)
    same(len(plain(daemon.reading(timeout=60))), 20_000 + 6 + 3 + 7, "values of the first reading")


def memory_of(pid):
    """All that a process has, as a core of it would."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            first, last = (int(x, 16) for x in line.split()[0].split("-"))
            if line.split()[1][0] == "r" and not line.rstrip().endswith(("[vvar]", "[vsyscall]")):
                with contextlib.suppress(OSError):
                    mem.seek(first)
                    yield mem.read(last - first)


@vm
@plain_build_only
def test_no_secret_is_anywhere(t):
    psk = genkey()
    tunnel = Tunnel(t, psk=psk)
    tunnel.ping(3)
    ns = tunnel.a
    conf = t.directory("wg") / "wg0.conf"
    conf.write_text(ns.run("wg", "showconf", "wg0").replace("[Peer]", "# alice\n[Peer]", 1)
                    + f"# PresharedKey = {psk}\n[Peer]\nPublicKey = {pubkey(genkey())}\n")
    secrets = [base64.b64decode(tunnel.private[1]), base64.b64decode(psk)]
    for s in secrets:
        assert base64.b64encode(s) in conf.read_bytes(), "the story went wrong"
    needles = [n for s in secrets
               for n in (s, base64.b64encode(s)[:-1], s.hex().encode(), s[:16], s[16:])]

    def search(data, where):
        for n, needle in enumerate(needles):
            assert needle not in data, f"{where}: a secret ({n})"

    out = t.directory("out")
    daemon = start(t, ns, f'PeerNames "{conf}"\nNotify "all"\nReport "Detail"', interval=2, before=f"""
LoadPlugin csv
<Plugin csv>
  DataDir "{out}/csv"
</Plugin>
LoadPlugin rrdtool
<Plugin rrdtool>
  DataDir "{out}/rrd"
</Plugin>
""")
    daemon.wait_value("wg0/if_octets-alice", lambda v: v["rx"] > 0)
    conf.write_text(conf.read_text() + "\n")  # read while it runs
    wg(ns, "wg0", "peer", tunnel.public[2], "persistent-keepalive", "1")
    daemon.wait_value("wg0/duration-keepalive-alice", 1)
    seen = 0
    for part in memory_of(daemon.process.pid):
        search(part, "the daemon's memory")
        seen += len(part)
        found = base64.b64decode(tunnel.public[2]) in part
        seen += found << 40
    assert seen >> 40, "the public key is not in it either: not the daemon's memory"
    until(lambda: list(out.rglob("*.rrd")) and list(out.rglob("if_octets-alice*")), "files")
    daemon.stop()
    for path in [*out.rglob("*"), *daemon.dir.rglob("*")]:
        if path.is_file():
            search(str(path).encode() + path.read_bytes(), path.name)
    search("\n".join(daemon.log()).encode(), "log")
    search(repr([daemon.series, daemon.notices()]).encode(), "values and notifications")

    for words in (["wireguard"], ["metrics", "wireguard", "--option", f'PeerNames "{conf}"']):
        done = t.netmon(*words, "--record", out / "recording", ns=ns)
        search(done.stdout.encode() + done.stderr.encode(), words)
        data = (out / "recording").read_bytes()
        search(data, f"the recording of {words}")
        assert base64.b64decode(tunnel.public[2]) in data, "the public key is not in it either"
        assert struct.pack("=HH", 36, 3) + bytes(32) in data, "not zeroed but missing"
    replayed = t.netmon("wireguard", "--replay", out / "recording").stdout
    same(set(of_json(replayed)["wg0"]["peers"]), {tunnel.public[2]}, "peers of the recording")
