// Attention of a few queries over one or more KV heads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "compute/dtype.h"

namespace tandem::compute::cpu {

// Neighbouring heads' keys and values of one sequence in the paged cache. Position p lies in slot
// block_table[p / block_size] * block_size + p % block_size; element d of head h's key at
// keys[slot * key_slot_stride + h * key_dim + d], of its value likewise. Bases point at the first head; strides are in
// elements.
struct KvView {
  DType dtype = DType::kF32;
  const std::byte* keys = nullptr;
  const std::byte* values = nullptr;  // null: a value is the first value_dim elements of the key
  int64_t key_slot_stride = 0;
  int64_t value_slot_stride = 0;
  int num_heads = 1;
  int key_dim = 0;
  int value_dim = 0;
  const int32_t* block_table = nullptr;
  int block_size = 0;
};

// Attends to positions max(0, position - window + 1) … position (window 0: from 0).
struct Query {
  const float* q = nullptr;  // [key_dim]
  float* out = nullptr;      // [value_dim]
  int32_t position = 0;
};

inline constexpr int kMaxQueries = 64;

// Working memory of one call, in floats.
int64_t AttentionScratchFloats(int num_queries, int key_dim, int value_dim);

// At most kMaxQueries queries of one sequence, as many for each KV head, listed by KV head. A query's bits do not
// depend on the others.
void AttendQueries(const KvView& kv, absl::Span<const Query> queries, float scale, int window, float* scratch);

}  // namespace tandem::compute::cpu
