// What the ways of running pipeline stages cost, by the simulator: bubbles and memory of waves, ping-pong in one
// direction, DualPipe, and of pairing prefill with decode.
#pragma once

#include <string>
#include <vector>

#include "scheduler/stage_simulator.h"

namespace tandem::cli {

// One layer of one micro-batch, in any unit of time.
struct ComparedCosts {
  double router = 1;
  double expert = 0.5;
  double wire = 0.25;
  double handover = 0.25;
  double prefill = 4;            // how much longer router and experts take for a prefill micro-batch
  bool workers_of_stage = true;  // every stage has its own expert workers, instead of all sharing the same
};

struct ComparedRow {
  std::string load;    // "decode", "prefill and decode"
  std::string policy;  // "waves", "one-way", "dualpipe", … see the table in docs/decisions/012-pipeline-stages.md
  int stages = 0;
  int micro_batches = 0;
  double step = 0;     // time of a step
  double ideal = 0;    // all routers busy all the time, or the workers
  double bubble = 0;   // share of the routers' time
  double weights = 0;  // of a stage, in shares of the model's layers
  int resident = 0;    // micro-batches that a stage holds at most at a time: working memory
};

// For every number of stages and of micro-batches. Every step begins when the one before has ended, unless the policy
// says rolling.
std::vector<ComparedRow> CompareStagePolicies(const ComparedCosts& costs, const std::vector<int>& stages,
                                              const std::vector<int>& micro_batches, int layers);

}  // namespace tandem::cli
