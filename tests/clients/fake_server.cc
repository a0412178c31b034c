// The real API front ends over an engine that answers every prompt with its own text: lets client libraries be tried
// without a model. Usage: fake_server [HTTP_PORT [GRPC_PORT]] (0: any free one; the ports are printed).
#include <csignal>
#include <cstdio>
#include <deque>
#include <thread>

#include "absl/strings/numbers.h"
#include "base/http/server.h"
#include "base/log.h"
#include "base/status.h"
#include "router/grpc_api.h"
#include "router/http_api.h"
#include "router/testing/byte_codec.h"

namespace tandem::router {
namespace {

// One thread takes turns among the requests, one token each, as a batching engine would.
class EchoEngine final : public TokenEngine {
 public:
  EchoEngine() : thread_([this] { Run(); }) {}
  ~EchoEngine() override {
    {
      absl::MutexLock lock(&mu_);
      stopping_ = true;
    }
    thread_.join();
  }

  absl::StatusOr<uint64_t> Submit(GenerationRequest request, TokenSink sink) override {
    absl::MutexLock lock(&mu_);
    ++last_id_;
    for (int32_t choice = 0; choice < request.sampling.n; ++choice) {
      sequences_.push_back({last_id_, choice, request, sink});
    }
    return last_id_;
  }

  void Cancel(uint64_t id) override {
    absl::MutexLock lock(&mu_);
    for (Sequence& sequence : sequences_) sequence.cancelled |= sequence.id == id;
  }
  void CancelChoice(uint64_t id, int32_t choice) override {
    absl::MutexLock lock(&mu_);
    for (Sequence& sequence : sequences_) sequence.cancelled |= sequence.id == id && sequence.choice == choice;
  }

  absl::Status Health() const override { return absl::OkStatus(); }
  int32_t max_model_len() const override { return 8192; }
  int32_t vocab_size() const override { return ByteCodec::kVocabSize; }

 private:
  struct Sequence {
    uint64_t id;
    int32_t choice;
    GenerationRequest request;
    TokenSink sink;
    int32_t generated = 0;
    bool cancelled = false;
  };

  void Run() {
    const auto ready = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return stopping_ || !sequences_.empty(); };
    while (true) {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(&ready));
      if (stopping_) return;
      Sequence sequence = std::move(sequences_.front());
      sequences_.pop_front();
      if (!Step(sequence)) sequences_.push_back(std::move(sequence));
    }
  }

  // True when the sequence is over.
  static bool Step(Sequence& sequence) {
    const SamplingParams& sampling = sequence.request.sampling;
    const std::vector<int32_t>& prompt = sequence.request.prompt;
    TokenEvent event;
    event.choice = sequence.choice;
    if (sequence.cancelled) {
      event.finish_reason = FinishReason::kCancelled;
    } else if (sequence.request.pooling != Pooling::kNone) {
      event.finish_reason = FinishReason::kStop;
      event.embedding = std::make_shared<const std::vector<float>>(prompt.begin(), prompt.begin() + 1);
    } else {
      const bool at_end = sequence.generated % (prompt.size() + 1) == prompt.size();
      event.token = at_end ? ByteCodec::kEnd : prompt[sequence.generated % (prompt.size() + 1)];
      ++sequence.generated;
      const bool stops = at_end && !sampling.ignore_eos;
      event.finish_reason = stops                                       ? FinishReason::kStop
                            : sequence.generated >= sampling.max_tokens ? FinishReason::kLength
                                                                        : FinishReason::kNone;
    }
    sequence.sink(event);
    return event.finish_reason != FinishReason::kNone;
  }

  absl::Mutex mu_;
  std::deque<Sequence> sequences_ ABSL_GUARDED_BY(mu_);
  uint64_t last_id_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

absl::Status Serve(int http_port, int grpc_port) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  metrics::Registry registry;
  CompletionMetrics completion_metrics(registry);
  ByteCodec codec;
  LineTemplate line_template;
  ThreadPool executor("api", 2);
  EchoEngine engine;
  CompletionService service(&engine, &codec, &line_template, &executor, &completion_metrics);
  RequestContext context;
  context.model_names = {"echo"};
  context.vocab_size = engine.vocab_size();
  context.max_model_len = engine.max_model_len();
  context.hidden_size = 1;
  HttpApiOptions options;
  options.context = context;
  options.version = "fake";
  HttpApi api(options, &service, &registry);
  http::Router router;
  http::ServerOptions server_options;
  server_options.port = static_cast<uint16_t>(http_port);
  api.Register(router);
  api.Configure(server_options);
  ASSIGN_OR_RETURN(const auto server, http::Server::Start(std::move(server_options), std::move(router)));
  GrpcApiOptions grpc_options;
  grpc_options.port = grpc_port;
  grpc_options.context = context;
  ASSIGN_OR_RETURN(const auto grpc_api, GrpcApi::Start(std::move(grpc_options), &service));
  std::printf("http %d grpc %d\n", server->port(), grpc_api->port());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&signals, &signal);
  service.Drain();
  grpc_api->Shutdown(absl::Seconds(10));
  server->Shutdown(absl::Seconds(10));
  return absl::OkStatus();
}

}  // namespace
}  // namespace tandem::router

int main(int argc, char** argv) {
  int ports[] = {0, 0};
  bool valid = argc <= 3;
  for (int i = 1; i < argc && valid; ++i) {
    valid = absl::SimpleAtoi(argv[i], &ports[i - 1]) && ports[i - 1] >= 0 && ports[i - 1] < 65536;
  }
  if (!valid) {
    std::fprintf(stderr, "usage: fake_server [HTTP_PORT [GRPC_PORT]]\n");
    return 2;
  }
  const absl::Status status = tandem::router::Serve(ports[0], ports[1]);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  }
  return status.ok() ? 0 : 1;
}
