# SPDX-License-Identifier: MIT
"""Completion by the shells themselves: typed at on a terminal, as a person would."""

import os
import re
import shutil

from harness import ROOT, Skip, command, plain_build_only, same, until

FILES = ROOT / "packaging/completion"


class Shell:
    """An interactive shell on a terminal of tmux's, with the completion and nothing of a user's."""

    START = {
        "bash": ["bash", "--norc", "--noprofile", "-i"],
        "zsh": ["zsh", "-f", "-i"],
    }

    def __init__(self, t, name):
        for program in ("tmux", name):
            if not shutil.which(program):
                raise Skip(f"the program `{program}` is missing")
        home = t.directory("home")
        setup = home / "setup"
        setup.write_text(f"""PS1='> '
            PATH={t.build.dir}:$PATH
            cd {home}
            """ + {
                "bash": f"source {FILES}/netmon.bash; bind 'set show-all-if-ambiguous on'",
                "zsh": f"fpath=({FILES} $fpath); autoload -U compinit; compinit -u -D; "
                       "setopt no_beep no_auto_menu",
            }[name] + "\nclear\n")
        self.tmux = ["tmux", "-f", "/dev/null", "-S", home / "socket"]
        self.call("new-session", "-d", "-x", 100, "-y", 40, *self.START[name],
                  env={**os.environ, "HOME": str(home), "LC_ALL": "C.UTF-8", "ZDOTDIR": str(home)})
        t.cleanup(lambda: self.call("kill-server", ok=None))
        self.type(f". {setup}", "Enter")
        self.shows(r"\A> *$")

    def call(self, *words, **kw):
        return command(*self.tmux, *words, **kw)

    def text(self):
        return self.call("capture-pane", "-p").rstrip()

    def shows(self, pattern):
        try:
            until(lambda: re.search(pattern, self.text(), re.M), "")
        except AssertionError:
            raise AssertionError(f"no /{pattern}/ on the screen:\n{self.text()}") from None

    def type(self, *keys):
        self.call("send-keys", *keys)

    def completes(self, text, pattern):
        """Typed, then Tab: what the screen has then; and an empty line for the next one."""
        self.type("C-u", "C-l")
        self.shows(r"\A> *$")
        self.type("-l", text)
        self.shows(re.escape(text))
        self.type("Tab")
        self.shows(pattern)


def both(t, shell):
    (t.dir / "any.conf").touch()
    shell.completes("netmon rou", r"^> netmon route ?$")
    shell.completes("netmon wi", r"^> netmon wireguard ?$")
    shell.completes("netmon help expl", r"^> netmon help explain ?$")
    shell.completes("netmon watch nei", r"^> netmon watch neighbor ?$")
    shell.completes("netmon route --ndj", r"^> netmon route --ndjson ?$")
    shell.completes("netmon route --ipv", r"--ipv4\b(.|\n)*--ipv6\b")
    shell.completes("netmon route --table lo", r"^> netmon route --table local ?$")
    shell.completes("netmon route --table=lo", r"^> netmon route --table=local ?$")
    shell.completes("netmon-neighbor --ar", r"^> netmon-neighbor --arp ?$")
    shell.completes("netmon-device --ext", r"^> netmon-device --extended ?$")
    shell.completes("netmon top --sort rx-", r"^> netmon top --sort rx-packets ?$")
    shell.completes("netmon explain --iif l", r"^> netmon explain --iif lo ?$")
    shell.completes(f"netmon diff {t.dir}/any", rf"^> netmon diff {t.dir}/any\.conf ?$")
    shell.completes(f"netmon metrics -c {t.dir}/any", rf"^> netmon metrics -c {t.dir}/any\.conf ?$")


@plain_build_only
def test_bash(t):
    both(t, Shell(t, "bash"))


@plain_build_only
def test_zsh(t):
    shell = Shell(t, "zsh")
    both(t, shell)
    shell.completes("netmon r", r"^route +-- routes and nexthop objects$")  # with what they do
    shell.completes("netmon rule --t", r"^> netmon rule --table ?$")
    shell.completes("netmon rule --no", r"^> netmon rule --no-unknown-attrs ?$")


@plain_build_only
def test_every_command_is_completed(t):
    """What the help lists is what the shells know."""
    names = re.findall(r"^  ([a-z]+) ", t.netmon("--help").stdout, re.M)
    script = f"""source {FILES}/netmon.bash
        PATH={t.build.dir}:$PATH
        COMP_WORDS=(netmon ""); COMP_CWORD=1; _netmon; echo "${{COMPREPLY[*]}}" """
    same(command("bash", "-c", script).split(), names, "commands")
    same(command("zsh", "-n", FILES / "_netmon") if shutil.which("zsh") else "", "", "zsh -n")
