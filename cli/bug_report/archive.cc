#include "cli/bug_report/archive.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/fd.h"
#include "common/base/format.h"

namespace culvert::cli {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::size_t kMostName = 100, kMostPrefix = 155;

// A header of tar as POSIX.1-1988 has it ("ustar"); numbers are octal.
struct Header {
  char name[100], mode[8], owner[8], group[8], size[12], time[12], sum[8], type, link[100], magic[6], version[2], owner_name[32],
      group_name[32], device_major[8], device_minor[8], prefix[155], pad[12];
};
static_assert(sizeof(Header) == kBlock);

void put(char* into, std::size_t size, std::string_view text) { std::memcpy(into, text.data(), std::min(size, text.size())); }

// Of a name that is too long for one field, the folders go to the other.
bool put_name(Header& header, std::string_view name) {
  if (name.size() <= kMostName) return put(header.name, kMostName, name), true;
  const auto slash = name.find('/', name.size() - kMostName - 1);
  if (slash > kMostPrefix) return false;  // also when there is none
  put(header.prefix, kMostPrefix, name.substr(0, slash));
  put(header.name, kMostName, name.substr(slash + 1));
  return true;
}

}  // namespace

struct Archive::State {
  std::string path;
  Fd file;
  z_stream zip{};
  bool begun = false;
  bool finished = false;
  std::uint64_t written = 0;
  std::array<Bytef, std::size_t{64} * 1024> out{};

  State(std::string its_path, Fd its_file) : path(std::move(its_path)), file(std::move(its_file)) {}
  State(const State&) = delete;
  ~State() {
    if (begun) ::deflateEnd(&zip);
    if (!finished) ::unlink(path.c_str());
  }

  std::unexpected<Error> not_written() const {
    const bool full = errno == ENOSPC || errno == EDQUOT;
    auto error = failure_errno("writing " + path);
    if (full) error.error().text += " (make room there, or name another place with --output; nothing of it is left)";
    return error;
  }

  Status write(std::string_view bytes, int flush = Z_NO_FLUSH) {
    zip.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));  // zlib does not write there
    zip.avail_in = static_cast<uInt>(bytes.size());
    int result = Z_OK;
    do {
      zip.next_out = out.data();
      zip.avail_out = static_cast<uInt>(out.size());
      result = ::deflate(&zip, flush);
      if (auto done = store(out.size() - zip.avail_out); !done) return done;
    } while (zip.avail_out == 0 || (flush == Z_FINISH && result == Z_OK));
    return {};
  }

  Status store(std::size_t size) {
    for (std::size_t at = 0; at < size;) {
      const ssize_t count = ::write(file.get(), out.data() + at, size - at);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return not_written();
      at += static_cast<std::size_t>(count);
    }
    written += size;
    return {};
  }
};

Archive::Archive(std::unique_ptr<State> state) : state_(std::move(state)) {}
Archive::Archive(Archive&&) noexcept = default;
Archive& Archive::operator=(Archive&&) noexcept = default;
Archive::~Archive() = default;

Result<Archive> Archive::create(const std::string& path) {
  Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return failure_errno("writing " + path);
  auto state = std::make_unique<State>(path, std::move(file));
  constexpr int kGzip = 15 + 16, kMemory = 8;
  if (::deflateInit2(&state->zip, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzip, kMemory, Z_DEFAULT_STRATEGY) != Z_OK)
    return failure("writing " + path + ": zlib cannot begin");
  state->begun = true;
  return Archive(std::move(state));
}

Status Archive::add(const std::string& name, std::string_view text, std::chrono::system_clock::time_point changed) {
  Header header{};
  if (!put_name(header, name)) return failure("writing " + state_->path + ": the name " + name + " is too long");
  put(header.mode, sizeof header.mode, "0000600");
  put(header.owner, sizeof header.owner, "0000000");
  put(header.group, sizeof header.group, "0000000");
  put(header.size, sizeof header.size, culvert::format("{:011o}", text.size()));
  put(header.time, sizeof header.time,
      culvert::format("{:011o}", std::chrono::duration_cast<std::chrono::seconds>(changed.time_since_epoch()).count()));
  header.type = '0';
  put(header.magic, sizeof header.magic, "ustar");
  put(header.version, sizeof header.version, "00");
  std::memset(header.sum, ' ', sizeof header.sum);
  unsigned sum = 0;
  for (const char byte : std::string_view(reinterpret_cast<const char*>(&header), kBlock))
    sum += static_cast<unsigned char>(byte);
  put(header.sum, sizeof header.sum, std::string_view(culvert::format("{:06o}", sum)).substr(0, 6));
  header.sum[6] = '\0';
  if (auto done = state_->write({reinterpret_cast<const char*>(&header), kBlock}); !done) return done;
  if (auto done = state_->write(text); !done) return done;
  return state_->write(std::string((kBlock - text.size() % kBlock) % kBlock, '\0'));
}

Result<std::uint64_t> Archive::finish() {
  if (auto done = state_->write(std::string(2 * kBlock, '\0'), Z_FINISH); !done) return std::unexpected(std::move(done).error());
  if (::fsync(state_->file.get()) != 0) return state_->not_written();
  state_->finished = true;
  return state_->written;
}

}  // namespace culvert::cli
