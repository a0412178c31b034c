// How tool calls are read, byte by byte: what all formats have in common.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace tandem::router {

// Takes the parts of calls as they become certain.
class CallSink {
 public:
  virtual ~CallSink() = default;
  // A call begins. An empty id: one is made.
  virtual void Begin(std::string name, std::string id) = 0;
  // More of its arguments, JSON text.
  virtual void Arguments(absl::string_view text) = 0;
  // The call is complete.
  virtual void End() = 0;
};

// Reads what follows an opening marker.
class CallReader {
 public:
  enum class Step {
    kMore,
    kDone,    // the call, or the list of calls, ends with this byte
    kReject,  // what came since the opening marker, or since the last End, is no call
    kBroken,  // within arguments, and this byte cannot belong to them
  };

  virtual ~CallReader() = default;
  virtual Step Push(char c, CallSink& sink) = 0;
};

// A byte as it stands in a JSON string.
std::string EscapeJson(char c);

inline bool IsJsonSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

}  // namespace tandem::router
