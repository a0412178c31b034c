#include "compute/logits.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "compute/logits.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "compute/cpu/simd_inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tandem::compute::cpu {
namespace HWY_NAMESPACE {

// Largest of the row, NaN left out; -infinity for an empty one.
float MaxOf(const float* x, size_t n) {
  F16 max = Splat16(-HUGE_VALF);
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const F16 v = Load16(x + i);
    for (int part = 0; part < kParts; ++part) {
      const auto greater = hn::Gt(v.part[part], max.part[part]);  // false for NaN
      max.part[part] = hn::IfThenElse(greater, v.part[part], max.part[part]);
    }
  }
  float result = Max16(max);
  for (; i < n; ++i) {
    result = x[i] > result ? x[i] : result;
  }
  return result;
}

// exp((x - shift) * scale), 0 where that is below the smallest float or NaN.
HWY_INLINE F16 Weight(const F16& x, const F16& shift, const F16& scale) {
  F16 r = Mul(Sub(x, shift), scale);
  for (int part = 0; part < kParts; ++part) {
    const auto counts = hn::Gt(r.part[part], hn::Set(DF(), -103.0f));
    r.part[part] = hn::IfThenElseZero(counts, Exp(r.part[part]));
  }
  return r;
}

// Writes the weights where `out` is given. Returns their sum.
float WeighBlock(const float* x, size_t n, float shift, float scale, float* out) {
  const F16 shift16 = Splat16(shift);
  const F16 scale16 = Splat16(scale);
  F16 sum = Splat16(0.0f);
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const F16 weight = Weight(Load16(x + i), shift16, scale16);
    sum = Add(sum, weight);
    if (out != nullptr) {
      Store16(weight, out + i);
    }
  }
  if (i < n) {
    alignas(64) float rest[16];
    for (size_t j = 0; j < 16; ++j) {
      rest[j] = i + j < n ? x[i + j] : -HUGE_VALF;
    }
    const F16 weight = Weight(Load16(rest), shift16, scale16);
    sum = Add(sum, weight);
    if (out != nullptr) {
      Store16Partial(weight, out + i, static_cast<int>(n - i));
    }
  }
  return Sum16(sum);
}

}  // namespace HWY_NAMESPACE
}  // namespace tandem::compute::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem::compute {
namespace cpu {

HWY_EXPORT(MaxOf);
HWY_EXPORT(WeighBlock);

}  // namespace cpu
namespace {

constexpr size_t kBlock = 256;

float MaxOf(absl::Span<const float> x) {
  using namespace cpu;  // where the dispatch tables are
  return HWY_DYNAMIC_DISPATCH(MaxOf)(x.data(), x.size());
}

float WeighBlock(absl::Span<const float> x, float shift, float scale, float* out) {
  using namespace cpu;
  return HWY_DYNAMIC_DISPATCH(WeighBlock)(x.data(), x.size(), shift, scale, out);
}

}  // namespace

int32_t ArgMax(absl::Span<const float> logits) {
  float max = -HUGE_VALF;
  size_t where = 0;
  for (size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const float of_block = MaxOf(logits.subspan(begin, kBlock));
    if (of_block > max) {
      max = of_block;
      where = begin;
    }
  }
  while (where < logits.size() && logits[where] != max) {
    ++where;
  }
  return where < logits.size() ? static_cast<int32_t>(where) : 0;
}

double LogSumExp(absl::Span<const float> logits) {
  const float max = MaxOf(logits);
  if (max == -HUGE_VALF) {
    return max;
  }
  double sum = 0;
  for (size_t begin = 0; begin < logits.size(); begin += kBlock) {
    sum += WeighBlock(logits.subspan(begin, kBlock), max, 1.0f, nullptr);
  }
  return max + std::log(sum);
}

void Weights::Assign(absl::Span<const float> logits, float shift, float scale) {
  size_ = logits.size();
  values_.resize(std::max(values_.size(), size_));
  sums_.clear();
  total_ = 0;
  for (size_t begin = 0; begin < size_; begin += kBlock) {
    sums_.push_back(WeighBlock(logits.subspan(begin, kBlock), shift, scale, values_.data() + begin));
    total_ += sums_.back();
  }
}

int32_t Weights::Draw(double uniform) const {
  double left = uniform * total_;
  size_t block = 0;
  while (block + 1 < sums_.size() && left >= sums_[block]) {
    left -= sums_[block++];
  }
  for (size_t i = block * kBlock; i < size_; ++i) {
    left -= values_[i];
    if (left < 0 && values_[i] > 0) {
      return static_cast<int32_t>(i);
    }
  }
  // Rounding left a remainder behind the last weight: it is the last one's.
  size_t last = size_;
  while (last > 1 && values_[last - 1] == 0) {
    --last;
  }
  return static_cast<int32_t>(last) - 1;
}

}  // namespace tandem::compute
#endif  // HWY_ONCE
