// Rows on their way to the experts (dispatch) and back (combine) in each wire dtype:
//
//   kF32, kBF16   both ways: hidden_size elements
//   kF8E4M3       dispatch: hidden_size e4m3 codes, then their scale, an f32 in the machine's byte order; an element is
//                 its code times the scale, which is the row's largest magnitude over 448
//                 combine: bf16
//
// A row is encoded from itself alone, hence the invariance contract holds for every wire dtype.
#pragma once

#include <cstdint>

#include "compute/dtype.h"

namespace tandem::compute {

constexpr bool IsWireDType(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF8E4M3;
}

// Elements of the wire dtype that one dispatched row takes: the last dimension of tensors of such rows.
constexpr int64_t DispatchRowElements(DType wire, int64_t hidden_size) {
  return wire == DType::kF8E4M3 ? hidden_size + static_cast<int64_t>(sizeof(float)) : hidden_size;
}

constexpr int64_t DispatchRowBytes(DType wire, int64_t hidden_size) {
  return DispatchRowElements(wire, hidden_size) * static_cast<int64_t>(DTypeBytes(wire));
}

constexpr DType CombineDType(DType wire) { return wire == DType::kF8E4M3 ? DType::kBF16 : wire; }

}  // namespace tandem::compute
