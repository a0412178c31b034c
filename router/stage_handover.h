// How micro-batches come from and go to other pipeline stages, as ModelRunner sees it.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "scheduler/stage_layout.h"
#include "transport/stage_message.h"

namespace tandem::router {

// Expect, Take and Send belong to the engine's thread.
class StageHandover {
 public:
  virtual ~StageHandover() = default;

  // The step is about to be computed. The head tells the other stages of it.
  // Errors: UNAVAILABLE when they cannot be reached.
  virtual absl::Status Begin(const transport::StageStep& step) = 0;

  // `arrived` is called once there is something to take: rows or an error. On any thread, possibly before Expect
  // returns; on the head at the latest when the step's time is up, elsewhere when the step is given up.
  virtual void Expect(uint64_t step, int32_t micro_batch, std::function<void()> arrived) = 0;

  // After that. Errors: UNAVAILABLE (a stage was lost, or is too slow), CANCELLED (the step was given up), or what the
  // stage that failed said.
  virtual absl::StatusOr<transport::FrameBuffer> Take(uint64_t step, int32_t micro_batch) = 0;

  // Hands rows on: to the next stage in `direction`, or results to the head. Errors: UNAVAILABLE.
  virtual absl::Status Send(const transport::StageRows& rows, int direction) = 0;
};

// This process among the stages. Without handover it is the only one.
struct StagePlace {
  scheduler::StageLayout layout;
  int stage = 0;
  StageHandover* handover = nullptr;  // must outlive whoever has the place

  bool head() const { return stage == 0; }
};

}  // namespace tandem::router
