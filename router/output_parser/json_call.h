// Calls written as JSON: an object with name and arguments, alone or in a list; and the arguments alone.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "router/output_parser/call_reader.h"
#include "router/output_parser/json_scanner.h"

namespace tandem::router {

// A JSON object, handed on as arguments; its first byte is {.
class JsonArgumentsReader final : public CallReader {
 public:
  Step Push(char c, CallSink& sink) override;

 private:
  JsonScanner scanner_;
};

struct JsonCallRules {
  bool needs_arguments = false;            // else a call without them has {}
  absl::flat_hash_set<std::string> names;  // the only names there are; empty: any
};

// {"name": …, "arguments": {…}} in either order; "parameters" is another word for arguments; "id" and "type" are
// skipped, any other member before the call is known means that this is no call.
class JsonCallReader final : public CallReader {
 public:
  explicit JsonCallReader(JsonCallRules rules) : rules_(std::move(rules)) {}

  Step Push(char c, CallSink& sink) override;

 private:
  enum class Member { kNone, kName, kArguments, kOther };

  Step ReadKey(char c);
  Step ReadName(char c, bool was_string, CallSink& sink);
  Step ReadArguments(char c, bool complete, CallSink& sink);
  Step Finish(CallSink& sink);
  void Begin(CallSink& sink);

  const JsonCallRules rules_;
  JsonScanner scanner_;
  Member member_ = Member::kNone;
  std::string raw_;        // JSON text of the key or name that is being read
  std::string name_;       // once known
  std::string arguments_;  // that came before the name
  bool has_arguments_ = false;
  bool begun_ = false;
};

// [call, call, …]
class JsonCallListReader final : public CallReader {
 public:
  explicit JsonCallListReader(JsonCallRules rules) : rules_(std::move(rules)) {}

  Step Push(char c, CallSink& sink) override;

 private:
  enum class Place { kBegin, kElement, kInside, kNext };

  const JsonCallRules rules_;
  Place place_ = Place::kBegin;
  std::unique_ptr<JsonCallReader> call_;
};

}  // namespace tandem::router
