// What a load generator asks: request after request, from a file or made up.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem::cli {

struct ChatMessages {
  nlohmann::ordered_json messages;  // as in the API
};
using TextPrompt = std::string;
using TokenPrompt = std::vector<int32_t>;

struct LoadRequest {
  std::variant<ChatMessages, TextPrompt, TokenPrompt> prompt;
  int max_tokens = 0;  // 0: the server's default
  bool ignore_eos = false;
};

// A length, or a range that lengths are drawn from evenly.
struct LengthRange {
  int min = 0;
  int max = 0;
};

// "128" or "64:256". Errors: INVALID_ARGUMENT.
absl::StatusOr<LengthRange> ParseLengthRange(absl::string_view text);

// An endless sequence of requests. Thread-safe.
class Workload {
 public:
  virtual ~Workload() = default;
  // The same index gives the same request.
  virtual LoadRequest Request(int64_t index) const = 0;
};

struct SyntheticOptions {
  LengthRange input = {128, 128};  // tokens of the prompt after the shared prefix
  LengthRange output = {64, 64};   // exactly so many are generated, whatever the model says
  int shared_prefix = 0;           // tokens that all prompts begin with
  int vocab_size = 1000;           // ids are drawn from 0 to vocab_size - 1
  uint64_t seed = 0;
};

// Prompts of random token ids.
std::unique_ptr<Workload> MakeSyntheticWorkload(const SyntheticOptions& options);

struct PromptFileOptions {
  bool chat = true;    // texts are asked as user messages; false: continued as they are
  int max_tokens = 0;  // of requests that do not say; 0: the server's default
  bool ignore_eos = false;
};

// The lines of `text`, over and over again. A line is either a text or a JSON object with "messages" (as in the chat
// API) or "prompt" (a text or token ids), and maybe "max_tokens". Empty lines are skipped. `name` is for error
// messages. Errors: INVALID_ARGUMENT naming the line.
absl::StatusOr<std::unique_ptr<Workload>> ParsePrompts(absl::string_view text, absl::string_view name,
                                                       const PromptFileOptions& options);

}  // namespace tandem::cli
