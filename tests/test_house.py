# SPDX-License-Identifier: MIT
"""The rules of the house that a compiler does not check."""

import os
import re

from harness import ROOT, command, plain_build_only, same

OURS = {"netmon.h", "names.h", "uapi.h"}


def sources(*directories, suffixes=(".c", ".h")):
    for directory in directories:
        for path in sorted((ROOT / directory).rglob("*")):
            if path.suffix in suffixes and path.is_file():
                yield path


def includes(path):
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', path.read_text(), re.M)


def name(path):
    return str(path.relative_to(ROOT))


@plain_build_only
def test_plugins_and_commands_know_one_interface(t):
    own = {path.name for path in sources("common")} | {"names.h", "have.h"}
    wrong = [f"{name(path)} includes {header}"
             for path in sources("plugins", "cli", "rrd", "tests") for header in includes(path)
             if header.rpartition("/")[2] in own and not header.startswith("linux/")
             and header not in (OURS if path.parent.name == "plugins" else {"netmon.h"})
             and not (path.parent / header).exists()]
    assert not wrong, "\n".join(wrong)


@plain_build_only
def test_foreign_headers_stay_in_one_file(t):
    """collectd's in common/collectd.c, libnl's in common/genl.c; the tests' sink is collectd's."""
    wrong = []
    for path in sources("common", "plugins", "cli", "rrd"):
        for header in includes(path):
            if re.search(r"collectd|^plugin\.h|^utils/", header) \
               and name(path) != "common/collectd.c":
                wrong.append(f"{name(path)} includes {header}")
            if header.startswith("netlink/") and name(path) != "common/genl.c":
                wrong.append(f"{name(path)} includes {header}")
    assert not wrong, "\n".join(wrong)


@plain_build_only
def test_receivers_that_lose_dumps_are_not_used(t):
    wrong = [f"{name(path)}: {word}" for path in sources("common", "plugins", "cli")
             for word in re.findall(r"\bmnl_cb_run\w*|\bMNL_CB_\w+", path.read_text())]
    assert not wrong, "\n".join(wrong)


def test_plugins_export_module_register_alone(t):
    plugins = sorted(t.build.dir.glob("netmon_*.so"))
    assert plugins, f"no plugin in {t.build.dir}"
    for so in plugins:
        symbols = [line.split()[-1] for line in
                   command("nm", "-D", "--defined-only", so).splitlines()]
        # A sanitizer's own marks are not ours to hide.
        symbols = [s for s in symbols if not re.match(r"__(asan|ubsan|tsan|odr_asan)_?", s)]
        same(symbols, ["module_register"], so.name)


@plain_build_only
def test_every_file_names_its_licence(t):
    """What a person writes for a machine to read; not texts, pictures and recorded data."""
    texts = re.compile(r"\.(c|h|py|awk|sh|list|in|conf|supp|spec|yml)$")
    files = [ROOT / "Makefile"]
    for directory in ("common", "plugins", "cli", "conf", "rrd", "packaging", "tests", ".ci"):
        files += [path for path in sorted((ROOT / directory).rglob("*")) if path.is_file()
                  and (texts.search(path.name) or path.read_bytes().startswith(b"#!"))]
    missing = [name(path) for path in files if "SPDX-License-Identifier: MIT"
               not in path.read_text(errors="replace")[:300]]
    assert not missing, "no SPDX line in " + ", ".join(missing)


def test_a_second_make_does_nothing(t):
    inside = t.build.dir.is_relative_to(ROOT)
    directory = t.build.dir.relative_to(ROOT) if inside else t.build.dir
    words = [f"B={directory}"] + ([f"SAN={t.build.sanitizer}"] if t.build.sanitizer else [])
    left = command("make", "-C", ROOT, "--no-print-directory", "-n", *words, "all", "tests",
                   env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")})
    work = [line for line in left.splitlines() if "Nothing to be done" not in line]
    assert not work, "make would still do:\n" + "\n".join(work[:5])


def test_nothing_but_the_daemons_symbols_is_missing(t):
    """A plugin that needs a symbol which the daemon lacks is refused at start: load it."""
    daemon = t.collectd(ns=t.namespace()).ready()
    daemon.stop()
    assert any("netmon_link" in line and "success" in line for line in daemon.log())
