#include "router/output_parser/tool_call_parser.h"

#include <algorithm>
#include <utility>

namespace tandem::router {
namespace {

std::vector<absl::string_view> AllMarkers(const ToolSyntax& syntax) {
  std::vector<absl::string_view> markers = syntax.opening;
  markers.insert(markers.end(), syntax.section.begin(), syntax.section.end());
  markers.insert(markers.end(), syntax.closing.begin(), syntax.closing.end());
  return markers;
}

bool Contains(const std::vector<absl::string_view>& list, absl::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

}  // namespace

ToolCallParser::ToolCallParser(ToolFormat format, ToolSchemas schemas, CallIdMaker make_id, bool only_one)
    : syntax_(SyntaxOf(format)),
      schemas_(std::move(schemas)),
      make_id_(std::move(make_id)),
      only_one_(only_one),
      finder_(AllMarkers(syntax_)) {}

void ToolCallParser::Push(absl::string_view text, OutputEvents& out) {
  out_ = &out;
  again_.emplace_back(text);
  while (!again_.empty()) {
    const std::string piece = std::move(again_.back());
    again_.pop_back();
    for (size_t i = 0; i < piece.size(); ++i) {
      const size_t rejected = again_.size();
      switch (mode_) {
        case Mode::kContent:
          PushContent(piece[i]);
          break;
        case Mode::kCall:
          PushCall(piece[i]);
          break;
        case Mode::kBrokenArguments:
          PushBroken(piece[i]);
          break;
      }
      if (again_.size() > rejected) {  // goes before the rest of this piece
        again_.insert(again_.end() - 1, piece.substr(i + 1));
        break;
      }
    }
  }
  out_ = nullptr;
}

void ToolCallParser::Finish(OutputEvents& out) {
  out_ = &out;
  const std::string rest = finder_.Flush();
  if (mode_ == Mode::kBrokenArguments) {
    Arguments(rest);
  } else if (mode_ == Mode::kContent) {
    for (char c : rest) {
      AddContent(c);
    }
  } else if (!opening_.empty()) {
    gap_ += opening_ + held_;
    after_call_ = false;
  }
  if (!after_call_) {
    FlushGap();
  }
  out_ = nullptr;
}

void ToolCallParser::PushContent(char c) {
  std::string plain;
  const int marker = finder_.Push(c, plain);
  for (char p : plain) {
    // Where a call may be bare JSON, no marker has a bracket in it: this one is the byte that just came.
    if (p == '{' && syntax_.bare_json && (at_start_ || after_call_)) {
      OpenCall("{");
      reader_->Push(p, *this);
    } else {
      AddContent(p);
    }
  }
  if (marker != MarkerFinder::kNone) {
    OnMarker(marker);
  }
}

void ToolCallParser::OnMarker(int marker) {
  const std::string& text = finder_.marker(marker);
  if (Contains(syntax_.opening, text)) {
    OpenCall(text);
  } else if (Contains(syntax_.section, text)) {
    gap_ += text;
  } else if (after_call_) {
    gap_.clear();
  } else {
    gap_ += text;
    FlushGap();
  }
}

void ToolCallParser::AddContent(char c) {
  gap_.push_back(c);
  if (!IsJsonSpace(c)) {
    FlushGap();
  }
}

void ToolCallParser::FlushGap() {
  if (!gap_.empty()) {
    out_->AddText(OutputEvent::Kind::kContent, std::exchange(gap_, ""));
    at_start_ = false;
    after_call_ = false;
  }
}

void ToolCallParser::OpenCall(absl::string_view opening) {
  mode_ = Mode::kCall;
  reader_ = syntax_.make_reader(schemas_);
  opening_ = std::string(opening);
  held_.clear();
}

void ToolCallParser::PushCall(char c) {
  held_.push_back(c);
  sunk_ = false;
  switch (reader_->Push(c, *this)) {
    case CallReader::Step::kMore:
      if (sunk_) held_.clear();
      break;
    case CallReader::Step::kDone:
      mode_ = Mode::kContent;
      held_.clear();
      after_call_ = true;
      break;
    case CallReader::Step::kReject:
      RejectCall();
      break;
    case CallReader::Step::kBroken:
      mode_ = Mode::kBrokenArguments;
      again_.push_back(std::exchange(held_, ""));
      break;
  }
}

void ToolCallParser::RejectCall() {
  mode_ = Mode::kContent;
  if (opening_.empty()) {  // a call has begun, and ended
    after_call_ = true;
  } else {
    gap_ += std::exchange(opening_, "");
    FlushGap();
  }
  again_.push_back(std::exchange(held_, ""));
}

void ToolCallParser::PushBroken(char c) {
  std::string plain;
  const int marker = finder_.Push(c, plain);
  Arguments(plain);
  if (marker != MarkerFinder::kNone) {
    mode_ = Mode::kContent;
    after_call_ = true;
    OnMarker(marker);
  }
}

// The model's own id, unless it has none or repeats itself.
std::string ToolCallParser::UniqueId(std::string id) {
  if (id.empty() || std::find(ids_.begin(), ids_.end(), id) != ids_.end()) {
    id = make_id_(syntax_.short_ids);
  }
  ids_.push_back(id);
  return id;
}

void ToolCallParser::Begin(std::string name, std::string id) {
  gap_.clear();
  opening_.clear();
  at_start_ = false;
  sunk_ = true;
  if (calls_++ == 0 || !only_one_) {
    out_->AddToolCall(calls_ - 1, UniqueId(std::move(id)), std::move(name));
  }
}

void ToolCallParser::Arguments(absl::string_view text) {
  sunk_ = true;
  if (calls_ == 1 || !only_one_) {
    out_->AddText(OutputEvent::Kind::kArguments, text, calls_ - 1);
  }
}

void ToolCallParser::End() { sunk_ = true; }

}  // namespace tandem::router
