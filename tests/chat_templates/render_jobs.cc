// Renders templates for compare.py and fuzz.py. One job per line of standard input,
//   {"source": template, "input": {marked variables}, "trusted": {unmarked variables}}
// and one answer per line of standard output, {"text": …, "input_bytes": n} or {"error": …, "code": …}. The clock
// stands at 2026-01-02 03:04:05 UTC.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/status.h"
#include "model/jinja/template.h"

namespace {

using Json = nlohmann::ordered_json;

tandem::jinja::RenderOptions Options() {
  tandem::jinja::RenderOptions options;
  options.time_zone = absl::UTCTimeZone();
  options.now = [] { return absl::FromCivil(absl::CivilSecond(2026, 1, 2, 3, 4, 5), absl::UTCTimeZone()); };
  return options;
}

absl::StatusOr<tandem::jinja::Text> RunJob(const Json& job) {
  ASSIGN_OR_RETURN(const auto parsed, tandem::jinja::Template::Parse(job.at("source").get<std::string>()));
  tandem::jinja::Context context;
  for (const auto& [name, value] : job.at("trusted").items()) {
    RETURN_IF_ERROR(context.Set(name, value, false));
  }
  for (const auto& [name, value] : job.at("input").items()) {
    RETURN_IF_ERROR(context.Set(name, value, true));
  }
  return parsed.Render(context, Options());
}

Json Answer(const Json& job) {
  const auto text = RunJob(job);
  if (!text.ok()) {
    return {{"error", std::string(text.status().message())}, {"code", absl::StatusCodeToString(text.status().code())}};
  }
  size_t input_bytes = 0;
  size_t begin = 0;
  for (const auto& span : text->spans()) {
    input_bytes += span.from_input ? span.end - begin : 0;
    begin = span.end;
  }
  return {{"text", text->bytes()}, {"input_bytes", input_bytes}};
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    const Json answer = Answer(Json::parse(line));
    std::cout << answer.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
  }
  return 0;
}
