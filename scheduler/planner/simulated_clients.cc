#include "scheduler/planner/simulated_clients.h"

#include <cmath>

namespace tandem::scheduler {

SimulatedRequest SimulatedClients::Next(double now) {
  const RequestShape shape = ShapeOf(load_, made_);
  const double cached = load_.prefix_cache_share * static_cast<double>(shape.prompt_tokens);
  return {.id = ++made_,
          .arrived = now,
          .prompt_tokens = shape.prompt_tokens,
          .output_tokens = shape.output_tokens,
          .cached_prompt_tokens = static_cast<int64_t>(cached)};
}

SimulatedRequest SimulatedClients::NextUnderWay(int index) {
  constexpr double kGoldenRatio = 0.6180339887498949;  // its multiples fill the circle evenly
  SimulatedRequest request = Next(0);
  const double turns = (index + 0.5) * kGoldenRatio;
  const double place = turns - std::floor(turns);
  request.generated = 1 + static_cast<int64_t>(place * static_cast<double>(request.output_tokens - 1));
  return request;
}

}  // namespace tandem::scheduler
