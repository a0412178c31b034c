// The channel to experts in the router's own process: frames are handed over, not copied.
#pragma once

#include <memory>
#include <string>

#include "transport/deadline_queue.h"
#include "transport/expert_channel.h"

namespace tandem::transport {

// `handler` must outlive the channel and every frame that it has been given. `deadlines` may be shared among channels;
// null: the channel makes its own. Destroying the channel ends its unanswered frames with UNAVAILABLE.
std::unique_ptr<ExpertChannel> MakeInProcessChannel(std::string name, ExpertHandler* handler,
                                                    std::shared_ptr<DeadlineQueue> deadlines = nullptr);

}  // namespace tandem::transport
