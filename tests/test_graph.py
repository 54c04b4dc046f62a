# SPDX-License-Identifier: MIT
"""netmon-graph: pictures, pages and numbers of RRD files that the daemon or rrdtool has written."""

import csv
import io
import json
import math
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import time
import zlib

from harness import ROOT, command, plain_build_only, same, time_limit, until

HOST = "testhost"
STEP, ROWS = 10, 1826
SPANS = [3600, 86400, 604800, 2678400, 31622400, 157766400]  # as conf/rrd.conf has them
OCTETS = ["DS:rx:DERIVE:20:0:U", "DS:tx:DERIVE:20:0:U"]
VALUE = ["DS:value:GAUGE:20:U:U"]
# A reading that a loaded machine delayed can come less than a second before the next.
LATE = ["illegal attempt to update using time"]
PNG, SVG = b"\x89PNG\r\n\x1a\n", b"<?xml"


# ---- running it -----------------------------------------------------------------------------------


def graph(t, *args, ok=(0,), store=None, leaks=False, **env):
    """The finished process; a sanitizer's report is a failure, but not of what libraries leak.

    leaks: looks for leaks of ours, which is slow: only a whole stack tells whose they are.
    """
    where = t.directory("graph")
    environment = t.build.environment(where)
    environment["TSAN_OPTIONS"] += ":ignore_noninstrumented_modules=1"  # pango starts threads
    environment["ASAN_OPTIONS"] += ":fast_unwind_on_malloc=0" if leaks else ":detect_leaks=0"
    environment["LSAN_OPTIONS"] = f"suppressions={ROOT}/tests/lsan.supp:print_suppressions=0"
    argv = t.build.outer_prefix() + [t.build.dir / "netmon-graph"]
    argv += ["--rrd", store] if store else []
    done = subprocess.run([a if isinstance(a, bytes) else str(a) for a in [*argv, *args]],
                          capture_output=True, timeout=50,
                          env={**environment, "TZ": "UTC", **env})
    done.err = done.stderr.decode(errors="surrogateescape")
    if reports := t.build.reports(where):
        raise AssertionError("sanitizer: " + reports)
    if ok is not None and done.returncode not in ok:
        raise AssertionError(f"netmon-graph {args}: exit {done.returncode}: {done.err}")
    return done


def refused(t, words, *args, status=2, **kw):
    done = graph(t, *args, ok=None, **kw)
    assert done.returncode == status and words in done.err and len(done.err.splitlines()) == 1, \
        f"{args}: exit {done.returncode}, {done.err!r}; expected {status} and {words!r}"


def numbers(t, store, *args):
    return json.loads(graph(t, *args, "--json", store=store, leaks=True).stdout)


# ---- files with known series ------------------------------------------------------------------------


def archives(step=STEP):
    """Those of collectd's rrdtool plugin, which it makes for each time span."""
    lines, fine = [], 1
    for span in (max(span, step * ROWS) for span in SPANS):
        pdps = fine or span // (step * ROWS)
        fine = 0
        lines += [f"RRA:{cf}:0.1:{pdps}:{math.ceil(span / (pdps * step))}"
                  for cf in ("AVERAGE", "MIN", "MAX")]
    return lines


def rrd(path, sources, updates, step=STEP):
    """updates: (time, values); a value that is None is unknown."""
    path.parent.mkdir(parents=True, exist_ok=True)
    updates = list(updates)
    command("rrdtool", "create", path, "--step", step, "--start", updates[0][0] - step, *sources,
            *archives(step))
    lines = [f"{at}:" + ":".join("U" if v is None else str(v) for v in values)
             for at, values in updates]
    for i in range(0, len(lines), 2000):
        command("rrdtool", "update", path, *lines[i:i + 2000])


def link_path(store, name, what):
    return store / HOST / f"netmon_link-{name}" / f"{what}.rrd"


class Day:
    """A day of octets with an hour that is missing and two counters that restart."""

    end = 1_789_992_000  # a multiple of every step; noon
    start = end - 86400
    gap = range(end - 30000, end - 26400)
    restarts = (end - 50000, end - 1000)

    def __init__(self, store, name="eth0", scale=1):
        dice = random.Random(4)
        self.rate = {}  # of the interval that ends at a time: (rx, tx), or None
        self.updates = []
        counter, last = [0, 0], None
        for at in range(self.start - 2 * 3600, self.end + STEP, STEP):
            if at in self.gap:
                last = None
                continue
            rates = (dice.randrange(10_000_000) * scale, dice.randrange(100_000) * scale)
            counter = [c + r * STEP for c, r in zip(counter, rates)]
            if at in self.restarts:
                counter, last = [1, 1], None
            self.updates.append((at, list(counter)))
            if last is not None:
                self.rate[at] = rates
            last = at
        rrd(link_path(store, name, "if_octets"), OCTETS, self.updates)

    def rows(self, way):
        """(from, to, mean) as the archives have them: fine ones, and before 40 s."""
        fine = self.end - ROWS * STEP
        rows = []
        at = self.start
        while at < self.end:
            step = 40 if at < fine else STEP
            inside = [self.rate.get(x) for x in range(at + STEP, at + step + STEP, STEP)]
            # One unknown of four is more than xff allows.
            end = min(at + step, fine) if at < fine else at + step
            rows.append((at, end, None if None in inside else
                         sum(r[way] for r in inside) / len(inside)))
            at = end
        return rows

    def expected(self, way):
        known = [(a, b, v) for a, b, v in self.rows(way) if v is not None]
        seconds = sum(b - a for a, b, _ in known)
        octets = sum((b - a) * v for a, b, v in known)
        slots = {}
        for a, b, v in known:
            slot = slots.setdefault(a // 300, [0, 0])
            slot[0] += v * (b - a)
            slot[1] += b - a
        rank, passed = 0.95 * seconds, 0
        for mean, length in sorted((sum_ / length, length) for sum_, length in slots.values()):
            passed += length
            if passed >= rank:
                break
        return {"known_seconds": seconds, "bytes": octets, "average": 8 * octets / seconds,
                "p95": 8 * mean}

    def peak(self, way):
        """Of single intervals, but of those in rows that are unknown."""
        return 8 * max(self.rate[x][way] for a, b, v in self.rows(way) if v is not None
                       for x in range(a + STEP, b + STEP, STEP))

    @property
    def span(self):
        return "--start", self.start, "--end", self.end


def near(got, expected, what, tolerance=1e-6):
    assert got is not None and abs(got - expected) <= tolerance * max(1, abs(expected)), \
        f"{what}: got {got}, expected {expected}"


def test_sums_and_percentiles_are_those_of_the_series(t):
    store = t.directory("rrd")
    day = Day(store)
    told = numbers(t, store, "history", "eth0", *day.span)
    for way, name in enumerate(("rx", "tx")):
        for key, value in day.expected(way).items():
            near(told[name][key], value, f"{name} {key}")
        near(told[name]["peak"], day.peak(way), f"{name} peak")
        near(sum(p[name]["bytes"] or 0 for p in told["periods"]), told[name]["bytes"],
             "the sum of the periods")
        same(told[name]["p95_of_means_over"], 300, "means of the percentile")
    missing = len(day.gap) + STEP
    assert missing <= 86400 - told["rx"]["known_seconds"] <= missing + 200, "the gap is no zero"
    same(told["availability"], None, "availability without a state")
    same(told["flaps"], None, "flaps without a counter")
    same(len(told["periods"]), 24, "hours")
    hour = next(p for p in told["periods"] if p["from"] == day.gap.start + 1200)
    same(hour["rx"]["known_seconds"], 1200, "seconds known of the hour in which the gap ends")


def test_availability_and_flaps(t):
    store = t.directory("rrd")
    day = Day(store)
    end = day.end
    down = [range(end - 7200, end - 6600), range(end - 60000, end - 56000)]
    times = range(end - 86400, end + STEP, STEP)
    state = [(at, [0 if any(at - 1 in d for d in down) else 2]) for at in times]
    rrd(link_path(store, "eth0", "gauge-link_state"), VALUE, state)
    lost = [(at, [sum(at > d.start for d in down)]) for at in times]
    rrd(link_path(store, "eth0", "transitions-carrier_down"), ["DS:value:DERIVE:20:0:U"], lost)
    told = numbers(t, store, "history", "eth0", *day.span)
    near(told["availability"], 1 - sum(map(len, down)) / 86400, "availability", 1e-3)
    same(told["flaps"], 2, "flaps")
    first, = (p for p in told["periods"] if p["from"] == end - 7200)
    near(first["availability"], 1 - 600 / 3600, "of the hour in which it was down", 5e-3)
    same(first["flaps"], 1, "flaps of this hour")


def test_a_long_span_uses_every_archive(t):
    """Where the fine rows end the coarse ones go on, and the youngest hours are not missing."""
    store, end = t.directory("rrd"), Day.end
    rate = 1000
    updates = [(at, [(at - end + 10**7) * rate, 0]) for at in range(end - 90 * 86400, end + 60, 60)]
    rrd(link_path(store, "eth0", "if_octets"),
        ["DS:rx:DERIVE:120:0:U", "DS:tx:DERIVE:120:0:U"], updates)
    told = numbers(t, store, "history", "eth0", "--start", end - 80 * 86400, "--end", end)
    near(told["rx"]["known_seconds"], 80 * 86400, "known seconds", 1e-3)
    near(told["rx"]["bytes"], 80 * 86400 * rate, "octets", 1e-3)
    near(told["rx"]["p95"], 8 * rate, "95th percentile", 1e-3)
    assert told["rx"]["p95_of_means_over"] > 300
    same(len(told["periods"]), 3, "July, August, September")
    same(numbers(t, store, "history", "eth0", "--start", end + 900000, "--end", end + 1000000)["rx"],
         {"known_seconds": 0, "bytes": None, "average": None, "peak": None, "p95": None,
          "p95_of_means_over": None}, "of the future")


def test_periods_are_those_of_the_wall_clock(t):
    """Also in the night in which an hour comes twice, and in that in which one is missing."""
    store = t.directory("rrd")
    Day(store)
    zone = "CET-1CEST,M3.5.0,M10.5.0/3"
    for changes, day in ((1_792_890_000, 25), (1_774_746_000, 23)):  # at 01:00 UTC, 2026
        for days, lengths in ((1, {3600}), (10, {86400, day * 3600})):
            start = changes + 10 * 3600 - days * 43200  # not midnight: the ends are cut
            told = json.loads(graph(t, "history", "eth0", "--json", "--start", start, "--end",
                                    start + days * 86400, store=store, TZ=zone).stdout)
            periods = told["periods"]
            same(periods[0]["from"], start, "the first")
            same(periods[-1]["to"], start + days * 86400, "the last")
            for a, b in zip(periods, periods[1:]):
                same(a["to"], b["from"], "no time between two")
            same({p["to"] - p["from"] for p in periods[1:-1]}, lengths, f"lengths of {days} days")


def test_summary_and_its_forms(t):
    store = t.directory("rrd")
    Day(store, "lo")
    a, b = Day(store, "eth0"), Day(store, "eth1@blue", scale=2)
    told = numbers(t, store, "summary", *a.span)
    same([i["interface"] for i in told["interfaces"]], ["eth0", "eth1@blue", "lo"], "interfaces")
    same(told["total"]["of"], "all but lo", "total")
    near(told["total"]["rx"]["bytes"], a.expected(0)["bytes"] + b.expected(0)["bytes"], "the sum")
    same(told["total"]["rx"]["p95"], None, "a percentile that no sum can tell")

    rows = list(csv.DictReader(io.StringIO(
        graph(t, "summary", *a.span, "--csv", store=store).stdout.decode())))
    same([r["interface"] for r in rows], ["eth0", "eth1@blue", "lo", "total"], "lines of csv")
    near(float(rows[0]["tx_p95"]), a.expected(1)["p95"], "csv")
    same(rows[0]["availability"], "", "csv has nothing for what is not known")
    lines = graph(t, "summary", *a.span, store=store).stdout.decode().splitlines()
    head = lines[1].split()
    same(head, ["interface"] + ["rx", "tx"] * 4 + ["up", "flaps", "known"], "columns")
    assert lines[2].split()[0] == "eth0" and lines[2].split()[-4:-2] == ["-", "-"], lines[2]

    # collectd's own plugin, or ours under its name
    (store / HOST / "netmon_link-eth0").rename(store / HOST / "interface-eth0")
    same(numbers(t, store, "summary", *a.span), told, "of interface-eth0")
    Day(store, "total", scale=7)  # with ReportTotal the plugin has counted each packet once
    told = numbers(t, store, "summary", *a.span)
    same(told["total"]["of"], "plugin", "total")
    near(told["total"]["rx"]["p95"], 7 * a.expected(0)["p95"], "its percentile")
    graph(t, "summary", "--today", store=store)
    graph(t, "summary", "--last", "30d", store=store)


# ---- pictures -----------------------------------------------------------------------------------


def pixels(data):
    """(width, height, rows of (r, g, b)) of a PNG with 8 bits a sample."""
    assert data.startswith(PNG), data[:20]
    width, height, depth, kind = struct.unpack_from(">IIBB", data, 16)
    assert depth == 8 and kind in (2, 6), f"a PNG of kind {kind} with {depth} bits"
    at, packed, size = 8, b"", 3 if kind == 2 else 4
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        packed += data[at + 8:at + 8 + length] if name == b"IDAT" else b""
        at += length + 12
    raw, stride, rows, above = zlib.decompress(packed), width * size, [], None
    for y in range(height):
        how, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:][:stride])
        for x in range(stride if how else 0):
            a = line[x - size] if x >= size else 0
            b = above[x] if above else 0
            c = above[x - size] if above and x >= size else 0
            guess = a if how == 1 else b if how == 2 else (a + b) // 2 if how == 3 else \
                min((a, b, c), key=lambda v: abs(a + b - c - v))
            line[x] = line[x] + guess & 255
        rows.append([tuple(line[i:i + 3]) for i in range(0, stride, size)])
        above = line
    return width, height, rows


def blue(pixel):
    return pixel[2] > pixel[0] + 60


@plain_build_only
def test_missing_data_are_gaps(t):
    store, out = t.directory("rrd"), t.dir / "x.png"
    day = Day(store)
    graph(t, "link", "eth0", *day.span, "-o", out, "--width", 430, "--height", 100, store=store)
    width, _, rows = pixels(out.read_bytes())
    # A percentile's line alone goes on where nothing is known.
    filled = [sum(blue(row[x]) for row in rows[:120]) > 5 for x in range(75, width - 20)]
    first, last = filled.index(True), len(filled) - filled[::-1].index(True)
    share = filled[first:last].count(False) / (last - first)
    near(share, len(day.gap) / 86400, "share of the picture that is a gap", 0.015)


@plain_build_only
def test_below_the_axis_stand_positive_numbers(t):
    """The same series drawn with `mirror` and without: the minus signs are all the difference."""
    store, own = t.directory("rrd"), t.directory("graphs")
    day = Day(store)
    text = "for link\ntitle x\nunit y\nfile o netmon_link-*/if_octets\nDEF:a=o:rx:AVERAGE\n" \
           "CDEF:b=a,-1,*\nAREA:b{1}\nAREA:a{2}\n"
    glyphs = {}
    for name, words in (("with", "mirror\n"), ("without", "")):
        (own / f"10-{name}.graph").write_text(text + words)
        graph(t, "link", "eth0", "--graph", name, *day.span, "-o", t.dir / "x.svg", "--graphs", own,
              store=store)
        # Each glyph is drawn by a `use`, and the headings are as long.
        glyphs[name] = (t.dir / "x.svg").read_text().count("<use ")
    assert 2 <= glyphs["without"] - glyphs["with"] <= 12, glyphs


def test_form_size_and_theme(t):
    store = t.directory("rrd")
    day = Day(store)
    out = t.dir / "x.png"
    small = ("--width", 100, "--height", 50)
    graph(t, "link", "eth0", *day.span, *small, "-o", out, store=store)
    light = out.read_bytes()
    graph(t, "link", "eth0", *day.span, *small, "-o", out, "--theme", "dark", "--zoom", 2,
          store=store)
    dark = out.read_bytes()
    (w, h, a), (w2, h2, b) = pixels(light), pixels(dark)
    assert abs(2 * w - w2) < 4 and abs(2 * h - h2) < 4, (w, h, w2, h2)
    assert min(a[2][2]) > 250 and max(b[2][2]) < 40, (a[2][2], b[2][2])
    same(graph(t, "link", "eth0", *day.span, "-o", "-", store=store).stdout[:8], PNG, "to stdout")
    same(graph(t, "link", "eth0", *day.span, "-o", "-", "--format", "svg", store=store).stdout[:5],
         SVG, "SVG to stdout")
    same(sorted(p.name for p in t.dir.glob("x.*")), ["x.png"], "what is left behind")


def instance_of(definition, path):
    """A series that a path of a definition speaks of."""
    name = "x" if definition["kind"] != "self" else ""
    return path.replace("*", name).replace("@", "").replace("%", "p1")


def definition(path):
    lines = [line.split(None, 1) for line in path.read_text().splitlines()
             if line and not line.startswith("#")]
    files = {rest.split()[0]: rest.split()[1] for word, rest in (w for w in lines if len(w) == 2)
             if word in ("file", "maybe", "each")}
    defs = re.findall(r"^DEF:[^=]+=(\w+):(\w+)", path.read_text(), re.M)
    return {"id": re.sub(r"^\d+-|\.graph$", "", path.name), "files": files, "defs": defs,
            "kind": next(w[1] for w in lines if w[0] == "for")}


@plain_build_only
def test_definitions_name_what_the_plugins_send(t):
    """The recordings' values have every series of every definition but those of Layout wide."""
    sent = {f"netmon_{path.parent.name}-{line.split(' ')[0]}"
            for path in (ROOT / "tests/golden").glob("*/*.values")
            for line in path.read_text().splitlines()}
    unsent = []
    for path in sorted((ROOT / "rrd/graphs").glob("*.graph")):
        for name in re.findall(r"\s(netmon_\w+-\S+/\S+)", path.read_text()):
            pattern = re.escape(name).replace(r"\*", "[^/]+").replace("%", ".+").replace("@", "(@.*)?")
            pattern = pattern.replace("ipv6", "ipv[46]")  # what the one family has, the other has
            if not name.endswith(("/netmon_link", "/netmon_link_slow")) and \
               not any(re.fullmatch(pattern, s) for s in sent):
                unsent.append(f"{path.name}: {name}")
    same(unsent, [], "series that no plugin sends")


@time_limit(150)
def test_every_definition_draws(t):
    """Also of what this machine has not: WireGuard, clocks."""
    store = t.directory("rrd")
    end = int(time.time()) // 10 * 10
    all = [definition(path) for path in sorted((ROOT / "rrd/graphs").glob("*.graph"))]
    sources = {}
    for d in all:
        assert set(d["files"]) == {name for name, _ in d["defs"]}, f"{d['id']}: files not used"
        for name, ds in d["defs"]:
            sources.setdefault(instance_of(d, d["files"][name]), set()).add(ds)
    for series, ds in sources.items():
        rrd(store / HOST / f"{series}.rrd", [f"DS:{name}:GAUGE:20:U:U" for name in sorted(ds)],
            [(at, [at % 7 * 0.5] * len(ds)) for at in range(end - 600, end, STEP)])
    listed = graph(t, "list", store=store).stdout.decode()
    for d in all:
        object = ["x"] if f"{d['kind']} x:" in listed else []
        svg = graph(t, d["kind"], *object, "--graph", d["id"], "--last", "10m", "--format", "svg",
                    "-o", "-", store=store).stdout
        assert svg.startswith(SVG) and len(svg) > 10000, d["id"]


@plain_build_only
def test_installed_it_finds_its_definitions(t):
    store, root = t.directory("rrd"), t.directory("root")
    Day(store)
    command("make", "-C", ROOT, "--no-print-directory", f"B={t.build.dir}", "install",
            f"DESTDIR={root}", "PREFIX=/usr",
            env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")})
    listed = command(root / "usr/bin/netmon-graph", "--rrd", store, "list")
    same(listed, "link eth0: traffic\n", "what it can draw")
    assert (root / "usr/share/man/man1/netmon-graph.1").exists()
    manual = (ROOT / "conf/netmon-graph.1.in").read_text().replace("\\", "")
    told = graph(t, "--help").stdout.decode()
    for option in re.findall(r"--[a-z]+", told):
        assert option in manual, f"{option} is not in the manual"


# ---- of the daemon --------------------------------------------------------------------------------

HOSTILE = "w\\l<b>&\"'$(x)"  # the kernel refuses ":" and "%" alone; an alias may have them


def hostile(ns):
    """An interface whose name means something to rrdtool, HTML and a shell."""
    for name, peer in ((HOSTILE, "p0"), ("{i}*@=\\l", "p1")):
        command("ip", "-n", ns.name, "link", "add", name, "type", "veth", "peer", "name", peer)
        command("ip", "-n", ns.name, "link", "set", name, "up")
        ns.ip(f"link set {peer} up")


def recorded(t, writer):
    """A daemon with all plugins has recorded a namespace with traffic; returns (ns, daemon)."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    hostile(ns)
    ns.ip("link add br0 type bridge mcast_stats_enabled 1")
    ns.ip("link set br0 up")
    ns.ip("link set a0 master br0")
    ns.ip("addr add 192.0.2.1/24 dev b0")
    ns.ip("route add default via 192.0.2.9")
    ns.ip("neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev b0")
    more = "".join(f"LoadPlugin netmon_{p}\n" for p in "forward route neighbor mdb rule".split())
    daemon = t.collectd("ReportTotal true\nSlowInterval 2", ns, interval=2, expect_log=LATE,
                        more=f"""
PluginDir "{t.build.dir}"
{more}
PluginDir "/usr/lib/collectd"
{writer}""").ready("a0")
    daemon.wait_value("a0/if_octets", since=daemon.now())
    ns.frames("a0", count=200, size=1000)
    daemon.wait_value("a0/if_octets", lambda v: v["tx"] >= 200000, since=daemon.now())
    daemon.wait_value("a0/if_octets", since=daemon.now())
    return ns, daemon


def rrdtool_writer(t):
    return f'LoadPlugin rrdtool\n<Plugin rrdtool>\n  DataDir "{t.dir}/rrd"\n</Plugin>'


@time_limit(180)
def test_all_that_the_daemon_writes_is_drawn(t):
    ns, daemon = recorded(t, rrdtool_writer(t))
    daemon.stop()
    stats = ns.link("a0")["stats64"]
    store, out = t.dir / "rrd", t.dir / "out"
    listed = dict(line.split(": ", 1) for line in
                  graph(t, "list", store=store).stdout.decode().splitlines())
    for name, graphs in (("link a0", "traffic packets errors fdb"), ("link total", "traffic"),
                         ("link br0", "multicast"), ("link b0", "neighbors4"),
                         ("forward", "forwarding received4 drops4 softnet"),
                         ("route main", "routes4 default"), ("neighbor", "neighbor-tables"),
                         ("rule ipv4", "rules"), ("self", "self-time self-bytes self-events")):
        lacks = set(graphs.split()) - set(listed.get(name, "").split(", "))
        assert not lacks, f"{name}: {lacks} not in {listed.get(name)}; all: {listed}"
    assert f"link {HOSTILE}" in listed, listed
    told = numbers(t, store, "history", "a0", "--last", "5m")
    for way in ("rx", "tx"):
        near(told[way]["bytes"], stats[way]["bytes"], f"octets {way} in RRD", 0.01)
    same(told["availability"], 1, "availability")

    one_of_each = {one: name for name, graphs in listed.items() for one in graphs.split(", ")}
    assert len(one_of_each) > 20, one_of_each
    for one, name in {**one_of_each, "traffic": f"link {HOSTILE}"}.items():
        picture = graph(t, *name.split(" ", 1), "--graph", one, "-o", "-", "--last", "5m",
                        store=store).stdout
        same(picture[:8], PNG, f"{name} {one}")

    part = t.directory("part")  # all pages of all objects take as long as this test may
    for name in ("link-a0", f"link-{HOSTILE}", "route-main", "forward-Ip"):
        shutil.copytree(store / HOST / f"netmon_{name}", part / HOST / f"netmon_{name}")
    graph(t, "all", "-o", out, store=part)
    same(sorted(p.name for p in out.iterdir()),
         ["colours.css", "index.html", "style.css", HOST], "the directory")
    pages = {p.stem: p.read_text() for p in (out / HOST).glob("*.html")}
    same(len(pages), 4, "pages")
    sources = [(page, s) for page, text in pages.items()
               for s in re.findall(r'(?:src|srcset)="([^"]+)"', text)]
    assert len(sources) > 2 * 5 * 10, len(sources)
    for page, source in sources:
        same((out / HOST / source).read_bytes()[:8], PNG, f"{source} of {page}")
    text = next(text for page, text in pages.items() if page.startswith("link-w=5c"))
    assert "w\\l&lt;b&gt;&amp;&quot;&#39;$(x)" in text and "<b>&" not in text
    # A second time nothing is drawn that would not differ by a pixel.
    year = out / HOST / "link-a0" / "traffic-year.png"
    before = year.stat().st_ino
    graph(t, "all", "-o", out, store=part)
    same(year.stat().st_ino, before, "the picture of a year, seconds later")


@time_limit(120)
def test_what_rrdcached_holds_is_written_first(t):
    sock, store = t.dir / "cached.sock", t.dir / "rrd"
    store.mkdir()
    cached = subprocess.Popen(["rrdcached", "-g", "-l", f"unix:{sock}", "-b", store, "-w", "3600",
                               "-f", "7200", "-p", t.dir / "cached.pid", "-j", t.dir],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    t.cleanup(lambda: (cached.kill(), cached.wait()))
    until(sock.exists, "rrdcached's socket")
    _, daemon = recorded(t, f"""LoadPlugin rrdcached
<Plugin rrdcached>
  DaemonAddress "unix:{sock}"
  DataDir "{store}"
</Plugin>""")
    daemon.stop()
    told = numbers(t, store, "history", "a0", "--last", "5m")
    same(told["tx"]["bytes"], None, "octets before they were written")
    told = numbers(t, store, "history", "a0", "--last", "5m", "--daemon", f"unix:{sock}")
    assert told["tx"]["bytes"] >= 190000, told
    graph(t, "link", "a0", "-o", t.dir / "x.png", store=store, RRDCACHED_ADDRESS=f"unix:{sock}")
    refused(t, "rrdcached at unix:/nowhere/sock", "history", "a0", "--daemon", "unix:/nowhere/sock",
            store=store, status=1)


@time_limit(120)
def test_one_file_for_all_counters(t):
    """Layout wide: the same graphs and numbers out of files with 27 data sources."""
    ns = t.namespace()
    ns.veth("a0", "b0")
    daemon = t.collectd('Layout "wide"\nSlowInterval 2', ns, interval=2, expect_log=LATE,
                        more=rrdtool_writer(t))
    daemon.wait_value("a0/netmon_link", timeout=20)
    daemon.wait_value("a0/netmon_link", since=daemon.now())
    ns.frames("a0", count=200, size=1000)
    daemon.wait_value("a0/netmon_link", lambda v: v["tx_bytes"] >= 200000, since=daemon.now())
    daemon.wait_value("a0/netmon_link", since=daemon.now())
    daemon.stop()
    store = t.dir / "rrd"
    told = numbers(t, store, "history", "a0", "--last", "5m")
    near(told["tx"]["bytes"], ns.link("a0")["stats64"]["tx"]["bytes"], "octets", 0.01)
    same((told["availability"], told["flaps"]), (1, 0), "availability and flaps")
    same([i["interface"] for i in numbers(t, store, "summary", "--last", "5m")["interfaces"]],
         ["a0", "b0", "lo"], "interfaces")
    listed = graph(t, "list", store=store).stdout.decode()
    graphs = re.search(r"^link a0: (.*)$", listed, re.M)[1].split(", ")
    same(graphs, ["traffic", "packets", "errors", "utilization", "flaps"], "graphs")
    for one in graphs:
        same(graph(t, "link", "a0", "--graph", one, "-o", "-", "--last", "5m",
                   store=store).stdout[:8], PNG, one)


# ---- what is wrong --------------------------------------------------------------------------------


def test_damaged_files_are_said_and_the_others_drawn(t):
    store, out = t.directory("rrd"), t.dir / "out"
    end = int(time.time()) // 10 * 10
    good = link_path(store, "good", "if_octets")
    rrd(good, OCTETS, [(at, [at * 5, at]) for at in range(end - 3600, end, STEP)])
    whole = good.read_bytes()
    for name, data in (("short", whole[:-8]), ("empty", b""), ("text", b"hello\n" * 99),
                       ("head", whole[:200]), ("counts", whole[:24] + b"\xff" * 16 + whole[40:])):
        path = link_path(store, name, "if_octets")
        path.parent.mkdir()
        path.write_bytes(data)
    link_path(store, "directory", "if_octets").mkdir(parents=True)
    done = graph(t, "summary", store=store, ok=(1,), leaks=True)
    for name, why in (("short", "too short"), ("empty", "no RRD file"), ("text", "no RRD file"),
                      ("head", "too short"), ("counts", "makes no sense"),
                      ("directory", "no file")):
        assert any(f"netmon_link-{name}/" in line and why in line
                   for line in done.err.splitlines()), f"{name}: {why} not in {done.err}"
    assert b"\ngood " in done.stdout
    refused(t, "is damaged", "link", "short", "-o", t.dir / "x.png", status=1, store=store)
    assert not (t.dir / "x.png").exists()
    graph(t, "all", "-o", out, store=store, ok=(1,), leaks=True)
    assert "cannot be drawn" in (out / HOST / "link-short.html").read_text()
    same((out / HOST / "link-good" / "traffic-day.png").read_bytes()[:8], PNG, "the good one")


@time_limit(180)
def test_any_bytes_for_a_head(t):
    """Heads in which something is another number: an error or an odd picture, never a crash."""
    store = t.directory("rrd")
    dice = random.Random(int(os.environ.get("SEED", 11)))
    end = int(time.time()) // 10 * 10
    good = link_path(store, "a", "if_octets")
    rrd(good, OCTETS, [(at, [at * 5, at]) for at in range(end - 3600, end, STEP)])
    whole = good.read_bytes()
    head = 128 + 2 * (120 + 112) + 18 * (120 + 8 + 2 * 80) + 16
    for i in range(60):
        data = bytearray(whole)
        for _ in range(dice.choice((1, 1, 2, 8))):
            at = dice.randrange(head)
            data[at] = dice.choice((0, 1, 0x7f, 0x80, 0xff, dice.randrange(256)))
        path = link_path(store, f"x{i}", "if_octets")
        path.parent.mkdir()
        path.write_bytes(data)
    graph(t, "summary", store=store, ok=(0, 1))
    for i in range(0, 60, 6):
        graph(t, "link", f"x{i}", "-o", t.dir / "x.png", store=store, ok=(0, 1))


@time_limit(120)
def test_own_definitions_and_wrong_ones(t):
    store, own = t.directory("rrd"), t.directory("graphs")
    day = Day(store)
    good = "for link\ntitle own\nfile o netmon_link-*/if_octets\n" \
           "DEF:a=o:rx:AVERAGE\nLINE1:a{1}:a\nstats a last\n"
    (own / "99-own.graph").write_text(good)
    args = ("link", "eth0", *day.span, "-o", t.dir / "x.png", "--graphs", own)
    graph(t, *args, "--graph", "own", store=store, leaks=True)
    # One of the same name replaces that of the package.
    (own / "10-traffic.graph").write_text(good)
    small = graph(t, *args, "--format", "svg", store=store) and (t.dir / "x.png").stat().st_size
    (own / "10-traffic.graph").unlink()
    graph(t, *args, "--format", "svg", store=store)
    assert small < (t.dir / "x.png").stat().st_size
    for words, line, why in (
            ("nonsense 1\n", 1, '"nonsense" is not known'),
            ("file o /etc/passwd\n", 1, "accepted are paths like"),
            ("file o ../../*/x\n", 1, "accepted are paths like"),
            ("each o netmon_link-*/x\n", 1, "accepted are paths like"),
            ("option --imginfo x\n", 1, "accepted are rrdgraph's"),
            ("option --base\n", 1, "one value is accepted"),
            ("\x01\n", 1, "control character"),
            ("state s 0=down\n", 1, "accepted is 0:bad:down"),
            (good + "title again\n", 7, "stands here twice")):
        (own / "99-own.graph").write_text(words)
        done = graph(t, *args, store=store, ok=(1,))
        assert f"99-own.graph:{line}: " in done.err and why in done.err, (words, done.err)
        assert (t.dir / "x.png").exists(), "the good ones are drawn"
    for words, why in (("", '"for" is missing'),
                       (good.replace("DEF:a=o", "DEF:a=/etc/passwd"), "no file of this definition"),
                       (good.replace(":rx:", ":nothing:"), "no data source"),
                       (good.replace("LINE1:a", "LINE1:b"), "99-own.graph"),
                       (good + "CDEF:c=a,+\nLINE1:c{1}\n", "99-own.graph"),
                       # librrd's own words for these are written past the end of a buffer
                       (good + "LINE1:a{1}:x:unknown=3\n", 'not "unknown=3"'),
                       (good + "AREA:a{1}:x:STACK:b\n", 'not "b"'),
                       (good + "COMMENT:a:b\n", "too few or too many"),
                       (good + "TICK:a{1}:1:x:y\n", "too few or too many"),
                       (good.replace("AVERAGE", "AVERAGE:x=1"), 'not "AVERAGE:x=1"'),
                       (good + "CDEF:c=a,a,+:x\n", "name=expression"),
                       (good.replace("stats a last", "stats a most"), "accepted are last"),
                       (good.replace("LINE1:a{1}:a\n", ""), "no legend above"),
                       (good + "LINE1:a{i}{1}\n", "each")):
        (own / "99-own.graph").write_text(words)
        done = graph(t, *args, "--graph", "own", store=store, ok=(1,), leaks=True)
        assert why in done.err, (words, done.err)
    dice = random.Random(int(os.environ.get("SEED", 5)))
    for _ in range(int(os.environ.get("ROUNDS", 20))):
        text = bytearray((ROOT / "rrd/graphs/10-traffic.graph").read_bytes())
        for _ in range(4):
            text[dice.randrange(len(text))] = dice.randrange(256)
        (own / "10-traffic.graph").write_bytes(text)
        graph(t, *args, "--graph", "traffic", store=store, ok=(0, 1))


def test_errors_say_what_to_do(t):
    store, empty = t.directory("rrd"), t.directory("empty")
    day = Day(store)
    out = ("-o", t.dir / "x.png")
    refused(t, "there are no RRD files", "list", store=empty, status=1)
    refused(t, "--rrd names the DataDir", "list", store=t.dir / "nowhere", status=1)
    refused(t, "has no traffic of an interface eth9", "history", "eth9", store=store, status=1)
    refused(t, "has no graph of link eth9", "link", "eth9", *out, store=store, status=1)
    refused(t, "which? There is eth0", "link", *out, store=store)
    refused(t, "is no command and no kind", "lnik", "eth0", *out, store=store)
    refused(t, "-o FILE", "link", "eth0", store=store)
    refused(t, ".png or .svg", "link", "eth0", "-o", "x.gif", store=store)
    refused(t, "No such file", "link", "eth0", *day.span, "-o", "/nowhere/x.png", store=store,
            status=1)
    refused(t, "Not a directory", "all", "-o", "/dev/null/x", store=store, status=1)
    for last in ("", "x", "24", "5s", "-3h", "99999y"):
        refused(t, "--last:", "summary", "--last", last, store=store)
    refused(t, "--start", "summary", "--start", "no time at all", store=store)
    refused(t, "not before", "summary", "--start", day.end, "--end", day.end, store=store)
    refused(t, "exclude each other", "summary", "--last", "1h", "--today", store=store)
    refused(t, "one word too many", "link", "eth0", "more", *out, store=store)
    refused(t, "--width", "link", "eth0", *out, "--width", "9999999", store=store)
    refused(t, "--theme", "link", "eth0", *out, "--theme", "pink", store=store)
    refused(t, "--host", "list", "--host", "../x", store=store)
    shutil.copytree(store / HOST, store / "other")
    refused(t, "2 hosts", "list", store=store)
    graph(t, "list", "--host", "other", store=store)
    with open("/dev/full", "w") as full:
        done = subprocess.run([t.build.dir / "netmon-graph", "--rrd", store, "--host", HOST,
                               "summary"], stdout=full, stderr=subprocess.PIPE, text=True,
                              env={**t.build.environment(t.dir), "ASAN_OPTIONS": "detect_leaks=0"})
    assert done.returncode == 1 and "cannot be written" in done.stderr, done
    assert b"netmon-graph KIND" in graph(t, "--help").stdout
    same(graph(t, ok=(2,)).stdout, b"", "usage goes to standard error")


# ---- in a browser ---------------------------------------------------------------------------------

LOOK = """<!doctype html><meta name=color-scheme content="light dark"><body style="margin:0">
<iframe id=f style="border:0;width:%dpx;height:900px" src="%s"></iframe><pre id=told></pre><script>
f.onload = async () => {
  const d = f.contentDocument, shown = [...d.images].filter(i => i.offsetParent);
  shown.forEach(i => i.loading = "eager");
  while (shown.some(i => !i.complete)) await new Promise(go => setTimeout(go, 20));
  told.textContent = JSON.stringify({
    images: shown.map(i => [i.currentSrc, i.naturalWidth, i.offsetWidth]),
    wide: d.documentElement.scrollWidth, text: d.body.innerText,
    back: f.contentWindow.getComputedStyle(d.documentElement).backgroundColor,
    links: [...d.querySelectorAll("a")].map(a => a.href), styles: d.styleSheets.length,
  });
};
</script>"""


def browse(t, page, width, dark=False, part=""):
    """What a browser makes of a page read from the disk."""
    look = t.directory("look") / "look.html"
    look.write_text(LOOK % (width, page.as_uri() + part))
    argv = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-dev-shm-usage", f"--user-data-dir={look.parent}/profile",
            "--allow-file-access-from-files", "--virtual-time-budget=20000", "--dump-dom",
            *(["--blink-settings=preferredColorScheme=0"] if dark else []), look.as_uri()]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100)
    told = re.search(r'<pre id="told">(\{.*?\})</pre>', done.stdout, re.S)
    assert told, f"chromium told nothing: {done.stdout[-300:]} {done.stderr[-600:]}"
    text = told[1]
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&nbsp;", " "), ("&amp;", "&")):
        text = text.replace(entity, character)
    return json.loads(text)


@time_limit(240)
@plain_build_only
def test_pages_in_a_browser(t):
    store, out = t.directory("rrd"), t.dir / "pages"
    end = int(time.time()) // 10 * 10
    odd = ":%" + HOSTILE
    for name in ("eth0", "eth1", odd):
        rrd(link_path(store, name, "if_octets"), OCTETS,
            [(at, [at * 50000, at * 3000]) for at in range(end - 7200, end + STEP, STEP)])
        rrd(link_path(store, name, "gauge-link_state"), VALUE,
            [(at, [0 if name == "eth1" else 2]) for at in range(end - 7200, end + STEP, STEP)])
    graph(t, "all", "-o", out, store=store)

    index = browse(t, out / "index.html", 1280)
    same(len(index["images"]), 3, "thumbnails")
    assert all(natural == 640 for _, natural, _ in index["images"]), index["images"]
    assert "eth1" in index["text"] and "down" in index["text"] and odd in index["text"]
    assert re.search(r"400 kbit/s", index["text"]), index["text"]
    same(index["styles"], 2, "style sheets")
    for link in index["links"]:
        assert pathlib.Path(link.removeprefix("file://").split("#")[0]).exists(), link

    page = out / HOST / "link-eth0.html"
    for width, dark, part in ((1280, False, ""), (390, True, "#week"), (390, False, "")):
        told = browse(t, page, width, dark, part)
        assert told["wide"] <= width, f"{told['wide']} pixels wide on a screen of {width}"
        period = part[1:] or "day"
        same([pathlib.Path(source).name for source, *_ in told["images"]],
             [f"traffic-{period}{'-dark' if dark else ''}.png"], f"pictures shown {width} {dark}")
        assert told["images"][0][1] == 1040 and told["images"][0][2] > 300, told["images"]
        brightness = sum(map(int, re.findall(r"\d+", told["back"])[:3]))
        assert (brightness < 150) == dark, told["back"]
        assert "95 %" in told["text"] and "400 k" in told["text"], told["text"]
    told = browse(t, out / "index.html", 390, dark=True)
    assert told["wide"] <= 390 and all("-dark" in i[0] for i in told["images"]), told


# ---- conf/rrd.conf --------------------------------------------------------------------------------


@plain_build_only
def test_the_example_configuration_makes_the_sizes_it_says(t):
    text = (ROOT / "conf/rrd.conf").read_text()
    block = re.search(r"^LoadPlugin rrdtool$.*?^</Plugin>$", text, re.S | re.M)[0]
    block = re.sub(r'DataDir "[^"]*"', f'DataDir "{t.dir}/rrd"', block)
    daemon = t.collectd("", t.namespace(), interval=10, more=block).ready("lo")
    daemon.stop()
    info = command("rrdtool", "info", link_path(t.dir / "rrd", "lo", "if_octets"))
    rras = dict(re.findall(r"rra\[(\d+)\]\.cf = \"(\w+)\"", info))
    made = sorted({(int(pdp) * 10, int(re.search(rf"rra\[{n}\]\.rows = (\d+)", info)[1]))
                   for n, pdp in re.findall(r"rra\[(\d+)\]\.pdp_per_row = (\d+)", info)})
    same(set(rras.values()), {"AVERAGE", "MIN", "MAX"}, "functions")
    same(made[0][0], 10, "the finest step")
    assert made[0][0] * made[0][1] >= 3600, "an hour at 10 s"
    same(made[-1][0], 86400, "the coarsest step")
    assert made[-1][0] * made[-1][1] >= 5 * 365 * 86400, "five years at a day"
    said = [tuple(map(int, pair)) for pair in re.findall(r"^#\s+(\d+) s\s.*?(\d+) rows$", text, re.M)]
    same(said, made, "the sizes in its comment")
