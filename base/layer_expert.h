// The name of one routed expert, understood by every part of Tandem.
#pragma once

#include <compare>
#include <cstdint>
#include <utility>

namespace tandem {

struct LayerExpert {
  int32_t layer = 0;   // of the model, counted with its dense layers
  int32_t expert = 0;  // logical expert of that layer
  auto operator<=>(const LayerExpert&) const = default;
};

template <typename H>
H AbslHashValue(H h, const LayerExpert& id) {
  return H::combine(std::move(h), id.layer, id.expert);
}

}  // namespace tandem
