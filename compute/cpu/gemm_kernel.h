// The one matrix kernel: panels of packed weights times a tile of rows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compute/cpu/packed_matrix.h"

namespace tandem::compute::cpu {

// Most rows that one kernel call takes; what the registers of AVX-512 and NEON hold (24 accumulators of 32).
inline constexpr int kMaxTileRows = 12;
// Most panels that one kernel call takes; enough independent chains to hide the latency of one row's multiply-adds.
inline constexpr int kMaxCallPanels = 4;

// `num_rows` rows cut into equal tiles of at most kMaxTileRows rows. A tile lies in memory input by input,
// [cols][rows of the tile]; the tile beginning at row r begins at element r * cols.
struct RowTiling {
  int64_t num_rows = 0;

  int64_t num_tiles() const { return (num_rows + kMaxTileRows - 1) / kMaxTileRows; }
  int64_t begin(int64_t tile) const { return num_rows * tile / num_tiles(); }
  int size(int64_t tile) const { return static_cast<int>(begin(tile + 1) - begin(tile)); }
};

// to[k][r] = element k of row r, widened: the tile of rows[0 … num_rows) of f32, bf16, or f8e4m3 with its scale behind
// it (compute/wire_rows.h).
void PackTile(const void* const* rows, DType dtype, int num_rows, int64_t cols, float* to);

// out[p][r][j] = one fused multiply-add chain over k ascending of panel p's output j with x_tile[k][r].
// Panels 0 … num_panels - 1 are those from `panel` on. out [num_panels, rows, 32]; rows ≤ kMaxTileRows,
// num_panels ≤ kMaxCallPanels.
void MultiplyPanels(const PackedMatrix& w, int64_t group, int64_t panel, int num_panels, const float* x_tile, int rows,
                    float* out);

// out[r][i] = silu(gate_up[r][i]) * gate_up[r][i + 16] for a [rows, 32] product of a gate-up panel; out [rows, 16].
void SiluMultiply(const float* gate_up, int rows, float* out);

}  // namespace tandem::compute::cpu
