// An e4m3 code in memory, as a type of its own for the kernels.
#pragma once

#include <cstdint>

namespace tandem::compute::cpu {

struct F8Code {
  uint8_t bits;
};

}  // namespace tandem::compute::cpu
