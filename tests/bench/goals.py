# SPDX-License-Identifier: MIT
"""The goals, and whether the results met them.

A goal is a function of the results that gives a list of (figure, met); met None: it is only told.
KeyError: what it needs was not measured.
"""

from bench import exponent, median

LINKS = 5000


class Results:
    """results["cases"][name][scale][contender], results["stories"][name]"""

    def __init__(self, data):
        self.cases = {name: {int(n): c for n, c in scales.items()}
                      for name, scales in data.get("cases", {}).items()}
        self.stories = data.get("stories", {})

    def ms(self, case, n, contender):
        m = median(self.cases[case][n].get(contender))
        if m is None:
            raise KeyError(contender)
        return m

    def ratio(self, case, n, contender, to="floor"):
        return self.ms(case, n, contender) / self.ms(case, n, to)

    def rss(self, case, n, contender):
        self.ms(case, n, contender)
        return self.cases[case][n][contender]["rss_kb"]

    def heap(self, case, n, contender):
        self.ms(case, n, contender)
        return self.cases[case][n][contender]["heap_kb"]

    def growth(self, case, contender, small, large):
        return exponent(self.ms(case, small, contender), self.ms(case, large, contender),
                        large / small)

    def peers(self, case, n, beside):
        """Those that are compared with one of ours, by name, as multiples of its time."""
        ours = self.ms(case, n, beside)
        return {name: median(c) / ours for name, c in self.cases[case][n].items()
                if c["beside"] == beside and median(c)}


def most(value, limit, text, unit="x"):
    return f"{text} {value:.3g} {unit}".strip(), value <= limit


def l1(r):
    ours = "netmon_link, nothing changed"
    peers = r.peers("link", LINKS, ours)
    nearest = min(peers, key=peers.get)
    return [most(r.ratio("link", LINKS, ours), 2.0, "floor"),
            (f"nearest peer: {nearest}, {peers[nearest]:.1f} x ours", peers[nearest] >= 4)]


L2 = (("`netlink` VerboseInterface All", 0.30), ("`interface`", 1.1), ("RSS of `netlink`", 0.5))


def of_daemons(r, ours):
    """What L2 limits, in its order."""
    netlink = "collectd netlink, VerboseInterface All"
    return (r.ratio("daemon", LINKS, ours, netlink),
            r.ratio("daemon", LINKS, ours, "collectd interface"),
            r.rss("daemon", LINKS, ours) / r.rss("daemon", LINKS, netlink))


def l2(r):
    rows = [most(found, limit, text) for found, (text, limit)
            in zip(of_daemons(r, "collectd netmon_link"), L2)]
    for word in ("brief", "wide"):
        found = of_daemons(r, f"collectd netmon_link, Layout {word}")
        rows.append(("Layout {}: {:.3g} x, {:.3g} x, RSS {:.3g} x".format(word, *found),
                     all(f <= limit for f, (_, limit) in zip(found, L2))))
    return rows


def l3(r):
    return [most(r.ratio("daemon", LINKS, "collectd netmon_link, Layout wide",
                         "collectd netlink, VerboseInterface All"), 0.10,
                 "`netlink` VerboseInterface All")]


def steady(case, n, plugin):
    def goal(r):
        return [most(r.ms(case, n, f"netmon_{plugin}, nothing changed"), 0.1, "", "ms")]
    return goal


def again(case, n, plugin, limit, how="all read again"):
    def goal(r):
        return [most(r.ratio(case, n, f"netmon_{plugin}, {how}"), limit, "floor")]
    return goal


def r2(r):
    ours = "netmon_route, all read again"
    small, large = r.heap("route", 10000, ours), r.heap("route", 1000000, ours)
    return [*again("route", 1000000, "route", 1.3)(r),
            most(1024 * (large - small) / 990000, 110, "", "bytes a route")]


def r3(r):
    s = r.stories["route_storm"]
    return [most(s["us"], 1.5, f"{s['rate']:,.0f}/s,", "us each"),
            (f"{s['lost']} losses, count off by {s['after']}", s["after"] == 0)]


def t1(r):
    return [(f"{k}: {s['wrong']} of {s['readings']} readings wrong (raw dumps: {s['raw_wrong']} of "
             f"{s['raw']}), {s['rate']:,.0f}/s, {s['us'] or 0:.2f} us each, {s['lost']} losses",
             not s["wrong"] and not s["after"] and s["same_hash"])
            for k, s in r.stories["storms"].items()]


def t2(r):
    return [(f"{k}: lost {s['lost']} times, right in reading {s['readings']}",
             s["lost"] > 0 and s["right"] and s["readings"] <= 2)
            for k, s in r.stories["losses"].items()]


def n2(r):
    s = r.stories["fdb_minute"]
    share = s["torn_ms"] / s["wall_ms"]
    return [(f"{s['lost']} losses in {s['wall_ms'] / 1e3:.0f} s: in FDB dumps {100 * share:.2f} % "
             f"of the time (one takes {s['dump_ms']:.0f} ms)", share <= 0.01),
            (f"most in one reading: {s['torn_worst_ms'] / 600:.2f} % of a minute",
             s["torn_worst_ms"] <= 600),
            (f"{s['wrong']} of {s['readings']} readings wrong", not s["wrong"])]


def n1(r):
    return [*again("neighbour", 100000, "neighbor", 1.3)(r),
            *steady("neighbour", 100000, "neighbor")(r)]


def both(case, plugin, limit):
    def goal(r):
        return [*again(case, 10000, plugin, limit)(r), *steady(case, 10000, plugin)(r)]
    return goal


def w1(r):
    return [most(r.ratio("wireguard", 10000, "netmon_wireguard, nothing changed",
                         "wg show all dump"), 0.3, "`wg show all dump`")]


def j1(r):
    """The floor's own share of the other's time says what was there to be won."""
    rows = []
    for case, n, ours, peer in (("route", 100000, "netmon route", "ip -j route"),
                                ("route", 1000000, "netmon route", "ip -j route"),
                                ("neighbour", 100000, "netmon neighbor", "ip -j neigh")):
        rows.append(most(r.ratio(case, n, ours, peer), 0.30,
                         f"{n:,}: (floor {r.ratio(case, n, 'floor', peer):.2f}) `{peer}`"))
        rows.append(most(r.rss(case, n, ours) / 1024, 8, "RSS", "MiB"))
    return rows


def j2(r):
    floor = r.ratio("link", LINKS, "floor: RTM_GETLINK", "ip -s -d -j link")
    return [most(r.ratio("link", LINKS, "netmon link", "ip -s -d -j link"), 0.5,
                 f"(floor {floor:.2f}) `ip -s -d -j link`")]


def j3(r):
    return [most(r.ratio("link", LINKS, "netmon address", "ip -j addr"), 0.05, "`ip -j addr`")]


def g(r):
    rows = []
    for case, ours, small, large in (
            ("link", "netmon_link, nothing changed", 1000, LINKS),
            ("daemon", "collectd netmon_link", 1000, LINKS),
            ("route", "netmon_route, all read again", 10000, 1000000),
            ("route", "netmon route", 10000, 1000000)):
        e = r.growth(case, ours, small, large)
        f = r.growth(case, "floor", small, large)
        rows.append((f"{ours}: {e:.2f} (floor {f:.2f})", e <= 1.05))
    return rows


def e(r):
    rows = []
    for name, s in r.stories["latency"].items():
        limit = 2 if "idle" in name else 50
        rows.append((f"{name}: {s['median'] or 0:.2f} ms (worst {s['worst'] or 0:.1f}, "
                     f"{s['n']} of {s['of']} told)", s["n"] == s["of"] and s["median"] < limit))
    return rows


def b(r):
    s = r.stories["idle"]
    by = ", ".join(f"{p.removeprefix('netmon_')} {100 * v['share']:.4f}" for p, v in s.items()
                   if p.startswith("netmon_"))
    more = s["everything"]["rss_kb"] - s["alone"]["rss_kb"]
    return [most(100 * s["one-writer"]["share"], 0.02,
                 "WriteThreads 1, as conf/quickstart.conf has it:", "% of a core"),
            most(100 * s["everything"]["share"], 0.02, "collectd's default of 5:", "% of a core"),
            (f"one by one, %: {by}", None),
            most(more / 1024, 12, "", "MiB more than collectd alone")]


GOALS = [
    ("L1", "netmon_link's read, 5,001 interfaces: at most 2.0 x floor; no peer under 4 x ours", l1),
    ("L2", "whole daemon, 5,001 interfaces: at most 0.30 x `netlink` VerboseInterface All, 1.1 x "
           "`interface`; RSS at most 0.5 x `netlink`'s", l2),
    ("L3", "whole daemon, `Layout wide`: at most 0.10 x `netlink` VerboseInterface All", l3),
    ("R1", "1,000,000 routes, nothing changed: at most 0.1 ms", steady("route", 1000000, "route")),
    ("R2", "1,000,000 routes read again: at most 1.3 x floor; at most 110 bytes a route", r2),
    ("R3", "100,000 route changes a second: at most 1.5 us each, counts exact afterwards", r3),
    ("T1", "FDB, MDB, rules under 20,000 changes a second: no reading wrong", t1),
    ("T2", "after a forced ENOBUFS: equal to the kernel within one interval", t2),
    ("N1", "100,000 neighbours: at most 1.3 x floor when read; at most 0.1 ms when nothing "
           "changed", n1),
    ("N2", "100,000 FDB entries: the kernel's lock held at most 1 % of any minute", n2),
    ("M1", "10,000 MDB entries: at most 1.5 x floor; at most 0.1 ms when nothing changed",
     both("mdb", "mdb", 1.5)),
    ("U1", "10,000 rules: at most 1.5 x floor; at most 0.1 ms when nothing changed",
     both("rule", "rule", 1.5)),
    ("W1", "10,000 WireGuard peers: at most 0.3 x `wg show all dump`", w1),
    ("J1", "routes and neighbours as JSON: at most 0.30 x `ip -j`, peak RSS under 8 MiB", j1),
    ("J2", "5,001 links as JSON: at most 0.5 x `ip -s -d -j link`", j2),
    ("J3", "10,002 addresses as JSON: at most 0.05 x `ip -j addr`", j3),
    ("G", "growth, 1,000 to 5,000 interfaces, 10,000 to 1,000,000 routes: exponent at most 1.05",
     g),
    ("E", "event to notification: median under 2 ms idle, under 50 ms during a dump of 100,000", e),
    ("B", "everything loaded, 10 interfaces, interval 10 s: under 0.02 % of a core, under 12 MiB "
          "more than collectd alone", b),
]
