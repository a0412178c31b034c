// The channel to an expert worker in another process or on another machine.
//
// One connection per channel: unary gRPC calls for Handshake and LoadExperts, and one stream on which any number of
// frames are outstanding, matched by id and answered in any order: shared memory where the worker offers it, else a
// bidirectional gRPC stream. A lost stream ends all of them with
// UNAVAILABLE naming the worker, and the channel is not ready() until the next Handshake, which connects anew. The
// channel does not retry by itself: when to try again is the decision of its owner (Reconnector applies a back-off
// policy).
//
// Threads: answers arrive on gRPC's threads, expired frames on the deadline queue's. Callbacks must not destroy the
// channel; its destructor ends every outstanding frame with UNAVAILABLE before it returns.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "transport/deadline_queue.h"
#include "transport/doorbell.h"
#include "transport/expert_channel.h"
#include "transport/tls_options.h"

namespace tandem::transport {

struct GrpcChannelOptions {
  // Past it Dispatch answers RESOURCE_EXHAUSTED.
  size_t max_outstanding_frames = 1024;
  // Largest message accepted; -1: no limit.
  int max_message_bytes = -1;
  // A silent connection is pinged, and given up after the timeout.
  absl::Duration keepalive_time = absl::Seconds(20);
  absl::Duration keepalive_timeout = absl::Seconds(10);
  // Absent: plaintext.
  std::optional<TlsOptions> tls;
  // May be shared among channels; null: the channel makes its own.
  std::shared_ptr<DeadlineQueue> deadlines;
  // Frames travel through shared memory where both sides can; handshake and loading stay with gRPC.
  TransportChoice transport = TransportChoice::kAuto;
  // Of whoever will Poll the channel, rung when there is something to deliver; see ShmStreamOptions.
  std::shared_ptr<Doorbell> doorbell;
  // Checksums of frames that travel over gRPC; absent: for addresses that are not on this machine.
  std::optional<bool> checksums;
  // Called on a transport thread each time an established stream was lost; not when the channel is destroyed.
  std::function<void()> on_lost;
};

// `address` is "host:port" or "unix:/path". Connects at the first Handshake.
std::unique_ptr<ExpertChannel> MakeGrpcChannel(std::string address, GrpcChannelOptions options = {});

}  // namespace tandem::transport
