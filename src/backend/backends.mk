# How each backend is compiled.  The cpu backend's sums must not be contracted or reordered by the
# compiler's whim; the simd kernels are compiled once per instruction set.
LINK ?= $(CC)
.DEFAULT_GOAL := all

# ---- simd ----
# kernels.c once per instruction set and storage; the name of each is the symbol it exports.
ifeq ($(SIMD),1)
SIMD_DIR := src/backend/simd
SIMD_SETS := generic
MACHINE := $(shell $(CC) -dumpmachine)
ifneq ($(filter x86_64%,$(MACHINE)),)
SIMD_SETS += avx2 avx512
SIMD_FLAGS += -DSETS_X86
AVX512BF16 := $(shell echo | $(CC) -mavx512bf16 -E - >/dev/null 2>&1 && echo yes)
ifeq ($(AVX512BF16),yes)
SIMD_SETS += avx512bf16
SIMD_FLAGS += -DSETS_AVX512BF16
endif
endif
FLAGS_generic    :=
FLAGS_avx2       := -mavx2 -mfma
FLAGS_avx512     := $(FLAGS_avx2) -mavx512f -mavx512bw -mavx512vl -mavx512dq
FLAGS_avx512bf16 := $(FLAGS_avx512) -mavx512bf16

SIMD_KERNELS := $(foreach s,$(SIMD_SETS),$(BUILD)/$(SIMD_DIR)/$(s).o $(BUILD)/$(SIMD_DIR)/$(s)_bf16.o)
OBJ += $(BUILD)/$(SIMD_DIR)/simd.o $(BUILD)/$(SIMD_DIR)/team.o $(SIMD_KERNELS)

$(SIMD_KERNELS): $(BUILD)/$(SIMD_DIR)/%.o: $(SIMD_DIR)/kernels.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(EXTRA) -Isrc -ffp-contract=fast $(FLAGS_$(*:_bf16=)) $(if $(filter %_bf16,$*),-DELEMS_BF16) \
	    -DKERNELS_ENTRY=am_simd_$* -MMD -MP -c $< -o $@
$(BUILD)/$(SIMD_DIR)/simd.o: EXTRA += $(SIMD_FLAGS)
$(BUILD)/src/registry.o: EXTRA += -DAM_SIMD
endif
