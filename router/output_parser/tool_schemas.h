// What parsers need to know of the tools of a request.
#pragma once

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "router/text_codec.h"

namespace tandem::router {

// Immutable.
class ToolSchemas {
 public:
  ToolSchemas() = default;
  // `tools` as in a request: [{"type": "function", "function": {"name", "parameters"}}]; what is malformed is left out.
  explicit ToolSchemas(const Json& tools);

  const absl::flat_hash_set<std::string>& names() const { return names_; }
  // Whether the tool's parameter is a string by its schema.
  bool IsString(absl::string_view tool, absl::string_view parameter) const;

 private:
  absl::flat_hash_set<std::string> names_;
  absl::flat_hash_map<std::string, absl::flat_hash_set<std::string>> strings_;  // by tool
};

}  // namespace tandem::router
