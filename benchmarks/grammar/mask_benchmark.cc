// What a grammar costs per token: the mask built anew, the mask found in the cache, and taking the token.
//
//   grammar_mask_benchmark [--tokens N] [--cpu NAME] [--commit NAME] NAME=MODEL_DIR...
//
// For each vocabulary and each kind of grammar, answers with random tokens, one after the other until N tokens. Every
// answer is walked twice: the second time all masks are in the cache. Prints JSON, times in microseconds on one thread.
#include <algorithm>
#include <chrono>
#include <iostream>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "model/grammar/mask_cache.h"
#include "model/grammar/matcher.h"
#include "model/tokenizer/tokenizer.h"
#include "router/model_text.h"
#include "router/structured_output.h"

namespace {

using tandem::grammar::MaskCache;
using tandem::grammar::Matcher;
using tandem::grammar::TokenTable;
using tandem::router::GrammarSpec;
using tandem::router::Json;
using Clock = std::chrono::steady_clock;

struct Case {
  const char* name;
  GrammarSpec::Kind kind;
  const char* value;  // JSON
};

constexpr Case kCases[] = {
    {"any object", GrammarSpec::Kind::kJsonObject, "null"},
    {"schema", GrammarSpec::Kind::kJsonSchema,
     R"({"type":"object","required":["name","age","tags","about"],"additionalProperties":false,"properties":{
         "name":{"type":"string","minLength":1,"maxLength":40},"age":{"type":"integer","minimum":0,"maximum":130},
         "tags":{"type":"array","items":{"enum":["red","green","blue"]},"maxItems":5},"about":{"type":"string"},
         "place":{"anyOf":[{"type":"null"},{"type":"object","required":["city"],"properties":{
           "city":{"type":"string"},"zip":{"type":"string","pattern":"^[0-9]{5}$"}}}]}}})"},
    {"bounded strings", GrammarSpec::Kind::kJsonSchema,
     R"({"type":"array","items":{"type":"string","minLength":100,"maxLength":200},"minItems":3,"maxItems":3})"},
    {"tree", GrammarSpec::Kind::kJsonSchema,
     R"({"$ref":"#/$defs/t","$defs":{"t":{"type":"object","required":["name","kids"],"properties":{
         "name":{"type":"string"},"kids":{"type":"array","items":{"$ref":"#/$defs/t"},"maxItems":3}}}}})"},
    {"regex", GrammarSpec::Kind::kRegex, R"("([A-Z][a-z ,]{20,60}\\. ){2,4}")"},
    {"choice", GrammarSpec::Kind::kChoice, R"(["positive","negative","neutral","mixed feelings"])"},
};

class Times {
 public:
  void Add(Clock::time_point start) {
    microseconds_.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
  Json Summary() {
    std::sort(microseconds_.begin(), microseconds_.end());
    const auto at = [&](double share) {
      return Round(microseconds_[static_cast<size_t>(share * static_cast<double>(microseconds_.size() - 1))]);
    };
    double sum = 0;
    for (const double time : microseconds_) sum += time;
    return {{"mean", Round(sum / static_cast<double>(microseconds_.size()))}, {"p50", at(0.5)}, {"p99", at(0.99)}};
  }
  static double Round(double value) { return std::round(value * 100) / 100; }

 private:
  std::vector<double> microseconds_;
};

// One answer, ended as soon as it may end with the mask's first look at it being random.
std::vector<int32_t> Answer(Matcher matcher, const TokenTable& table, size_t max_tokens, std::mt19937_64& random,
                            Times& built) {
  std::vector<int32_t> tokens;
  std::vector<uint64_t> mask(table.mask_words());
  while (tokens.size() < max_tokens && !matcher.MustEnd()) {
    const Clock::time_point start = Clock::now();
    matcher.FillMask(table, absl::MakeSpan(mask));
    built.Add(start);
    std::vector<int32_t> allowed;
    for (size_t token = 0; token < table.vocab_size(); ++token) {
      if ((mask[token / 64] >> token % 64 & 1) != 0) allowed.push_back(static_cast<int32_t>(token));
    }
    if (allowed.empty()) break;
    tokens.push_back(allowed[random() % allowed.size()]);
    matcher.Accept(table.BytesOf(tokens.back()));
  }
  return tokens;
}

Json Measure(const Case& test, const TokenTable& table, size_t token_count) {
  const GrammarSpec spec = {test.kind, Json::parse(test.value), test.name};
  const Clock::time_point start = Clock::now();
  const auto grammar = tandem::router::CompileGrammar(spec);
  Times compiled;
  compiled.Add(start);
  if (!grammar.ok()) {
    std::cerr << grammar.status() << "\n";
    std::exit(1);
  }
  std::mt19937_64 random(1);
  MaskCache cache(size_t{256} << 20);
  Times built;
  Times first;
  Times cached;
  Times accepted;
  size_t count = 0;
  while (count < token_count) {
    const std::vector<int32_t> tokens = Answer(Matcher(*grammar), table, 400, random, built);
    count += tokens.size();
    for (Times* times : {&first, &cached}) {
      Matcher matcher(*grammar);
      for (const int32_t token : tokens) {
        Clock::time_point at = Clock::now();
        const MaskCache::Mask mask = cache.Get(matcher, table);
        times->Add(at);
        at = Clock::now();
        matcher.Accept(table.BytesOf(token));
        accepted.Add(at);
      }
    }
  }
  return {{"grammar", test.name},
          {"compile_us", compiled.Summary()["p50"]},
          {"states", (*grammar)->state_count()},
          {"tokens", count},
          {"built_us", built.Summary()},
          {"first_time_us", first.Summary()},
          {"cached_us", cached.Summary()},
          {"accept_us", accepted.Summary()}};
}

Json MeasureVocabulary(const std::string& name, const std::string& dir, size_t tokens) {
  const auto tokenizer = tandem::model::Tokenizer::Load(dir);
  const auto codec = tandem::router::ModelTextCodec::Load(dir, std::numeric_limits<int32_t>::max());
  if (!tokenizer.ok() || !codec.ok()) {
    std::cerr << dir << ": " << tokenizer.status() << "\n";
    std::exit(1);
  }
  const Clock::time_point start = Clock::now();
  const TokenTable table = tandem::router::MakeTokenTable(**codec, (*tokenizer)->vocab_size());
  const double milliseconds = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  Json result = {{"vocabulary", name},
                 {"tokens", table.vocab_size()},
                 {"table_ms", Times::Round(milliseconds)},
                 {"grammars", Json::array()}};
  for (const Case& test : kCases) result["grammars"].push_back(Measure(test, table, tokens));
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  size_t tokens = 2000;
  Json result = {{"benchmark", "structured output: cost per token, one thread, microseconds"},
                 {"cpu", "unknown"},
                 {"commit", "unknown"},
                 {"vocabularies", Json::array()}};
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const size_t equals = argument.find('=');
    if (i + 1 < argc && argument == "--tokens" && absl::SimpleAtoi(argv[i + 1], &tokens)) {
      ++i;
    } else if (i + 1 < argc && (argument == "--cpu" || argument == "--commit")) {
      result[argument.substr(2)] = argv[++i];
    } else if (equals != std::string::npos) {
      result["vocabularies"].push_back(
          MeasureVocabulary(argument.substr(0, equals), argument.substr(equals + 1), tokens));
    } else {
      std::cerr << "usage: grammar_mask_benchmark [--tokens N] [--cpu NAME] [--commit NAME] NAME=MODEL_DIR...\n";
      return 2;
    }
  }
  std::cout << result.dump(1) << "\n";
  return 0;
}
