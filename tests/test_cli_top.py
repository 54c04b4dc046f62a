# SPDX-License-Identifier: MIT
"""netmon top on a terminal: a real one by tmux, typed at and resized as a person would."""

import os
import re
import shlex
import shutil
import signal
import threading

from harness import Skip, command, same, until


class Screen:
    """A terminal in which a command runs; text() is what a person sees."""

    def __init__(self, t, ns, words, columns=80, rows=12, env=""):
        if not shutil.which("tmux"):
            raise Skip("the program `tmux` is missing")
        self.tmux = ["tmux", "-f", "/dev/null", "-S", t.directory("tmux") / "socket"]
        run = shlex.join(map(str, ["ip", "netns", "exec", ns.name, *t.build.outer_prefix(),
                                   t.build.netmon, *words]))
        options = "".join(f"{k}={shlex.quote(v)} " for k, v in
                          t.build.environment(t.directory("top")).items() if "SAN" in k)
        self.pid = t.dir / "pid"
        self.call("new-session", "-d", "-x", columns, "-y", rows, "sh", "-c",
                  f"trap : INT; stty -g > {t.dir}/before; {env} {options} LC_ALL=C.UTF-8 {run}; "
                  f"status=$?; stty -g > {t.dir}/after; echo \"ended with $status\"; "
                  "exec sleep 60",
                  env={**os.environ, "LC_ALL": "C.UTF-8"})
        t.cleanup(lambda: self.call("kill-server", ok=None))

    def call(self, *words, **kw):
        return command(*self.tmux, *words, **kw)

    def text(self):
        return self.call("capture-pane", "-p")

    def shows(self, pattern):
        return until(lambda: re.search(pattern, self.text(), re.M),
                     f"/{pattern}/ on the screen, which is:\n{self.text()}")

    def type(self, *keys):
        self.call("send-keys", *keys)


def network(t):
    ns = t.namespace()
    ns.veth("a0", "b0")
    ns.run("ip", "link", "add", "gone0", "type", "ifb")
    return ns


class Traffic:
    """Frames out of an interface until the test has ended."""

    def __init__(self, t, ns, dev):
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(ns, dev))
        self.thread.start()
        t.cleanup(self.thread.join)
        t.cleanup(self.over.set)

    def run(self, ns, dev):
        while not self.over.wait(0.05):
            ns.frames(dev, count=20, size=1000)


def test_a_live_table(t):
    ns = network(t)
    Traffic(t, ns, "a0")
    screen = Screen(t, ns, ["top", "--interval", "0.3"])
    screen.shows(r"^interface +state +rx +tx +rx pkt/s +tx pkt/s +err/s +used$")
    screen.shows(r"^a0 +● active .* \d[\d.]* [kM]bit/s ")
    screen.shows(r"^gone0 +✗ down ")
    screen.shows(r"^lo +○ idle .* 0 bit/s ")

    screen.type("t")  # sorted by what is sent: a0 first
    screen.shows(r"used\na0 ")
    screen.type("n")
    screen.type("/", "g", "o", "n")
    screen.shows(r"filter: gon_")
    screen.type("Enter")
    screen.shows(r"used\ngone0 .*\n\n")
    screen.type("/", "Escape")

    screen.call("resize-window", "-x", 50, "-y", 7)
    screen.shows(r"^interface +state +rx +tx$")
    assert max(map(len, screen.text().splitlines())) <= 50
    screen.call("resize-window", "-x", 110, "-y", 12)
    screen.shows(r"^a0 .*[▁▂▃▄▅▆▇█]{2}")

    ns.ip("link set a0 down")
    screen.shows(r"^a0 +✗ down ")
    ns.ip("link del gone0")
    until(lambda: "gone0" not in screen.text(), "gone0 to vanish from the screen")
    screen.type("q")
    screen.shows(r"^ended with 0$")
    assert "interface" not in screen.text(), "the terminal's own screen is not back"
    same((t.dir / "after").read_text(), (t.dir / "before").read_text(), "modes of the terminal")


TOP = """\
netmon top  TIME  every 0.3 s

interface  state              rx           tx  rx pkt/s  tx pkt/s   err/s   used
a0         ○ idle        0 bit/s      0 bit/s         0         0       0  0.0 %
b0         ○ idle        0 bit/s      0 bit/s         0         0       0  0.0 %
gone0      ✗ down        0 bit/s      0 bit/s         0         0       0  0.0 %
lo         ○ idle        0 bit/s      0 bit/s         0         0       0      -

q quit  r t p P e u n sort  / filter  arrows scroll
"""


def timeless(text):
    return re.sub(r"\d\d:\d\d:\d\d(\.\d+)?", "TIME", text)


def test_the_whole_screen(t):
    """As it is meant to look, at 80 columns, at 132, at 40, and at 80 again."""
    ns = network(t)
    screen = Screen(t, ns, ["top", "--interval", "0.3"], rows=9)
    expected = TOP.splitlines()

    def looks(columns, upto):  # the last column depends on what speed a kernel gives a veth
        shown = timeless(screen.text()).splitlines()
        return max(map(len, shown)) <= columns and \
            [line[:upto].rstrip() for line in shown] == [line[:upto].rstrip() for line in expected]

    for columns, upto in ((80, 72), (132, 72), (40, 33), (80, 72)):
        screen.call("resize-window", "-x", columns, "-y", 9)
        try:
            until(lambda: looks(columns, upto), "")
        except AssertionError:
            raise AssertionError(f"{columns} columns:\n{screen.text()}") from None


def test_watch_on_a_terminal(t):
    """Lines that a person reads; the end by Ctrl-C, with the sums."""
    ns = network(t)
    screen = Screen(t, ns, ["watch", "link", "--since-start"], columns=132)
    mtu = 1300
    while not re.search("links lo", screen.text()):  # it listens
        mtu += 1
        ns.ip(f"link set lo mtu {mtu}")
        threading.Event().wait(0.05)
    ns.ip("link set a0 mtu 1400")
    ns.ip("link del gone0")
    screen.shows(r"^.* - links gone0 .*")
    lines = [line for line in timeless(screen.text()).splitlines() if "links lo" not in line]
    same(lines[:2], ["TIME ~ links a0: mtu 1500 -> 1400 (1. change)",
                     "TIME - links gone0 mtu 1500 operstate down (1. change)"], "lines")
    coloured = screen.call("capture-pane", "-p", "-e")
    for color, line in ((33, "~ links"), (31, "- links")):
        assert re.search(rf"\x1b\[{color}m(\x1b\[49m)?{line}", coloured), coloured
    screen.type("C-c")
    screen.shows(r"^link: 0 added, 1 removed, \d+ changed$")
    screen.shows(r"^ended with 0$")

    plain = Screen(t, ns, ["watch", "link"], env="NO_COLOR=1")
    while not re.search("links lo", plain.text()):
        mtu += 1
        ns.ip(f"link set lo mtu {mtu}")
        threading.Event().wait(0.05)
    assert "\x1b[3" not in plain.call("capture-pane", "-p", "-e"), "NO_COLOR"


def test_it_ends_cleanly_when_told_to(t):
    ns = network(t)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        screen = Screen(t, ns, ["top"])
        screen.shows(r"^a0 ")
        pids = command("pgrep", "-f", f"{t.build.netmon} top", ok=(0, 1)).split()
        mine = [int(p) for p in pids if os.readlink(f"/proc/{p}/exe") == str(t.build.netmon)
                and command("ip", "netns", "identify", p).strip() == ns.name]
        same(len(mine), 1, "processes of netmon top")
        os.kill(mine[0], number)
        screen.shows(r"^ended with 0$")
        same((t.dir / "after").read_text(), (t.dir / "before").read_text(),
             f"modes of the terminal after {number.name}")
        screen.call("kill-server")


def test_once_without_control_codes(t):
    ns = network(t)
    Traffic(t, ns, "a0")
    text = t.netmon("top", "-1", "--interval", "0.3", ns=ns).stdout
    assert "\033" not in text, text
    lines = text.splitlines()
    same([line.split()[0] for line in lines], ["interface", "a0", "b0", "gone0", "lo"], "lines")
    assert re.search(r"active .* [kM]bit/s", lines[1]), lines[1]
    assert max(map(len, lines)) <= 80, "wider than 80 columns"
    lines = t.netmon("top", "-1", "--interval", "0.1", "--filter", "b*", ns=ns).stdout.splitlines()
    same([line.split()[0] for line in lines], ["interface", "b0"], "filtered")
    lines = t.netmon("top", "-1", "--interval", "0.3", "--sort", "rx", ns=ns).stdout.splitlines()
    same(lines[1].split()[0], "b0", "the first by what is received")


def test_mistakes(t):
    for words, says in ((["top"], "terminal"), (["top", "-1", "--sort", "rxx"], "rxx"),
                        (["top", "-1", "--interval", "0"], "--interval")):
        done = t.netmon(*words, ok=None)
        same((done.returncode, done.stdout, done.stderr.count("\n")), (2, "", 1), f"{words}")
        assert says in done.stderr, done.stderr
