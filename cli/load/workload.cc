#include "cli/load/workload.h"

#include <random>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace tandem::cli {
namespace {

using Json = nlohmann::ordered_json;

// Small and the same everywhere; the standard distributions are not.
int DrawBelow(std::mt19937_64& random, int bound) { return static_cast<int>(random() % static_cast<uint64_t>(bound)); }

int Draw(std::mt19937_64& random, LengthRange range) {
  return range.min + DrawBelow(random, range.max - range.min + 1);
}

class SyntheticWorkload final : public Workload {
 public:
  explicit SyntheticWorkload(const SyntheticOptions& options) : options_(options) {
    std::mt19937_64 random(options_.seed);
    AppendTokens(random, options_.shared_prefix, prefix_);
  }

  LoadRequest Request(int64_t index) const override {
    std::seed_seq seed = {options_.seed, options_.seed >> 32, static_cast<uint64_t>(index) + 1};
    std::mt19937_64 random(seed);
    TokenPrompt prompt = prefix_;
    AppendTokens(random, Draw(random, options_.input), prompt);
    return {.prompt = std::move(prompt), .max_tokens = Draw(random, options_.output), .ignore_eos = true};
  }

 private:
  void AppendTokens(std::mt19937_64& random, int count, TokenPrompt& out) const {
    for (int i = 0; i < count; ++i) {
      out.push_back(DrawBelow(random, options_.vocab_size));
    }
  }

  const SyntheticOptions options_;
  TokenPrompt prefix_;
};

class PromptList final : public Workload {
 public:
  explicit PromptList(std::vector<LoadRequest> requests) : requests_(std::move(requests)) {}
  LoadRequest Request(int64_t index) const override { return requests_[index % requests_.size()]; }

 private:
  const std::vector<LoadRequest> requests_;
};

LoadRequest FromText(std::string text, const PromptFileOptions& options) {
  LoadRequest request = {.prompt = std::move(text), .max_tokens = options.max_tokens, .ignore_eos = options.ignore_eos};
  if (options.chat) {
    Json message = {{"role", "user"}, {"content", std::get<TextPrompt>(request.prompt)}};
    request.prompt = ChatMessages{Json::array({std::move(message)})};
  }
  return request;
}

bool IsTokenList(const Json& value) {
  return value.is_array() && !value.empty() &&
         std::all_of(value.begin(), value.end(), [](const Json& id) { return id.is_number_unsigned(); });
}

absl::StatusOr<LoadRequest> FromJson(const Json& json, const PromptFileOptions& options) {
  LoadRequest request;
  if (json.contains("messages") && json["messages"].is_array()) {
    request = {.prompt = ChatMessages{json["messages"]}, .ignore_eos = options.ignore_eos};
  } else if (json.contains("prompt") && json["prompt"].is_string()) {
    request = FromText(json["prompt"].get<std::string>(), options);
  } else if (json.contains("prompt") && IsTokenList(json["prompt"])) {
    request = {.prompt = json["prompt"].get<TokenPrompt>(), .ignore_eos = options.ignore_eos};
  } else {
    return absl::InvalidArgumentError("has neither 'messages' nor 'prompt' (a text or token ids)");
  }
  request.max_tokens = options.max_tokens;
  if (json.contains("max_tokens")) {
    if (!json["max_tokens"].is_number_unsigned()) {
      return absl::InvalidArgumentError("has a 'max_tokens' that is no positive integer");
    }
    request.max_tokens = json["max_tokens"].get<int>();
  }
  return request;
}

absl::StatusOr<LoadRequest> ParseLine(absl::string_view line, const PromptFileOptions& options) {
  if (line.front() != '{') {
    return FromText(std::string(line), options);
  }
  const Json json = Json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return absl::InvalidArgumentError("begins like a JSON object but is none");
  }
  return FromJson(json, options);
}

}  // namespace

absl::StatusOr<LengthRange> ParseLengthRange(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  LengthRange range;
  if (!absl::SimpleAtoi(parts.first, &range.min)) {
    range.min = -1;
  }
  range.max = range.min;
  if (parts.first.size() != text.size() && !absl::SimpleAtoi(parts.second, &range.max)) {
    range.max = -1;
  }
  if (range.min < 1 || range.max < range.min || range.max > (1 << 20)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is no length; it should look like 128, or 64:256 for a range"));
  }
  return range;
}

std::unique_ptr<Workload> MakeSyntheticWorkload(const SyntheticOptions& options) {
  return std::make_unique<SyntheticWorkload>(options);
}

absl::StatusOr<std::unique_ptr<Workload>> ParsePrompts(absl::string_view text, absl::string_view name,
                                                       const PromptFileOptions& options) {
  std::vector<LoadRequest> requests;
  int number = 0;
  for (const absl::string_view raw : absl::StrSplit(text, '\n')) {
    ++number;
    const absl::string_view line = absl::StripAsciiWhitespace(raw);
    if (line.empty()) {
      continue;
    }
    absl::StatusOr<LoadRequest> request = ParseLine(line, options);
    if (!request.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": line ", number, " ", request.status().message()));
    }
    requests.push_back(*std::move(request));
  }
  if (requests.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(name, " has no prompts"));
  }
  return std::make_unique<PromptList>(std::move(requests));
}

}  // namespace tandem::cli
