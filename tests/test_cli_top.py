# SPDX-License-Identifier: MIT
"""netmon top on a terminal: a real one by tmux, typed at and resized as a person would."""

import os
import re
import shlex
import shutil
import signal
import subprocess
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
                  f"stty -g > {t.dir}/before; {env} {options} LC_ALL=C.UTF-8 {run}; "
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
