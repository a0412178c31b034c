// Runs the output parser over a whole answer, or over its pieces.
#pragma once

#include <string>
#include <vector>

#include "router/output_parser/output_parser.h"

namespace tandem::router {

struct ParserCase {
  OutputFormats formats;
  Json tools;
  bool begins_in_reasoning = false;
};

// Call ids count: "id0", "id1", ….
OutputParser MakeParser(const ParserCase& options);

// One line an event: "content:…", "reasoning:…", "call:index id name", "arguments:index …". Neighbouring pieces of one
// text are one line.
std::vector<std::string> Parse(const ParserCase& options, const std::vector<std::string>& pieces);
std::vector<std::string> Parse(ToolFormat tools, const std::string& text);

}  // namespace tandem::router
