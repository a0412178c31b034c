// Linear layers on packed weights.
#pragma once

#include <cstdint>

#include "compute/cpu/gemm_kernel.h"
#include "compute/cpu/memory.h"
#include "compute/cpu/packed_matrix.h"
#include "compute/cpu/thread_pool.h"

namespace tandem::compute::cpu {

// Strides are in elements.
struct GemmCall {
  const PackedMatrix* w = nullptr;
  int64_t num_rows = 0;
  const float* x = nullptr;  // element (row, group, k) at row * x_row_stride + group * x_group_stride + k
  int64_t x_row_stride = 0;
  int64_t x_group_stride = 0;
  const float* bias = nullptr;  // [groups * rows], optional
  float* out = nullptr;         // element (row, group, j), as x
  int64_t out_row_stride = 0;
  int64_t out_group_stride = 0;
  bool accumulate = false;
};

// out = w x + bias, or out += the same, row by row in the order of the arithmetic contract. `scratch` holds packed
// rows.
void Gemm(ThreadPool& pool, Scratch& scratch, const GemmCall& call);

}  // namespace tandem::compute::cpu
