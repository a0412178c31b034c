// Flags that several subcommands share. Every long flag may also come from TANDEM_<FLAG> or from --config.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace tandem::cli {

struct LogFlags {
  std::string level = "info";
  std::string format = "text";
};

struct ModelFlags {
  std::string model_dir;
  std::string dtype = "auto";
  std::string wire_dtype = "auto";
  int threads = 0;  // 0: one per core
};

struct EngineFlags {
  int64_t max_model_len = 0;  // 0: what the model was trained for
  int64_t max_batch_tokens = 512;
  int max_sequences = 64;
  int max_queue = 1024;
  bool prefix_caching = true;
  int micro_batches = 0;  // 0: chosen for each step
  bool workers_elsewhere = false;  // local workers have CPUs of their own
  std::string kv_cache_dtype = "auto";
  uint64_t kv_cache_memory = 0;  // bytes; 0: chosen from the memory that is free
  int dispatch_timeout_seconds = 30;
  std::string expert_transport = "auto";  // or "shm", "grpc"
  std::string keep_awake = "auto";        // or "on", "off"
  std::string trace;                      // file; empty: none
};

struct ApiFlags {
  std::string host = "127.0.0.1";
  int port = 8000;
  int grpc_port = 8001;
  std::string served_model_name;  // empty: the model directory's name
  std::string api_key;
  std::string chat_template;              // file; empty: the model's own
  std::string tool_call_parser = "auto";  // a name, auto: what the chat template shows, or none
  std::string reasoning_parser = "auto";
  std::string reasoning_field = "reasoning_content";
  bool expert_metrics = false;  // per-expert series in /metrics
  int drain_timeout_seconds = 30;
  int request_timeout_seconds = 0;  // 0: none
};

void AddLogFlags(CLI::App& app, LogFlags& flags);
void AddModelFlags(CLI::App& app, ModelFlags& flags);
CLI::Option* AddKvCacheDTypeFlag(CLI::App& app, std::string& dtype);
void AddEngineFlags(CLI::App& app, EngineFlags& flags);
void AddApiFlags(CLI::App& app, ApiFlags& flags);

// Names every option's environment variable (TANDEM_MAX_MODEL_LEN for --max-model-len) and adds --config.
void FinishFlags(CLI::App& app);

absl::Status StartLogging(absl::string_view component, const LogFlags& flags);

}  // namespace tandem::cli
