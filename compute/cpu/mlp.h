// Gated MLPs, one or many at once.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "compute/cpu/gemm_kernel.h"
#include "compute/cpu/memory.h"
#include "compute/cpu/packed_matrix.h"
#include "compute/cpu/thread_pool.h"

namespace tandem::compute::cpu {

// Pairs [begin, end) go through `weights`.
struct MlpSegment {
  const PackedMlp* weights = nullptr;
  int64_t begin = 0;
  int64_t end = 0;
};

// All weights have one hidden_size and one intermediate_size.
struct MlpCall {
  absl::Span<const MlpSegment> segments;
  const int32_t* pair_rows = nullptr;  // row of x for each pair; null: pair i reads row i
  const void* x = nullptr;             // [rows, DispatchRowElements(x_dtype, hidden_size)]
  DType x_dtype = DType::kF32;
  void* out = nullptr;  // [pairs, hidden_size]
  DType out_dtype = DType::kF32;
};

// Runs MLPs in three parallel loops: rows are packed into tiles, gate-up panels give activations, down panels the
// output. A panel is multiplied with all tiles of its segment while it is in the cache. Not thread-safe: it owns the
// working memory.
class MlpRunner {
 public:
  void Run(ThreadPool& pool, const MlpCall& call);

 private:
  // Panels [begin, end) of one segment's gate-up or down matrix.
  struct Piece {
    int32_t segment = 0;
    int32_t begin = 0;
    int32_t end = 0;
  };
  struct Tile {
    int64_t begin = 0;
    int rows = 0;
  };

  void PackRows(ThreadPool& pool, const MlpCall& call, int64_t hidden_size, float* packed);
  void CutPieces(absl::Span<const MlpSegment> segments, const PackedMatrix& w, int num_threads);
  void GateUp(ThreadPool& pool, const MlpCall& call, const float* packed, float* activations);
  void Down(ThreadPool& pool, const MlpCall& call, const float* activations);

  Scratch packed_;
  Scratch activations_;
  std::vector<Tile> tiles_;
  std::vector<Piece> pieces_;
  int64_t piece_bytes_ = 0;  // average cost, as memory traffic
};

}  // namespace tandem::compute::cpu
