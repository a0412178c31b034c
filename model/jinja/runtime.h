// What one rendering shares: the limits that stop a hostile template, the clock, and the objects whose attributes may
// form cycles. Used by one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "model/jinja/error.h"

namespace tandem::jinja {

// Reaching a limit ends the rendering with RESOURCE_EXHAUSTED.
struct Limits {
  size_t max_output_bytes = size_t{64} << 20;
  // Sum of the sizes of all strings and lists that are made or searched.
  size_t max_work_bytes = size_t{1} << 30;
  // Statements and expressions evaluated.
  uint64_t max_steps = 10'000'000;
  // Nested evaluations; a macro that calls itself uses about seven per call.
  int max_depth = 700;
};

struct RenderOptions {
  Limits limits;
  // For strftime_now.
  std::function<absl::Time()> now = absl::Now;
  absl::TimeZone time_zone = absl::LocalTimeZone();
};

// An object that may take part in a reference cycle (a namespace, the scope of a macro).
class CycleBreaker {
 public:
  virtual ~CycleBreaker() = default;
  virtual void DropReferences() = 0;
};

class Runtime {
 public:
  explicit Runtime(const RenderOptions& options) : options_(options) {}
  ~Runtime() {
    for (const auto& object : cyclic_) {
      object->DropReferences();
    }
  }
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  const RenderOptions& options() const { return options_; }

  void ChargeStep() {
    if (++steps_ > options_.limits.max_steps) {
      FailLimit("the template takes more than ", options_.limits.max_steps, " steps");
    }
  }
  // Call before doing work of that size.
  void ChargeBytes(size_t bytes) {
    work_bytes_ += bytes;
    if (work_bytes_ > options_.limits.max_work_bytes || bytes > options_.limits.max_work_bytes) {
      FailLimit("the template handles more than ", options_.limits.max_work_bytes, " bytes of text and lists");
    }
  }
  // The same for `count` pieces of `bytes` each, however large the product.
  void ChargeBytes(size_t bytes, size_t count) {
    const bool overflows = bytes != 0 && count > options_.limits.max_work_bytes / bytes;
    ChargeBytes(overflows ? options_.limits.max_work_bytes + 1 : bytes * count);
  }
  void CheckOutput(size_t bytes) const {
    if (bytes > options_.limits.max_output_bytes) {
      FailLimit("the output is longer than ", options_.limits.max_output_bytes, " bytes");
    }
  }

  // Keeps `object` until the rendering ends, then cuts what it refers to.
  void BreakCyclesOf(std::shared_ptr<CycleBreaker> object) { cyclic_.push_back(std::move(object)); }

  // Counts nested evaluations for as long as it lives.
  class Nested {
   public:
    explicit Nested(Runtime& runtime) : runtime_(runtime) {
      if (++runtime_.depth_ > runtime_.options_.limits.max_depth) {
        --runtime_.depth_;
        FailLimit("the template recurses deeper than ", runtime_.options_.limits.max_depth, " levels");
      }
    }
    ~Nested() { --runtime_.depth_; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;

   private:
    Runtime& runtime_;
  };

 private:
  const RenderOptions& options_;
  uint64_t steps_ = 0;
  size_t work_bytes_ = 0;
  int depth_ = 0;
  std::vector<std::shared_ptr<CycleBreaker>> cyclic_;
};

}  // namespace tandem::jinja
