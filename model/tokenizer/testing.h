// Small tokenizer.json files for tests.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/tokenizer/tokenizer.h"

namespace tandem::model::tokenizer::testing {

// The blocks of a tokenizer.json, as JSON text.
struct Spec {
  std::string added_tokens = "[]";
  std::string normalizer = "null";
  std::string pre_tokenizer = "null";
  std::string post_processor = "null";
  std::string decoder = "null";
  std::string model;
};

std::string ToJson(const Spec& spec);

// Quotes and escapes.
std::string JsonString(const std::string& text);

// A BPE block whose vocabulary is `characters`, then the results of `merges` ("a b") in order. `options` is spliced in,
// for example R"("byte_fallback": true,)".
std::string BpeBlock(const std::vector<std::string>& characters, const std::vector<std::string>& merges,
                     const std::string& options = "");

// The 256 characters of the byte alphabet, so that byte b has id b.
std::vector<std::string> ByteCharacters();

// One entry of added_tokens; `flags` is spliced in, for example R"("special": true)".
std::string AddedTokenJson(int id, const std::string& content, const std::string& flags);

// A byte-level tokenizer with GPT-2's split and the given merges.
Spec ByteLevelSpec(const std::vector<std::string>& merges);

// The tokenizer, which has to load.
std::unique_ptr<Tokenizer> LoadSpec(const Spec& spec);

}  // namespace tandem::model::tokenizer::testing
