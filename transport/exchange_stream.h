// One Exchange stream as the router sees it: frames go out in order, answers complete PendingFrames.
// Lives until gRPC is done with it, whoever else holds it. Thread-safe.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/client_callback.h>

#include <deque>
#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "transport/frame_codec.h"
#include "transport/frame_stream.h"
#include "transport/pending_frames.h"

namespace tandem::transport {

struct ExchangeStreamOptions {
  // Frames that may wait to be sent; past it RESOURCE_EXHAUSTED.
  size_t max_queued = 1024;
  // The worker is told, and does as its router does.
  Checksums checksums = Checksums::kOff;
  // Called once, on a gRPC thread, when the stream has ended and its frames with it, unless Close did it.
  std::function<void()> on_lost;
};

class ExchangeStream final : public FrameStream, public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  static std::shared_ptr<ExchangeStream> Start(std::shared_ptr<grpc::Channel> channel,
                                               std::shared_ptr<PendingFrames> pending, ExchangeStreamOptions options);

  absl::string_view transport() const override { return "grpc"; }
  bool open() const override;
  void Dispatch(DispatchFrame frame, CombineCallback done) override;
  void Poll() override {}  // answers come on gRPC's threads

  // Ends the stream and returns when gRPC is done with it; every outstanding frame has been answered then.
  // Not from a callback of the stream.
  void Close() override;

 private:
  ExchangeStream(std::shared_ptr<grpc::Channel> channel, std::shared_ptr<PendingFrames> pending,
                 ExchangeStreamOptions options);

  absl::Status Send(grpc::ByteBuffer message);
  void StopSending();

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  const std::shared_ptr<grpc::Channel> channel_;
  const std::shared_ptr<PendingFrames> pending_;
  const ExchangeStreamOptions options_;
  grpc::ClientContext context_;
  grpc::ByteBuffer incoming_;  // owned by the read in progress
  // Shared, because OnDone announces the end after it has let go of the stream: the owner's reference must be the last,
  // or the connection would be destroyed on gRPC's own thread, which must not wait for itself.
  const std::shared_ptr<absl::Notification> done_ = std::make_shared<absl::Notification>();

  mutable absl::Mutex mutex_;
  std::deque<grpc::ByteBuffer> outgoing_ ABSL_GUARDED_BY(mutex_);  // the front is being written
  bool open_ ABSL_GUARDED_BY(mutex_) = true;
  bool closed_by_owner_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<ExchangeStream> self_ ABSL_GUARDED_BY(mutex_);  // until OnDone
};

}  // namespace tandem::transport
