#include "base/thread_name.h"

#include <pthread.h>

#include <string>

namespace tandem {

void SetThreadName(absl::string_view name) {
  pthread_setname_np(pthread_self(), std::string(name.substr(0, 15)).c_str());
}

}  // namespace tandem
