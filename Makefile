# automix: make, make demo, make test, make bench, make fuzz, make docs, make clean
GPU    ?= 0
SIMD   ?= 1
OPENCV ?= 0
OPENMP ?= 1
DEBUG  ?= 0
SAN    ?=

CC     ?= cc
CFLAGS  = -std=c11 -O3 -g -Wall -Wextra -Wpedantic -Werror=implicit -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE \
          -fno-math-errno -fno-trapping-math
LDLIBS  = -lm -lpthread -lcjson -lxxhash

ifeq ($(DEBUG),1)
CFLAGS += -O1 -fno-omit-frame-pointer
endif
ifeq ($(OPENMP),1)
CFLAGS += -fopenmp
endif
ifneq ($(SAN),)
CFLAGS += -O1 -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all
endif

TAG   := gpu$(GPU)-simd$(SIMD)-cv$(OPENCV)-omp$(OPENMP)-debug$(DEBUG)$(if $(SAN),-$(subst $(comma),-,$(SAN)))
BUILD := build/$(TAG)

SRC := $(wildcard src/*.c src/layers/*.c src/mix/*.c src/backend/cpu/*.c)
OBJ  = $(SRC:%.c=$(BUILD)/%.o)
comma := ,

include src/backend/backends.mk

TEST := $(wildcard tests/*.c)

all: automix

automix: $(BUILD)/automix
	cp $< $@.part && mv $@.part $@

$(BUILD)/automix: $(OBJ) $(patsubst %.c,$(BUILD)/%.o,$(wildcard examples/automix*.c))
	@echo "  link $@"
	@$(LINK) $(CFLAGS) $^ -o $@ $(LDLIBS)

$(BUILD)/tests/run: $(OBJ) $(TEST:%.c=$(BUILD)/%.o)
	@echo "  link $@"
	@$(LINK) $(CFLAGS) $^ -o $@ -lcmocka $(LDLIBS)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  cc   $<"
	@$(CC) $(CFLAGS) $(EXTRA) -Isrc -MMD -MP -c $< -o $@

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

clean:
	rm -rf build automix

.PHONY: all clean

ifeq ($(SIMD),1)
$(BUILD)/src/registry.o: EXTRA += -DAM_SIMD
endif
ifeq ($(GPU),1)
$(BUILD)/src/registry.o: EXTRA += -DAM_CUDA
endif
