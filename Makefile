# SPDX-License-Identifier: GPL-2.0-or-later
#
# make            build everything into $(BUILD); never touches the system
# make help       the other targets
#
# V=1 shows commands, SAN=1 builds with ASan and UBSan, COV=1 with coverage; BUILD=dir builds elsewhere.

BUILD ?= build
V ?= 0
SAN ?= 0
COV ?= 0
FUZZ_SECONDS ?= 30

VERSION := 0.1.0

prefix ?= /usr
sysconfdir ?= /etc
sbindir ?= $(prefix)/sbin
bindir ?= $(prefix)/bin
libexecdir ?= $(prefix)/libexec/govd
datadir ?= $(prefix)/share
mandir ?= $(datadir)/man
completiondir ?= $(datadir)/bash-completion/completions
unitdir ?= $(prefix)/lib/systemd/system
sysusersdir ?= $(prefix)/lib/sysusers.d
tmpfilesdir ?= $(prefix)/lib/tmpfiles.d
dbuspolicydir ?= $(datadir)/dbus-1/system.d
dbusservicedir ?= $(datadir)/dbus-1/system-services
polkitdir ?= $(datadir)/polkit-1/actions
DESTDIR ?=

CC := gcc
CLANG ?= clang
BPFTOOL ?= bpftool
PKG_CONFIG ?= pkg-config
PYTHON ?= python3
INSTALL ?= install
# An ordinary user's PATH lacks sbin, where Debian has bpftool.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin
ifeq ($(V),0)
Q := @
say = @printf '  %-8s %s\n' $(1) $(patsubst $(BUILD)/%,%,$(2))
else
Q :=
say =
endif

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

# One word of the machine for BPF's register layout.
BPF_ARCH := $(patsubst aarch64,arm64,$(patsubst x86_64,x86,$(shell uname -m)))

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wformat=2 -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wundef
CPPFLAGS += -D_GNU_SOURCE -Isrc -Iinclude -I$(BUILD)/gen -DGOV_VERSION='"$(VERSION)"' -DGOV_LIBEXECDIR='"$(libexecdir)"'
CFLAGS ?= -O2 -g
GOV_CFLAGS := -std=gnu11 -fno-common -fstack-protector-strong $(WARNINGS)
ifeq ($(CI),true)
GOV_CFLAGS += -Werror
endif
ifeq ($(SAN),1)
GOV_CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
else
GOV_CPPFLAGS := -D_FORTIFY_SOURCE=2
endif
ifeq ($(COV),1)
GOV_CFLAGS += --coverage
LDFLAGS += --coverage
endif
LDFLAGS += -Wl,--as-needed -Wl,-z,relro,-z,now

# pkg-config knows no libcgroup before 3.0, so the libraries are named here.
LIBS_core := -lpcre2-8
LIBS_conf := -lcyaml -lyaml
LIBS_sense := -lbpf -lelf -lz
LIBS_act := -lcgroup
LIBS_out := -lsystemd -ljansson
LIBS_edges := $(LIBS_sense) $(LIBS_act) $(LIBS_out) $(LIBS_conf) $(LIBS_core)

# ---- sources -----------------------------------------------------------------------------------------------------------

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(wildcard $(1))))
layer = $(call objects,src/$(1)/*.c)

OBJ_base := $(call layer,base)
OBJ_core := $(call layer,core)
OBJ_conf := $(call layer,conf)
OBJ_sense := $(call layer,sense)
OBJ_act := $(call layer,act)
OBJ_out := $(call layer,out)
OBJ_govd := $(call layer,govd)
OBJ_govctl := $(call layer,govctl)
OBJ_hold := $(call layer,hold)
OBJ_recorder := $(call layer,recorder)

BINARIES := $(BUILD)/govd $(BUILD)/govctl $(BUILD)/govd-hold $(BUILD)/govd-recorder
MAN_PAGES := $(patsubst src/man/%.scd,$(BUILD)/man/%,$(sort $(wildcard src/man/*.scd)))
UNITS := $(patsubst units/%.in,$(BUILD)/units/%,$(sort $(wildcard units/*.service.in)))
COMPLETION := $(BUILD)/completion/govctl

.PHONY: all
all: $(BINARIES) $(MAN_PAGES) $(UNITS)

$(BUILD)/govd: $(OBJ_govd) $(OBJ_out) $(OBJ_act) $(OBJ_sense) $(OBJ_conf) $(OBJ_core) $(OBJ_base)
$(BUILD)/govd: LIBS := $(LIBS_edges)
$(BUILD)/govctl: $(OBJ_govctl) $(OBJ_base)
$(BUILD)/govctl: LIBS := -lsystemd -ljansson -lsqlite3
$(BUILD)/govd-hold: $(OBJ_hold) $(OBJ_base)
$(BUILD)/govd-recorder: $(OBJ_recorder) $(OBJ_base)
$(BUILD)/govd-recorder: LIBS := -lsqlite3

$(BINARIES):
	$(call say,LINK,$@)
	$(Q)$(CC) $(GOV_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIBS)

# Other flags than last time: compile again.
FLAGS_STAMP := $(BUILD)/flags
.PHONY: FORCE
$(FLAGS_STAMP): FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(CC) $(CPPFLAGS) $(GOV_CPPFLAGS) $(GOV_CFLAGS) $(CFLAGS))' > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(BUILD)/obj/%.o: %.c $(FLAGS_STAMP)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(GOV_CPPFLAGS) $(GOV_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# A page with a table says so in its first line: man(1) calls tbl(1) then.
$(BUILD)/man/%: src/man/%.scd
	$(call say,MAN,$@)
	@mkdir -p $(@D)
	$(Q)scdoc < $< > $@.new
	$(Q){ ! grep -q '^\.TS' $@.new || echo "'\\\" t"; cat $@.new; } > $@
	@rm $@.new

$(BUILD)/units/%: units/%.in $(FLAGS_STAMP)
	$(call say,UNIT,$@)
	@mkdir -p $(@D)
	$(Q)sed -e 's,@sbindir@,$(sbindir),g; s,@bindir@,$(bindir),g' $< > $@

# From govctl's verb table.
$(COMPLETION): $(BUILD)/govctl
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	$(Q)$< completion bash > $@

# ---- BPF: vmlinux.h, one object of all bpf/*.bpf.c, its skeleton -------------------------------------------------------

BPF_SOURCES := $(sort $(wildcard bpf/*.bpf.c))
BPF_OBJECTS := $(patsubst bpf/%.bpf.c,$(BUILD)/bpf/%.bpf.o,$(BPF_SOURCES))
BPF_SKELETON := $(BUILD)/gen/gov.skel.h
VMLINUX_BTF ?= /sys/kernel/btf/vmlinux
BPF_CFLAGS := -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(BPF_ARCH) -Wall -Wextra -Wno-unused-parameter \
	-Wno-missing-declarations -Iinclude -Ibpf -I$(BUILD)/gen

$(BUILD)/gen/vmlinux.h:
	$(call say,BTF,$@)
	@mkdir -p $(@D)
	@test -r $(VMLINUX_BTF) || { echo >&2 "$(VMLINUX_BTF): can't read it: this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)." \
		"Name another file with 'make VMLINUX_BTF=FILE', a vmlinux with debug information or BTF."; exit 1; }
	$(Q)$(BPFTOOL) btf dump file $(VMLINUX_BTF) format c > $@

$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c | $(BUILD)/gen/vmlinux.h
	$(call say,BPF,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/bpf/gov.o: $(BPF_OBJECTS)
	$(call say,GEN,$@)
	$(Q)$(BPFTOOL) gen object $@ $^ > /dev/null

$(BPF_SKELETON): $(BUILD)/bpf/gov.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name gov > $@

# Every file that may include the skeleton.
$(OBJ_sense) $(call objects,tests/bpf/*.c): | $(BPF_SKELETON)
$(BUILD)/obj/src/sense/bpf.o: $(BPF_SKELETON)

# ---- tests -------------------------------------------------------------------------------------------------------------

UNIT_OBJECTS := $(call objects,tests/unit/*.c)
BPF_TEST_OBJECTS := $(call objects,tests/bpf/*.c)
# tests/host/test_*.c are suites. Of the other C files there, and of all in tests/bench, those with a main() are programs,
# in $(BUILD)/tests; the rest is shared by the suites or programs of the directory.
HAS_MAIN := '^(int )?main\('
programs = $(patsubst %.c,$(BUILD)/tests/%,$(notdir $(shell grep -lE $(HAS_MAIN) $(1) /dev/null)))
shared = $(patsubst %.c,$(BUILD)/obj/%.o,$(filter %.c,$(shell grep -LE $(HAS_MAIN) $(1) /dev/null)))
HOST_SUITE_SOURCES := $(sort $(wildcard tests/host/test_*.c))
HOST_OTHERS := $(sort $(filter-out $(HOST_SUITE_SOURCES),$(wildcard tests/host/*.c)))
BENCH_SOURCES := $(sort $(wildcard tests/bench/*.c))
HOST_TESTS := $(patsubst tests/host/%.c,$(BUILD)/tests/%,$(HOST_SUITE_SOURCES))
HOST_HELPERS := $(call programs,$(HOST_OTHERS))
HOST_SHARED := $(call shared,$(HOST_OTHERS))
BENCHES := $(call programs,$(BENCH_SOURCES))
BENCH_SHARED := $(call shared,$(BENCH_SOURCES))
SUITES_unit := $(if $(UNIT_OBJECTS),$(BUILD)/tests/unit)
SUITES_bpf := $(if $(BPF_TEST_OBJECTS),$(BUILD)/tests/bpf)
SUITES_host := $(HOST_TESTS) $(sort $(wildcard tests/host/test_*.py))

# Linked without -lbpf -lcgroup -lsystemd on purpose: an impure call in core or conf is a link error.
$(BUILD)/tests/unit: $(UNIT_OBJECTS) $(OBJ_conf) $(OBJ_core) $(OBJ_base)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(GOV_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS_conf) $(LIBS_core) -lcriterion

# The other tests take what they need from one archive a layer.
$(foreach l,base core conf sense act out,$(eval $(BUILD)/lib/$(l).a: $(OBJ_$(l))))
$(BUILD)/lib/%.a:
	$(call say,AR,$@)
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)$(AR) rcs $@ $(filter %.o,$^)

EDGES := $(patsubst %,$(BUILD)/lib/%.a,out act sense conf core base)

define link_test
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(GOV_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS_edges) $(LIBS)
endef

$(BUILD)/tests/bpf: $(BPF_TEST_OBJECTS) $(BUILD)/lib/sense.a $(BUILD)/lib/core.a $(BUILD)/lib/base.a
	$(link_test)
$(BUILD)/tests/bpf: LIBS := -lcriterion
$(HOST_TESTS): $(BUILD)/tests/%: $(BUILD)/obj/tests/host/%.o $(HOST_SHARED) $(EDGES)
	$(link_test)
$(HOST_TESTS): LIBS := -lcriterion -lsqlite3
$(HOST_HELPERS): $(BUILD)/tests/%: $(BUILD)/obj/tests/host/%.o
	$(link_test)
$(BENCHES): $(BUILD)/tests/%: $(BUILD)/obj/tests/bench/%.o $(BENCH_SHARED) $(EDGES)
	$(link_test)

export GOVD_BUILD := $(abspath $(BUILD))
export GOVD := $(GOVD_BUILD)/govd
export GOVCTL := $(GOVD_BUILD)/govctl
JOBS ?= $(shell nproc)
# Suites at once: most of them wait most of the time.
LANES ?= 2
SUB_MAKE = +$(MAKE) --no-print-directory -j$(JOBS)
# What root builds and logs is handed to the owner of the tree, whose make without root goes on with it.
hand_over = if [ "$$(id -u)" = 0 ]; then chown -Rh --reference=. $(BUILD); fi
run = $(Q)$(1); status=$$?; $(hand_over); exit $$status

.PHONY: check check-run check-unit check-bpf check-host programs-unit programs-bpf programs-host
# The quick suites in guests, in what time the others leave; they are built without sanitizers and coverage.
GUESTS := $(if $(filter 1,$(SAN) $(COV)),,--beside vm: tests/vm/bookworm@quick tests/vm/trixie@quick \
	tests/vm/test_run.py@test_status_output_and_files_come_back,test_a_panic_shows_the_console)
# Installs what is missing, so that a clean clone needs no more than this; what guests need on machines for tests only.
check:
	scripts/setup test $(if $(filter true,$(CI)),vm)
	$(SUB_MAKE) all programs-unit programs-bpf programs-host
	$(SUB_MAKE) check-run

check-run:
	$(call run,scripts/run-tests -j$(LANES) tree: scripts/check-layers unit: $(SUITES_unit) bpf: $(SUITES_bpf) host: $(SUITES_host) $(GUESTS))

programs-unit: $(SUITES_unit)
programs-bpf: $(SUITES_bpf)
programs-host: $(BINARIES) $(HOST_TESTS) $(HOST_HELPERS)

check-unit: programs-unit
	$(call run,scripts/run-tests unit: $(SUITES_unit))
check-bpf: programs-bpf
	$(call run,scripts/run-tests bpf: $(SUITES_bpf))
check-host: programs-host
	$(call run,scripts/run-tests -j$(LANES) host: $(SUITES_host))

# Debian's releases as guests in QEMU; their images, build chroots and builds are kept, see scripts/vm-image.
.PHONY: check-vm
check-vm:
	scripts/setup vm
	$(call run,scripts/run-tests -j$(LANES) vm: tests/vm/test_run.py tests/vm/bookworm tests/vm/trixie)

.PHONY: bench-vm
bench-vm:
	scripts/setup vm
	tests/vm/bookworm bench
	tests/vm/trixie bench

.PHONY: demo bench
demo:
	scripts/setup build
	$(SUB_MAKE) all
	@$(hand_over)
	scripts/demo

bench: $(BINARIES) $(BENCHES) $(HOST_HELPERS)
	$(call run,scripts/run-bench $(BENCHES) $(sort $(wildcard tests/bench/*.py)))

.PHONY: coverage
coverage:
	$(SUB_MAKE) COV=1 BUILD=$(BUILD)-coverage all programs-unit programs-bpf programs-host
	$(SUB_MAKE) COV=1 BUILD=$(BUILD)-coverage check-run
	scripts/coverage $(BUILD)-coverage

# ---- fuzzing: each tests/fuzz/fuzz_*.c with base, core and conf, all built by clang with sanitizers ---------------------

FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_LAYERS := $(patsubst $(BUILD)/obj/%,$(BUILD)/fuzz/obj/%,$(OBJ_conf) $(OBJ_core) $(OBJ_base))
FUZZ_FLAGS := -std=gnu11 -g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined

$(BUILD)/fuzz/obj/%.o: %.c $(FLAGS_STAMP)
	$(call say,FUZZ-CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(CPPFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

$(FUZZERS): $(BUILD)/fuzz/%: $(BUILD)/fuzz/obj/tests/fuzz/%.o $(FUZZ_LAYERS)
	$(call say,LINK,$@)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(LIBS_conf) $(LIBS_core)

.PHONY: fuzz
fuzz: $(FUZZERS)
	$(Q)FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/run-fuzz $(FUZZERS)

# ---- lint --------------------------------------------------------------------------------------------------------------

C_SOURCES := $(sort $(wildcard src/*/*.c))
FORMATTED := $(C_SOURCES) $(sort $(wildcard src/*/*.h include/*/*.h bpf/*.[ch] tests/*/*.[ch] scripts/*.h))
SHELL_SCRIPTS := $(shell grep -lE '^\#!.*\b(ba)?sh\b' $(wildcard scripts/* .ci/run tests/*/*.sh policies/*.sh) /dev/null)
PYTHON_SCRIPTS := $(sort $(shell grep -lE '^\#!.*\bpython3' $(wildcard scripts/*) /dev/null) $(wildcard scripts/*.py tests/*/*.py))
TIDIED := $(patsubst %.c,$(BUILD)/tidy/%.ok,$(C_SOURCES))

.PHONY: lint lint-format lint-tidy lint-cppcheck lint-shell lint-python lint-tree format
lint: lint-format lint-tidy lint-cppcheck lint-shell lint-python lint-tree $(MAN_PAGES)
	@echo "lint: clean"

lint-format:
	$(call say,FORMAT)
	$(Q)clang-format --dry-run -Werror $(FORMATTED)

format:
	clang-format -i $(FORMATTED)

# After the object, so that a changed header is looked at again too.
lint-tidy: $(TIDIED)
$(BUILD)/tidy/%.ok: %.c $(BUILD)/obj/%.o .clang-tidy scripts/analyzer.h
	$(call say,TIDY,$<)
	@mkdir -p $(@D)
	$(Q)clang-tidy --quiet --warnings-as-errors='*' $< -- $(CPPFLAGS) -std=gnu11 -include scripts/analyzer.h \
		> $@.log 2>&1 || { cat $@.log; exit 1; }
	@touch $@

# memleak and resourceleak don't know __attribute__((cleanup)): `make check SAN=1` finds the real ones.
lint-cppcheck: $(BPF_SKELETON)
	$(call say,CPPCHECK)
	@mkdir -p $(BUILD)/cppcheck
	$(Q)cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability --inline-suppr \
		--suppress=missingIncludeSystem --suppress=memleak --suppress=resourceleak --suppress='*:$(BUILD)/gen/*' \
		--library=scripts/cppcheck.cfg --cppcheck-build-dir=$(BUILD)/cppcheck -j$(JOBS) -Isrc -Iinclude \
		-D_GNU_SOURCE -D__x86_64__ -DGOV_VERSION='"$(VERSION)"' -DGOV_LIBEXECDIR='"$(libexecdir)"' $(C_SOURCES)

lint-shell:
	$(call say,SHELL)
	$(Q)shellcheck $(SHELL_SCRIPTS)

lint-python:
	$(call say,PYTHON)
	$(Q)$(PYTHON) -c 'import sys; [compile(open(f).read(), f, "exec") for f in sys.argv[1:]]' $(PYTHON_SCRIPTS)

lint-tree:
	$(call say,TREE)
	$(Q)scripts/check-layers
	$(Q)scripts/check-spdx
	$(Q)scripts/check-docs

# ---- install -----------------------------------------------------------------------------------------------------------

POLICIES := $(sort $(wildcard policies/*.yaml))
INSTALLED_UNITS := $(UNITS) $(sort $(wildcard units/*.slice))
to = $(Q)$(INSTALL) -D -m $(1) $(2) $(DESTDIR)$(3)
# What a package's scripts do otherwise. Where systemd isn't PID 1 there is nobody to tell.
tell_systemd = $(Q)if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then $(1); fi

.PHONY: install uninstall
install: all $(COMPLETION)
	$(call to,755,$(BUILD)/govd,$(sbindir)/govd)
	$(call to,755,$(BUILD)/govctl,$(bindir)/govctl)
	$(call to,755,$(BUILD)/govd-hold,$(libexecdir)/govd-hold)
	$(call to,755,$(BUILD)/govd-recorder,$(libexecdir)/govd-recorder)
	$(call to,644,$(COMPLETION),$(completiondir)/govctl)
	$(Q)set -e; for page in $(MAN_PAGES); do \
		$(INSTALL) -D -m 644 $$page $(DESTDIR)$(mandir)/man$${page##*.}/$${page##*/}; done
	$(Q)set -e; for policy in $(POLICIES); do $(INSTALL) -D -m 644 -t $(DESTDIR)$(datadir)/govd/policies $$policy; done
	$(Q)set -e; for unit in $(INSTALLED_UNITS); do $(INSTALL) -D -m 644 -t $(DESTDIR)$(unitdir) $$unit; done
	$(call to,644,units/govd.sysusers,$(sysusersdir)/govd.conf)
	$(call to,644,units/govd.tmpfiles,$(tmpfilesdir)/govd.conf)
	$(call to,644,units/org.govd1.conf,$(dbuspolicydir)/org.govd1.conf)
	$(call to,644,units/org.govd1.service,$(dbusservicedir)/org.govd1.service)
	$(call to,644,units/org.govd1.policy,$(polkitdir)/org.govd1.policy)
	$(Q)$(INSTALL) -d -m 755 $(DESTDIR)$(sysconfdir)/govd/policies
	$(call tell_systemd,systemd-sysusers $(sysusersdir)/govd.conf; systemd-tmpfiles --create $(tmpfilesdir)/govd.conf; \
		systemctl daemon-reload)

# Leaves the administrator's policies, the history and its group. What paces connects goes on without govd, and has to go too.
uninstall:
	$(call tell_systemd,systemctl disable --now govd.service)
	$(Q)if [ -z "$(DESTDIR)" ]; then rm -rf /run/govd/bpf/v*; umount /run/govd/bpf 2>/dev/null; \
		rm -rf /sys/fs/bpf/govd; fi
	rm -f $(DESTDIR)$(sbindir)/govd $(DESTDIR)$(bindir)/govctl $(DESTDIR)$(completiondir)/govctl
	rm -f $(DESTDIR)$(libexecdir)/govd-hold $(DESTDIR)$(libexecdir)/govd-recorder
	$(Q)rmdir --ignore-fail-on-non-empty $(DESTDIR)$(libexecdir) 2>/dev/null || true
	rm -rf $(DESTDIR)$(datadir)/govd
	rm -f $(foreach p,$(notdir $(MAN_PAGES)),$(DESTDIR)$(mandir)/man$(subst .,,$(suffix $(p)))/$(p))
	rm -f $(foreach u,$(notdir $(INSTALLED_UNITS)),$(DESTDIR)$(unitdir)/$(u))
	rm -f $(DESTDIR)$(sysusersdir)/govd.conf $(DESTDIR)$(tmpfilesdir)/govd.conf
	rm -f $(DESTDIR)$(dbuspolicydir)/org.govd1.conf $(DESTDIR)$(dbusservicedir)/org.govd1.service
	rm -f $(DESTDIR)$(polkitdir)/org.govd1.policy
	$(call tell_systemd,systemctl daemon-reload)

# A Debian package of this machine's release, made from a copy of the tree; make here hands nothing on to make there.
DEB_TREE := $(BUILD)/deb/govd-$(VERSION)
.PHONY: deb
deb:
	scripts/setup deb
	$(Q)rm -rf $(BUILD)/deb
	$(Q)mkdir -p $(DEB_TREE)
	$(Q)tar -c --exclude-vcs --exclude='./build*' --exclude='./$(BUILD)' . | tar -x -C $(DEB_TREE)
	$(Q)cd $(DEB_TREE) && env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u BUILD \
		DEB_BUILD_OPTIONS="$(strip $(DEB_BUILD_OPTIONS) parallel=$(JOBS))" dpkg-buildpackage --build=binary --unsigned-changes
	$(Q)lintian --fail-on error,warning $(if $(filter 0,$(shell id -u)),--allow-root) $(BUILD)/deb/*.changes
	@$(hand_over); ls $(BUILD)/deb/*.deb

# ---- house keeping -----------------------------------------------------------------------------------------------------

define HELP
make              build into $(BUILD); never touches the system
sudo make demo    install what is missing, build, govern real processes on this host, print what happened
sudo make check   install what is missing, build, run every test that this machine can run
make check-unit   the pure layers' tests: no root, seconds        check-bpf, check-host   the others, as root
make check-vm     all tests of guests of Debian 12 and 13, systemd and pure cgroup v2, in QEMU (as root); check has a few
make bench        measurements; bench-vm: those in guests         fuzz                    each fuzzer for FUZZ_SECONDS=$(FUZZ_SECONDS)
make lint         all static checks (scripts/setup lint first)    format                  clang-format what differs
make coverage     the tests again with coverage, and a summary    clean                   remove $(BUILD)
make install      into DESTDIR and prefix=$(prefix)                   uninstall
make deb          a Debian package, in $(BUILD)/deb
Variables: V=1 show commands, SAN=1 ASan and UBSan, COV=1 coverage, CI=true warnings are errors, BUILD=DIR, JOBS=N
endef

.PHONY: help clean
help:
	$(info $(HELP))
	@:

clean:
	rm -rf $(BUILD) $(BUILD)-coverage

-include $(shell find $(BUILD) -path $(BUILD)/deb -prune -o -type f -name '*.d' -print 2>/dev/null)
