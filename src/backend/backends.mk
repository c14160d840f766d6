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

FLAGS_emulated   := -DEMULATE_PAIRS -DWIDE_VECTORS -Wno-psabi

SIMD_KERNELS := $(foreach s,$(SIMD_SETS),$(BUILD)/$(SIMD_DIR)/$(s).o $(BUILD)/$(SIMD_DIR)/$(s)_bf16.o) \
                $(BUILD)/$(SIMD_DIR)/emulated_bf16.o
OBJ += $(BUILD)/$(SIMD_DIR)/simd.o $(BUILD)/$(SIMD_DIR)/team.o $(SIMD_KERNELS)

$(SIMD_KERNELS): $(BUILD)/$(SIMD_DIR)/%.o: $(SIMD_DIR)/kernels.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(EXTRA) -Isrc -ffp-contract=fast $(FLAGS_$(*:_bf16=)) $(if $(filter %_bf16,$*),-DELEMS_BF16) \
	    -DKERNELS_ENTRY=am_simd_$* -MMD -MP -c $< -o $@
$(BUILD)/$(SIMD_DIR)/simd.o: EXTRA += $(SIMD_FLAGS)
$(BUILD)/src/registry.o: EXTRA += -DAM_SIMD
endif

# ---- cuda ----
# GPU=1: host code by the C compiler, only kernels by nvcc.  GPU=emulate: the same kernels by the C++
# compiler for the processor, so that they are tested without a GPU; slow, and without cuDNN.
CUDA_DIR := src/backend/cuda
CUDA_KERNELS := $(patsubst %,$(BUILD)/%.o,$(wildcard $(CUDA_DIR)/*.cu))
CUDA_HOST := $(patsubst %,$(BUILD)/$(CUDA_DIR)/%.o,cuda memory record plain layers losses mixing conv choices)
CUDA_CUDNN := $(patsubst %,$(BUILD)/$(CUDA_DIR)/%.o,graph graph_describe graph_engine graph_tune)
CUDA_TESTS := $(patsubst %,$(BUILD)/tests/%.o,cuda_kernels cuda_record cuda_plans)

ifeq ($(GPU),1)
NVCC ?= $(or $(shell command -v nvcc),$(wildcard /usr/local/cuda/bin/nvcc))
ifeq ($(NVCC),)
$(error GPU=1 needs nvcc, which is neither in PATH nor in /usr/local/cuda/bin; install the CUDA toolkit, or say NVCC=/path/to/nvcc)
endif
CUDA_HOME ?= $(patsubst %/bin/,%,$(dir $(realpath $(NVCC))))
# CUDNN_HOME=FOLDER looks there first: Python's package nvidia-cudnn is such a folder, nvidia/cudnn
HERE := $(shell uname -m)-linux-gnu
CUDNN_H := $(firstword $(wildcard $(addsuffix /cudnn.h,$(CUDNN_HOME:%=%/include) $(CUDA_HOME)/include \
             /usr/include /usr/include/$(HERE))))
CUDNN_SO := $(firstword $(wildcard $(addsuffix /libcudnn.so.9,$(CUDNN_HOME:%=%/lib) $(CUDNN_HOME:%=%/lib64) \
              $(CUDA_HOME)/lib64 /usr/lib/$(HERE) /usr/lib64)))
ifeq ($(and $(CUDNN_H),$(CUDNN_SO)),)
$(error GPU=1 needs cuDNN 9, and cudnn.h or libcudnn.so.9 is neither below $(CUDA_HOME) nor below /usr; \
  CUDNN_HOME=FOLDER names a folder that has both, in include/ and lib/)
endif
CUDNN_I := -isystem $(patsubst %/,%,$(dir $(CUDNN_H))) -isystem $(CUDA_HOME)/include
# One architecture is enough for a machine that only builds for itself: CUDA_ARCH=90
CUDA_ARCH ?= 80 90
CUDA_CODE := $(foreach a,$(CUDA_ARCH),-gencode arch=compute_$(a),code=sm_$(a)) \
             -gencode arch=compute_$(lastword $(CUDA_ARCH)),code=compute_$(lastword $(CUDA_ARCH))
OBJ += $(CUDA_KERNELS) $(CUDA_HOST) $(CUDA_CUDNN)
LDLIBS += $(CUDNN_SO) -Wl,-rpath,$(patsubst %/,%,$(dir $(CUDNN_SO))) -L$(CUDA_HOME)/lib64 -lcudart_static \
          -ldl -lrt -lstdc++
$(CUDA_HOST) $(CUDA_CUDNN): EXTRA += $(CUDNN_I)
$(CUDA_TESTS): EXTRA += -DT_CUDA -DAM_CUDNN $(CUDNN_I)
$(CUDA_KERNELS): $(BUILD)/%.o: %
	@mkdir -p $(@D)
	@echo "  nvcc $<"
	@$(NVCC) -std=c++17 -O3 --extended-lambda $(CUDA_CODE) -Xcompiler -Wall,-Wextra,-fno-exceptions,-fno-rtti -Isrc -MMD -MP -c $< -o $@
endif

ifeq ($(GPU),emulate)
CXX ?= c++
CUDA_EMULATE := $(patsubst %,$(BUILD)/$(CUDA_DIR)/emulate/%.o,emulate streams)
OBJ += $(CUDA_KERNELS) $(CUDA_HOST) $(CUDA_EMULATE) $(BUILD)/$(CUDA_DIR)/emulate/graph_none.o
LDLIBS += -lstdc++
$(CUDA_HOST): EXTRA += -I$(CUDA_DIR)/emulate
$(CUDA_TESTS): EXTRA += -DT_CUDA -I$(CUDA_DIR)/emulate
$(BUILD)/src/registry.o: EXTRA += -DAM_CUDA
EMULATE := $(CXX) -std=c++17 -O2 -g -Wall -Wextra -Wno-unused-function -Wno-unknown-pragmas -ffp-contract=off -DAM_EMULATE $(if $(SAN),-fsanitize=$(SAN)) -Isrc
$(CUDA_KERNELS): $(BUILD)/%.o: %
	@mkdir -p $(@D)
	@echo "  c++  $< (emulated)"
	@$(EMULATE) -x c++ -MMD -MP -c $< -o $@
$(CUDA_EMULATE): $(BUILD)/%.o: %.cpp
	@mkdir -p $(@D)
	@$(EMULATE) -MMD -MP -c $< -o $@
endif
