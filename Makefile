# SPDX-License-Identifier: MIT
# all, run, check, dashboards, vm-kernel, vm-modules, bench, fuzz, lint,
# install (DESTDIR, PREFIX), clean.
#
#   B=dir                   where everything is built (build)
#   SAN=address,undefined   sanitizers for this build
#   WERROR=1                warnings are errors
#   NO_INSTALL=1            run and check name missing packages and install none
#   V=1                     show the commands
#   STRICT=1                check: a test that is skipped has failed
PREFIX     ?= /usr
LIBDIR     ?= $(PREFIX)/lib
PLUGINDIR  ?= $(LIBDIR)/collectd
BINDIR     ?= $(PREFIX)/bin
MANDIR     ?= $(PREFIX)/share/man
DATADIR    ?= $(PREFIX)/share/netmon
DOCDIR     ?= $(PREFIX)/share/doc/netmon
CFLAGS     ?= -O2 -g
PKG_CONFIG ?= pkg-config
COLLECTD   ?= /usr/include/collectd
B          ?= build
SANITIZERS ?= address,undefined thread

pkgs := libmnl libnl-genl-3.0
# Asked once, and only when something is compiled: `make run` may first have to install it.
pkg_cflags = $(eval pkg_cflags := $(shell $(PKG_CONFIG) --cflags $(pkgs)))$(pkg_cflags)
# The command reads JSON too, for comparing what it wrote.
cli_libs   = $(eval cli_libs := $(shell $(PKG_CONFIG) --libs yajl))$(cli_libs)
pkg_libs   = $(eval pkg_libs := $(shell $(PKG_CONFIG) --libs $(pkgs)))$(pkg_libs)
rrd_libs   = $(eval rrd_libs := $(shell $(PKG_CONFIG) --libs librrd))$(rrd_libs) -lm

warnings := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla \
	    $(if $(WERROR),-Werror)
san      := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
flags     = -std=gnu11 -D_GNU_SOURCE -Icommon -I$B $(pkg_cflags) -fPIC -fvisibility=hidden \
	    $(warnings) $(san)
collectd_flags = -DHAVE_CONFIG_H -isystem $(COLLECTD) -isystem $(COLLECTD)/core \
		 -isystem $(COLLECTD)/core/daemon
# What is made, in a word; V=1 shows the commands.
compile   = $(if $V,,@echo '  CC    $@' &&) $(CC) $(CPPFLAGS) $(flags) $(CFLAGS) -MMD -MP
link      = $(if $V,,@echo '  LD    $@' &&) $(CC) $(san) $(CFLAGS) $(LDFLAGS)
gen       = $(if $V,,@echo '  GEN   $@' &&)

plugins := $(patsubst plugins/%.c,%,$(wildcard plugins/netmon_*.c))
common  := $(patsubst %.c,$B/%.o,$(filter-out common/collectd.c,$(wildcard common/*.c))) $B/names.o
# plugins/link_*.c are parts of netmon_link.
parts   := $(patsubst %.c,$B/%.o,$(wildcard plugins/*.c))
cli     := $(patsubst %.c,$B/%.o,$(wildcard cli/*.c))
graph   := $(patsubst %.c,$B/%.o,$(wildcard rrd/*.c))
manuals := $(patsubst conf/%.in,$B/%,$(wildcard conf/*.[1578].in))

# What `netmon` prints, and the names under which the NetMon toolkit's commands are known.
nouns   := $(plugins:netmon_%=%) address all
schemas := $(nouns:%=$B/schema/netmon-%.json)
links   := netmon-device netmon-route netmon-neighbor netmon-mdb netmon-rule

all: $(plugins:%=$B/%.so) $B/netmon $B/netmon-graph $(manuals) $(schemas) $B/sanitizer

$B/%.so: $B/plugins/%.o $B/%.collectd.o $(common)
	$(link) -shared -Wl,-z,defs,--unresolved-symbols=ignore-in-object-files -o $@ $^ $(pkg_libs)
$(foreach p,$(plugins),$(eval $B/$p.so: $(filter $B/plugins/$(p:netmon_%=%)_%,$(parts))))
$B/%.collectd.o: common/collectd.c | $B/names.h
	@mkdir -p $(@D)
	$(compile) $(collectd_flags) -DNM_PLUGIN=$* -c -o $@ $<
# The list of plugins is the list of their files.
$B/plugins.h: $(wildcard plugins/netmon_*.c)
	@mkdir -p $B
	$(gen) printf 'NM_PLUGIN(%s)\n' $(plugins) > $@
$(cli) $B/tests/fuzz/replay.o $B/fuzz/replay: | $B/plugins.h
$B/netmon: $(cli) $(parts) $(common)
	$(link) -o $@ $^ $(pkg_libs) $(cli_libs) -lm
$B/netmon-graph: $(graph)
	$(link) -o $@ $^ $(rrd_libs)
$B/%.o: %.c | $B/names.h
	@mkdir -p $(@D)
	$(compile) -c -o $@ $<
$B/names.o: $B/names.c
	$(compile) -c -o $@ $<
$B/have.h: common/names.awk common/uapi.h
	@mkdir -p $B
	$(gen) $(CC) $(CPPFLAGS) -Icommon -E -dD -DNM_HEADERS_ONLY common/uapi.h | \
		awk -v have=$@ -f common/names.awk
$B/names.c $B/names.h &: common/names.awk common/names.list common/uapi.h $(wildcard common/uapi/*.h) $B/have.h
	$(gen) $(CC) $(CPPFLAGS) -Icommon -I$B -E -dD common/uapi.h | \
		awk -v list=common/names.list -v out=$B/names.c -v hdr=$B/names.h -f common/names.awk
$B/collectd-netmon_%.5: conf/collectd-netmon_%.5.in $B/netmon
	$(gen) awk -v options='$B/netmon options $* --man' \
		'/^@OPTIONS@/ { while (options | getline) print; next } { print }' $< > $@
$B/%.1: conf/%.1.in
	@mkdir -p $B
	$(gen) cp $< $@
$B/%.7: conf/%.7.in
	@mkdir -p $B
	$(gen) cp $< $@
$B/schema/netmon-%.json: $B/netmon
	@mkdir -p $(@D)
	$(gen) $B/netmon schema $* > $@
$B/netmon.8: conf/netmon.8.in $B/netmon
	$(gen) awk -v options='$B/netmon help --man' \
		'/^@OPTIONS@/ { while (options | getline) print; next } \
		{ gsub("@DATADIR@", "$(DATADIR)"); print }' $< > $@
# The tests must know what they run: a daemon that loads a sanitized plugin needs the runtime.
$B/sanitizer: Makefile
	@mkdir -p $B
	$(gen) echo '$(SAN)' > $@

# ---- what needs packages ------------------------------------------------------

run:
	@packaging/deps build run
	@$(MAKE) -s all
	@packaging/run $B

check:
	@packaging/deps build check
	@$(MAKE) -s B=$B all tests
	@set -e; for s in $(SANITIZERS); do \
		$(MAKE) -s B=$B/$$s SAN=$$s all tests; done
	@$(MAKE) -s vm-kernel || echo 'netmon: what needs another kernel is skipped'
	@tests/run $(if $(STRICT),--strict) --build $B $(SANITIZERS:%=--build $B/%) $(TESTS:%=-k %)

tests: $B/tests/sink.so $B/tests/replay $B/tests/storm $B/tests/lacks.so $B/tests/slow.so
$B/tests/replay: $B/tests/fuzz/replay.o $(parts) $(common)
	$(link) -o $@ $^ $(pkg_libs)
$B/tests/sink.so: tests/sink.c
	@mkdir -p $(@D)
	$(compile) $(collectd_flags) -fvisibility=default -shared -o $@ $<
$B/tests/lacks.so $B/tests/slow.so: $B/tests/%.so: tests/%.c
	@mkdir -p $(@D)
	$(compile) -fvisibility=default -shared -o $@ $<
$B/tests/storm: $B/tests/storm.o
	$(link) -o $@ $^ $(pkg_libs)

# Grafana's JSON from conf/dashboards/netmon.toml: kept in the source, compared by a test.
dashboards:
	conf/dashboards/generate

# Another kernel for the tests, unpacked and not installed: tests/vm/run -- COMMAND
vm-kernel:
	@tests/vm/kernel build/vm
	@$(MAKE) -s vm-modules

# Drivers for that kernel: devices that few machines have.
vm-modules: build/vm-modules/dpllsim.ko
build/vm-modules/dpllsim.ko: tests/vm/dpllsim/dpllsim.c tests/vm/dpllsim/Kbuild build/vm/initrd
	@rm -rf $(@D) && mkdir -p $(@D)
	@cp tests/vm/dpllsim/* $(@D)
	$(gen) $(MAKE) -s -C build/vm/headers M=$(abspath $(@D)) CONFIG_DEBUG_INFO_BTF_MODULES= \
		modules >$(@D)/log 2>&1 || \
		{ cat $(@D)/log >&2; exit 1; }

# Coverage-guided, from the recordings; what it finds is kept in $B/fuzz and printed.
fuzz:
	@packaging/deps build fuzz
	@$(MAKE) -s $B/fuzz/replay B=$B CC=clang \
		SAN=fuzzer-no-link,address,undefined
	@mkdir -p $B/fuzz/corpus
	for f in tests/golden/*/*.pcap; do cp $$f $B/fuzz/corpus/$$(echo $$f | tr / -); done
	cd $B/fuzz && ./replay -max_total_time=$(SECONDS) -max_len=65536 -timeout=10 corpus
SECONDS ?= 60
$B/fuzz/replay: tests/fuzz/replay.c $(parts) $(common)
	@mkdir -p $(@D)
	$(compile) -DNM_LIBFUZZER -fsanitize=fuzzer -o $@ $(filter %.c %.o,$^) $(pkg_libs)

# What everything costs, beside the kernel's own floor and beside others: docs/performance.md.
#   ONLY='route fdb'   parts of it; ROUNDS=7 measurements of each
.PHONY: bench
bench:
	@packaging/deps build bench
	@$(MAKE) -s B=$B all $(bench:%=$B/bench/%) $B/bench/count.so $B/tests/sink.so
	@tests/bench/run --build $B $(if $(ROUNDS),--rounds $(ROUNDS)) $(ONLY)
bench := fleet floor load measure reader
$B/bench/reader: $B/tests/bench/reader.o $(parts) $(common)
	@mkdir -p $(@D)
	$(link) -o $@ $^ $(pkg_libs) -lm
$B/tests/bench/reader.o: | $B/plugins.h
$B/bench/%: $B/tests/bench/%.o
	@mkdir -p $(@D)
	$(link) -o $@ $^ $(bench_libs)
$B/bench/fleet: bench_libs = $(shell $(PKG_CONFIG) --libs libcollectdclient libgcrypt)
$B/bench/count.so: tests/bench/count.c
	@mkdir -p $(@D)
	$(compile) $(collectd_flags) -fvisibility=default -shared -o $@ $<

lint:
	@packaging/deps build lint
	@$(MAKE) -s B=$B all
	@packaging/lint $B

print-flags:
	@echo '$(flags)'
	@echo '$(flags) $(collectd_flags) -DNM_PLUGIN=netmon_link'

install: all
	install -d $(DESTDIR)$(PLUGINDIR) $(DESTDIR)$(BINDIR) $(DESTDIR)$(DOCDIR)/examples/dashboards/cgp \
		$(DESTDIR)$(PREFIX)/share/netmon/graphs $(DESTDIR)$(MANDIR)/man1 \
		$(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man7 $(DESTDIR)$(MANDIR)/man8 $(DESTDIR)$(DATADIR)/schema
	install -m 0644 $(plugins:%=$B/%.so) $(DESTDIR)$(PLUGINDIR)
	install -m 0755 $B/netmon $B/netmon-graph $(DESTDIR)$(BINDIR)
	install -m 0644 rrd/graphs/* $(DESTDIR)$(PREFIX)/share/netmon/graphs
	$(foreach l,$(links),ln -sf netmon $(DESTDIR)$(BINDIR)/$l;)
	install -m 0644 $(schemas) $(DESTDIR)$(DATADIR)/schema
	install -D -m 0644 packaging/completion/netmon.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/netmon
	$(foreach l,$(links),ln -sf netmon $(DESTDIR)$(PREFIX)/share/bash-completion/completions/$l;)
	install -D -m 0644 packaging/completion/_netmon \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_netmon
	install -m 0644 conf/*.conf conf/*.yml conf/netmon.types.db $(DESTDIR)$(DOCDIR)/examples
	install -m 0755 conf/netmon-notify $(DESTDIR)$(DATADIR)
	install -m 0644 docs/*.md $(DESTDIR)$(DOCDIR)
	install -m 0644 conf/dashboards/*.json conf/dashboards/*.conf conf/dashboards/*.md \
		$(DESTDIR)$(DOCDIR)/examples/dashboards
	install -m 0644 conf/dashboards/cgp/*.json $(DESTDIR)$(DOCDIR)/examples/dashboards/cgp
	$(foreach m,$(manuals),install -m 0644 $m $(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $m));)

clean:
	$(RM) -r $B

-include $(wildcard $B/*.d $B/*/*.d $B/*/*/*.d)
.PHONY: all run check tests dashboards vm-kernel vm-modules fuzz lint print-flags install clean
.DELETE_ON_ERROR:
.SECONDARY:
