#include "cni/agent/original.h"

#include "cni/redirect/redirect.h"

namespace culvert::agent {

Status note_original(const bpf::Datapath& datapath, int netns, std::uint64_t cookie, bool captured) {
  const auto noted = datapath.noted_sysctls(cookie);
  if (!noted) return std::unexpected(noted.error());
  if (*noted) return {};
  if (captured) return datapath.note_sysctls(cookie, {});
  const auto now = redirect::sysctls(netns);
  if (!now) return std::unexpected(now.error());
  return datapath.note_sysctls(cookie, *now);
}

Status restore_original(const bpf::Datapath& datapath, int netns, std::uint64_t cookie) {
  const auto noted = datapath.noted_sysctls(cookie);
  if (!noted) return std::unexpected(noted.error());
  return redirect::restore(netns, noted->value_or(culvert_sysctls{}));
}

}  // namespace culvert::agent
