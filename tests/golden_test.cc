// Every family against the reference implementation: tests/golden/<name> holds a checkpoint and its float32 logits
// (tests/golden/README.md). Tolerances are DESIGN section 9's: 1e-4 in float32 and 2e-2 in bfloat16, relative, L2 over
// the logits of a prompt, and the same greedy tokens in both. TANDEM_GOLDEN_TABLE=1 prints a table.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "model/safetensors.h"
#include "tests/testing/local_model.h"

namespace tandem::testing {
namespace {

constexpr char kGoldenDir[] = "tests/golden";

struct GoldenPrompt {
  std::vector<int32_t> ids;  // prompt and all greedy tokens but the last
  size_t prompt_tokens = 0;
  std::vector<int32_t> greedy;
  std::vector<float> logits;  // [ids.size(), vocab_size]
};

std::vector<std::string> GoldenNames() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kGoldenDir)) {
    if (entry.is_directory()) {
      names.push_back(entry.path().filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<GoldenPrompt> ReadGolden(const std::string& dir) {
  const auto text = ReadFile(dir + "/golden.json");
  const auto tensors = model::ReadSafetensors(dir + "/golden.safetensors");
  EXPECT_TRUE(text.ok() && tensors.ok()) << dir;
  const nlohmann::json json = nlohmann::json::parse(*text);
  std::vector<GoldenPrompt> prompts;
  for (size_t i = 0; i < json["prompts"].size(); ++i) {
    const auto& entry = json["prompts"][i];
    GoldenPrompt prompt;
    prompt.ids = entry["token_ids"].get<std::vector<int32_t>>();
    prompt.prompt_tokens = prompt.ids.size();
    prompt.greedy = entry["greedy_ids"].get<std::vector<int32_t>>();
    prompt.ids.insert(prompt.ids.end(), prompt.greedy.begin(), prompt.greedy.end() - 1);
    const auto& stored = tensors->at("prompt_" + std::to_string(i) + ".logits");
    prompt.logits.resize(stored.data.size() / sizeof(float));
    std::memcpy(prompt.logits.data(), stored.data.data(), stored.data.size());
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

double RelativeError(const std::vector<float>& got, const std::vector<float>& want) {
  double difference = 0;
  double norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    difference += std::pow(static_cast<double>(got[i]) - want[i], 2);
    norm += std::pow(static_cast<double>(want[i]), 2);
  }
  return std::sqrt(difference / norm);
}

// The greedy continuation that the logits imply, given that every earlier choice agreed.
std::vector<int32_t> GreedyTokens(const GoldenPrompt& prompt, const std::vector<float>& logits, int64_t vocab_size) {
  std::vector<int32_t> tokens;
  for (size_t step = 0; step < prompt.greedy.size(); ++step) {
    const auto row = logits.begin() + static_cast<int64_t>(prompt.prompt_tokens - 1 + step) * vocab_size;
    tokens.push_back(static_cast<int32_t>(std::max_element(row, row + vocab_size) - row));
  }
  return tokens;
}

class GoldenTest : public ::testing::TestWithParam<std::string> {
 protected:
  static void PrintTableRow(const std::string& dtype, double worst, int greedy_equal, size_t prompts) {
    if (std::getenv("TANDEM_GOLDEN_TABLE") != nullptr) {
      std::printf("| %s | %s | %.1e | %d of %zu |\n", GetParam().c_str(), dtype.c_str(), worst, greedy_equal, prompts);
    }
  }
};

TEST_P(GoldenTest, AgreesWithTheReference) {
  const std::string dir = std::string(kGoldenDir) + "/" + GetParam();
  const std::vector<GoldenPrompt> prompts = ReadGolden(dir);
  for (const std::string dtype : {"float32", "bfloat16"}) {
    const double tolerance = dtype == "float32" ? 1e-4 : 2e-2;
    auto model = LocalModel::Load(dir, dtype, 2);
    ASSERT_TRUE(model.ok()) << model.status();
    double worst = 0;
    int greedy_equal = 0;
    for (size_t i = 0; i < prompts.size(); ++i) {
      const GoldenPrompt& prompt = prompts[i];
      const auto logits = (*model)->Logits(prompt.ids, 16);
      ASSERT_TRUE(logits.ok()) << logits.status();
      ASSERT_EQ(logits->size(), prompt.logits.size());
      const double error = RelativeError(*logits, prompt.logits);
      worst = std::max(worst, error);
      const bool equal = GreedyTokens(prompt, *logits, (*model)->spec().vocab_size) == prompt.greedy;
      greedy_equal += equal;
      EXPECT_LE(error, tolerance) << dtype << ", prompt " << i;
      EXPECT_TRUE(equal) << dtype << ", prompt " << i;
    }
    PrintTableRow(dtype, worst, greedy_equal, prompts.size());
  }
}

// Quantized KV caches on float32 weights, so that nothing else is rounded. The bounds are the dtypes' own: with int8 an
// element is off by up to 1/254 of its head's largest, with fp8 by up to 1/16 of itself, and these small random models
// carry such errors on undamped, so that fp8 need not find their greedy tokens.
TEST_P(GoldenTest, QuantizedKvCachesStayClose) {
  const std::string dir = std::string(kGoldenDir) + "/" + GetParam();
  const std::vector<GoldenPrompt> prompts = ReadGolden(dir);
  for (const std::string kv_cache_dtype : {"int8", "fp8"}) {
    const double tolerance = kv_cache_dtype == "int8" ? 4e-2 : 0.3;
    auto model = LocalModel::Load(dir, "float32", 2, kv_cache_dtype);
    ASSERT_TRUE(model.ok()) << model.status();
    double worst = 0;
    int greedy_equal = 0;
    for (size_t i = 0; i < prompts.size(); ++i) {
      const auto logits = (*model)->Logits(prompts[i].ids, 16);
      ASSERT_TRUE(logits.ok()) << logits.status();
      const double error = RelativeError(*logits, prompts[i].logits);
      worst = std::max(worst, error);
      greedy_equal += GreedyTokens(prompts[i], *logits, (*model)->spec().vocab_size) == prompts[i].greedy;
      EXPECT_LE(error, tolerance) << kv_cache_dtype << ", prompt " << i;
      EXPECT_GT(error, 1e-4) << kv_cache_dtype << ", prompt " << i << ": the cache was not quantized";
    }
    if (kv_cache_dtype == "int8") {
      EXPECT_EQ(greedy_equal, static_cast<int>(prompts.size()));
    }
    PrintTableRow("float32, KV cache " + kv_cache_dtype, worst, greedy_equal, prompts.size());
  }
}

// Rows rounded to three bits of mantissa on their way to the experts, and their outputs to bfloat16.
TEST_P(GoldenTest, AnF8WireStaysClose) {
  const std::string dir = std::string(kGoldenDir) + "/" + GetParam();
  const std::vector<GoldenPrompt> prompts = ReadGolden(dir);
  auto model = LocalModel::Load(dir, "float32", 2, "auto", "fp8");
  ASSERT_TRUE(model.ok()) << model.status();
  double worst = 0;
  int greedy_equal = 0;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto logits = (*model)->Logits(prompts[i].ids, 16);
    ASSERT_TRUE(logits.ok()) << logits.status();
    const double error = RelativeError(*logits, prompts[i].logits);
    worst = std::max(worst, error);
    greedy_equal += GreedyTokens(prompts[i], *logits, (*model)->spec().vocab_size) == prompts[i].greedy;
    EXPECT_LE(error, 0.1) << "prompt " << i;
    EXPECT_GT(error, 1e-4) << "prompt " << i << ": the rows were not rounded";
  }
  PrintTableRow("float32, wire fp8", worst, greedy_equal, prompts.size());
}

INSTANTIATE_TEST_SUITE_P(Families, GoldenTest, ::testing::ValuesIn(GoldenNames()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace tandem::testing
