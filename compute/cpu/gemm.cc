#include "compute/cpu/gemm.h"

#include <algorithm>

namespace tandem::compute::cpu {
namespace {

// Rows are taken in blocks whose packed form stays in the outer caches while the weights stream by.
constexpr int64_t kBlockBytes = int64_t{4} << 20;
constexpr int64_t kMinBlockRows = 4 * kMaxTileRows;
// Loops are cut into about this many pieces per thread, to balance threads that run at different speeds.
constexpr int64_t kPiecesPerThread = 6;
// In the time of one byte from memory.
constexpr int64_t kMultiplyAddsPerByte = 2;

int64_t BlockRows(const GemmCall& call) {
  const int64_t row_bytes = call.w->groups() * call.w->cols() * static_cast<int64_t>(sizeof(float));
  return std::max(kMinBlockRows, kBlockBytes / row_bytes / kMaxTileRows * kMaxTileRows);
}

// Packs rows [begin, begin + tiling.num_rows) into tiles, groups side by side: k runs over all groups.
const float* PackRows(ThreadPool& pool, Scratch& scratch, const GemmCall& call, int64_t first_row,
                      const RowTiling& tiling) {
  const int64_t cols = call.w->cols();
  const int64_t groups = call.w->groups();
  const float* x = call.x + first_row * call.x_row_stride;
  if (tiling.num_rows == 1 && (groups == 1 || call.x_group_stride == cols)) {
    return x;
  }
  float* const packed = scratch.Reserve(tiling.num_rows * groups * cols);
  ForEachRow(pool, tiling.num_tiles(), kMaxTileRows * groups * cols * 8, [&](int64_t tile) {
    const int64_t begin = tiling.begin(tile);
    const int rows = tiling.size(tile);
    for (int64_t g = 0; g < groups; ++g) {
      const void* from[kMaxTileRows];
      for (int r = 0; r < rows; ++r) {
        from[r] = x + (begin + r) * call.x_row_stride + g * call.x_group_stride;
      }
      PackTile(from, DType::kF32, rows, cols, packed + (begin * groups + g * rows) * cols);
    }
  });
  return packed;
}

// Writes one tile's product with one panel.
void StorePanel(const GemmCall& call, int64_t first_row, int64_t group, int64_t panel, const float* product, int rows) {
  const int64_t first = panel * kPanelRows;
  const int count = static_cast<int>(std::min<int64_t>(kPanelRows, call.w->rows() - first));
  for (int r = 0; r < rows; ++r) {
    const float* from = product + r * kPanelRows;
    float* to = call.out + (first_row + r) * call.out_row_stride + group * call.out_group_stride + first;
    const float* bias = call.bias == nullptr ? nullptr : call.bias + group * call.w->rows() + first;
    for (int i = 0; i < count; ++i) {
      const float value = bias == nullptr ? from[i] : from[i] + bias[i];
      to[i] = call.accumulate ? to[i] + value : value;
    }
  }
}

void MultiplyBlock(ThreadPool& pool, Scratch& scratch, const GemmCall& call, int64_t first_row, int64_t num_rows) {
  const PackedMatrix& w = *call.w;
  const RowTiling tiling{num_rows};
  const float* packed = PackRows(pool, scratch, call, first_row, tiling);
  const int64_t tiles = tiling.num_tiles();
  const int64_t panels = w.groups() * w.num_panels();
  // Pieces are panels × tiles; tiles are split only when there are too few panels to go round.
  const int64_t cost = panels * (w.panel_bytes() + num_rows * w.cols() * kPanelRows / kMultiplyAddsPerByte);
  const int64_t wanted = std::clamp<int64_t>(cost / kMinPieceCost, 1, kPiecesPerThread * pool.num_threads());
  const int64_t panels_per_piece = std::max<int64_t>(1, (panels + wanted - 1) / wanted);
  const int64_t panel_pieces = (panels + panels_per_piece - 1) / panels_per_piece;
  const int64_t tile_pieces = std::clamp<int64_t>(wanted / panel_pieces, 1, tiles);
  const int call_panels = num_rows <= 3 ? kMaxCallPanels : 1;
  pool.Run(panel_pieces * tile_pieces, [&](int64_t piece) {
    alignas(64) float product[kMaxCallPanels * kMaxTileRows * kPanelRows];
    const int64_t end = std::min(panels, (piece / tile_pieces + 1) * panels_per_piece);
    const int64_t tile_begin = tiles * (piece % tile_pieces) / tile_pieces;
    const int64_t tile_end = tiles * (piece % tile_pieces + 1) / tile_pieces;
    int count = 0;
    for (int64_t p = piece / tile_pieces * panels_per_piece; p < end; p += count) {
      const int64_t group = p / w.num_panels();
      const int64_t panel = p % w.num_panels();
      count = static_cast<int>(std::min<int64_t>({call_panels, end - p, w.num_panels() - panel}));
      for (int64_t t = tile_begin; t < tile_end; ++t) {
        const int rows = tiling.size(t);
        const float* tile = packed + tiling.begin(t) * w.groups() * w.cols() + group * w.cols() * rows;
        MultiplyPanels(w, group, panel, count, tile, rows, product);
        for (int i = 0; i < count; ++i) {
          StorePanel(call, first_row + tiling.begin(t), group, panel + i, product + i * rows * kPanelRows, rows);
        }
      }
    }
  });
}

}  // namespace

void Gemm(ThreadPool& pool, Scratch& scratch, const GemmCall& call) {
  const int64_t block = BlockRows(call);
  for (int64_t row = 0; row < call.num_rows; row += block) {
    MultiplyBlock(pool, scratch, call, row, std::min(block, call.num_rows - row));
  }
}

}  // namespace tandem::compute::cpu
