#include "expert_worker/testing/random_experts.h"

#include <cmath>
#include <cstring>
#include <random>

#include "absl/strings/str_cat.h"
#include "compute/cpu/cpu_backend.h"
#include "compute/wire_rows.h"

namespace tandem::expert_worker {

using compute::DType;
using transport::DispatchFrame;
using transport::FrameBuffer;

float TestWeight(int layer, int expert, int matrix, int64_t i) {
  std::minstd_rand random(static_cast<uint32_t>(((layer * 31 + expert) * 7 + matrix) * 100003 + i + 1));
  random.discard(2);
  return static_cast<float>(random() % 65536) / 65536.0f - 0.5f;
}

std::unique_ptr<compute::Backend> TestBackend(int num_threads) {
  compute::cpu::CpuOptions options;
  options.num_threads = num_threads;
  return compute::cpu::CreateCpuBackend(options);
}

ExpertLoader TestLoader(compute::Backend& backend, DType weight_dtype) {
  return [&backend, weight_dtype](int layer, int expert) -> absl::StatusOr<compute::MlpWeightsPtr> {
    if (layer < 0 || layer >= kTestLayers || expert < 0 || expert >= kTestExperts) {
      return absl::InvalidArgumentError(
          absl::StrCat("the model has ", kTestLayers, " layers of ", kTestExperts, " experts"));
    }
    const auto reader = [layer, expert](int matrix) {
      return [=](int64_t row, absl::Span<float> out) {
        for (size_t i = 0; i < out.size(); ++i) {
          out[i] = TestWeight(layer, expert, matrix, row * static_cast<int64_t>(out.size()) + static_cast<int64_t>(i));
        }
      };
    };
    return backend.PackMlp(weight_dtype, kTestHidden, kTestIntermediate, reader(0), reader(1), reader(2));
  };
}

std::vector<LayerExpert> AllTestExperts() {
  std::vector<LayerExpert> all;
  for (int layer = 0; layer < kTestLayers; ++layer) {
    for (int expert = 0; expert < kTestExperts; ++expert) {
      all.push_back({layer, expert});
    }
  }
  return all;
}

transport::ModelIdentity TestModel(DType wire_dtype) {
  return {.checkpoint_digest = "5eed", .architecture = "test", .weight_dtype = DType::kF32, .wire_dtype = wire_dtype};
}

namespace {

// Values in [-3.75, 3.75].
FrameBuffer RandomF8Rows(std::mt19937_64& random, int num_rows) {
  FrameBuffer rows(num_rows * compute::DispatchRowBytes(DType::kF8E4M3, kTestHidden));
  std::byte* to = rows.mutable_bytes().data();
  for (int row = 0; row < num_rows; ++row) {
    for (int i = 0; i < kTestHidden; ++i) {
      *to++ = static_cast<std::byte>((random() & 0x80) | random() % 0x70);
    }
    const float scale = static_cast<float>(1 + row % 3) / 192.0f;
    std::memcpy(to, &scale, sizeof(scale));
    to += sizeof(scale);
  }
  return rows;
}

}  // namespace

DispatchFrame RandomFrame(uint64_t seed, int layer, int num_rows, DType dtype) {
  std::mt19937_64 random(seed);
  DispatchFrame frame;
  frame.layer = layer;
  frame.num_rows = num_rows;
  frame.hidden_size = kTestHidden;
  frame.dtype = dtype;
  std::vector<std::vector<bool>> wanted(num_rows, std::vector<bool>(kTestExperts));
  for (auto& experts : wanted) {
    for (uint64_t n = 1 + random() % kTestExperts; n > 0; --n) {
      experts[random() % kTestExperts] = true;
    }
  }
  for (int expert = 0; expert < kTestExperts; ++expert) {
    for (int row = 0; row < num_rows; ++row) {
      if (wanted[row][expert]) {
        frame.pairs.push_back({.row = row, .expert = expert});
      }
    }
  }
  if (dtype == DType::kF8E4M3) {
    frame.rows = RandomF8Rows(random, num_rows);
    return frame;
  }
  const size_t element = compute::DTypeBytes(dtype);
  frame.rows = FrameBuffer(element * num_rows * kTestHidden);
  for (int i = 0; i < num_rows * kTestHidden; ++i) {
    const float value = static_cast<float>(random() % 4096) / 1024.0f - 2.0f;
    const uint16_t half = compute::F32ToBF16(value);
    const void* source = dtype == DType::kF32 ? static_cast<const void*>(&value) : &half;
    std::memcpy(frame.rows.mutable_bytes().data() + i * element, source, element);
  }
  return frame;
}

std::vector<double> ReferenceMlp(int layer, int expert, const float* row) {
  std::vector<double> inner(kTestIntermediate);
  for (int64_t i = 0; i < kTestIntermediate; ++i) {
    double gate = 0;
    double up = 0;
    for (int64_t k = 0; k < kTestHidden; ++k) {
      gate += static_cast<double>(TestWeight(layer, expert, 0, i * kTestHidden + k)) * row[k];
      up += static_cast<double>(TestWeight(layer, expert, 1, i * kTestHidden + k)) * row[k];
    }
    inner[i] = gate / (1 + std::exp(-gate)) * up;
  }
  std::vector<double> out(kTestHidden);
  for (int64_t i = 0; i < kTestHidden; ++i) {
    for (int64_t k = 0; k < kTestIntermediate; ++k) {
      out[i] += static_cast<double>(TestWeight(layer, expert, 2, i * kTestIntermediate + k)) * inner[k];
    }
  }
  return out;
}

}  // namespace tandem::expert_worker
