// A small model on a made-up machine, for tests of the planner.
#pragma once

#include "scheduler/planner/plan.h"

namespace tandem::scheduler {

// Twelve layers, one of them dense, with shared experts; devices on which a step takes some milliseconds; a link of 20
// us. Four routers with two workers each serve 64 closed-loop clients.
inline PlanInput ToyCluster() {
  PlanInput input;
  ModelProfile& model = input.model;
  model.name = "toy";
  model.experts.assign(12, true);
  model.experts[0] = false;
  model.hidden_size = 1024;
  model.vocab_size = 32000;
  model.max_positions = 8192;
  model.attention = {.parameters = 4.0 * 1024 * 1024, .cache_bytes = 2048, .operations_position = 8192};
  model.num_experts = 32;
  model.top_k = 4;
  model.expert_parameters = 3.0 * 1024 * 512;
  model.shared_parameters = 3.0 * 1024 * 512;
  model.dense_parameters = 3.0 * 1024 * 4096;
  model.gate_parameters = 1024.0 * 32;
  model.embedding_parameters = 2.0 * 1024 * 32000;
  model.weight_bytes = 2;
  model.dispatch_bytes = 2;
  model.combine_bytes = 2;

  DeviceProfile& device = input.router;
  device.name = "toy device";
  device.memory_bytes = 8e9;
  device.memory_bandwidth = 100e9;
  device.operations = 10e12;
  device.attention_operations = 10e12;
  device.router_overhead = 20e-6;
  device.expert_overhead = 10e-6;
  device.step_overhead = 100e-6;
  device.sequence_overhead = 1e-6;
  device.price_per_hour = 1;
  input.worker = device;
  input.link = {.name = "toy link", .latency = 20e-6, .bytes_per_second = 5e9, .frame_overhead = 2e-6};
  input.layout = {.routers = 4, .workers = 2, .max_sequences = 32};
  input.load = {.concurrency = 64, .prompt_tokens = 200, .output_tokens = 50, .length_spread = 0.5, .requests = 100};
  return input;
}

}  // namespace tandem::scheduler
