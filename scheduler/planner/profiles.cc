#include "scheduler/planner/profiles.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace tandem::scheduler {

int ModelProfile::moe_layers() const { return static_cast<int>(std::count(experts.begin(), experts.end(), true)); }

std::string ModelProfile::Shape() const {
  return absl::StrCat(num_layers(), " layers, ", moe_layers(), " with ", num_experts, " experts of ", expert_parameters,
                      ", top ", top_k, "; hidden ", hidden_size, ", vocabulary ", vocab_size, ", attention ",
                      attention.parameters, ", cache ", attention.cache_bytes, ", shared ", shared_parameters,
                      ", dense ", dense_parameters, ", bytes ", weight_bytes, "/", dispatch_bytes);
}

double ModelProfile::router_weight_bytes() const {
  const double in_layers = num_layers() * attention.parameters + moe_layers() * shared_parameters +
                           (num_layers() - moe_layers()) * dense_parameters;
  return (in_layers + embedding_parameters) * weight_bytes + 4.0 * moe_layers() * gate_parameters;
}

double ModelProfile::routed_weight_bytes() const {
  return expert_parameters * num_experts * moe_layers() * weight_bytes;
}

}  // namespace tandem::scheduler
