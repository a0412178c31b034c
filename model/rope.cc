#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tandem::model {
namespace {

double YarnMscale(double scale, double mscale) { return scale <= 1 ? 1.0 : 0.1 * mscale * std::log(scale) + 1.0; }

// The dimension at which a full context makes `rotations` turns (YaRN, section 3.2).
double YarnCorrectionDim(const RopeSpec& rope, double rotations) {
  const double positions = static_cast<double>(rope.original_max_position_embeddings);
  return rope.rotary_dim * std::log(positions / (rotations * 2 * std::numbers::pi)) / (2 * std::log(rope.theta));
}

void ApplyYarn(const RopeSpec& rope, std::vector<float>& frequencies) {
  double low = YarnCorrectionDim(rope, rope.beta_fast);
  double high = YarnCorrectionDim(rope, rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, rope.rotary_dim - 1.0);
  if (low == high) {
    high += 0.001;
  }
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const float ramp = std::clamp((static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f, 1.0f);
    const float extrapolated = frequencies[i];
    const float interpolated = extrapolated / static_cast<float>(rope.factor);
    frequencies[i] = interpolated * ramp + extrapolated * (1.0f - ramp);
  }
}

void ApplyLlama3(const RopeSpec& rope, std::vector<float>& frequencies) {
  const double context = static_cast<double>(rope.original_max_position_embeddings);
  const double low_wavelength = context / rope.low_freq_factor;
  const double high_wavelength = context / rope.high_freq_factor;
  for (float& frequency : frequencies) {
    const double wavelength = 2 * std::numbers::pi / frequency;
    if (wavelength > low_wavelength) {
      frequency = static_cast<float>(frequency / rope.factor);
    } else if (wavelength >= high_wavelength) {
      const double smooth =
          (context / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
      frequency = static_cast<float>((1 - smooth) * frequency / rope.factor + smooth * frequency);
    }
  }
}

}  // namespace

std::vector<float> RopeInverseFrequencies(const RopeSpec& rope) {
  std::vector<float> frequencies(rope.rotary_dim / 2);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(rope.rotary_dim);
    frequencies[i] = 1.0f / std::pow(static_cast<float>(rope.theta), exponent);
  }
  switch (rope.kind) {
    case RopeSpec::Kind::kDefault:
    case RopeSpec::Kind::kDynamic:  // the identity up to the trained context, to which serving is limited
      break;
    case RopeSpec::Kind::kLinear:
      for (float& frequency : frequencies) {
        frequency /= static_cast<float>(rope.factor);
      }
      break;
    case RopeSpec::Kind::kYarn:
      ApplyYarn(rope, frequencies);
      break;
    case RopeSpec::Kind::kLlama3:
      ApplyLlama3(rope, frequencies);
      break;
  }
  return frequencies;
}

float RopeAttentionFactor(const RopeSpec& rope) {
  if (rope.kind != RopeSpec::Kind::kYarn) {
    return 1.0f;
  }
  if (rope.attention_factor.has_value()) {
    return static_cast<float>(*rope.attention_factor);
  }
  if (rope.mscale != 0 && rope.mscale_all_dim != 0) {
    return static_cast<float>(YarnMscale(rope.factor, rope.mscale) / YarnMscale(rope.factor, rope.mscale_all_dim));
  }
  return static_cast<float>(YarnMscale(rope.factor, 1.0));
}

std::vector<float> RopeTable(const RopeSpec& rope, int64_t max_position) {
  const std::vector<float> frequencies = RopeInverseFrequencies(rope);
  const float factor = RopeAttentionFactor(rope);
  const int64_t half = static_cast<int64_t>(frequencies.size());
  std::vector<float> table(max_position * 2 * half);
  for (int64_t position = 0; position < max_position; ++position) {
    float* row = table.data() + position * 2 * half;
    for (int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(position) * frequencies[i];
      row[i] = std::cos(angle) * factor;
      row[half + i] = std::sin(angle) * factor;
    }
  }
  return table;
}

}  // namespace tandem::model
