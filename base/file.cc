#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

struct OpenFile {
  int fd;
  size_t size;
};

absl::StatusOr<OpenFile> OpenForReading(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  }
  struct stat info;
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    return absl::FailedPreconditionError(absl::StrCat(path, " is not a regular file"));
  }
  return OpenFile{fd, static_cast<size_t>(info.st_size)};
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes) {
  absl::StatusOr<OpenFile> file = OpenForReading(path);
  if (!file.ok()) {
    return file.status();
  }
  absl::Cleanup close = [&] { ::close(file->fd); };
  if (file->size > max_bytes) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " has ", file->size, " bytes, more than the ", max_bytes, " expected of such a file"));
  }
  std::string content(file->size, '\0');
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t n = ::read(file->fd, content.data() + done, content.size() - done);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", path));
    }
    if (n == 0) {
      content.resize(done);
      break;
    }
    done += static_cast<size_t>(n);
  }
  return content;
}

bool FileExists(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0;
}

std::string JoinPath(absl::string_view directory, absl::string_view name) {
  while (!directory.empty() && directory.back() == '/') {
    directory.remove_suffix(1);
  }
  return absl::StrCat(directory, "/", name);
}

absl::StatusOr<std::shared_ptr<const MappedFile>> MappedFile::Open(const std::string& path) {
  absl::StatusOr<OpenFile> file = OpenForReading(path);
  if (!file.ok()) {
    return file.status();
  }
  absl::Cleanup close = [&] { ::close(file->fd); };
  if (file->size == 0) {
    return std::shared_ptr<const MappedFile>(new MappedFile(nullptr, 0));
  }
  void* data = ::mmap(nullptr, file->size, PROT_READ, MAP_SHARED, file->fd, 0);
  if (data == MAP_FAILED) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot map ", path));
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(static_cast<const std::byte*>(data), file->size));
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) {
    ::munmap(const_cast<std::byte*>(data_), size_);
  }
}

}  // namespace tandem
