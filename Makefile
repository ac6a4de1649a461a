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

VERSION := 0.1.0

prefix ?= /usr
sysconfdir ?= /etc
sbindir ?= $(prefix)/sbin
bindir ?= $(prefix)/bin
libexecdir ?= $(prefix)/libexec/govd
datadir ?= $(prefix)/share
mandir ?= $(datadir)/man
DESTDIR ?=

CC := gcc
CLANG ?= clang
BPFTOOL ?= bpftool
PKG_CONFIG ?= pkg-config
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
CPPFLAGS += -D_FORTIFY_SOURCE=2
endif
ifeq ($(COV),1)
GOV_CFLAGS += --coverage
LDFLAGS += --coverage
endif
LDFLAGS += -Wl,--as-needed -Wl,-z,relro,-z,now

pkg = $(shell $(PKG_CONFIG) --libs $(1))
# pkg-config knows no libcgroup before 3.0.
LIBS_core := -lpcre2-8
LIBS_conf := -lcyaml -lyaml
LIBS_sense := -lbpf -lelf -lz
LIBS_act := -lcgroup
LIBS_out := -lsystemd -ljansson

# ---- sources -----------------------------------------------------------------------------------------------------------

layer = $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(wildcard src/$(1)/*.c)))

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

.PHONY: all
all: $(BINARIES)

$(BUILD)/govd: $(OBJ_govd) $(OBJ_out) $(OBJ_act) $(OBJ_sense) $(OBJ_conf) $(OBJ_core) $(OBJ_base)
$(BUILD)/govd: LIBS := $(LIBS_sense) $(LIBS_act) $(LIBS_out) $(LIBS_conf) $(LIBS_core)
$(BUILD)/govctl: $(OBJ_govctl) $(OBJ_base)
$(BUILD)/govctl: LIBS := -lsystemd -ljansson -lsqlite3
$(BUILD)/govd-hold: $(OBJ_hold) $(OBJ_base)
$(BUILD)/govd-recorder: $(OBJ_recorder) $(OBJ_base)
$(BUILD)/govd-recorder: LIBS := -lsqlite3

$(BINARIES):
	$(call say,LINK,$@)
	$(Q)$(CC) $(GOV_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIBS)

$(BUILD)/obj/%.o: %.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(GOV_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

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
$(OBJ_sense): | $(BPF_SKELETON)
$(BUILD)/obj/src/sense/bpf.o: $(BPF_SKELETON)

# ---- tests -------------------------------------------------------------------------------------------------------------

UNIT_OBJECTS := $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(wildcard tests/unit/*.c)))

# Linked without -lbpf -lcgroup -lsystemd on purpose: an impure call in core or conf is a link error.
$(BUILD)/tests/unit: $(UNIT_OBJECTS) $(OBJ_conf) $(OBJ_core) $(OBJ_base)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(GOV_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS_conf) $(LIBS_core) -lcriterion

.PHONY: check-unit
check-unit: $(BUILD)/tests/unit
	$(Q)$(BUILD)/tests/unit

# ---- house keeping -----------------------------------------------------------------------------------------------------

.PHONY: clean
clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
