// An established connection as a channel uses it: frames out, answers into PendingFrames. Thread-safe.
#pragma once

#include "absl/strings/string_view.h"
#include "transport/expert_channel.h"

namespace tandem::transport {

class FrameStream {
 public:
  virtual ~FrameStream() = default;

  virtual absl::string_view transport() const = 0;

  // False once the connection is lost or closed.
  virtual bool open() const = 0;

  // As ExpertChannel::LendRows.
  virtual FrameBuffer LendRows(size_t /*num_pairs*/, size_t bytes) { return FrameBuffer(bytes); }

  virtual void Dispatch(DispatchFrame frame, CombineCallback done) = 0;

  // As ExpertChannel::Poll.
  virtual void Poll() = 0;

  // Ends the connection; every outstanding frame has been answered when it returns. Not from a callback of the stream.
  virtual void Close() = 0;
};

}  // namespace tandem::transport
