// The bundled model's tokenizer and, where present, published ones. Equality with the `tokenizers` library on large
// texts is tests/tokenizer/compare.py's part; here stand a few of its results.
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "model/tokenizer/tokenizer.h"

namespace tandem::model {
namespace {

using Ids = std::vector<int32_t>;

constexpr char kText[] = "Hello, world! It's 12345 déjà vu…  我能吞下玻璃\n\n\tfoo_bar();👍🏽 e\u0301";

// Null, with the test skipped, where the file is absent.
std::unique_ptr<Tokenizer> LoadPublished(const std::string& name) {
  const char* shared = std::getenv("TANDEM_SHARED");
  const std::string directory = std::string(shared != nullptr ? shared : "../shared") + "/fixtures/tokenizers/" + name;
  if (!std::ifstream(directory + "/tokenizer.json").good()) return nullptr;
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::Load(directory);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

TEST(RealTokenizersTest, BundledModelIsLossless) {
  const auto tokenizer = Tokenizer::Load("models/pocket-dictionary");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const absl::StatusOr<Ids> ids = (*tokenizer)->Encode(kText);
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_EQ(ids->front(), 0);
  EXPECT_EQ((*tokenizer)->Decode(*ids), kText);
  EXPECT_EQ((*tokenizer)->vocab_size(), 4096);
  EXPECT_TRUE((*tokenizer)->IsSpecial(0));
}

TEST(RealTokenizersTest, DeepSeekV3EqualsThePeer) {
  const auto tokenizer = LoadPublished("deepseek_v3");
  if (tokenizer == nullptr) GTEST_SKIP() << "shared/fixtures/tokenizers/deepseek_v3 is absent";
  const Ids expected = {19923, 14,  2058,  3,   983, 734,   223,    6895,  1883,  54292, 22695, 1248, 262,  37444,
                        17376, 713, 15083, 271, 200, 40897, 100869, 12184, 92526, 40965, 124,   312,  17793};
  const absl::StatusOr<Ids> ids = tokenizer->Encode(kText);
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_EQ(*ids, expected);
}

TEST(RealTokenizersTest, Llama2EqualsThePeer) {
  const auto tokenizer = LoadPublished("llama2");
  if (tokenizer == nullptr) GTEST_SKIP() << "shared/fixtures/tokenizers/llama2 is absent";
  const Ids expected = {1,     22557, 28725, 1526, 28808, 661,   28742, 28713, 28705, 28740, 28750, 28770, 28781, 28782,
                        28320, 20620, 28878, 259,  29242, 29084, 232,   147,   161,   29061, 234,   145,   190,   234,
                        149,   134,   13,    13,   12,    8014,  28730, 1822,  692,   30195, 31007, 317,   28949};
  const absl::StatusOr<Ids> ids = tokenizer->Encode(kText);
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_EQ(*ids, expected);
}

TEST(RealTokenizersTest, Llama31EqualsThePeer) {
  const auto tokenizer = LoadPublished("llama3_1");
  if (tokenizer == nullptr) GTEST_SKIP() << "shared/fixtures/tokenizers/llama3_1 is absent";
  const Ids expected = {128000, 9906,  11,   1917,   0,     1102, 596,  220,   4513,   1774, 46939,
                        33614,  1981,  220,  106026, 27327, 7305, 252,  17297, 126870, 271,  197,
                        8134,   14725, 2178, 9468,   239,   235,  9468, 237,   121,    384,  54939};
  const absl::StatusOr<Ids> ids = tokenizer->Encode(kText);
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_EQ(*ids, expected);
}

TEST(RealTokenizersTest, Qwen3EqualsThePeer) {
  const auto tokenizer = LoadPublished("qwen3");
  if (tokenizer == nullptr) GTEST_SKIP() << "shared/fixtures/tokenizers/qwen3 is absent";
  const Ids expected = {9707,  11,     1879,  0,     1084, 594,   220,   16,     17,     18,
                        19,    20,     45839, 32514, 1940, 220,   49434, 239,    26232,  102840,
                        16872, 104268, 271,   197,   7975, 14388, 2129,  144349, 145375, 3958};
  const absl::StatusOr<Ids> ids = tokenizer->Encode(kText);
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_EQ(*ids, expected);
}

}  // namespace
}  // namespace tandem::model
