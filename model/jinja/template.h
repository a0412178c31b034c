// Jinja2 templates as the Hugging Face chat templates use them: rendered like Python's ImmutableSandboxedEnvironment
// with trim_blocks, lstrip_blocks, loop controls, `generation` blocks, and json.dumps behind `tojson`. Not supported:
// template inheritance and inclusion, autoescape, \N{…} escapes, integers beyond 64 bits, and the filters
// filesizeformat, pprint, random, striptags, urlize, wordwrap and xmlattr. The condition of a filtered for loop is
// evaluated for all items before the loop starts, and groups of `groupby` are plain pairs.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/jinja/runtime.h"
#include "model/jinja/text.h"
#include "model/jinja/value.h"

namespace tandem::jinja {

struct Ast;

// The variables a template sees. Input is data that did not come with the model: its text is marked in the output.
class Context {
 public:
  // INVALID_ARGUMENT for values JSON cannot hold, RESOURCE_EXHAUSTED for documents nested too deep.
  absl::Status Set(absl::string_view name, const nlohmann::ordered_json& value, bool from_input);
  // A list of objects from the input, except that their members `key` are not marked where they are one of `trusted`:
  // templates build control tokens out of the roles of messages, as in "<|" + role + "|>".
  absl::Status SetRecords(absl::string_view name, const nlohmann::ordered_json& records, absl::string_view key,
                          absl::Span<const absl::string_view> trusted);
  const Variables& variables() const { return variables_; }

 private:
  Variables variables_;
};

// Parsed once, rendered any number of times from any number of threads.
class Template {
 public:
  // INVALID_ARGUMENT with the line for a syntax error; RESOURCE_EXHAUSTED for one nested absurdly deep.
  static absl::StatusOr<Template> Parse(absl::string_view source);

  // INVALID_ARGUMENT with the line when the template raises (its own raise_exception included) or its data have the
  // wrong shape, RESOURCE_EXHAUSTED when it reaches a limit.
  absl::StatusOr<Text> Render(const Context& context, const RenderOptions& options = {}) const;

  // Whether the template mentions the variable `name` anywhere.
  bool Mentions(absl::string_view name) const;

 private:
  explicit Template(std::shared_ptr<const Ast> ast) : ast_(std::move(ast)) {}

  std::shared_ptr<const Ast> ast_;
};

}  // namespace tandem::jinja
