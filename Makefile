# automix: make, make demo, make test, make bench, make fuzz, make docs, make clean
#
# Flags: GPU=1 CUDA and cuDNN; SIMD=0 plain C only; OPENMP=0 one thread; DEBUG=1 for a debugger;
# SAN=address,undefined sanitizers; CC=clang; DEPS=FOLDER with include/ and lib/, where the system lacks
# what setup.sh installs; CUDNN_HOME=FOLDER, likewise.  Each combination has its own folder below build/.
GPU    ?= 0
SIMD   ?= 1
OPENCV ?= 0
OPENMP ?= 1
DEBUG  ?= 0
SAN    ?=

CC     ?= cc
CFLAGS  = -std=c11 -O3 -g -Wall -Wextra -Wpedantic -Werror=implicit -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE \
          -fno-math-errno -fno-trapping-math -ffp-contract=off
LDLIBS  = -lm -lpthread -lcjson -lxxhash

ifneq ($(DEPS),)
CFLAGS += -isystem $(DEPS)/include
LDLIBS += -L$(DEPS)/lib -Wl,-rpath,$(abspath $(DEPS)/lib)
endif
ifeq ($(DEBUG),1)
CFLAGS += -O1 -fno-omit-frame-pointer
endif
ifeq ($(OPENMP),1)
CFLAGS += -fopenmp
endif
ifneq ($(SAN),)
CFLAGS += -O1 -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all
endif

comma := ,
empty :=
ARCHS := $(if $(CUDA_ARCH),-sm$(subst $(empty) ,+,$(strip $(CUDA_ARCH))))
TAG   := gpu$(GPU)$(ARCHS)-simd$(SIMD)-cv$(OPENCV)-omp$(OPENMP)-debug$(DEBUG)$(if $(SAN),-$(subst $(comma),-,$(SAN)))$(filter-out -cc -gcc,-$(notdir $(CC)))
BUILD := build/$(TAG)

SRC := $(wildcard src/*.c src/layers/*.c src/mix/*.c src/backend/cpu/*.c)
OBJ  = $(SRC:%.c=$(BUILD)/%.o)

include src/backend/backends.mk

TEST    := $(wildcard tests/*.c)
PROGRAM := $(wildcard examples/*.c)

all: automix

# Copied whenever it differs, so that going back to other flags brings their program back.
automix: $(BUILD)/automix FORCE
	@cmp -s $< $@ || { cp $< $@.part && mv $@.part $@; }

$(BUILD)/automix: $(OBJ) $(PROGRAM:%.c=$(BUILD)/%.o)
	@echo "  link $@"
	@$(LINK) $(CFLAGS) $^ -o $@ $(LDLIBS)

# tests/memory.c counts what the program asks of the host, and refuses it.
WATCHED := malloc calloc realloc aligned_alloc strdup free
$(BUILD)/tests/run: $(OBJ) $(TEST:%.c=$(BUILD)/%.o)
	@echo "  link $@"
	@$(LINK) $(CFLAGS) $^ -o $@ $(WATCHED:%=-Wl,--wrap=%) -lcmocka $(LDLIBS)

# Said once and before the first compiler stumbles over it.
libraries:
	@printf '#include <cjson/cJSON.h>\n#include <xxhash.h>\n#include <stb/stb_image.h>\n' | $(CC) $(CFLAGS) -E -x c - >/dev/null 2>&1 || \
	    { echo "make: the headers of cJSON, xxHash or stb are missing; ./scripts/setup.sh installs them" >&2; exit 1; }

$(BUILD)/%.o: %.c | libraries
	@mkdir -p $(@D)
	@echo "  cc   $<"
	@$(CC) $(CFLAGS) $(EXTRA) -Isrc -MMD -MP -c $< -o $@

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

ifeq ($(GPU),1)
$(BUILD)/src/registry.o: EXTRA += -DAM_CUDA
endif

where:
	@echo $(BUILD)

demo:
	@./scripts/demo.sh

test:
	@./scripts/test.sh

bench: automix
	@for m in none mixup cutmix automix; do ./automix bench cfg/small_$$m.cfg || exit 1; done

docs: automix
	@./automix reference > cfg/README.md.part && mv cfg/README.md.part cfg/README.md

# Each file of tests/fuzz is a fuzzer; run.sh builds them with clang and a SAN= of their own.
FUZZ_SECONDS ?= 30
fuzz: automix
	@FUZZ_SECONDS=$(FUZZ_SECONDS) ./tests/fuzz/run.sh $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c))

$(BUILD)/fuzz/%: $(OBJ) $(BUILD)/tests/fuzz/%.o
	@mkdir -p $(@D)
	@echo "  link $@"
	@$(LINK) $(CFLAGS) -fsanitize=fuzzer $^ -o $@ $(LDLIBS)

clean:
	rm -rf build automix

.PHONY: all libraries where demo test bench docs fuzz clean FORCE
