#include "router/output_parser/reasoning_parser.h"

#include <utility>

#include "router/output_parser/call_reader.h"

namespace tandem::router {
namespace {

constexpr std::pair<ReasoningFormat, absl::string_view> kNames[] = {
    {ReasoningFormat::kNone, "none"}, {ReasoningFormat::kThink, "think"}, {ReasoningFormat::kMistral, "mistral"}};

std::vector<absl::string_view> Markers(ReasoningFormat format, const std::vector<absl::string_view>& interruptions) {
  const ReasoningTags tags = TagsOf(format);
  std::vector<absl::string_view> markers = {tags.begin, tags.end};
  markers.insert(markers.end(), interruptions.begin(), interruptions.end());
  return markers;
}

}  // namespace

absl::string_view ReasoningFormatName(ReasoningFormat format) { return kNames[static_cast<size_t>(format)].second; }

std::optional<ReasoningFormat> ReasoningFormatByName(absl::string_view name) {
  for (const auto& [format, known] : kNames) {
    if (known == name) return format;
  }
  return std::nullopt;
}

std::vector<std::string> ReasoningFormatNames() {
  std::vector<std::string> names;
  for (const auto& [format, name] : kNames) {
    names.emplace_back(name);
  }
  return names;
}

ReasoningTags TagsOf(ReasoningFormat format) {
  return format == ReasoningFormat::kMistral ? ReasoningTags{"[THINK]", "[/THINK]"}
                                             : ReasoningTags{"<think>", "</think>"};
}

ReasoningParser::ReasoningParser(ReasoningFormat format, bool begins_inside,
                                 std::vector<absl::string_view> interruptions)
    : finder_(Markers(format, interruptions)), place_(begins_inside ? Place::kReasoning : Place::kStart) {}

void ReasoningParser::Push(absl::string_view text, OutputEvents& out, std::string& answer) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (place_ == Place::kAnswer) {
      answer.append(text.data() + i, text.size() - i);
      return;
    }
    PushByte(text[i], out, answer);
  }
}

void ReasoningParser::Finish(OutputEvents& out, std::string& answer) {
  for (char c : finder_.Flush()) {
    AddPlain(c, out, answer);
  }
  if (place_ == Place::kStart) {
    answer += std::exchange(space_, "");
  }
}

void ReasoningParser::PushByte(char c, OutputEvents& out, std::string& answer) {
  if (place_ == Place::kAfterReasoning) {  // no more markers
    AddPlain(c, out, answer);
    return;
  }
  std::string plain;
  const int marker = finder_.Push(c, plain);
  for (char p : plain) {
    AddPlain(p, out, answer);
  }
  if (place_ == Place::kAnswer) {  // what is held back can be no opening tag any more
    answer += finder_.Flush();
  }
  if (marker != MarkerFinder::kNone) {
    OnMarker(marker, out, answer);
  }
}

void ReasoningParser::AddPlain(char c, OutputEvents& out, std::string& answer) {
  if (place_ == Place::kAnswer) {
    answer.push_back(c);
    return;
  }
  space_.push_back(c);
  if (IsJsonSpace(c)) {
    return;
  }
  switch (place_) {
    case Place::kStart:
      place_ = Place::kAnswer;
      answer += std::exchange(space_, "");
      break;
    case Place::kReasoning:
      out.AddText(OutputEvent::Kind::kReasoning,
                  std::exchange(reasoning_empty_, false) ? absl::string_view(&c, 1) : absl::string_view(space_));
      space_.clear();
      break;
    default:
      place_ = Place::kAnswer;
      space_.clear();
      answer.push_back(c);
      break;
  }
}

void ReasoningParser::OnMarker(int marker, OutputEvents& out, std::string& answer) {
  const std::string& text = finder_.marker(marker);
  if (place_ == Place::kReasoning && marker != kBeginTag) {
    space_.clear();
    place_ = marker == kEndTag ? Place::kAfterReasoning : Place::kAnswer;
    answer += marker == kEndTag ? "" : text;
  } else if (marker == kBeginTag && (place_ == Place::kStart || (place_ == Place::kReasoning && reasoning_empty_))) {
    space_.clear();
    place_ = Place::kReasoning;
  } else {
    for (char c : text) {
      AddPlain(c, out, answer);
    }
  }
}

}  // namespace tandem::router
