// libbpf's messages and errors in our own words.

#include <cstdarg>
#include <cstdio>
#include <string>

#include "bpf/loader/state.h"
#include "common/base/format.h"
#include "common/base/log.h"

namespace culvert::bpf {
namespace {

int print(libbpf_print_level level, const char* format, va_list arguments) {
  const auto ours = level == LIBBPF_WARN ? log::Level::kWarn : level == LIBBPF_INFO ? log::Level::kDebug : log::Level::kTrace;
  if (!log::enabled(ours, "bpf")) return 0;
  std::string text(64 * 1024, '\0');  // a verifier log is long, and its end matters
  const int size = std::vsnprintf(text.data(), text.size(), format, arguments);
  if (size <= 0) return 0;
  text.resize(std::min<std::size_t>(static_cast<std::size_t>(size), text.size() - 1));
  while (text.ends_with('\n')) text.pop_back();
  log::write(ours, "bpf", text);
  return size;
}

const char* hint(int error) {
  switch (error) {
    case EPERM:
    case EACCES: return " (CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are needed; is the kernel locked down?)";
    case ESRCH:
    case ENOENT:
    case EINVAL:
    case ENOTSUP: return " (Linux 5.17 or newer with BTF is needed; LOG_LEVEL=bpf=trace shows the verifier's log)";
    case ENOMEM: return " (out of memory: raise the memory limit of the agent)";
    default: return "";
  }
}

}  // namespace

std::unexpected<Error> libbpf_failure(std::string_view what, int code) {
  return failure(culvert::format("{}: {}{}", what, errno_text(-code), hint(-code)));
}

void log_libbpf() { libbpf_set_print(print); }

}  // namespace culvert::bpf
