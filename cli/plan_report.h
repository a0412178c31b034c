// How predictions are shown: a table that fits 100 columns, JSON, and a Chrome trace.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "scheduler/planner/plan.h"

namespace tandem::cli {

// One prediction as an object; times in milliseconds, memory in bytes.
nlohmann::ordered_json PlanToJson(const scheduler::PlanInput& input, const scheduler::PlanResult& plan);

// What is planned for and with what.
void PrintPlanHeader(const scheduler::PlanInput& input);
// One prediction: a line in a table of layouts, or, in full, all that is known of one.
void PrintPlanColumns();
void PrintPlanLine(const scheduler::PlanInput& input, const scheduler::PlanResult& plan);
void PrintPlanDetails(const scheduler::PlanInput& input, const scheduler::PlanResult& plan);

// Of the spans of a plan that was asked for them: for chrome://tracing or Perfetto. Errors: PERMISSION_DENIED.
absl::Status WritePlanTrace(const std::string& path, const scheduler::PlanResult& plan);

}  // namespace tandem::cli
