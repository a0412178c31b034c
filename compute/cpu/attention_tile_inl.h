// Tiles of the KV cache as the attention kernel sees them, compiled once per instruction set.
#if defined(TANDEM_COMPUTE_CPU_ATTENTION_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TANDEM_COMPUTE_CPU_ATTENTION_TILE_INL_H_
#undef TANDEM_COMPUTE_CPU_ATTENTION_TILE_INL_H_
#else
#define TANDEM_COMPUTE_CPU_ATTENTION_TILE_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "compute/backend.h"
#include "compute/cpu/attention_kernel.h"
#include "compute/cpu/simd_inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tandem::compute::cpu {
namespace HWY_NAMESPACE {

inline constexpr int kTile = kAttentionTile;

constexpr int Padded(int dim) { return (dim + 15) / 16 * 16; }

// The rows of a tile's positions in the cache, for head 0.
struct TileRows {
  TileRows(const KvView& kv, int32_t first, int32_t end) : start(first), count(std::clamp(end - first, 0, kTile)) {
    for (int j = 0; j < count; ++j) {
      const int32_t position = start + j;
      row[j] = int64_t{kv.block_table[position / kv.block_size]} * kv.num_kv_heads * kv.block_size +
               position % kv.block_size;
    }
  }

  int32_t start;
  int count;  // 0 past the end
  int64_t row[kTile];
};

// What multiplies a tile's dot products and its probabilities.
struct TileScales {
  alignas(64) float key[kTile];      // the softmax scale times that of the key
  alignas(64) float value[kTile];    // of quantized caches
  alignas(64) float rotated[kTile];  // of quantized latent caches: the rotated part's scale over the latent part's
  bool scaled_values = false;
};

// One tile of one head. Rows are padded to multiples of 16 elements.
template <typename T>
struct Tile {
  const T* keys[kTile];
  const T* values[kTile];
  int32_t start = 0;
  int count = 0;
  TileScales scales;
  int key_bytes = 0;
  int value_bytes = 0;  // 0: values are parts of keys

  // Asks for row j. Rows are read in long runs, but by turns from keys and values, which the hardware does not foresee.
  // Inlined by force: GCC drops calls of functions that do nothing but prefetch.
  HWY_INLINE void PrefetchRow(int j) const {
    if (j >= count) return;
    for (int i = 0; i < key_bytes; i += 64) hwy::Prefetch(reinterpret_cast<const std::byte*>(keys[j]) + i);
    for (int i = 0; i < value_bytes; i += 64) hwy::Prefetch(reinterpret_cast<const std::byte*>(values[j]) + i);
  }

  // Rows past the end are read by the blocked kernels, and their results dropped.
  void RepeatFirstRow() {
    if (count == 0) return;
    std::fill(keys + count, keys + kTile, keys[0]);
    std::fill(values + count, values + kTile, values[0]);
  }
};

template <typename T>
inline constexpr float kCodeUnit = 1.0f;  // what LoadLanes multiplies elements by, undone
template <>
inline constexpr float kCodeUnit<F8Code> = 256.0f;

// `unit` is exact in every product: a power of two.
inline void LoadScales(const KvView& kv, const TileRows& rows, int head, float softmax_scale, float unit,
                       TileScales& scales) {
  if (kv.key_scales == nullptr) {
    std::fill_n(scales.key, kTile, softmax_scale);
    return;
  }
  scales.scaled_values = true;
  for (int j = 0; j < rows.count; ++j) {
    const int64_t row = rows.row[j] + int64_t{head} * kv.block_size;
    if (kv.values != nullptr) {
      scales.key[j] = kv.key_scales[row] * unit * softmax_scale;
      scales.value[j] = kv.value_scales[row] * unit;
    } else {
      const float* const pair = kv.key_scales + 2 * row;
      scales.key[j] = pair[0] * unit * softmax_scale;
      scales.value[j] = pair[0] * unit;
      scales.rotated[j] = pair[1] / pair[0];
    }
  }
  std::fill(scales.key + rows.count, scales.key + kTile, 0.0f);
  std::fill(scales.value + rows.count, scales.value + kTile, 0.0f);
}

// to[0 … Padded(dim)) = from[0 … dim) as f32, then zeros.
template <typename T>
void Widen(const T* from, int dim, float* to) {
  int k = 0;
  for (; k + 16 <= dim; k += 16) Store16(Load16(from + k), to + k);
  if (k < dim) Store16(Load16Partial(from + k, dim - k), to + k);
}

// A value read from a key may run on into the key's later elements: they land in padding that is never returned.
template <typename T>
void PointAtTile(const KvView& kv, const TileRows& rows, int head, float softmax_scale, Tile<T>& tile) {
  tile.start = rows.start;
  tile.count = rows.count;
  tile.key_bytes = kv.key_dim * static_cast<int>(sizeof(T));
  tile.value_bytes = kv.values == nullptr ? 0 : kv.value_dim * static_cast<int>(sizeof(T));
  for (int j = 0; j < rows.count; ++j) {
    const int64_t row = rows.row[j] + int64_t{head} * kv.block_size;
    tile.keys[j] = reinterpret_cast<const T*>(kv.keys) + row * kv.key_dim;
    tile.values[j] = kv.values == nullptr ? tile.keys[j] : reinterpret_cast<const T*>(kv.values) + row * kv.value_dim;
  }
  tile.RepeatFirstRow();
  LoadScales(kv, rows, head, softmax_scale, kCodeUnit<T>, tile.scales);
}

// `copy` has room for kTile padded keys and values. Meanwhile asks for the rows of `next`.
template <typename T>
void WidenTile(const KvView& kv, const Tile<T>& from, const Tile<T>& next, float* copy, Tile<float>& tile) {
  const int key_stride = Padded(kv.key_dim);
  const int value_stride = Padded(kv.value_dim);
  const bool two_scales = kv.key_scales != nullptr && kv.values == nullptr;
  float* const value_copy = copy + kTile * key_stride;
  for (int j = 0; j < from.count; ++j) {
    next.PrefetchRow(j);
    float* const key = copy + j * key_stride;
    Widen(from.keys[j], kv.key_dim, key);
    if (two_scales) {
      for (int k = kv.value_dim; k < kv.key_dim; ++k) key[k] *= from.scales.rotated[j];
    }
    tile.keys[j] = key;
    tile.values[j] = key;
    if (kv.values != nullptr) {
      Widen(from.values[j], kv.value_dim, value_copy + j * value_stride);
      tile.values[j] = value_copy + j * value_stride;
    }
  }
  tile.start = from.start;
  tile.count = from.count;
  tile.scales = from.scales;
  tile.RepeatFirstRow();
}

}  // namespace HWY_NAMESPACE
}  // namespace tandem::compute::cpu
HWY_AFTER_NAMESPACE();

#endif  // TANDEM_COMPUTE_CPU_ATTENTION_TILE_INL_H_
