#include "compute/cpu/gemm_kernel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "compute/cpu/gemm_kernel.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "compute/cpu/simd_inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tandem::compute::cpu {
namespace HWY_NAMESPACE {

// Rows that fit the registers: two accumulators per row, and at least three registers for weights and x.
inline constexpr int kRegisterRows = HWY_TARGET == HWY_AVX2 ? 6 : kMaxTileRows;

// Loads the weights of 2 * kLanes outputs and widens them.
template <bool kIsBF16>
HWY_INLINE void LoadWeights(const std::byte* from, VF& low, VF& high) {
  const DF df;
  if constexpr (kIsBF16) {
    const DU du;
    const auto words = hn::Load(du, reinterpret_cast<const uint32_t*>(from));
    low = hn::BitCast(df, hn::ShiftLeft<16>(words));
    high = hn::BitCast(df, hn::And(words, hn::Set(du, 0xffff0000u)));
  } else {
    low = hn::Load(df, reinterpret_cast<const float*>(from));
    high = hn::Load(df, reinterpret_cast<const float*>(from) + kPanelRows / 2);
  }
}

// kRows rows times kColumns columns of 2 * kLanes outputs. A column is one register's worth of a panel's first half
// and the matching part of its second half; it begins at weights[c].
template <int kRows, int kColumns, bool kIsBF16>
void Multiply(const std::byte* const* weights, int64_t cols, const float* x, int64_t x_stride, float* const* out) {
  constexpr int64_t kStep = kPanelRows * (kIsBF16 ? 2 : 4);
  const DF df;
  VF low[kColumns][kRows];
  VF high[kColumns][kRows];
  const std::byte* from[kColumns];
#pragma GCC unroll 4
  for (int c = 0; c < kColumns; ++c) {
    from[c] = weights[c];
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      low[c][r] = hn::Zero(df);
      high[c][r] = hn::Zero(df);
    }
  }
  for (int64_t k = 0; k < cols; ++k) {
    const float* x_k = x;
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) {
      VF w_low;
      VF w_high;
      LoadWeights<kIsBF16>(from[c], w_low, w_high);
      from[c] += kStep;
      // Sixteen registers are full: x is read again for every column, which the compiler would avoid and spill sums
      // instead.
      if constexpr (HWY_TARGET == HWY_AVX2 && kRows == 3 && kColumns > 1) {
        asm("" : "+r"(x_k));
      }
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        const VF v = hn::Set(df, x_k[r]);
        low[c][r] = Fma(v, w_low, low[c][r]);
        high[c][r] = Fma(v, w_high, high[c][r]);
      }
    }
    x += x_stride;
  }
#pragma GCC unroll 4
  for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      hn::StoreU(low[c][r], df, out[c] + r * kPanelRows);
      hn::StoreU(high[c][r], df, out[c] + r * kPanelRows + kPanelRows / 2);
    }
  }
}

using Kernel = void (*)(const std::byte* const*, int64_t, const float*, int64_t, float* const*);

// Few rows take several columns at once, so that about eight chains run side by side.
constexpr int ColumnsFor(int rows) { return rows == 1 ? 4 : rows <= 3 ? 2 : 1; }

template <bool kIsBF16>
struct Kernels {
  // [rows - 1]
  static constexpr Kernel kWide[3] = {Multiply<1, 4, kIsBF16>, Multiply<2, 2, kIsBF16>, Multiply<3, 2, kIsBF16>};
#if HWY_TARGET == HWY_AVX2
  static constexpr Kernel kSingle[kRegisterRows] = {Multiply<1, 1, kIsBF16>, Multiply<2, 1, kIsBF16>,
                                                    Multiply<3, 1, kIsBF16>, Multiply<4, 1, kIsBF16>,
                                                    Multiply<5, 1, kIsBF16>, Multiply<6, 1, kIsBF16>};
#else
  static constexpr Kernel kSingle[kRegisterRows] = {
      Multiply<1, 1, kIsBF16>, Multiply<2, 1, kIsBF16>,  Multiply<3, 1, kIsBF16>,  Multiply<4, 1, kIsBF16>,
      Multiply<5, 1, kIsBF16>, Multiply<6, 1, kIsBF16>,  Multiply<7, 1, kIsBF16>,  Multiply<8, 1, kIsBF16>,
      Multiply<9, 1, kIsBF16>, Multiply<10, 1, kIsBF16>, Multiply<11, 1, kIsBF16>, Multiply<12, 1, kIsBF16>};
#endif
};

// Tiles that do not fit the registers take two passes. Four rows are the worst of them: eight chains, where the latency
// of multiply-adds wants ten, and too many registers for a second column.
constexpr int FirstPassRows(int tile_rows) {
  static_assert(2 * kRegisterRows >= kMaxTileRows);
  return tile_rows <= kRegisterRows ? tile_rows : tile_rows == 9 || tile_rows > 10 ? 6 : 5;
}

template <bool kIsBF16>
void MultiplyColumns(const std::byte* panels, int64_t panel_bytes, int num_panels, int64_t cols, const float* x_tile,
                     int tile_rows, int first_row, int rows, float* out) {
  const std::byte* weights[kMaxCallPanels * kParts];
  float* to[kMaxCallPanels * kParts];
  const int num_columns = num_panels * kParts;
  for (int c = 0; c < num_columns; ++c) {
    const int panel = c / kParts;
    const int lane = c % kParts * kLanes;
    weights[c] = panels + panel * panel_bytes + lane * static_cast<int>(sizeof(float));
    to[c] = out + (panel * tile_rows + first_row) * kPanelRows + lane;
  }
  const int step = ColumnsFor(rows);
  int c = 0;
  for (; step > 1 && c + step <= num_columns; c += step) {
    Kernels<kIsBF16>::kWide[rows - 1](weights + c, cols, x_tile + first_row, tile_rows, to + c);
  }
  for (; c < num_columns; ++c) {
    Kernels<kIsBF16>::kSingle[rows - 1](weights + c, cols, x_tile + first_row, tile_rows, to + c);
  }
}

void MultiplyPanels(const std::byte* panels, int64_t panel_bytes, int num_panels, bool is_bf16, int64_t cols,
                    const float* x_tile, int tile_rows, float* out) {
  const auto multiply = is_bf16 ? MultiplyColumns<true> : MultiplyColumns<false>;
  const int first = FirstPassRows(tile_rows);
  multiply(panels, panel_bytes, num_panels, cols, x_tile, tile_rows, 0, first, out);
  if (first < tile_rows) {
    multiply(panels, panel_bytes, num_panels, cols, x_tile, tile_rows, first, tile_rows - first, out);
  }
}

// Sixteen inputs at a time, so that the scattered stores stay within a few cache lines.
template <typename T>
void PackTileOf(const void* const* rows, int num_rows, int64_t cols, float* to) {
  for (int64_t k = 0; k < cols; k += 16) {
    const int count = static_cast<int>(cols - k < 16 ? cols - k : 16);
    for (int r = 0; r < num_rows; ++r) {
      alignas(64) float widened[16];
      const T* from = static_cast<const T*>(rows[r]) + k;
      Store16(count == 16 ? Load16(from) : Load16Partial(from, count), widened);
      for (int i = 0; i < count; ++i) {
        to[(k + i) * num_rows + r] = widened[i];
      }
    }
  }
}

// Loaded codes are 2^-8 times their values, hence the scale's factor.
void PackTileOfF8(const void* const* rows, int num_rows, int64_t cols, float* to) {
  float scales[kMaxTileRows];
  for (int r = 0; r < num_rows; ++r) {
    std::memcpy(&scales[r], static_cast<const std::byte*>(rows[r]) + cols, sizeof(float));
    scales[r] *= 256;
  }
  for (int64_t k = 0; k < cols; k += 16) {
    const int count = static_cast<int>(cols - k < 16 ? cols - k : 16);
    for (int r = 0; r < num_rows; ++r) {
      alignas(64) float widened[16];
      const F8Code* from = static_cast<const F8Code*>(rows[r]) + k;
      Store16(Mul(count == 16 ? Load16(from) : Load16Partial(from, count), Splat16(scales[r])), widened);
      for (int i = 0; i < count; ++i) {
        to[(k + i) * num_rows + r] = widened[i];
      }
    }
  }
}

void PackTile(const void* const* rows, DType dtype, int num_rows, int64_t cols, float* to) {
  const auto pack = dtype == DType::kF8E4M3 ? PackTileOfF8
                    : dtype == DType::kBF16 ? PackTileOf<uint16_t>
                                            : PackTileOf<float>;
  pack(rows, num_rows, cols, to);
}

void SiluMultiply(const float* gate_up, int rows, float* out) {
  for (int r = 0; r < rows; ++r) {
    const float* row = gate_up + r * kPanelRows;
    Store16(Mul(Silu(Load16(row)), Load16(row + kPanelRows / 2)), out + r * kPanelRows / 2);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tandem::compute::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem::compute::cpu {

HWY_EXPORT(MultiplyPanels);
HWY_EXPORT(PackTile);
HWY_EXPORT(SiluMultiply);

void PackTile(const void* const* rows, DType dtype, int num_rows, int64_t cols, float* to) {
  HWY_DYNAMIC_DISPATCH(PackTile)(rows, dtype, num_rows, cols, to);
}

void MultiplyPanels(const PackedMatrix& w, int64_t group, int64_t panel, int num_panels, const float* x_tile, int rows,
                    float* out) {
  HWY_DYNAMIC_DISPATCH(MultiplyPanels)
  (w.Panel(group, panel), w.panel_bytes(), num_panels, w.dtype() == DType::kBF16, w.cols(), x_tile, rows, out);
}

void SiluMultiply(const float* gate_up, int rows, float* out) {
  HWY_DYNAMIC_DISPATCH(SiluMultiply)(gate_up, rows, out);
}

}  // namespace tandem::compute::cpu
#endif  // HWY_ONCE
