// A channel behind a network that is not there: adds latency, jitter, limited bandwidth and faults to another channel.
// For measuring overlap on one machine (`tandem bench overlap`) and for tests. By the invariance contract nothing that
// it does changes a token: a frame that it damages is found out by its checksum, as over gRPC, and ends with DATA_LOSS,
// or with UNAVAILABLE where nobody can tell which frame it was.
#pragma once

#include <functional>
#include <memory>
#include <thread>

#include "transport/expert_channel.h"
#include "transport/network_fate.h"
#include "transport/network_line.h"

namespace tandem::transport {

// A thread ("network") that carries the frames of simulated channels, all that it is given to: where several of them
// share a CPU with what is measured, one thread takes less from it than many. Thread-safe. Not to be destroyed on
// itself.
class NetworkThread {
 public:
  NetworkThread();
  ~NetworkThread();
  NetworkThread(const NetworkThread&) = delete;

  const std::shared_ptr<NetworkCarrier>& carrier() const { return carrier_; }

 private:
  const std::shared_ptr<NetworkCarrier> carrier_;
  std::thread thread_;
};

// Wraps `inner`. Handshake and LoadExperts pass through at once. `thread` carries the frames, one of the channel's own
// if null; another, "deadlines", ends those whose time is up on the way. Destroying the channel ends frames that are on
// their way with UNAVAILABLE.
std::unique_ptr<ExpertChannel> MakeSimulatedNetworkChannel(std::unique_ptr<ExpertChannel> inner,
                                                           const NetworkConditions& conditions,
                                                           std::shared_ptr<NetworkThread> thread = nullptr);

// The same without a network thread, which would take processor time from what is measured: the worker's thread polls
// `arrivals`, the router's the channel. Both have to spin while frames are on their way, as nobody wakes them.
struct PolledNetwork {
  // To be destroyed when no frame is on its way, or when `arrivals` is polled no more.
  std::unique_ptr<ExpertChannel> channel;
  std::shared_ptr<FrameSource> arrivals;
  // For what is sent from then on; bytes_per_second 0: unlimited. Any thread.
  std::function<void(absl::Duration latency, double bytes_per_second)> set_speed;
};
PolledNetwork MakePolledNetworkChannel(std::unique_ptr<ExpertChannel> inner, const NetworkConditions& conditions);

}  // namespace tandem::transport
