// One request on its way: the meeting point of the handler's threads and the connection's strand. Internal to
// base/http.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/http/message.h"

namespace tandem::http {

// What the connection does next for its current request; taken by the strand in one piece.
struct PendingOutput {
  std::unique_ptr<Response> response;  // a complete response, or
  std::unique_ptr<StreamHead> head;    // the begin of a stream,
  std::string data;                    // some of it,
  bool end = false;                    // and its end
  bool dropped = false;                // the handler gave up without an answer
  bool broken = false;                 // cut the connection: overflow, or dropped in mid-stream
};

class Exchange {
 public:
  // `wake` asks the strand to call Take soon; it is called from any thread, once per batch of output.
  Exchange(size_t max_queue_bytes, std::function<void()> wake);

  // For ResponseWriter.
  void Send(Response response);
  void StartStream(StreamHead head);
  bool Write(absl::string_view data);
  void End();
  void OnClose(std::function<void()> callback);
  void Abandon();

  // For the connection. `Sent` tells that bytes have left (they no longer count for the bound).
  PendingOutput Take();
  void Sent(size_t bytes);
  // The response is complete (or the connection gone): further output is ignored. A client that left early makes the
  // OnClose callback run; else it is dropped.
  void Close(bool client_gone);

 private:
  enum class State { kWaiting, kStreaming, kEnded, kClosed };

  // Releases the lock before waking: the wake function takes other locks.
  void Wake() ABSL_UNLOCK_FUNCTION(mu_);

  const size_t max_queue_bytes_;
  const std::function<void()> wake_;
  absl::Mutex mu_;
  State state_ ABSL_GUARDED_BY(mu_) = State::kWaiting;
  bool client_gone_ ABSL_GUARDED_BY(mu_) = false;
  bool woken_ ABSL_GUARDED_BY(mu_) = false;
  size_t unsent_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  PendingOutput pending_ ABSL_GUARDED_BY(mu_);
  std::function<void()> on_close_ ABSL_GUARDED_BY(mu_);
};

// The handler's end of an exchange.
std::shared_ptr<ResponseWriter> MakeWriter(std::shared_ptr<Exchange> exchange);

}  // namespace tandem::http
