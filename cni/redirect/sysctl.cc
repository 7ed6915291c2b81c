#include "cni/redirect/sysctl.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <string>
#include <string_view>

#include "common/base/fd.h"
#include "common/base/format.h"

namespace culvert::redirect {
namespace {

struct Row {
  const char* path;
  __u8 culvert_sysctls::* value;
};
// The first and the last cover both families; the third is absent on a kernel without IPv6.
constexpr Row kRows[] = {{"/proc/sys/net/ipv4/tcp_fwmark_accept", &culvert_sysctls::tcp_fwmark_accept},
                         {"/proc/sys/net/ipv4/fwmark_reflect", &culvert_sysctls::fwmark_reflect_v4},
                         {"/proc/sys/net/ipv6/fwmark_reflect", &culvert_sysctls::fwmark_reflect_v6},
                         {"/proc/sys/net/ipv4/tcp_migrate_req", &culvert_sysctls::tcp_migrate_req}};

bool may_be_absent(const Row& row) { return std::string_view(row.path).contains("ipv6"); }

}  // namespace

Result<culvert_sysctls> read_sysctls() {
  culvert_sysctls values{};
  for (const auto& row : kRows) {
    const Fd file(::open(row.path, O_RDONLY | O_CLOEXEC));
    if (!file && errno == ENOENT && may_be_absent(row)) continue;
    std::array<char, 16> text{};
    const auto size = file ? ::read(file.get(), text.data(), text.size()) : -1;
    if (size < 0) return failure_errno(culvert::format("reading {} of the pod", row.path));
    if (std::from_chars(text.data(), text.data() + size, values.*row.value).ec != std::errc{})
      return failure(culvert::format("reading {} of the pod: \"{}\" is no number up to 255", row.path,
                                     std::string_view(text.data(), static_cast<std::size_t>(size))));
  }
  return values;
}

Status write_sysctls(const culvert_sysctls& values) {
  for (const auto& row : kRows) {
    const Fd file(::open(row.path, O_WRONLY | O_CLOEXEC));
    if (!file && errno == ENOENT && may_be_absent(row)) continue;
    const auto text = std::to_string(values.*row.value);
    if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
      const char* hint = errno == EROFS ? " (the agent needs a writable /proc/sys: its container needs CAP_SYS_ADMIN)" : "";
      return failure(culvert::format("setting {} of the pod: {}{}", row.path, errno_text(errno), hint));
    }
  }
  return {};
}

}  // namespace culvert::redirect
