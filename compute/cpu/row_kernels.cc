#include "compute/cpu/row_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "compute/cpu/row_kernels.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "compute/cpu/simd_inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tandem::compute::cpu {
namespace HWY_NAMESPACE {

template <typename From, typename To>
void ConvertRow(const From* from, To* to, int64_t n) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    Store16(Load16(from + i), to + i);
  }
  if (i < n) {
    const int rest = static_cast<int>(n - i);
    Store16Partial(Load16Partial(from + i, rest), to + i, rest);
  }
}

void WidenRow(const uint16_t* from, float* to, int64_t n) { ConvertRow(from, to, n); }
void NarrowRow(const float* from, uint16_t* to, int64_t n) { ConvertRow(from, to, n); }

void RmsNormRow(const float* x, const float* weight, float eps, float* out, int64_t n) {
  const float mean = SumOfSquares(x, n) / static_cast<float>(n);
  const float inverse = 1.0f / std::sqrt(mean + eps);
  const F16 scale = Splat16(inverse);
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    Store16(Mul(Mul(Load16(x + i), scale), Load16(weight + i)), out + i);
  }
  for (; i < n; ++i) {
    out[i] = x[i] * inverse * weight[i];
  }
}

template <typename T>
void CombineRow(const float* weights, int k, const T* rows, const float* shared, float* h, int64_t n) {
  for (int64_t i = 0; i < n; i += 16) {
    const int count = static_cast<int>(n - i < 16 ? n - i : 16);
    const bool full = count == 16;
    F16 sum = Splat16(0.0f);
    for (int j = 0; j < k; ++j) {
      const T* row = rows + j * n + i;
      sum = Fma(Splat16(weights[j]), full ? Load16(row) : Load16Partial(row, count), sum);
    }
    if (shared != nullptr) {
      sum = Add(sum, full ? Load16(shared + i) : Load16Partial(shared + i, count));
    }
    if (full) {
      Store16(Add(Load16(h + i), sum), h + i);
    } else {
      Store16Partial(Add(Load16Partial(h + i, count), sum), h + i, count);
    }
  }
}

void CombineRowF32(const float* weights, int k, const float* rows, const float* shared, float* h, int64_t n) {
  CombineRow(weights, k, rows, shared, h, n);
}

void CombineRowBF16(const float* weights, int k, const uint16_t* rows, const float* shared, float* h, int64_t n) {
  CombineRow(weights, k, rows, shared, h, n);
}

void ScaleBySigmoid(float gate, float* x, int64_t n) {
  alignas(64) float scale[16];
  Store16(Sigmoid(Splat16(gate)), scale);
  for (int64_t i = 0; i < n; ++i) {
    x[i] *= scale[0];
  }
}

void SigmoidRow(float* x, int64_t n) {
  for (int64_t i = 0; i < n; i += 16) {
    const int count = static_cast<int>(n - i < 16 ? n - i : 16);
    Store16Partial(Sigmoid(Load16Partial(x + i, count)), x + i, count);
  }
}

void ExpRow(float* x, int64_t n) {
  for (int64_t i = 0; i < n; i += 16) {
    const int count = static_cast<int>(n - i < 16 ? n - i : 16);
    Store16Partial(Exp(Load16Partial(x + i, count)), x + i, count);
  }
}

void SoftmaxRow(float* x, int64_t n) {
  float max = -HUGE_VALF;
  for (int64_t i = 0; i < n; ++i) {
    max = x[i] > max ? x[i] : max;
  }
  F16 sum = Splat16(0.0f);
  for (int64_t i = 0; i < n; i += 16) {
    const int count = static_cast<int>(n - i < 16 ? n - i : 16);
    Store16Partial(Exp(Sub(Load16Partial(x + i, count), Splat16(max))), x + i, count);
    sum = Add(sum, Load16Partial(x + i, count));
  }
  const float total = Sum16(sum);
  for (int64_t i = 0; i < n; ++i) {
    x[i] /= total;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tandem::compute::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem::compute::cpu {

HWY_EXPORT(WidenRow);
HWY_EXPORT(NarrowRow);
HWY_EXPORT(RmsNormRow);
HWY_EXPORT(CombineRowF32);
HWY_EXPORT(CombineRowBF16);
HWY_EXPORT(ScaleBySigmoid);
HWY_EXPORT(SigmoidRow);
HWY_EXPORT(ExpRow);
HWY_EXPORT(SoftmaxRow);

void ConvertRow(const void* from, DType from_dtype, void* to, DType to_dtype, int64_t n) {
  if (from_dtype == to_dtype) {
    std::memcpy(to, from, static_cast<size_t>(n) * DTypeBytes(to_dtype));
  } else if (from_dtype == DType::kBF16) {
    HWY_DYNAMIC_DISPATCH(WidenRow)(static_cast<const uint16_t*>(from), static_cast<float*>(to), n);
  } else {
    HWY_DYNAMIC_DISPATCH(NarrowRow)(static_cast<const float*>(from), static_cast<uint16_t*>(to), n);
  }
}

void RmsNormRow(const float* x, const float* weight, float eps, float* out, int64_t n) {
  HWY_DYNAMIC_DISPATCH(RmsNormRow)(x, weight, eps, out, n);
}

void CombineRow(const float* weights, int k, const void* rows, DType dtype, const float* shared, float* h, int64_t n) {
  if (dtype == DType::kBF16) {
    HWY_DYNAMIC_DISPATCH(CombineRowBF16)(weights, k, static_cast<const uint16_t*>(rows), shared, h, n);
  } else {
    HWY_DYNAMIC_DISPATCH(CombineRowF32)(weights, k, static_cast<const float*>(rows), shared, h, n);
  }
}

void ScaleBySigmoid(float gate, float* x, int64_t n) { HWY_DYNAMIC_DISPATCH(ScaleBySigmoid)(gate, x, n); }

void ScoreExperts(GateScoring scoring, float* logits, int64_t n) {
  if (scoring == GateScoring::kSigmoid) {
    HWY_DYNAMIC_DISPATCH(SigmoidRow)(logits, n);
  } else {
    HWY_DYNAMIC_DISPATCH(SoftmaxRow)(logits, n);
  }
}

void ExpRow(float* x, int64_t n) { HWY_DYNAMIC_DISPATCH(ExpRow)(x, n); }

}  // namespace tandem::compute::cpu
#endif  // HWY_ONCE
