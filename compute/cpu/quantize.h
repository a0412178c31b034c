// Rows of the quantized KV caches and of the fp8 wire.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compute/dtype.h"

namespace tandem::compute::cpu {

// Writes x[0 … n) as codes of `dtype` (kI8 or kF8E4M3), rounded to nearest even, and returns their scale, max|x| over
// the dtype's largest value: x[i] ≈ code[i] · scale. A row below 1e-30 everywhere becomes zeros with scale 1; one with
// an infinity or a NaN gets the scale NaN, so that it shows in whatever reads it.
float QuantizeRow(const float* x, DType dtype, std::byte* codes, int64_t n);

// Writes x[0 … n) as a dispatched row of kF8E4M3 (compute/wire_rows.h), n + 4 bytes.
void EncodeF8WireRow(const float* x, std::byte* row, int64_t n);

}  // namespace tandem::compute::cpu
