// Answers with random logits under a grammar's masks, for check_outputs.py.
//
//   structured_output_tool MODEL_DIR
//
// Each line on stdin is a job: {"kind": "json_schema" | "json_object" | "regex" | "choice" | "grammar", "value": ...,
// "seeds": [...], "temperatures": [...], "max_tokens": N}. Each line on stdout is its result: {"error": TEXT}, or
// {"outputs": [{"text": TEXT, "finished": BOOL, "tokens": N}, ...], "wrong": [...]} with an output for every seed and
// temperature. After max_tokens tokens the shortest way to the end is taken, for as many tokens again and 200.
// "wrong" names what must not happen: a mask that disagrees with what the grammar accepts, or with itself when it is
// found in the cache; a dead end.
#include <cmath>
#include <iostream>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/grammar/mask_cache.h"
#include "model/grammar/matcher.h"
#include "model/tokenizer/tokenizer.h"
#include "router/model_text.h"
#include "router/structured_output.h"

namespace {

using tandem::grammar::Matcher;
using tandem::grammar::TokenTable;
using tandem::router::GrammarSpec;
using tandem::router::Json;

constexpr int32_t kEnd = -1;

struct Output {
  std::vector<int32_t> tokens;
  bool finished = false;
};

// One answer, token by token.
class Sampler {
 public:
  Sampler(const TokenTable& table, tandem::grammar::MaskCache& cache, Matcher matcher, uint64_t seed,
          double temperature)
      : table_(table), cache_(cache), matcher_(std::move(matcher)), random_(seed), temperature_(temperature) {
    std::normal_distribution<double> normal;
    for (size_t token = 0; token < table.vocab_size() + 1; ++token) logits_.push_back(normal(random_));
  }

  Output Run(size_t max_tokens, std::vector<std::string>& wrong) {
    Output output;
    while (output.tokens.size() < 2 * max_tokens + 200) {
      const std::vector<int32_t> allowed = Allowed(wrong);
      if (allowed.empty() && !matcher_.CanEnd()) {
        wrong.push_back("a dead end");
        return output;
      }
      const bool is_late = output.tokens.size() >= max_tokens;
      const int32_t token = is_late ? Shortest(allowed) : Random(allowed);
      if (token == kEnd) {
        output.finished = true;
        return output;
      }
      if (!matcher_.Accept(table_.BytesOf(token))) wrong.push_back(absl::StrCat("token ", token, " was allowed"));
      output.tokens.push_back(token);
    }
    return output;
  }

 private:
  std::vector<int32_t> Allowed(std::vector<std::string>& wrong) {
    std::vector<uint64_t> mask(table_.mask_words());
    matcher_.FillMask(table_, absl::MakeSpan(mask));
    if (*cache_.Get(matcher_, table_) != mask) wrong.push_back("a cached mask is another one");
    std::vector<int32_t> allowed;
    for (size_t token = 0; token < table_.vocab_size(); ++token) {
      if (IsSet(mask, token)) allowed.push_back(static_cast<int32_t>(token));
    }
    for (int i = 0; i < 20; ++i) {
      const size_t token = random_() % table_.vocab_size();
      Matcher copy = matcher_;
      const absl::string_view bytes = table_.BytesOf(static_cast<int32_t>(token));
      const bool can_match = !bytes.empty() && bytes.size() <= TokenTable::kMaxTokenBytes;
      if ((can_match && copy.Accept(bytes)) != IsSet(mask, token)) {
        wrong.push_back(absl::StrCat("the mask and the grammar disagree on token ", token));
      }
    }
    return allowed;
  }

  static bool IsSet(const std::vector<uint64_t>& mask, size_t token) {
    return (mask[token / 64] >> token % 64 & 1) != 0;
  }

  // Softmax sampling by the Gumbel trick.
  int32_t Random(const std::vector<int32_t>& allowed) {
    std::uniform_real_distribution<double> uniform(1e-300, 1);
    const auto score = [&](size_t token) {
      return logits_[token] / temperature_ - std::log(-std::log(uniform(random_)));
    };
    int32_t best = kEnd;
    // The end is as likely as a good share of the vocabulary: otherwise nothing would ever end.
    double best_score = matcher_.CanEnd()
                            ? score(table_.vocab_size()) + std::log(1 + 0.1 * static_cast<double>(allowed.size()))
                            : -std::numeric_limits<double>::infinity();
    for (const int32_t token : allowed) {
      const double token_score = score(static_cast<size_t>(token));
      if (token_score > best_score) {
        best = token;
        best_score = token_score;
      }
    }
    return best;
  }

  int32_t Shortest(const std::vector<int32_t>& allowed) {
    if (matcher_.CanEnd()) return kEnd;
    int32_t best = allowed[0];
    uint64_t best_bytes = std::numeric_limits<uint64_t>::max();
    for (const int32_t token : allowed) {
      const bool is_short = table_.BytesOf(token).size() == 1;
      if (!is_short && random_() % allowed.size() > 32) continue;
      Matcher copy = matcher_;
      copy.Accept(table_.BytesOf(token));
      if (copy.BytesToEnd() < best_bytes) {
        best = token;
        best_bytes = copy.BytesToEnd();
      }
    }
    return best;
  }

  const TokenTable& table_;
  tandem::grammar::MaskCache& cache_;
  Matcher matcher_;
  std::mt19937_64 random_;
  const double temperature_;
  std::vector<double> logits_;
};

absl::StatusOr<GrammarSpec> SpecOf(const Json& job) {
  constexpr std::pair<const char*, GrammarSpec::Kind> kKinds[] = {{"json_schema", GrammarSpec::Kind::kJsonSchema},
                                                                  {"json_object", GrammarSpec::Kind::kJsonObject},
                                                                  {"regex", GrammarSpec::Kind::kRegex},
                                                                  {"choice", GrammarSpec::Kind::kChoice},
                                                                  {"grammar", GrammarSpec::Kind::kGrammar}};
  for (const auto& [name, kind] : kKinds) {
    if (job["kind"] == name) return GrammarSpec{kind, job.value("value", Json()), "value"};
  }
  return absl::InvalidArgumentError("unknown kind");
}

Json Answer(const Json& job, const TokenTable& table, tandem::grammar::MaskCache& cache,
            const tandem::router::TextCodec& codec) {
  const auto spec = SpecOf(job);
  if (!spec.ok()) return {{"error", std::string(spec.status().message())}};
  const auto grammar = tandem::router::CompileGrammar(*spec);
  if (!grammar.ok()) return {{"error", std::string(grammar.status().message())}};
  Json result = {{"outputs", Json::array()}};
  std::vector<std::string> wrong;
  for (const Json& seed : job["seeds"]) {
    for (const Json& temperature : job["temperatures"]) {
      Sampler sampler(table, cache, Matcher(*grammar), seed.get<uint64_t>(), temperature.get<double>());
      const Output output = sampler.Run(job["max_tokens"].get<size_t>(), wrong);
      result["outputs"].push_back({{"text", codec.Decode(output.tokens, /*skip_special_tokens=*/true)},
                                   {"finished", output.finished},
                                   {"tokens", output.tokens.size()}});
    }
  }
  result["wrong"] = wrong;
  return result;
}

int Serve(const std::string& model_dir) {
  const auto tokenizer = tandem::model::Tokenizer::Load(model_dir);
  const auto codec = tandem::router::ModelTextCodec::Load(model_dir, std::numeric_limits<int32_t>::max());
  if (!tokenizer.ok() || !codec.ok()) {
    std::cerr << tokenizer.status() << " " << codec.status() << "\n";
    return 1;
  }
  const TokenTable table = tandem::router::MakeTokenTable(**codec, (*tokenizer)->vocab_size());
  tandem::grammar::MaskCache cache(size_t{64} << 20);
  std::string line;
  while (std::getline(std::cin, line)) {
    const Json job = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!job.is_object()) {
      std::cerr << "not a job: " << line << "\n";
      return 1;
    }
    std::cout << Answer(job, table, cache, **codec).dump() << "\n" << std::flush;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: structured_output_tool MODEL_DIR\n";
    return 2;
  }
  return Serve(argv[1]);
}
