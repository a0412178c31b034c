#include "compute/cpu/gate.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/status.h"
#include "compute/cpu/row_kernels.h"

namespace tandem::compute::cpu {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

// Index of the largest candidate that is not taken, the lowest among equals; -infinity candidates count, NaN as such.
int ArgMax(const float* candidates, const bool* taken, int n) {
  int best = -1;
  for (int i = 0; i < n; ++i) {
    if (!taken[i] && (best < 0 || candidates[i] > candidates[best])) {
      best = i;
    }
  }
  return best;
}

float ScoreGroup(GroupScore kind, const float* candidates, int n) {
  float first = kLowest;
  float second = kLowest;
  for (int i = 0; i < n; ++i) {
    if (candidates[i] > first) {
      second = first;
      first = candidates[i];
    } else if (candidates[i] > second) {
      second = candidates[i];
    }
  }
  return kind == GroupScore::kTop2Sum && n > 1 ? first + second : first;
}

// Drops all experts outside the best topk_groups groups (DeepSeek-V2, arXiv:2405.04434, section 2.2.2).
void DropGroups(const GateArgs& args, float* candidates) {
  const int group_size = args.num_experts / args.num_groups;
  std::array<float, kMaxExperts> group_scores;
  std::array<bool, kMaxExperts> kept;
  std::fill_n(kept.begin(), args.num_groups, false);
  for (int g = 0; g < args.num_groups; ++g) {
    group_scores[static_cast<size_t>(g)] = ScoreGroup(args.group_score, candidates + g * group_size, group_size);
  }
  for (int i = 0; i < args.topk_groups; ++i) {
    kept[static_cast<size_t>(ArgMax(group_scores.data(), kept.data(), args.num_groups))] = true;
  }
  for (int g = 0; g < args.num_groups; ++g) {
    if (!kept[static_cast<size_t>(g)]) {
      std::fill_n(candidates + g * group_size, group_size, kLowest);
    }
  }
}

}  // namespace

void ValidateGate(const GateArgs& args) {
  TANDEM_CHECK(args.top_k > 0 && args.top_k <= kMaxTopK && args.top_k <= args.num_experts, "top_k ", args.top_k, " of ",
               args.num_experts, " experts");
  TANDEM_CHECK(args.num_experts <= kMaxExperts, args.num_experts, " experts; at most ", kMaxExperts);
  TANDEM_CHECK(args.num_groups > 0 && args.num_experts % args.num_groups == 0, args.num_experts, " experts in ",
               args.num_groups, " groups");
  TANDEM_CHECK(args.topk_groups > 0 && args.topk_groups <= args.num_groups, "topk_groups ", args.topk_groups, " of ",
               args.num_groups);
  TANDEM_CHECK(args.num_experts / args.num_groups * args.topk_groups >= args.top_k, "top_k ", args.top_k,
               " is more than ", args.topk_groups, " groups hold");
}

void SelectExperts(const GateArgs& args, const float* bias, float* logits, int32_t* ids, float* weights) {
  float* const scores = logits;
  ScoreExperts(args.scoring, scores, args.num_experts);
  std::array<float, kMaxExperts> candidates;
  std::array<bool, kMaxExperts> taken;
  for (int e = 0; e < args.num_experts; ++e) {
    const float candidate = bias == nullptr ? scores[e] : scores[e] + bias[e];
    candidates[static_cast<size_t>(e)] = std::isnan(candidate) ? kLowest : candidate;
    taken[static_cast<size_t>(e)] = false;
  }
  if (args.topk_groups < args.num_groups) {
    DropGroups(args, candidates.data());
  }
  float sum = 0;
  for (int j = 0; j < args.top_k; ++j) {
    const int expert = ArgMax(candidates.data(), taken.data(), args.num_experts);
    taken[static_cast<size_t>(expert)] = true;
    ids[j] = expert;
    weights[j] = scores[expert];
    sum += scores[expert];
  }
  for (int j = 0; j < args.top_k; ++j) {
    weights[j] = (args.normalize ? weights[j] / (sum + 1e-20f) : weights[j]) * args.scale;
  }
}

}  // namespace tandem::compute::cpu
