#include "compute/cpu/mlp.h"

#include <algorithm>

#include "compute/cpu/row_kernels.h"
#include "compute/wire_rows.h"

namespace tandem::compute::cpu {
namespace {

constexpr int64_t kPiecesPerThread = 12;
constexpr int kActivationsPerPanel = kPanelRows / 2;
// Reading a panel costs about as much as multiplying it with so many rows.
constexpr int64_t kPanelReadRows = 4;

int64_t PanelCost(const MlpSegment& segment) { return segment.end - segment.begin + kPanelReadRows; }

int PanelsPerCall(int64_t rows) { return rows <= 3 ? kMaxCallPanels : 1; }

// Multiplies panels [begin, end) with every tile of `segment`, whose rows start at `packed`, and hands each product
// [rows, 32] to store(panel, first pair, rows, product).
template <typename Store>
void MultiplySegment(const PackedMatrix& w, const MlpSegment& segment, const float* packed, int64_t begin, int64_t end,
                     const Store& store) {
  alignas(64) float product[kMaxCallPanels * kMaxTileRows * kPanelRows];
  const RowTiling tiling{segment.end - segment.begin};
  int count = 0;
  for (int64_t panel = begin; panel < end; panel += count) {
    count = static_cast<int>(std::min<int64_t>(PanelsPerCall(tiling.num_rows), end - panel));
    for (int64_t t = 0; t < tiling.num_tiles(); ++t) {
      const int64_t pair = segment.begin + tiling.begin(t);
      const int rows = tiling.size(t);
      MultiplyPanels(w, 0, panel, count, packed + pair * w.cols(), rows, product);
      for (int i = 0; i < count; ++i) {
        store(panel + i, pair, rows, product + i * rows * kPanelRows);
      }
    }
  }
}

}  // namespace

void MlpRunner::Run(ThreadPool& pool, const MlpCall& call) {
  int64_t num_pairs = 0;
  tiles_.clear();
  for (const MlpSegment& segment : call.segments) {
    const RowTiling tiling{segment.end - segment.begin};
    for (int64_t t = 0; t < tiling.num_tiles(); ++t) {
      tiles_.push_back({segment.begin + tiling.begin(t), tiling.size(t)});
    }
    num_pairs = std::max(num_pairs, segment.end);
  }
  if (tiles_.empty()) {
    return;
  }
  const PackedMlp& mlp = *call.segments[0].weights;
  float* packed = packed_.Reserve(num_pairs * mlp.hidden_size());
  float* activations = activations_.Reserve(num_pairs * mlp.intermediate_size());
  PackRows(pool, call, mlp.hidden_size(), packed);
  CutPieces(call.segments, mlp.gate_up(), pool.num_threads());
  GateUp(pool, call, packed, activations);
  CutPieces(call.segments, mlp.down(), pool.num_threads());
  Down(pool, call, activations);
}

void MlpRunner::PackRows(ThreadPool& pool, const MlpCall& call, int64_t hidden_size, float* packed) {
  const int64_t row_bytes = DispatchRowBytes(call.x_dtype, hidden_size);
  const auto* const x = static_cast<const std::byte*>(call.x);
  ForEachRow(pool, static_cast<int64_t>(tiles_.size()), kMaxTileRows * hidden_size * 4, [&](int64_t i) {
    const Tile tile = tiles_[static_cast<size_t>(i)];
    const void* rows[kMaxTileRows];
    for (int r = 0; r < tile.rows; ++r) {
      const int64_t pair = tile.begin + r;
      rows[r] = x + (call.pair_rows == nullptr ? pair : call.pair_rows[pair]) * row_bytes;
    }
    PackTile(rows, call.x_dtype, tile.rows, hidden_size, packed + tile.begin * hidden_size);
  });
}

void MlpRunner::CutPieces(absl::Span<const MlpSegment> segments, const PackedMatrix& w, int num_threads) {
  const int64_t num_panels = w.num_panels();
  int64_t total_cost = 0;
  for (const MlpSegment& segment : segments) {
    total_cost += PanelCost(segment) * num_panels;
  }
  const int64_t piece_cost = total_cost / (kPiecesPerThread * num_threads);
  pieces_.clear();
  for (size_t s = 0; s < segments.size(); ++s) {
    if (segments[s].begin == segments[s].end) {
      continue;
    }
    const int64_t step = std::clamp<int64_t>(piece_cost / PanelCost(segments[s]), 1, num_panels);
    for (int64_t begin = 0; begin < num_panels; begin += step) {
      pieces_.push_back({static_cast<int32_t>(s), static_cast<int32_t>(begin),
                         static_cast<int32_t>(std::min(begin + step, num_panels))});
    }
  }
  piece_bytes_ = total_cost * w.panel_bytes() / kPanelReadRows / static_cast<int64_t>(pieces_.size());
}

void MlpRunner::GateUp(ThreadPool& pool, const MlpCall& call, const float* packed, float* activations) {
  ForEachRow(pool, static_cast<int64_t>(pieces_.size()), piece_bytes_, [&](int64_t i) {
    const Piece piece = pieces_[static_cast<size_t>(i)];
    const MlpSegment& segment = call.segments[static_cast<size_t>(piece.segment)];
    const int64_t intermediate_size = segment.weights->intermediate_size();
    const auto store = [&](int64_t panel, int64_t pair, int rows, const float* product) {
      alignas(64) float activated[kMaxTileRows * kActivationsPerPanel];
      SiluMultiply(product, rows, activated);
      const int64_t first = panel * kActivationsPerPanel;
      const int64_t count = std::min<int64_t>(kActivationsPerPanel, intermediate_size - first);
      float* to = activations + pair * intermediate_size + first * rows;
      for (int64_t k = 0; k < count; ++k) {
        for (int r = 0; r < rows; ++r) {
          to[k * rows + r] = activated[r * kActivationsPerPanel + k];
        }
      }
    };
    MultiplySegment(segment.weights->gate_up(), segment, packed, piece.begin, piece.end, store);
  });
}

void MlpRunner::Down(ThreadPool& pool, const MlpCall& call, const float* activations) {
  const int64_t element_bytes = static_cast<int64_t>(DTypeBytes(call.out_dtype));
  auto* const out = static_cast<std::byte*>(call.out);
  ForEachRow(pool, static_cast<int64_t>(pieces_.size()), piece_bytes_, [&](int64_t i) {
    const Piece piece = pieces_[static_cast<size_t>(i)];
    const MlpSegment& segment = call.segments[static_cast<size_t>(piece.segment)];
    const int64_t hidden_size = segment.weights->hidden_size();
    const auto store = [&](int64_t panel, int64_t pair, int rows, const float* product) {
      const int64_t first = panel * kPanelRows;
      const int64_t count = std::min<int64_t>(kPanelRows, hidden_size - first);
      for (int r = 0; r < rows; ++r) {
        ConvertRow(product + r * kPanelRows, DType::kF32, out + ((pair + r) * hidden_size + first) * element_bytes,
                   call.out_dtype, count);
      }
    };
    MultiplySegment(segment.weights->down(), segment, activations, piece.begin, piece.end, store);
  });
}

}  // namespace tandem::compute::cpu
