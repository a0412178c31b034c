#include "transport/in_process_channel.h"

#include <atomic>
#include <limits>

#include "base/status.h"
#include "transport/pending_frames.h"

namespace tandem::transport {
namespace {

class InProcessChannel : public ExpertChannel {
 public:
  InProcessChannel(std::string name, ExpertHandler* handler, std::shared_ptr<DeadlineQueue> deadlines)
      : name_(std::move(name)),
        handler_(handler),
        pending_(std::make_shared<PendingFrames>(name_, std::numeric_limits<size_t>::max(), std::move(deadlines))) {}

  ~InProcessChannel() override { pending_->Close(absl::UnavailableError("channel closed")); }

  const std::string& name() const override { return name_; }
  bool ready() const override { return ready_; }
  absl::string_view transport() const override { return "in-process"; }

  absl::StatusOr<WorkerInfo> Handshake(const ModelIdentity& router, absl::Time) override {
    WorkerInfo info = handler_->Info();
    RETURN_IF_ERROR(Annotate(CheckCompatible(router, info.identity), name_));
    ready_ = true;
    return info;
  }

  absl::Status LoadExperts(const std::vector<LayerExpert>& experts, absl::Time) override {
    return Annotate(handler_->LoadExperts(experts), name_);
  }

  void Dispatch(DispatchFrame frame, CombineCallback done) override {
    if (!ready_) {
      done(absl::UnavailableError(absl::StrCat("expert worker ", name_, ": not connected")));
      return;
    }
    const uint64_t id = pending_->Add(frame, std::move(done));
    if (id == 0) {
      return;
    }
    if (const absl::Status valid = ValidateDispatch(frame); !valid.ok()) {
      pending_->Complete(id, valid);
      return;
    }
    handler_->Handle(std::move(frame), [pending = pending_, id](absl::StatusOr<CombineFrame> result) {
      pending->Complete(id, std::move(result));
    });
  }

 private:
  const std::string name_;
  ExpertHandler* const handler_;
  const std::shared_ptr<PendingFrames> pending_;
  std::atomic<bool> ready_ = false;
};

}  // namespace

std::unique_ptr<ExpertChannel> MakeInProcessChannel(std::string name, ExpertHandler* handler,
                                                    std::shared_ptr<DeadlineQueue> deadlines) {
  if (deadlines == nullptr) {
    deadlines = std::make_shared<DeadlineQueue>();
  }
  return std::make_unique<InProcessChannel>(std::move(name), handler, std::move(deadlines));
}

}  // namespace tandem::transport
