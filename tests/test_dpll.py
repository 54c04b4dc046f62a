# SPDX-License-Identifier: MIT
"""Clocks: every value as the simulated driver was told it, and every change told once, at once.

The devices are those of tests/vm/dpllsim, a driver of the kernel's own DPLL subsystem; the witness
is what it reads back.
"""

import json
import pathlib
import re
import statistics
import subprocess
import time

from harness import ROOT, Skip, command, plain_build_only, same, time_limit, vm

CLOCK = "dpllsim-5051f0fffe4e4d00"
DEVICES = {0: "eec", 1: "pps", 2: "eec-2"}
LABELS = ["GNSS-1PPS", "SMA1_rear", "OUT0", "int_oscillator", "RCLK-MUX", "RCLK", "RCLK-2"]
MUX, CHILDREN = 4, (5, 6)
UNLOCKED, LOCKED, LOCKED_HO_ACQ, HOLDOVER = 1, 2, 3, 4
CONNECTED, DISCONNECTED, SELECTABLE = 1, 2, 3
EEC, PPS = f"{CLOCK}-eec", f"{CLOCK}-pps"
BREAKS_OFF = "the kernel breaks off its list"


def pin(number):
    return f"{CLOCK}-pin-{LABELS[number]}"


class Sim:
    """The simulated driver, loaded."""

    CONTROL = pathlib.Path("/sys/kernel/debug/dpllsim")

    def __init__(self, t, **parameters):
        self.module = ROOT / "build/vm-modules/dpllsim.ko"
        if not self.module.exists():
            raise Skip(f"{self.module} is missing: make vm-modules")
        t.cleanup(lambda: subprocess.run(["rmmod", "dpllsim"], capture_output=True))
        self.load(**parameters)

    def load(self, **parameters):
        command("insmod", self.module, *[f"{k}={v}" for k, v in parameters.items()])

    def unload(self):
        command("rmmod", "dpllsim")

    def do(self, *commands):
        """Each as the driver's head explains; returns when the first was given."""
        began = time.time()
        for line in commands:
            self.CONTROL.write_text(line)
        return began

    def read(self):
        """{("dev", 0, "mode"): 2, ("pin", 1, 0, "prio"): 3, ...}"""
        values = {}
        for line in self.CONTROL.read_text().splitlines():
            kind, *numbers, field, value = line.split()
            values[(kind, *map(int, numbers), field)] = int(value)
        return values


def expected(sim):
    """What the daemon must send of all that the driver says of itself."""
    values = {}
    for (kind, *where, field), value in sim.read().items():
        if kind == "dev":
            device = f"{CLOCK}-{DEVICES[where[0]]}"
            if field == "temp":
                values[f"{device}/temperature"] = value / 1000
            elif field != "lock_status_error":  # told while the lock is lost
                values[f"{device}/gauge-{field}"] = value
            elif values[f"{device}/gauge-lock_status"] in (UNLOCKED, HOLDOVER):
                values[f"{device}/gauge-{field}"] = value
            continue
        number, d = where
        if field == "on_parent":
            if number in CHILDREN:
                values[f"{pin(number)}/gauge-state_pin-{LABELS[MUX]}"] = value
        elif field in ("direction", "prio", "state", "phase_offset"):
            values[f"{pin(number)}/gauge-{field}_{DEVICES[d]}"] = \
                value / 1000 if field == "phase_offset" else value
        else:
            name = {"frequency": "frequency-pin", "esync": "frequency-esync",
                    "pulse": "percent-esync_pulse", "phase_adjust": "gauge-phase_adjust",
                    "ffo": "gauge-fractional_frequency_offset"}[field]
            values[f"{pin(number)}/{name}"] = value
    return values


def fill_in(values, devices=2, pins=len(LABELS), netdevs=2):
    """What no getter says."""
    for d in range(devices):
        device = f"{CLOCK}-{DEVICES[d]}"
        values[f"{device}/duration-holdover"] = 0
        for status in ("unlocked", "locked", "locked_ho_acq", "holdover"):
            values[f"{device}/transitions-{status}"] = 0
    for n in range(netdevs):
        values[f"{pin(CHILDREN[n])}/bool-netdev_dpllsim{n}"] = 1
    values |= {"total/gauge-devices": devices, "total/gauge-devices_missing": 0,
               "total/gauge-pins": pins, "total/gauge-pins_missing": 0}
    return values


def start(t, block="", devices=2, **kw):
    daemon = t.collectd(block, plugin="netmon_dpll", **kw)
    daemon.wait_value("total/gauge-devices", devices, timeout=20)
    return daemon


def fence(sim, daemon):
    """A change after all others: when its notification is here, all the others have been."""
    mode = 3 - sim.read()["dev", 1, "mode"]
    since = sim.do(f"dev 1 mode {mode}")
    daemon.wait_notification("mode", PPS, since=since)


def told(daemon, since, *kinds):
    return [n for n in daemon.notices(since) if n.kind in kinds]


# ---- values --------------------------------------------------------------------------------------


@vm
def test_every_value_is_what_the_driver_says(t):
    sim = Sim(t, twin=1)
    daemon = start(t, devices=3)
    first = {k: v.plain for k, v in daemon.reading().items() if not k.startswith("self/")}
    wanted = fill_in(expected(sim), devices=3)
    same(set(first), set(wanted), "values that are sent")
    same(first, wanted, "the first reading")
    for id in first:  # series that no other reading knows, and types of collectd's own
        plugin_instance, type = id.split("/")
        assert re.fullmatch(r"[\w.-]+", plugin_instance), plugin_instance
        assert type.partition("-")[0] in ("gauge", "temperature", "duration", "transitions",
                                          "frequency", "percent", "bool"), type


@vm
def test_values_change_without_a_word_from_the_kernel(t):
    """Measured values come with no event; what seldom changes is sent at once when it has."""
    sim = Sim(t)
    daemon = start(t)
    sim.do("quiet dev 0 temp -273150", "quiet dev 1 mode 2", "quiet pin 0 0 ffo -9000000000",
           "quiet pin 0 1 phase_offset 9007199254740991", "quiet pin 1 0 frequency 1",
           "quiet pin 1 0 phase_adjust 16723", "quiet pin 1 0 esync 0", "quiet pin 1 0 pulse 50",
           "quiet pin 1 1 prio 4294967295", "quiet pin 1 1 direction 2",
           "quiet pin 5 0 on_parent 2", "quiet dev 1 lock_status 1",
           "quiet dev 1 lock_status_error 4", "quiet pin 3 0 state 3")
    for id, value in expected(sim).items():
        daemon.wait_value(id, value)
    daemon.wait_notification("lock", PPS, new="unlocked")  # also what only the reading saw


@vm
def test_what_the_driver_does_not_know_is_absent(t):
    sim = Sim(t, minimal=1)
    daemon = start(t)
    first = {k for k in daemon.reading() if not k.startswith("self/")}
    unknown = r"temperature|frequency|percent|phase|fractional|prio"
    same(first, {k for k in fill_in(expected(sim)) if not re.search(unknown, k)}, "values")


@vm
def test_unknown_values_of_newer_kernels_are_shown(t):
    """The kernel of the tests checks none of these numbers."""
    sim = Sim(t)
    daemon = start(t)
    since = sim.do("dev 0 lock_status 77", "dev 0 mode 9", "pin 0 0 state 1000")
    lock = daemon.wait_notification("lock", EEC, since=since, old="locked_ho_acq", new="77")
    same(lock.severity, "warning", "a status that nobody knows")
    daemon.wait_notification("state", pin(0), since=since, old="connected", new="1000")
    daemon.wait_notification("mode", EEC, since=since, old="automatic", new="9")
    daemon.wait_value(f"{EEC}/gauge-lock_status", 77)
    daemon.wait_value(f"{EEC}/transitions-other", 1)
    daemon.wait_value(f"{pin(0)}/gauge-state_eec", 1000)
    reading = daemon.reading(since=daemon.now())
    assert f"{EEC}/duration-holdover" not in reading, "nobody knows whether it is locked"
    shown = json.loads(t.netmon("dpll").stdout)
    same((shown["devices"][0]["lock_status"], shown["devices"][0]["mode"]), (77, 9), "JSON")


@vm
def test_time_since_the_lock_was_lost_and_its_transitions(t):
    sim = Sim(t)
    daemon = start(t)
    daemon.wait_value(f"{EEC}/duration-holdover", 0)
    lost = sim.do("dev 0 lock_status 4")
    daemon.wait_value(f"{EEC}/transitions-holdover", 1)
    held = daemon.wait_value(f"{EEC}/duration-holdover", lambda v: v > 1)
    assert abs(held.plain - (held.time - lost)) < 0.5, f"{held.plain} s, {held.time - lost} s ago"
    sim.do("dev 0 lock_status 1")  # it is lost for as long
    on = daemon.wait_value(f"{EEC}/duration-holdover", lambda v: v > held.plain, since=held.time)
    assert abs(on.plain - (on.time - lost)) < 0.5, f"{on.plain} s, {on.time - lost} s ago"
    sim.do("dev 0 lock_status 2", "dev 0 lock_status 3")
    daemon.wait_value(f"{EEC}/duration-holdover", 0, since=on.time)
    for status, count in {"unlocked": 1, "locked": 1, "locked_ho_acq": 1, "holdover": 1}.items():
        daemon.wait_value(f"{EEC}/transitions-{status}", count)


@vm
def test_in_holdover_at_the_start_nobody_knows_since_when(t):
    sim = Sim(t)
    sim.do("dev 0 lock_status 4")
    daemon = start(t)
    reading = daemon.reading()
    same(reading[f"{EEC}/gauge-lock_status"].plain, HOLDOVER, "lock status")
    assert f"{EEC}/duration-holdover" not in reading
    assert not told(daemon, 0, "lock"), "what was so at the start is no news"


@vm
def test_network_devices_of_pins(t):
    """The kernel tells nothing of it: the links are read again with each turn of slow values."""
    sim = Sim(t)
    daemon = start(t, "SlowInterval 1")
    daemon.wait_value(f"{pin(5)}/bool-netdev_dpllsim0", 1)
    witness = {link["ifname"] for link in json.loads(command("ip", "-j", "link"))}
    assert {"dpllsim0", "dpllsim1"} <= witness
    links = json.loads(t.netmon("link").stdout)["links"]
    ids = {p["id"]: p for p in json.loads(t.netmon("dpll").stdout)["pins"]}
    same({link["ifname"]: ids[link["dpll_pin"]["id"]]["board_label"] for link in links
          if link.get("dpll_pin")}, {"dpllsim0": "RCLK", "dpllsim1": "RCLK"}, "links as JSON")
    sim.do("netdev 0 -1", "netdev 1 5")
    daemon.wait_value(f"{pin(5)}/bool-netdev_dpllsim1", 1)
    since = sim.do("pin 5 0 on_parent 2")
    notice = daemon.wait_notification("state", pin(5), since=since)
    same((notice.meta["netdev"], notice.meta["parent"]), ("dpllsim1", "pin-RCLK-MUX"), "whose pin")
    time_of_change = daemon.latest(f"{pin(5)}/bool-netdev_dpllsim1").time
    last = daemon.latest(f"{pin(5)}/bool-netdev_dpllsim0").time
    assert last < time_of_change, "the old one is not sent any more"


@vm
def test_devices_and_pins_are_chosen(t):
    Sim(t)
    daemon = start(t, 'Device "/-eec$/"\nPin "/^RCLK/" "GNSS-1PPS"\nPinIgnoreSelected true')
    first = daemon.reading()
    same({id.partition("/")[0] for id in first} - {"self", "total"},
         {EEC, pin(1), pin(2), pin(3)}, "instances")
    assert not [id for id in first if id.endswith("_pps")], "values on a device that is not wanted"
    same(first["total/gauge-pins"].plain, 7, "all are counted")


# ---- notifications -------------------------------------------------------------------------------


@vm
def test_lock_lost_and_found(t):
    sim = Sim(t)
    daemon = start(t)
    latencies = []
    for status, name, severity in ((HOLDOVER, "holdover", "failure"),
                                   (UNLOCKED, "unlocked", "failure"),
                                   (LOCKED, "locked", "okay"),
                                   (LOCKED_HO_ACQ, "locked_ho_acq", "okay")) * 3:
        began = sim.do(f"dev 0 lock_status {status}")
        notice = daemon.wait_notification("lock", EEC, since=began, new=name)
        same((notice.severity, notice.meta["source"]), (severity, "GNSS-1PPS"), name)
        latencies.append(notice.arrived - began)
    since = sim.do("quiet dev 0 lock_status_error 3", "dev 0 lock_status 4")
    notice = daemon.wait_notification("lock", EEC, since=since)
    same(notice.meta["error"], "media_down", "why")
    assert "holdover, because of media_down" in notice.message, notice.message
    fence(sim, daemon)
    same(len(told(daemon, 0, "lock")), 13, "each is told once")
    median = statistics.median(latencies) * 1000
    t.note(f"event to notification: median {median:.1f} ms, worst {max(latencies) * 1000:.1f} ms")
    assert median < 100, f"{median} ms"


@vm
def test_source_switched_is_one_notification(t):
    """The driver tells of the old input first; that there is another one already is asked for."""
    sim = Sim(t)
    daemon = start(t)
    since = sim.do("switch 0 0 1")
    notice = daemon.wait_notification("source", EEC, since=since)
    same((notice.severity, notice.meta["old"], notice.meta["new"]),
         ("warning", "GNSS-1PPS", "SMA1_rear"), "from one to the other")
    assert notice.arrived - since < 0.5, "long before the next reading"
    fence(sim, daemon)
    same([n.meta["new"] for n in told(daemon, since, "source")], ["SMA1_rear"], "told once")
    same({(n.instance, n.meta["old"], n.meta["new"]) for n in told(daemon, since, "state")},
         {(pin(0), "connected", "selectable"), (pin(1), "selectable", "connected")}, "the pins")

    since = sim.do("pin 1 0 state 2")
    notice = daemon.wait_notification("source", EEC, since=since, new="none")
    same(notice.severity, "warning", "no source")
    since = sim.do("pin 4 0 state 1")
    notice = daemon.wait_notification("source", EEC, since=since, new="RCLK-MUX")
    same((notice.severity, notice.meta["old"]), ("okay", "none"), "a source again")


@vm
def test_pin_state_on_devices_and_behind_pins(t):
    sim = Sim(t)
    daemon = start(t)
    since = sim.do("pin 1 1 state 3")
    notice = daemon.wait_notification("state", pin(1), since=since, parent="pps")
    same((notice.severity, notice.meta["old"], notice.meta["new"]),
         ("okay", "disconnected", "selectable"), "on a device")
    since = sim.do("pin 6 0 on_parent 1")
    notice = daemon.wait_notification("state", pin(6), since=since, parent="pin-RCLK-MUX")
    same((notice.severity, notice.meta["new"], notice.meta["netdev"]),
         ("okay", "connected", "dpllsim1"), "behind a pin")
    since = sim.do("pin 6 0 on_parent 2")
    same(daemon.wait_notification("state", pin(6), since=since).severity, "warning", "lost")


@vm
def test_pin_that_goes_is_told_once(t):
    """For one pin of two devices the kernel tells twice that it is deleted, and once too early."""
    sim = Sim(t)
    daemon = start(t)
    since = sim.do("pinoff 1 0")
    fence(sim, daemon)
    same(told(daemon, since, "gone"), [], "it is still on the other device")
    daemon.wait_value(f"{pin(1)}/gauge-state_pps", DISCONNECTED, since=since)
    reading = daemon.reading(since=daemon.now())
    assert f"{pin(1)}/gauge-state_eec" not in reading, "a value of what it left"

    since = sim.do("pindel 1")
    notice = daemon.wait_notification("gone", pin(1), since=since, new="gone")
    same((notice.severity, notice.meta["pins"]), ("warning", "1"), "now it is gone")
    daemon.wait_value("total/gauge-pins", 6)
    began = sim.do("pinadd 1")
    notice = daemon.wait_notification("gone", pin(1), since=began, new="present")
    same(notice.severity, "okay", "it is back")
    daemon.wait_value("total/gauge-pins", 7)
    daemon.wait_value(f"{pin(1)}/gauge-state_eec", SELECTABLE, since=began)
    fence(sim, daemon)
    same(len(told(daemon, since, "gone")), 2, "each once")


@vm
def test_device_that_goes_and_comes(t):
    sim = Sim(t)
    daemon = start(t)
    since = sim.do("devdel 0")
    gone = daemon.wait_notification("gone", EEC, since=since, new="gone")
    same(gone.severity, "failure", "no clock")
    daemon.wait_value("total/gauge-devices", 1)
    reading = daemon.reading(since=daemon.now())
    assert not [id for id in reading if id.startswith(f"{EEC}/")], "values of what is not there"
    fence(sim, daemon)
    same([n.instance for n in told(daemon, since, "gone") if n.instance == EEC], [EEC], "once")

    sim.do("quiet dev 0 lock_status 1")
    since = sim.do("devadd 0")
    daemon.wait_notification("gone", EEC, since=since, new="present")
    same(daemon.wait_notification("lock", EEC, since=since).severity, "failure", "not locked")
    daemon.wait_value("total/gauge-devices", 2)
    held = daemon.wait_value(f"{EEC}/duration-holdover", lambda v: v > 0, since=since)
    assert held.plain < daemon.now() - gone.time + 0.5, "since it was gone"


@vm
def test_module_reload_has_the_same_series(t):
    sim = Sim(t)
    daemon = start(t)

    def ids():
        shown = json.loads(t.netmon("dpll").stdout)
        return {(kind, o["id"]) for kind in ("devices", "pins") for o in shown[kind]}

    sim.do("dev 0 lock_status 2", "dev 0 lock_status 3")
    daemon.wait_value(f"{EEC}/transitions-locked_ho_acq", 1)
    series, before, since = daemon.ids(), ids(), daemon.now()
    sim.unload()
    for device in (EEC, PPS):
        daemon.wait_notification("gone", device, since=since, new="gone")
    daemon.wait_value("total/gauge-devices", 0)
    daemon.wait_value("total/gauge-pins", 0)
    gone = told(daemon, since, "gone")
    same(sorted(n.instance for n in gone if n.instance in (EEC, PPS)), [EEC, PPS], "once each")
    pins = [n for n in gone if n.instance not in (EEC, PPS)]
    same(sum(int(n.meta["pins"]) for n in pins), 7, "pins, each told once")
    t.note(f"the removal of 7 pins: {len(pins)} notifications")

    since = daemon.now()
    sim.load()
    daemon.wait_value("total/gauge-pins", 7)
    assert ids().isdisjoint(before), "the kernel's ids are new"
    daemon.wait_value(f"{EEC}/transitions-locked_ho_acq", 1, since=since)
    for id in series - {i for i in series if i.startswith("self/")}:
        daemon.wait_value(id, since=since, timeout=20)
    same(daemon.ids(), series, "the series are the same")


@vm
def test_in_another_network_namespace_the_readings_tell(t):
    """The kernel sends its events into the first one only (genlmsg_multicast())."""
    sim = Sim(t)
    daemon = start(t, ns=t.namespace())
    since = sim.do("dev 0 lock_status 4", "switch 0 0 1")
    daemon.wait_notification("lock", EEC, since=since, new="holdover")
    daemon.wait_notification("source", EEC, since=since, new="SMA1_rear")
    daemon.wait_value(f"{EEC}/gauge-lock_status", HOLDOVER)
    reading = daemon.reading(since=daemon.now())
    assert not [id for id in reading if "netdev" in id], "network devices of another namespace"
    sim.do("devdel 0")
    daemon.wait_notification("gone", EEC, new="gone")


@vm
def test_notifications_that_nobody_wants(t):
    sim = Sim(t)
    daemon = start(t, 'Notify "mode"\nIgnoreSelected true\nDevice "nothing"',
                   expect_log=['nothing is named "nothing"'])
    sim.do("dev 0 lock_status 4", "switch 0 0 1", "pindel 2")
    fence(sim, daemon)
    same({n.kind for n in daemon.notices()}, {"mode"}, "notifications")


# ---- drivers that fail ---------------------------------------------------------------------------


@vm
def test_getter_of_a_pin_that_fails(t):
    """The kernel's dump ends there: the pins behind it are asked for one by one."""
    sim = Sim(t)
    daemon = start(t, expect_log=[BREAKS_OFF])
    since = sim.do("quiet pin 1 0 prio fail", "quiet pin 6 0 ffo 55")
    daemon.wait_value("total/gauge-pins_missing", 1)
    daemon.wait_value("total/gauge-pins", 6)
    daemon.wait_value(f"{pin(6)}/gauge-fractional_frequency_offset", 55)
    daemon.wait_value(f"{EEC}/gauge-lock_status", LOCKED_HO_ACQ, since=since)
    reading = daemon.reading(since=daemon.now())
    assert not [id for id in reading if id.startswith(f"{pin(1)}/")], "stale values"
    same(told(daemon, since, "gone", "source"), [], "it is not gone")
    shown = t.netmon("dpll", ok=(3,))
    assert "some pins are missing: Input/output error" in shown.stderr, shown.stderr
    same([p["id"] for p in json.loads(shown.stdout)["pins"]],
         [json.loads(shown.stdout)["pins"][0]["id"]], "JSON has what came")

    sim.do("quiet pin 1 0 prio 3")
    daemon.wait_value("total/gauge-pins_missing", 0)
    daemon.wait_value(f"{pin(1)}/gauge-prio_eec", 3, since=since)
    daemon.wait_log("list of pins is whole again")
    said = [line for line in daemon.log() if BREAKS_OFF in line]
    same(len(said), 1, "said once")
    assert "pins (Input/output error)" in said[0], said[0]
    same(daemon.latest("self/derive-interrupted").plain, 0, "it was not interrupted")


@vm
def test_pin_that_goes_while_its_getter_fails(t):
    """The kernel can send no event of it then: the next reading finds out, and it is told then."""
    sim = Sim(t)
    daemon = start(t, interval=3)
    since = sim.do("quiet pin 2 1 state fail", "pindel 2")
    gone = daemon.wait_notification("gone", pin(2), since=since)
    reading = daemon.wait_value("total/gauge-pins", 6)
    assert abs(gone.arrived - reading.time) < 1.5, f"{gone.arrived - reading.time} s later"


@vm
def test_getter_of_a_device_that_fails(t):
    sim = Sim(t)
    daemon = start(t, expect_log=[BREAKS_OFF])
    since = sim.do("quiet dev 0 temp fail")
    daemon.wait_value("total/gauge-devices_missing", 1)
    daemon.wait_value("total/gauge-devices", 1)
    daemon.wait_value(f"{PPS}/gauge-lock_status", LOCKED, since=daemon.now())
    began = sim.do("dev 1 lock_status 4")
    daemon.wait_notification("lock", PPS, since=began, new="holdover")
    sim.do("quiet dev 0 temp 1000")
    daemon.wait_value(f"{EEC}/temperature", 1)
    same(told(daemon, since, "gone"), [], "it was never gone")


@vm
def test_getter_that_fails_from_the_start(t):
    sim = Sim(t)
    sim.do("quiet pin 0 0 state fail")
    daemon = t.collectd(plugin="netmon_dpll", expect_log=[BREAKS_OFF])
    daemon.wait_value("total/gauge-pins_missing", 1, timeout=20)
    daemon.wait_value(f"{EEC}/gauge-lock_status", LOCKED_HO_ACQ)
    sim.do("quiet pin 0 0 state 1")
    daemon.wait_value("total/gauge-pins", 7)


# ---- many, and without ---------------------------------------------------------------------------


@vm
@plain_build_only  # 6,000 values through a sanitized daemon take minutes there
@time_limit(120)
def test_a_thousand_pins(t):
    sim = Sim(t, extra=993)
    daemon = start(t, interval=15)
    first = daemon.wait_value("self/duration-read")  # the last of a reading
    wanted = {f"{CLOCK}-pin-EXT-{i}" for i in range(993)} | {pin(i) for i in range(7)}
    same(daemon.instances() - {"total", EEC, PPS}, wanted, "pins")
    same(daemon.latest("total/gauge-pins").plain, 1000, "their number")
    for i in (0, 500, 992):
        same(daemon.latest(f"{CLOCK}-pin-EXT-{i}/gauge-phase_offset_eec").plain, 5e12, "a value")

    latencies = []
    for status in (HOLDOVER, LOCKED) * 10:
        began = sim.do(f"dev 0 lock_status {status}")
        notice = daemon.wait_notification("lock", EEC, since=began)
        latencies.append((notice.arrived - began) * 1000)
    t.note(f"event to notification: median {statistics.median(latencies):.1f} ms, "
           f"worst {max(latencies):.1f} ms")
    assert statistics.median(latencies) < 100, latencies
    second = daemon.wait_value("self/duration-read", since=first.time, timeout=30)
    t.note(f"a reading: {second.plain * 1000:.0f} ms")

    since = daemon.now()
    sim.unload()
    daemon.wait_notification("gone", EEC, since=since, new="gone", timeout=20)
    daemon.wait_notification("gone", PPS, since=since, new="gone", timeout=20)
    daemon.wait_notification("gone", CLOCK, since=since, timeout=20)
    gone = [n for n in told(daemon, since, "gone") if n.instance not in (EEC, PPS)]
    same(sum(int(n.meta["pins"]) for n in gone), 1000, "pins, each told once")
    t.note(f"the removal of 1,000 pins: {len(gone)} notifications")
    assert len(gone) <= 10, f"{len(gone)} notifications"


@vm
@plain_build_only  # collectd leaks the name of a plugin that is loaded besides
def test_without_the_capability_one_line_says_so(t):
    Sim(t)
    daemon = t.collectd(plugin="netmon_dpll", user="nobody", more="LoadPlugin uptime",
                        expect_log=["CAP_NET_ADMIN"])
    since = daemon.wait_value("/uptime", plugin="uptime", timeout=20).time
    for _ in range(3):  # everything else goes on
        since = daemon.wait_value("/uptime", plugin="uptime", since=since).time
    said = [line for line in daemon.log() if "netmon_dpll: " in line and "[error]" in line]
    same(len(said), 1, f"lines of {daemon.log()}")
    assert 'the kernel\'s "dpll" needs CAP_NET_ADMIN' in said[0] \
        and "packaging/systemd/netmon.conf" in said[0], said[0]
    shown = t.netmon("dpll", ok=(4,), user="nobody", group="nogroup", extra_groups=[])
    assert "devices are missing: they need CAP_NET_ADMIN" in shown.stderr, shown.stderr
    shown = t.netmon("metrics", "dpll", ok=(4,), user="nobody", group="nogroup", extra_groups=[])
    assert "netmon_dpll needs CAP_NET_ADMIN" in shown.stderr, shown.stderr


@vm
@plain_build_only  # likewise
def test_a_family_that_comes_later_is_found(t):
    """A shim before libnl's resolver hides the family until a file appears."""
    Sim(t)
    where = t.directory("shim")
    (where / "shim.c").write_text("""
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <fcntl.h>
        #include <unistd.h>
        int genl_ctrl_resolve(void *sk, const char *name)
        {
            void *libnl = dlopen("libnl-genl-3.so.200", RTLD_LAZY | RTLD_NOLOAD);
            int (*real)(void *, const char *) = dlsym(libnl, "genl_ctrl_resolve");
            int err_obj_notfound = -12, asked = open(ASKED, O_WRONLY | O_CREAT | O_APPEND, 0600);

            if (write(asked, ".", 1) == 1)
                close(asked);
            return access(GATE, F_OK) ? err_obj_notfound : real(sk, name);
        }
    """)
    command("gcc", "-shared", "-fPIC", f'-DGATE="{where}/gate"', f'-DASKED="{where}/asked"',
            "-o", where / "shim.so", where / "shim.c")
    t.build.prefix = lambda: ["env", f"LD_PRELOAD={where}/shim.so"]
    try:
        daemon = t.collectd(plugin="netmon_dpll", more="LoadPlugin uptime",
                            expect_log=['no generic netlink family "dpll"'])
    finally:
        del t.build.prefix
    since = daemon.wait_value("/uptime", plugin="uptime", timeout=20).time
    asked = (where / "asked").stat().st_size
    for _ in range(6):  # everything else goes on
        since = daemon.wait_value("/uptime", plugin="uptime", since=since).time
    more = (where / "asked").stat().st_size - asked
    assert more <= 2, f"the kernel, which starts modprobe each time, was asked {more} times in 6"
    same(len([line for line in daemon.log() if "generic netlink family" in line]), 1, "said once")
    same(daemon.ids(), set(), "nothing is made up")
    (where / "gate").touch()
    daemon.wait_value("total/gauge-devices", 2)
    daemon.wait_value(f"{EEC}/gauge-lock_status", LOCKED_HO_ACQ)


def test_the_command_on_a_kernel_without_the_family(t):
    done = t.netmon("dpll", ok=None)
    if done.returncode == 0:
        raise Skip("this kernel has the family")
    same((done.returncode, done.stdout, done.stderr),
         (1, "", "netmon: dpll: this kernel has none of it, unless a module is yet to be loaded\n"),
         "netmon dpll")


# ---- JSON and names ------------------------------------------------------------------------------


@vm
def test_json_has_everything(t):
    sim = Sim(t)
    shown = json.loads(t.netmon("dpll").stdout)
    same(list(shown), ["devices", "pins", "summary", "metadata"], "what is shown")
    same({what: counts["total"] for what, counts in shown["summary"].items()},
         {"devices": len(shown["devices"]), "pins": len(shown["pins"])}, "summary")
    lines = [json.loads(line) for line in t.netmon("dpll", "--ndjson").stdout.splitlines()]
    same([line["what"] for line in lines],
         ["devices"] * len(shown["devices"]) + ["pins"] * len(shown["pins"])
         + ["summary", "metadata"], "what is on the lines")
    assert f"{len(shown['pins'])}" in t.netmon("dpll", "--summary").stdout
    truth = sim.read()
    words = {"mode": {1: "manual", 2: "automatic"},
             "lock_status": {2: "locked", 3: "locked_ho_acq"}}
    for d, device in enumerate(shown["devices"]):
        same(device["clock_id"], 0x5051F0FFFE4E4D00, "clock id")
        same((device["temp"], device["mode"], device["lock_status"], device["type"]),
             (truth["dev", d, "temp"], words["mode"][truth["dev", d, "mode"]],
              words["lock_status"][truth["dev", d, "lock_status"]], DEVICES[d]), f"device {d}")
    ids = [device["id"] for device in shown["devices"]]
    states = {CONNECTED: "connected", DISCONNECTED: "disconnected", SELECTABLE: "selectable"}
    for p, seen in enumerate(shown["pins"]):
        same((seen["frequency"], seen["phase_adjust"], seen["fractional_frequency_offset"],
              seen["esync_frequency"], seen["esync_pulse"]),
             tuple(truth["pin", p, 0, f] for f in ("frequency", "phase_adjust", "ffo", "esync",
                                                   "pulse")), f"pin {p}")
        same({ids.index(on["parent_id"]): (on["state"], on["prio"], on["phase_offset"])
              for on in seen.get("parent_device", [])},
             {d: (states[truth["pin", p, d, "state"]], truth["pin", p, d, "prio"],
                  truth["pin", p, d, "phase_offset"])
              for d in ids_of(truth, p)}, f"pin {p} on its devices")
    gnss = shown["pins"][0]
    same((gnss["board_label"], gnss["panel_label"], gnss["package_label"], gnss["type"]),
         ("GNSS-1PPS", "GNSS", "REF4P", "gnss"), "labels")
    same(gnss["frequency_supported"], [{"frequency_min": 1, "frequency_max": 1}], "a range")
    same(len(shown["pins"][1]["frequency_supported"]), 2, "ranges, of which there are several")


def test_json_shows_attributes_that_nobody_knows(t):
    composed = ROOT / "tests/golden/dpll/composed.pcap"
    shown = json.loads(t.netmon("dpll", "--replay", composed).stdout)
    same(shown["devices"][0]["99"], "07000000", "an attribute of a newer kernel")


def ids_of(truth, p):
    return [d for d in DEVICES if ("pin", p, d, "state") in truth]


@plain_build_only
def test_our_names_have_the_kernels_numbers(t):
    """common/uapi/dpll.h stands in where linux/dpll.h is absent."""
    kernel = ROOT / "build/vm/uapi/linux/dpll.h"
    if not kernel.exists():
        raise Skip(f"{kernel} is missing: make vm-kernel")
    ours = ROOT / "common/uapi/dpll.h"
    where = t.directory("names")

    def numbers(header, names):
        lines = [f'P(\"{n}\", {n});' for n in names]
        (where / "n.c").write_text(
            '#include <stdio.h>\n#define P(n, v) _Generic((v), char *: s, default: d)(n, v)\n'
            'static void s(const char *n, const char *v) { printf("%s=%s\\n", n, v); }\n'
            'static void d(const char *n, long v) { printf("%s=%ld\\n", n, v); }\n'
            f'#include "{header}"\nint main(void) {{ {" ".join(lines)} return 0; }}\n')
        command("gcc", "-w", "-o", where / "n", where / "n.c")
        return command(where / "n").split()

    def symbols(header):
        text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.S)
        return {s for s in re.findall(r"^\s*(?:#\s*define\s+)?(DPLL_[A-Z0-9_]+)\b", text, re.M)
                if f"__{s}" not in text}  # the number of an enum's last one

    theirs = symbols(kernel)
    left_out = {s for s in theirs - symbols(ours) if not re.search(r"HZ$|_VERSION$", s)}
    same(left_out, set(), "symbols of the kernel's that ours lacks")
    both = sorted(theirs & symbols(ours))
    assert len(both) > 75, both
    same(numbers(ours, both), numbers(kernel, both), "numbers")
