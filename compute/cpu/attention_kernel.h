// Attention of a few queries over one or more KV heads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "compute/dtype.h"

namespace tandem::compute::cpu {

// Neighbouring KV heads [first_head, first_head + num_heads) of one sequence in a layer's paged cache
// (compute/kv_cache.h). Position p of head h is row
//   (block_table[p / block_size] * num_kv_heads + h) * block_size + p % block_size
// of keys [rows, key_dim], values [rows, value_dim] and their scales [rows, 1], or [rows, 2] where a value is part of
// its key: the first scale is that of the value part then.
struct KvView {
  DType dtype = DType::kF32;
  const std::byte* keys = nullptr;
  const std::byte* values = nullptr;    // null: a value is the first value_dim elements of the key
  const float* key_scales = nullptr;    // null unless quantized
  const float* value_scales = nullptr;  // null unless quantized and values are given
  int num_kv_heads = 1;                 // in the cache
  int first_head = 0;
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
