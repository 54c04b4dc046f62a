# SPDX-License-Identifier: MIT
"""The VM that other tests run in: what it runs, and what it says of it."""

import subprocess

import harness
from harness import ROOT, Skip, same, vm


def run(*words, **kw):
    done = subprocess.run([ROOT / "tests/vm/run", *words], capture_output=True, text=True, **kw)
    if done.returncode == 77:
        raise Skip(done.stderr.strip())
    return done


def test_command_runs_there_as_it_would_here(t):
    kernel, words = "uname -r", "printf '%s|' \"$@\"; pwd"
    done = run("--", "sh", "-c", f"{kernel}; {words}; echo to stderr >&2; exit 3", "sh",
               "it's", 'a "b"', "$HOME", "", cwd=ROOT / "tests")
    kernel, rest = done.stdout.splitlines()
    assert kernel.startswith("6.12."), kernel
    same(rest, f"it's|a \"b\"|$HOME||{ROOT}/tests", "words and directory")
    same((done.stderr, done.returncode), ("to stderr\n", 3), "what it said, and its status")


def test_what_it_writes_is_gone_but_for_the_files_that_are_asked_for(t):
    out = t.directory("files")
    done = run("-o", out, "--", "sh", "-c",
               f"echo lost > {out}/lost && echo kept > /run/vm/files/kept")
    same((done.returncode, done.stderr), (0, ""), "run")
    same({f.name: f.read_text() for f in out.iterdir()}, {"kept": "kept\n"}, "files")


def test_command_that_does_not_end_is_ended(t):
    same(run("-t", "15", "--", "sleep", "1000").returncode, 124, "time limit")


def test_a_user_without_privileges_has_it_too(t):
    done = run("--", "sh", "-c", "id -u; ip link add type veth && echo made", user=65534, group=65534,
               extra_groups=[], env={"PATH": "/usr/bin:/bin", "TMPDIR": "/tmp"})
    same((done.stdout, done.stderr), ("0\nmade\n", ""), "as root of the VM")


@vm
def test_the_kernel_has_what_the_tests_need(t):
    ns = t.namespace()
    for kind in ("bridge vlan_filtering 1", "bond", "vrf table 10", "dummy", "wireguard",
                 "gretap local 127.0.0.1 remote 127.0.0.2",
                 "vxlan id 1 dstport 4789 local 127.0.0.1"):
        ns.ip(f"link add {kind.split()[0]}9 type {kind}")
    ns.ip("link add link dummy9 name vlan0 type vlan id 5")
    ns.ip("link add link dummy9 name macvlan0 type macvlan")
    assert harness.IN_VM
    daemon = t.collectd(ns=ns).ready()
    daemon.wait_value("bond9/if_octets")
