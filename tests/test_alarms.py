# SPDX-License-Identifier: MIT
"""Every alarm of netmon-alarms(7) goes off, says where to look, and ends; and ways to a person."""

import contextlib
import json
import os
import pwd
import re
import shutil
import socket
import threading
import time

import servers
from harness import ROOT, STOCK_PLUGINS, command, plain_build_only, same, time_limit, until
from test_mdb import OTHERS_HOLD_THE_LOCK, QUERIER, bridged, query
from test_neighbor_stations import A, B, at, with_pair
from test_route import router, talk

RULES = ROOT / "conf/prometheus-rules.yml"
# collectd names a thread that may have ended by then.
THREAD_ENDED = r'set_thread_name\("exec notify"\)'
MANUAL = ROOT / "conf/netmon-alarms.7.in"
SCRIPT = '"/usr/share/netmon/netmon-notify"'
STATE = '"/var/lib/netmon-notify"\n'


def with_programs(daemon):
    """It is killed in the end: collectd 5.12's exec plugin frees what its threads still read, when
    collectd ends while a program is being started."""

    def stop():
        daemon.check()
        daemon.kill()

    daemon.stop = stop
    return daemon


class Watched:
    """A collectd with thresholds.conf and notify-exec.conf as they are, and what a person is told."""

    def __init__(self, t, ns, plugin="netmon_link", block="", interval=0.5):
        os.chmod(t.dir, 0o711)  # for nobody, who runs the program
        where = t.directory("told")
        shutil.copy(ROOT / "conf/netmon-notify", where)
        nobody = pwd.getpwnam("nobody")
        os.chown(where, nobody.pw_uid, nobody.pw_gid)
        self.file = where / "lines"
        changes = {SCRIPT: f'"{where}/netmon-notify"',
                              STATE: f'"{where}" "tee" "-a" "{self.file}"\n'}
        self.daemon = with_programs(t.collectd(
            block, ns, plugin=plugin, interval=interval,
            expect_log=[OTHERS_HOLD_THE_LOCK, THREAD_ENDED],
            more=servers.example("thresholds.conf") + servers.example("notify-exec.conf", changes)))
        self.seen = 0

    def lines(self):
        if not self.file.exists():
            return []
        *lines, _ = self.file.read_text(errors="surrogateescape").split("\n")
        return lines

    def wait(self, pattern, timeout=15):
        """The first line in which the pattern is found, behind the last one that was waited for."""

        def look():
            for i, line in enumerate(self.lines()[self.seen:]):
                if re.search(pattern, line):
                    self.seen += i + 1
                    return line
            return None

        try:
            return until(look, f"an alarm /{pattern}/", timeout)
        except AssertionError as e:
            raise AssertionError(f"{e}; told: {self.lines()[self.seen:]}") from None

    def alarm(self, severity, words, look_at):
        """It must say what is wrong, and where to look."""
        line = self.wait(f"^{severity} testhost: .*{words}")
        for word in look_at:
            assert re.search(f"; look at: .*{re.escape(word)}", line), f"no {word!r} in: {line}"
        return line

    def over(self, words):
        line = self.wait(f"^OKAY testhost: .*{words}")
        assert "look at" not in line, line


# ---- what netmon's plugins tell themselves ------------------------------------------------------


@plain_build_only
def test_interface_down(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.settled("a0", "b0")
    w = Watched(t, ns)
    w.daemon.ready("a0")
    ns.ip("link set b0 down")
    w.alarm("FAILURE", "interface a0 is down: it has no carrier",
            ["netmon link -s,", "netmon-graph link a0"])
    ns.ip("link set b0 up")
    w.over("interface a0 is up")


@plain_build_only
def test_in_another_namespace_the_text_says_which(t):
    ns, blue = t.namespace(), t.namespace()
    blue.veth("a0", "b0")
    blue.settled("a0", "b0")
    w = Watched(t, ns, block=f'Namespace "{blue.name}"')
    w.daemon.ready(f"a0@{blue.name}")
    blue.ip("link set a0 down")
    w.alarm("FAILURE", rf"interface a0 is down.*\(network namespace {blue.name}\)",
            [f"netmon link -s -N {blue.name},", f"netmon-graph link a0@{blue.name}"])
    t.netmon("link", "-s", "-N", blue.name)


@plain_build_only
def test_speed_dropped(t):
    ns = t.namespace()
    t.tap(ns, "t0")
    speed = "ethtool -s t0 duplex full speed".split()
    ns.run(*speed, "1000")
    w = Watched(t, ns)
    w.daemon.wait_value("t0/gauge-speed", 1e9, timeout=20)
    ns.run(*speed, "100")
    w.alarm("WARNING", "interface t0: the speed dropped from 1000 to 100 Mbit/s",
            ["netmon link -s", "netmon-graph link t0"])
    ns.run(*speed, "1000")
    w.over("interface t0: the speed rose from 100 to 1000")


@plain_build_only
def test_default_route_lost(t):
    ns = router(t)
    ns.ip("route add default via 192.0.2.9")
    w = Watched(t, ns, "netmon_route")
    w.daemon.wait_value("main/bool-default_ipv4", 1, timeout=20)
    ns.ip("route del default")
    w.alarm("FAILURE", "the route default_ipv4 is lost", ["netmon route -s", "netmon-graph route main"])
    ns.ip("route add default via 192.0.2.9")
    w.over("the route default_ipv4 is via 192.0.2.9")


@plain_build_only
def test_forwarding_switched_off(t):
    ns = router(t)
    ns.sysctl("ipv4/ip_forward", 1)
    w = Watched(t, ns, "netmon_forward")
    w.daemon.wait_value("all/bool-ipv4_forwarding", 1, timeout=20)
    ns.sysctl("ipv4/ip_forward", 0)
    w.alarm("FAILURE", "all interfaces: IPv4 forwarding was on and is off",
            ["netmon forward -s", "netmon-graph forward"])
    ns.sysctl("ipv4/ip_forward", 1)
    w.over("all interfaces: IPv4 forwarding was off and is on")


@plain_build_only
def test_duplicate_address(t):
    ns = with_pair(t)
    at(ns, "192.0.2.10", A)
    w = Watched(t, ns, "netmon_neighbor", "DuplicateInterval 1")
    w.daemon.wait_value("stations/gauge-known", lambda n: n >= 1, timeout=20)
    at(ns, "192.0.2.10", B)
    at(ns, "192.0.2.10", A)
    w.alarm("FAILURE", "192.0.2.10 is used by both", ["netmon neighbor -s", "netmon-graph neighbor"])
    w.over("192.0.2.10 has had one station")


@plain_build_only
def test_an_address_of_ones_own_that_another_host_has(t):
    ns, peer = t.namespace(), t.namespace()
    ns.veth("a0", "b0", peer)
    ns.ipv6("a0")
    peer.ipv6("b0")
    peer.ip("addr add 2001:db8::66/64 dev b0 nodad")
    ns.settled("a0")
    w = Watched(t, ns)
    w.daemon.ready("a0")
    ns.ip("addr add 2001:db8::66/64 dev a0")
    w.alarm("FAILURE", "interface a0: address 2001:db8::66/64 is not used, another host has it",
            ["netmon link -s"])
    ns.ip("addr del 2001:db8::66/64 dev a0")
    w.over("2001:db8::66/64 is a duplicate no more")


@plain_build_only
def test_querier_lost(t):
    ns = bridged(t, "mcast_querier_interval 300")
    w = Watched(t, ns, "netmon_mdb")
    w.daemon.wait_value("br0/bool-querier", 0, timeout=20)
    query(ns, "q0", QUERIER)
    w.daemon.wait_notification("querier", "br0", new=QUERIER)
    w.alarm("FAILURE", "br0", ["netmon mdb -s", "netmon-graph link br0"])
    query(ns, "q0", QUERIER)
    w.over("br0")


# ---- thresholds ---------------------------------------------------------------------------------


class Traffic:
    """So many octets in a second, out of an interface, until it is another number."""

    def __init__(self, t, ns, dev):
        self.rate, self.over = 0, threading.Event()
        self.socket = ns.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.bind((dev, 0))
        thread = threading.Thread(target=self._send, daemon=True)
        thread.start()
        t.cleanup(self._end, thread)

    def _send(self):
        frame = bytes.fromhex("ffffffffffff02000000000188b5").ljust(200, b"\0")
        owed, last = 0, time.monotonic()
        while not self.over.wait(0.01):
            now = time.monotonic()
            owed = min(owed + (now - last) * self.rate, self.rate)
            last = now
            while owed >= len(frame):
                self.socket.send(frame)
                owed -= len(frame)

    def _end(self, thread):
        self.over.set()
        thread.join()
        self.socket.close()


@plain_build_only
@time_limit(120)
def test_utilization(t):
    """80 and 90 % in whole readings; it is over 5 below."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.settled("a0", "b0")
    w = Watched(t, ns, block='Interface "a0"\nSpeed "a0" 800000', interval=1)  # 100,000 octets/s
    w.daemon.ready("a0")
    traffic = Traffic(t, ns, "a0")
    traffic.rate = 84000
    warning = w.alarm("WARNING", r"percent \(instance utilization_tx\).*above the warning threshold of "
                      "80", ["netmon top", "netmon-graph link a0 --graph utilization"])
    assert "(instance a0)" in warning, warning
    traffic.rate = 97000
    w.alarm("FAILURE", "utilization_tx.*above the failure threshold of 90", ["netmon top"])
    traffic.rate = 0
    w.over("utilization_tx.*within range again")
    at = next(n.time for n in w.daemon.notices() if n.severity == "warning")
    values = [v.plain for v in w.daemon.values("a0/percent-utilization_tx") if v.time < at + 0.5]
    assert len(values) >= 3 and min(values[-3:]) > 80, f"told after {values}"


@plain_build_only
@time_limit(120)
def test_flapping(t):
    """With the interval that is collectd's own: one loss is no alarm of flapping, three are."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.settled("a0", "b0")
    w = Watched(t, ns, block='SlowInterval 10\nInterface "a0"', interval=10)
    w.daemon.ready("a0")

    def lose(times):
        for _ in range(times):
            ns.ip("link set b0 down")
            until(lambda: ns.link("a0")["operstate"] != "UP", "carrier to go")
            ns.ip("link set b0 up")
            until(lambda: ns.link("a0")["operstate"] == "UP", "carrier to come")

    losses = w.daemon.wait_value("a0/transitions-carrier_down", timeout=20).plain
    lose(1)
    w.daemon.wait_value("a0/transitions-carrier_down", losses + 1, timeout=20)
    same([line for line in w.lines() if "within range" in line or "transitions" in line], [],
         "told of one loss, or OKAY of what was seen for the first time")
    lose(3)
    w.alarm("WARNING", r"\(instance a0\) type transitions \(instance carrier_down\)",
            ["netmon-graph link a0 --graph flaps", "ethtool a0"])
    w.over("carrier_down.*within range again")


@plain_build_only
def test_gateway_unreachable(t):
    ns = router(t)
    ns.ip("route add default via 192.0.2.9")
    answers = "neigh replace 192.0.2.9 lladdr 02:00:00:00:00:99 dev a0 nud permanent"
    ns.ip(answers)
    w = Watched(t, ns, "netmon_route", interval=0.25)
    w.daemon.wait_value("main/bool-default_ipv4_gateway_reachable", 1, timeout=20)
    ns.ip("neigh del 192.0.2.9 dev a0")
    talk(ns, "192.0.2.9")  # nobody answers
    w.alarm("FAILURE", "default_ipv4_gateway_reachable.*below the failure threshold",
            ["netmon neighbor -s", "netmon-graph route main --graph default"])
    ns.ip(answers)
    w.over("default_ipv4_gateway_reachable.*within range again")


# ---- the files, and ways to a person --------------------------------------------------------------


def flap(ns, daemon):
    daemon.ready("a0")
    ns.ip("link set a0 down")
    daemon.wait_notification("state", "a0", new="down")


def pair(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.settled("a0", "b0")
    return ns


def serve(t, ns, port, talk_to):
    """A server of one's own: talk_to(a file of the connection) for each."""
    listening = ns.call(lambda: socket.create_server((servers.LOCALHOST, port)))

    def accept():
        with contextlib.suppress(OSError):
            while True:
                with listening.accept()[0] as connection, connection.makefile("rwb") as f:
                    talk_to(f)

    threading.Thread(target=accept, daemon=True).start()
    t.cleanup(listening.close)
    t.cleanup(listening.shutdown, socket.SHUT_RDWR)


@plain_build_only
def test_mail(t):
    servers.need_library("libesmtp.so.6", "libesmtp6")
    ns = pair(t)
    mails = []

    def smtp(f):
        def say(line):
            f.write(line.encode() + b"\r\n")
            f.flush()

        say("220 test")
        envelope = []
        for line in f:
            word = line[:4].upper()
            envelope.append(line.decode().strip())
            if word == b"DATA":
                say("354 go on")
                text = b"".join(iter(f.readline, b".\r\n")).decode()
                mails.append((envelope[:-1], text))
                envelope = []
            say("221 bye" if word == b"QUIT" else "250 ok")
            if word == b"QUIT":
                return

    serve(t, ns, 25, smtp)
    daemon = t.collectd(ns=ns, more=servers.example("notify-email.conf"))
    flap(ns, daemon)
    envelope, text = until(lambda: mails, "a mail")[0]
    assert any("RCPT TO:<root@localhost>" in line for line in envelope), envelope
    assert "Subject: FAILURE: network of testhost" in text, text
    assert "interface a0 is down: it was set down" in text and "netmon-graph link a0" in text, text
    ns.ip("link set a0 up")
    until(lambda: [m for _, m in mails if "interface a0 is up" in m], "the mail that it is over")
    assert [m for _, m in mails if "Subject: OKAY" in m], mails


NAGIOS = (r"\[\d+\] PROCESS_SERVICE_CHECK_RESULT;testhost;netmon_link-a0/-state;2;interface a0 is "
          "down: it was set down; look at: .*netmon-graph link a0\n")


@plain_build_only
def test_nagios(t):
    """Through a FIFO, as Nagios has it."""
    ns = pair(t)
    os.chmod(t.dir, 0o711)
    where = t.directory("nagios")
    script = shutil.copy(ROOT / "conf/netmon-notify", where)
    path = where / "nagios.cmd"
    os.mkfifo(path)
    os.chmod(path, 0o666)
    fifo = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    t.cleanup(os.close, fifo)
    text = b""

    def told(pattern):
        nonlocal text
        with contextlib.suppress(BlockingIOError):
            text += os.read(fifo, 65536)
        return re.search(pattern, text.decode())

    more = servers.example("notify-nagios.conf", {
        "/var/lib/nagios4/rw/nagios.cmd": path, '"nagios"': '"nobody"',
        "/usr/share/netmon/netmon-notify": script})
    daemon = with_programs(t.collectd(ns=ns, expect_log=[THREAD_ENDED], more=more))
    flap(ns, daemon)
    until(lambda: told(NAGIOS), "the passive check")
    ns.ip("link set a0 up")
    until(lambda: told(";netmon_link-a0/-state;0;interface a0 is up\n"), "that it is over")


@plain_build_only
def test_nagios_by_collectds_own_plugin(t):
    """A regular file, as the example says; with a FIFO collectd 5.12 does what it says there."""
    ns = pair(t)
    text = re.sub("^#(LoadPlugin|<|\t|</)", r"\1", servers.example("notify-nagios.conf"),
                  flags=re.MULTILINE).partition("</Plugin>")[2]
    file, fifo = t.dir / "file", t.dir / "fifo"
    file.touch()
    os.mkfifo(fifo)
    end = os.open(fifo, os.O_RDWR)
    t.cleanup(os.close, end)
    daemon = t.collectd(ns=ns, more=text.replace("/var/lib/collectd/alarms", str(file)))
    flap(ns, daemon)
    until(lambda: re.search(NAGIOS, file.read_text()), "a line")
    daemon.stop()
    ns.ip("link set a0 up")
    daemon = t.collectd(ns=ns, more=text.replace("/var/lib/collectd/alarms", str(fifo)),
                        expect_log=["notify_nagios"])
    flap(ns, daemon)
    daemon.wait_log("Illegal seek")


@plain_build_only
def test_any_name_is_a_text_to_the_program(t):
    """What stands in an interface's name is neither run nor a second line."""
    mark, fifo = t.dir / "mark", t.dir / "fifo"
    name = f'a;b$(touch {mark})`touch {mark}`"\'\\ %s'
    given = (f"Severity: FAILURE\nHost: h\nPlugin: netmon_link\nPluginInstance: {name}\nType: percent\n"
             "TypeInstance: errors_rx\nUnknown: x\n\none %d\n[1] TWO;\x01\udcff\n")
    script = ROOT / "conf/netmon-notify"
    said = command(script, "cat", input=given)
    assert said.startswith("FAILURE h: one %d [1] TWO; ") and said.count("\n") == 1, said
    assert said.endswith(f"netmon-graph link {name} --graph errors\n"), said
    subject = command(script, "sh", "-c", 'echo "$SUBJECT"', input=given)
    same(subject, f"FAILURE h: netmon_link {name} percent-errors_rx\n", "SUBJECT")
    os.mkfifo(fifo)
    end = os.open(fifo, os.O_RDWR)
    t.cleanup(os.close, end)
    command(script, "-n", fifo, input=given)
    line = os.read(end, 65536).decode(errors="surrogateescape")
    same((line.count("\n"), line.split(";")[1:4]),
         (1, ["h", f"netmon_link-{name.replace(';', '_')}/percent-errors_rx", "2"]), "passive check")
    command(script, "-n", t.dir / "none", input=given, ok=(1,))
    assert not mark.exists() and not (t.dir / "none").exists()
    for text in ("", "\n", "Severity: OKAY", "Severity: OKAY\n\n" + "x" * 100000):
        command(script, "cat", input=text)


@plain_build_only
def test_http(t):
    ns = pair(t)
    bodies = []

    def http(f):
        while line := f.readline():
            length = 0
            while line.strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
                line = f.readline()
            bodies.append(json.loads(f.read(length)))
            f.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            f.flush()

    serve(t, ns, 8088, http)
    daemon = t.collectd(ns=ns, more=servers.example("notify-http.conf"))
    flap(ns, daemon)
    alert, = until(lambda: [b for b, in bodies if b["labels"]["severity"] == "FAILURE"
                            and b["labels"]["netmon_link"] == "a0"], "a failure")[:1]
    assert "interface a0 is down" in alert["annotations"]["summary"], alert
    same({k: alert["labels"].get(k) for k in ("instance", "netmon_link", "severity", "service")},
         {"instance": "testhost", "netmon_link": "a0", "severity": "FAILURE",
          "service": "collectd"}, "labels")


@plain_build_only
def test_every_file_loads_without_a_word(t):
    servers.need_library("libesmtp.so.6", "libesmtp6")
    names = ["thresholds.conf", *sorted(p.name for p in (ROOT / "conf").glob("notify-*.conf"))]
    assert len(names) >= 5, names
    ns = pair(t)
    unheard = ["notify_email", "write_http", "nagios", THREAD_ENDED]  # nobody serves here
    daemon = with_programs(t.collectd(ns=ns, more="\n".join(map(servers.example, names)),
                                      expect_log=unheard)).ready("a0")
    daemon.stop()  # another warning in its log is a failure
    same([line for line in daemon.log() if re.search(r"not allowed|nknown|gnor|nvalid", line)], [],
         "complaints")


@plain_build_only
def test_what_is_misspelt_is_said(t):
    """By collectd, in its words: it goes on without the rest of the block."""
    ns = t.namespace()
    for old, new, words in (("WarningMax 80", "WarnMax 80", "`WarnMax' not allowed"),
                            ('LoadPlugin threshold', 'LoadPlugin treshold', "treshold")):
        daemon = t.collectd(ns=ns, more=servers.example("thresholds.conf", {old: new}),
                            expect_log=["."])
        daemon.wait_log(words)
        daemon.kill()


@plain_build_only
def test_what_is_commented_out_is_understood_too(t):
    ns = pair(t)
    text = re.sub("^#\t", "\t", servers.example("thresholds.conf"), flags=re.MULTILINE)
    daemon = t.collectd(ns=ns, more=text).ready("a0")
    daemon.stop()


# ---- Prometheus ---------------------------------------------------------------------------------

LINK, ROUTE, FORWARD = "collectd_netmon_link_", "collectd_netmon_route_", "collectd_netmon_forward_"


def link(metric, type=None):
    labels = f',type="{type}"' if type else ""
    return f'{LINK}{metric}{{netmon_link="eth0"{labels},instance="h"}}'


def series(plugin, metric, instance, type):
    return f'collectd_{plugin}_{metric}{{{plugin}="{instance}",type="{type}",instance="h"}}'


GOOD_THEN_BAD_THEN_GOOD = "1x9 0x19 1x40"
# Alarm -> the series, a value each minute: it is silent at 9 min, goes off until 29 min, and is
# silent at the end.
STORIES = {
    "NetmonNoData": {'up{job="netmon",instance="h:9103"}': GOOD_THEN_BAD_THEN_GOOD},
    "NetmonInterfaceDown": {link("gauge", "link_state"): "2x9 0x19 1x40"},
    "NetmonInterfaceFlapping": {link("transitions_total", "carrier_down"): "0x9 2+2x18 38x40"},
    "NetmonErrors": {link("if_errors_rx_total"): "0x9 60+60x18 1140x40",
                     link("if_packets_rx_total"): "0+5000x70"},
    "NetmonErrors tx": {link("if_errors_tx_total"): "0x9 60+60x18 1140x40",
                        link("if_packets_tx_total"): "0+5000x70"},
    "NetmonUtilization": {link("percent", "utilization_rx"): "80x9 81x19 79x40"},
    "NetmonUtilizationHigh": {link("percent", "utilization_tx"): "80x9 91x19 80x40"},
    "NetmonSpeedDropped": {link("gauge", "speed"): "1000000000x9 100000000x19 1000000000x40"},
    "NetmonBondDegraded": {link("gauge", "ports"): "2x70",
                           link("gauge", "ports_up"): "2x9 1x19 2x40"},
    "NetmonDefaultRouteLost": {
        series("netmon_route", "bool", "main", "default_ipv4"): GOOD_THEN_BAD_THEN_GOOD,
        series("netmon_route", "bool", "main", "default_ipv6"): "0x70"},  # never had one
    "NetmonGatewayUnreachable": {
        series("netmon_route", "bool", "main", "default_ipv4_gateway_reachable"):
            GOOD_THEN_BAD_THEN_GOOD},
    "NetmonForwardingOff": {
        series("netmon_forward", "bool", "all", "ipv4_forwarding"): GOOD_THEN_BAD_THEN_GOOD,
        series("netmon_forward", "bool", "eth0", "ipv4_forwarding"): GOOD_THEN_BAD_THEN_GOOD,
        series("netmon_forward", "bool", "all", "ipv6_forwarding"): "0x70"},
    "NetmonNeighborTableFull": {
        series("netmon_neighbor", "derive_total", "arp_cache", "table_fulls"): "0x9 5+5x18 95x40"},
    "NetmonNeighborTableFilling": {
        series("netmon_neighbor", "percent", "arp_cache", "fill"): "80x9 81x19 80x40"},
    "NetmonDuplicateAddress": {
        series("netmon_neighbor", "derive_total", "stations", "duplicate"): "0x9 1+1x18 19x40"},
    "NetmonDuplicateAddress dad": {link("gauge", "addresses_dadfailed"): "0x9 1x19 0x40"},
    "NetmonQuerierLost": {series("netmon_mdb", "bool", "br0", "querier"): GOOD_THEN_BAD_THEN_GOOD},
    "NetmonPeerStale": {
        series("netmon_wireguard", "bool", "wg0", "online-alice"): GOOD_THEN_BAD_THEN_GOOD},
    "NetmonHoldover": {series("netmon_dpll", "gauge", "ice-0-eec", "lock_status"): "3x9 4x19 2x40"},
    "NetmonUnlocked": {series("netmon_dpll", "gauge", "ice-0-eec", "lock_status"): "3x9 1x19 2x40"},
}


def alerts():
    return re.findall(r"- alert: (\w+)", RULES.read_text())


@plain_build_only
def test_every_rule_goes_off_and_ends(t):
    """promtool's own tests; and no other rule goes off because of the same trouble."""
    servers.need("promtool", "prometheus")
    command("promtool", "check", "rules", RULES)
    same({name.split()[0] for name in STORIES}, set(alerts()), "rules with a test")
    query = 'count by (alertname) (ALERTS{alertstate="firing"})'
    tests = []
    for name, told in STORIES.items():
        went_off = [{"labels": f'{{alertname="{name.split()[0]}"}}', "value": 1}]
        tests.append({
            "interval": "1m", "name": name,
            "input_series": [{"series": s, "values": v} for s, v in told.items()],
            "promql_expr_test": [
                {"expr": query, "eval_time": when, "exp_samples": expected}
                for when, expected in (("9m", []), ("28m", went_off), ("60m", []))]})
    path = t.dir / "rules.test.yml"
    path.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m",
                                "tests": tests}))
    command("promtool", "test", "rules", path)


def test_every_rule_says_where_to_look(t):
    for rule in RULES.read_text().split("- alert: ")[1:]:
        name = rule.split()[0]
        assert "severity: " in rule and "summary: " in rule, name
        assert re.search(r'description: ".*Look at: ', rule), f"{name} does not say where to look"
        for graph in re.findall(r"--graph ([\w-]+)", rule):
            assert [*(ROOT / "rrd/graphs").glob(f"*-{graph}.graph")], f"{name}: no graph {graph}"


def test_every_alarm_is_in_the_manual(t):
    manual = MANUAL.read_text().replace("\\-", "-")
    for name in alerts():
        assert name in manual, f"{name} is not in {MANUAL.name}"
    instances = re.findall(r'^\t\t\tInstance "(\w+)"', servers.example("thresholds.conf"), re.MULTILINE)
    assert len(instances) > 5, instances
    for name in instances:
        assert name in manual, f"the threshold {name} is not in {MANUAL.name}"
    for graph in re.findall(r"--graph ([\w-]+)", manual + (ROOT / "conf/netmon-notify").read_text()):
        assert [*(ROOT / "rrd/graphs").glob(f"*-{graph}.graph")], f"no graph {graph}"


@plain_build_only
@time_limit(180)
def test_alarms_of_a_real_prometheus(t):
    """Real troubles, asked for over its API; only how long they must last is shorter."""
    for library, package in {"libmicrohttpd.so.12": "libmicrohttpd12",
                             "libprotobuf-c.so.1": "libprotobuf-c1"}.items():
        servers.need_library(library, package)
    ns = router(t)
    ns.ip("link add br0 type bridge mcast_querier 1")
    ns.veth("p0", "q0")
    ns.batch(["link set p0 master br0", "link set br0 up", "route add default via 192.0.2.9",
              "neigh replace 192.0.2.9 lladdr 02:00:00:00:00:99 dev a0 nud permanent"])
    t.tap(ns, "t0")
    speed = "ethtool -s t0 duplex full speed".split()
    ns.run(*speed, "1000")
    ns.sysctl("ipv4/ip_forward", 1)
    prometheus = servers.Prometheus(t, ns)
    others = ["netmon_route", "netmon_forward", "netmon_mdb"]
    load = "\n".join(f"LoadPlugin {p}\n<Plugin {p}>\n  SlowInterval 1\n</Plugin>" for p in others)
    daemon = t.collectd(
        'SlowInterval 1\nSpeed "c0" 800', ns, interval=1,
        expect_log=["MHD_OPTION_EXTERNAL_LOGGER", OTHERS_HOLD_THE_LOCK],
        more=f'PluginDir "{t.build.dir}"\n{load}\nPluginDir "{STOCK_PLUGINS}"\n'
             + servers.example("write-prometheus.conf"))
    daemon.wait_value("br0/bool-querier", 1, plugin="netmon_mdb", timeout=20)

    def firing():
        found = {}
        for a in prometheus.get("alerts")["alerts"]:
            if a["state"] == "firing":
                found.setdefault(a["labels"]["alertname"], []).append(a)
        return found

    for name, labels in (("route_bool", 'type="default_ipv4"'),
                         ("route_bool", 'type="default_ipv4_gateway_reachable"'),
                         ("mdb_bool", 'type="querier"'),
                         ("forward_bool", 'netmon_forward="all",type="ipv4_forwarding"'),
                         ("link_gauge", 'netmon_link="p0",type="link_state"'),
                         ("link_gauge", 'netmon_link="t0",type="speed"')):
        until(lambda: [r for r in prometheus.get("query", query=f"collectd_netmon_{name}{{{labels}}}")
                       ["result"] if float(r["value"][1])], f"{name} {labels}", 20)
    traffic = Traffic(t, ns, "c0")

    def trouble():
        ns.run(*speed, "100")
        ns.ip("link set q0 down")
        ns.ip("link set br0 type bridge mcast_querier 0")
        ns.sysctl("ipv4/ip_forward", 0)
        ns.ip("neigh del 192.0.2.9 dev a0")
        talk(ns, "192.0.2.9")
        traffic.rate = 10000

    def repair():
        traffic.rate = 0
        ns.run(*speed, "1000")
        ns.ip("link set q0 up")
        ns.ip("link set br0 type bridge mcast_querier 1")
        ns.sysctl("ipv4/ip_forward", 1)
        ns.ip("neigh replace 192.0.2.9 lladdr 02:00:00:00:00:99 dev a0 nud permanent")

    expected = {"NetmonInterfaceDown", "NetmonSpeedDropped", "NetmonQuerierLost",
                "NetmonForwardingOff", "NetmonGatewayUnreachable", "NetmonUtilizationHigh"}
    trouble()
    until(lambda: expected <= set(firing()), f"{expected} to go off; now {set(firing())}", 40)
    down = firing()["NetmonInterfaceDown"]
    summary, = [a["annotations"]["summary"] for a in down if a["labels"]["netmon_link"] == "p0"]
    same(summary, "testhost: interface p0 is down", "summary")
    ns.ip("route del default")
    until(lambda: "NetmonDefaultRouteLost" in firing(), "the default route's alarm", 20)
    ns.ip("route add default via 192.0.2.9")
    repair()
    left = []

    def all_over():
        left[:] = sorted(firing())
        return not left

    try:
        until(all_over, "all to be over", 40)
    except AssertionError as e:
        raise AssertionError(f"{e}: {left}") from None
    daemon.kill()
    until(lambda: "NetmonNoData" in firing(), "the alarm that there is no more to see", 20)
