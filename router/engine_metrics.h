// What the engine and the expert plane are doing, as Prometheus families read at scrape time.
#pragma once

#include <memory>

#include "base/metrics.h"
#include "router/engine.h"
#include "router/expert_plane.h"

namespace tandem::router {

// `engine` and `workers` must outlive the result. Tokens are reported per layer and worker; per layer and expert as well
// with `per_expert` (moe layers × experts series).
std::shared_ptr<prometheus::Collectable> MakeEngineMetrics(const Engine& engine, const WorkerPool& workers,
                                                           metrics::Labels labels, bool per_expert);

}  // namespace tandem::router
