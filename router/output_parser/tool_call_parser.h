// Finds the tool calls in the text of an answer.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "router/output_parser/call_reader.h"
#include "router/output_parser/marker_finder.h"
#include "router/output_parser/output_event.h"
#include "router/output_parser/tool_format.h"

namespace tandem::router {

// Makes the id of a call; `short_id`: 9 letters and digits.
using CallIdMaker = std::function<std::string(bool short_id)>;

// Works byte by byte, so that the result does not depend on how the text was cut.
//
// What stands between the calls is content, without the white space next to calls. What looks like a call but is none
// is content too, as it was written. Once a call's name is known and its arguments have begun, they stream; if they
// turn out to be no JSON, they go out as they are, up to the next marker. Not thread-safe.
class ToolCallParser final : private CallSink {
 public:
  // With `only_one` the calls behind the first are left out.
  ToolCallParser(ToolFormat format, ToolSchemas schemas, CallIdMaker make_id, bool only_one);

  void Push(absl::string_view text, OutputEvents& out);
  void Finish(OutputEvents& out);

  bool has_calls() const { return calls_ > 0; }

 private:
  enum class Mode { kContent, kCall, kBrokenArguments };

  void PushContent(char c);
  void PushCall(char c);
  void PushBroken(char c);
  void OnMarker(int marker);
  void AddContent(char c);
  void FlushGap();
  void OpenCall(absl::string_view opening);
  void RejectCall();

  std::string UniqueId(std::string id);
  void Begin(std::string name, std::string id) override;
  void Arguments(absl::string_view text) override;
  void End() override;

  const ToolSyntax& syntax_;
  const ToolSchemas schemas_;
  const CallIdMaker make_id_;
  const bool only_one_;
  MarkerFinder finder_;
  OutputEvents* out_ = nullptr;  // during a call of Push or Finish

  Mode mode_ = Mode::kContent;
  std::string gap_;          // white space and section markers that a call would swallow
  bool at_start_ = true;     // nothing but a gap so far
  bool after_call_ = false;  // nothing but a gap since the last call

  std::unique_ptr<CallReader> reader_;
  std::string opening_;  // of the call that is being read, while it may still be none
  std::string held_;     // what came since, or since the reader last gave something to the sink
  bool sunk_ = false;    // it gave something for the last byte
  int32_t calls_ = 0;
  std::vector<std::string> ids_;  // given so far

  std::vector<std::string> again_;  // text to be read once more, the last piece first
};

}  // namespace tandem::router
