#include "base/trace_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tandem::trace {
namespace {

constexpr int kProcess = 1;
constexpr int kRowsPerTrack = 100;  // room in the numbering

// Where a span is drawn.
struct Placed {
  const Span* span;
  int row;
};

// The rows of one track, filled from left to right.
class Rows {
 public:
  explicit Rows(TrackKind kind) : kind_(kind) {}

  int Place(const Span& span) {
    for (size_t row = 0; row < open_.size(); ++row) {
      if (Fits(open_[row], span)) {
        open_[row].push_back(span.end_ns);
        return static_cast<int>(row);
      }
    }
    if (static_cast<int>(open_.size()) == kRowsPerTrack) {
      return kRowsPerTrack - 1;  // hundreds at a time are not to be told apart anyway
    }
    open_.push_back({span.end_ns});
    return static_cast<int>(open_.size()) - 1;
  }

  int size() const { return static_cast<int>(open_.size()); }

 private:
  // `open`: ends of the spans that the row is inside of, outermost first.
  bool Fits(std::vector<int64_t>& open, const Span& span) const {
    while (!open.empty() && open.back() <= span.begin_ns) {
      open.pop_back();
    }
    return open.empty() || (kind_ == TrackKind::kNested && span.end_ns <= open.back());
  }

  const TrackKind kind_;
  std::vector<std::vector<int64_t>> open_;
};

std::string Quoted(absl::string_view text) {
  return nlohmann::json(std::string(text)).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string RowName(const TrackInfo& track, int row) {
  return row == 0 ? track.name : absl::StrCat(track.name, " (", row + 1, ")");
}

// By begin; of those that begin together the longest first, so that it is the outer one.
std::vector<Placed> InOrder(absl::Span<const Span> spans) {
  std::vector<Placed> placed;
  placed.reserve(spans.size());
  for (const Span& span : spans) {
    placed.push_back({&span, 0});
  }
  std::stable_sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) {
    return std::make_pair(a.span->begin_ns, -a.span->end_ns) < std::make_pair(b.span->begin_ns, -b.span->end_ns);
  });
  return placed;
}

std::string EventJson(const Placed& placed, int64_t origin_ns) {
  const Span& span = *placed.span;
  const absl::string_view category = span.category;
  std::string text = absl::StrFormat(
      R"({"ph":"X","pid":%d,"tid":%d,"ts":%.3f,"dur":%.3f,"name":"%s%s%s","cat":"%s","args":{)", kProcess,
      span.track * kRowsPerTrack + placed.row, static_cast<double>(span.begin_ns - origin_ns) / 1e3,
      static_cast<double>(span.end_ns - span.begin_ns) / 1e3, category, category.empty() ? "" : " ", span.name,
      category);
  for (int i = 0; i < span.num_args; ++i) {
    absl::StrAppend(&text, i == 0 ? "" : ",", "\"", span.args[i].name, "\":", span.args[i].value);
  }
  return absl::StrCat(text, "}}");
}

std::string MetadataJson(int row_id, const char* kind, absl::string_view arg, absl::string_view value) {
  return absl::StrFormat(R"({"ph":"M","pid":%d,"tid":%d,"name":"%s","args":{"%s":%s}})", kProcess, row_id, kind, arg,
                         value);
}

}  // namespace

void WriteJson(const Recording& recording, absl::string_view process_name,
               absl::FunctionRef<void(absl::string_view)> write) {
  std::vector<Placed> placed = InOrder(recording.spans());
  std::vector<Rows> rows;
  for (const TrackInfo& track : recording.tracks) {
    rows.emplace_back(track.kind);
  }
  const int64_t origin_ns = placed.empty() ? 0 : placed.front().span->begin_ns;
  write("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
  write(MetadataJson(0, "process_name", "name", Quoted(process_name)));
  for (Placed& event : placed) {
    event.row = rows[event.span->track].Place(*event.span);
    write(",\n");
    write(EventJson(event, origin_ns));
  }
  for (size_t track = 0; track < rows.size(); ++track) {
    for (int row = 0; row < rows[track].size(); ++row) {
      const int id = static_cast<int>(track) * kRowsPerTrack + row;
      write(",\n");
      write(MetadataJson(id, "thread_name", "name", Quoted(RowName(recording.tracks[track], row))));
      write(",\n");
      write(MetadataJson(id, "thread_sort_index", "sort_index", absl::StrCat(id)));
    }
  }
  write(absl::StrFormat("\n],\"otherData\":{\"steps\":%d,\"dropped_spans\":%d}}\n", recording.steps,
                        recording.dropped_spans));
}

std::string ToJson(const Recording& recording, absl::string_view process_name) {
  std::string json;
  WriteJson(recording, process_name, [&json](absl::string_view piece) { json.append(piece.data(), piece.size()); });
  return json;
}

}  // namespace tandem::trace
