// Element types of tensors and of checkpoint data.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace tandem::compute {

// kF16 occurs in checkpoints only, kF8E4M3 in checkpoints, KV caches and on the wire, kI8 in KV caches.
enum class DType : uint8_t { kF32, kBF16, kF16, kF8E4M3, kI8, kI32 };

constexpr size_t DTypeBytes(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kBF16:
    case DType::kF16:
      return 2;
    case DType::kF8E4M3:
    case DType::kI8:
      return 1;
  }
  return 0;
}

// "float32", "bfloat16", … as in Hugging Face's torch_dtype.
absl::string_view DTypeName(DType dtype);

// Scalar conversions; bfloat16 rounds to nearest even, NaN stays NaN.
float BF16ToF32(uint16_t bits);
uint16_t F32ToBF16(float value);
float F16ToF32(uint16_t bits);
float F8E4M3ToF32(uint8_t bits);

}  // namespace tandem::compute
