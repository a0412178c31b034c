// Consecutive layers of a model.
#pragma once

namespace tandem {

struct LayerRange {
  int begin = 0;
  int end = 0;  // one past the last

  int size() const { return end - begin; }
  bool Contains(int layer) const { return begin <= layer && layer < end; }
  bool operator==(const LayerRange&) const = default;
};

}  // namespace tandem
