#include "bpf/loader/datapath.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "bpf/loader/cgroup.h"
#include "bpf/loader/links.h"
#include "bpf/loader/state.h"
#include "common/base/fd.h"
#include "common/base/format.h"

namespace culvert::bpf {
namespace {

Status check_kernel() {
  utsname name{};
  unsigned major = 0, minor = 0;
  if (::uname(&name) != 0 || std::sscanf(name.release, "%u.%u", &major, &minor) != 2) return {};
  if (major > 5 || (major == 5 && minor >= 17)) return {};
  return failure(culvert::format("loading BPF: Linux {} is too old (5.17 or newer is needed)", name.release));
}

Result<std::uint64_t> own_netns_cookie() {
  const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  std::uint64_t cookie = 0;
  socklen_t size = sizeof(cookie);
  if (!socket || ::getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0)
    return failure_errno("reading the cookie of our network namespace");
  return cookie;
}

constexpr std::string_view kHooks[] = {"sockops", "connect4", "connect6"};

// Of all versions, in a folder of their own.
constexpr std::string_view kSharedMaps[] = {"probes", "kubelet_sockets", "pod_sysctls", "listeners", "exempt_cgroups"};

bool is_ours(const bpf_map* map) { return !bpf_map__is_internal(map); }

std::filesystem::path pin_of(const bpf_map* map, const std::filesystem::path& pin_dir) {
  const std::string_view name = bpf_map__name(map);
  const bool shared = std::ranges::contains(kSharedMaps, name);
  return pin_dir / (shared ? shared_folder() : version_folder(CULVERT_ABI_VERSION)) / name;
}

// Every map is taken from its pin when that fits, else made and pinned; libbpf refuses one of another shape.
Status pin_maps(bpf_object* object, const std::filesystem::path& pin_dir) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    if (!is_ours(map)) continue;
    if (const int error = bpf_map__set_pin_path(map, pin_of(map, pin_dir).c_str()); error != 0)
      return libbpf_failure(culvert::format("pinning BPF map {}", bpf_map__name(map)), error);
  }
  return {};
}

bool all_pinned(bpf_object* object, const std::filesystem::path& pin_dir) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    if (is_ours(map) && ::access(pin_of(map, pin_dir).c_str(), F_OK) != 0) return false;
  }
  return true;
}

// The names in a folder; none when it does not exist.
std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) names.push_back(entry.path().filename());
  return names;
}

// Whether the hooks of this version are in force, and no others: an upgrade that was interrupted is done again.
bool in_force(const std::filesystem::path& links) {
  std::size_t ours = 0;
  for (const auto& name : names_in(links)) {
    if (name.starts_with("pod-")) continue;
    if (!std::ranges::any_of(kHooks, [&](const auto hook) { return name == hook_name(hook); })) return false;
    ours++;
  }
  return ours == std::size(kHooks);
}

bool is_map_folder(std::string_view name) {
  if (name.starts_with("shared-")) name.remove_prefix(std::string_view("shared-").size());
  return name.size() > 1 && name[0] == 'v' && name.find_first_not_of("0123456789", 1) == name.npos;
}

Status remove_tree(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return failure(culvert::format("removing {}: {}", path.string(), error.message()));
  return {};
}

// Hooks and maps of other versions. Its connect hooks go first: they mark what its sockops need not know any more.
Status remove_predecessor(const std::filesystem::path& pin_dir) {
  auto links = names_in(pin_dir / "links");
  std::ranges::sort(links);
  for (const auto& name : links) {
    if (name.starts_with("pod-") || std::ranges::any_of(kHooks, [&](const auto hook) { return name == hook_name(hook); }))
      continue;
    if (auto done = drop_link(pin_dir / "links" / name); !done) return done;
  }
  for (const auto& name : names_in(pin_dir)) {
    if (!is_map_folder(name) || name == version_folder(CULVERT_ABI_VERSION) || name == shared_folder()) continue;
    if (auto done = remove_tree(pin_dir / name); !done) return done;
  }
  return {};
}

}  // namespace

Datapath::Datapath(std::unique_ptr<State> state) : state_(std::move(state)) {}
Datapath::Datapath(Datapath&&) noexcept = default;
Datapath& Datapath::operator=(Datapath&&) noexcept = default;
Datapath::~Datapath() = default;

bool Datapath::fresh() const { return state_->fresh; }
const std::filesystem::path& Datapath::cgroup_root() const { return state_->cgroup_root; }
std::uint64_t Datapath::host_netns_cookie() const { return state_->host_netns_cookie; }

Result<Datapath> Datapath::load(const Options& options) {
  log_libbpf();
  if (const auto fit = check_kernel(); !fit) return std::unexpected(fit.error());
  auto root = options.cgroup_root.empty() ? cgroup2_root() : Result<std::filesystem::path>(options.cgroup_root);
  if (!root) return std::unexpected(root.error());
  auto host = options.host_netns_cookie == 0 ? own_netns_cookie() : Result<std::uint64_t>(options.host_netns_cookie);
  if (!host) return std::unexpected(host.error());

  auto state = std::make_unique<State>();
  state->pin_dir = options.pin_dir;
  state->cgroup_root = std::move(*root);
  state->host_netns_cookie = *host;
  for (const auto& folder : {version_folder(CULVERT_ABI_VERSION), shared_folder(), std::string("links")}) {
    if (auto made = make_pin_folder(options.pin_dir / folder); !made) return std::unexpected(made.error());
  }

  state->node.reset(culvert_node_bpf::open());
  if (!state->node) return libbpf_failure("opening the BPF object", -errno);
  state->fresh = !all_pinned(state->node->obj, options.pin_dir) || !in_force(options.pin_dir / "links");
  if (auto pinned = pin_maps(state->node->obj, options.pin_dir); !pinned) return std::unexpected(pinned.error());
  state->node->rodata->host_netns_cookie = *host;
  state->node->rodata->has_set_retval =
      libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_set_retval, nullptr) == 1;
  if (const int error = culvert_node_bpf::load(state->node.get()); error != 0)
    return libbpf_failure("loading the BPF programs", error);
  return Datapath(std::move(state));
}

// Ours are attached beside a predecessor's, which goes last: at every moment each connection meets one whole set of hooks at least. What
// either has noted of the kubelet's probes is in the maps that both share, for whichever sk_lookup meets the SYN. Everything is loaded
// before anything is attached.
Status Datapath::activate() {
  const Fd root(::open(state_->cgroup_root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) return failure_errno(culvert::format("opening the cgroup root {}", state_->cgroup_root.string()));
  const auto root_id = cgroup_id(state_->cgroup_root);
  if (!root_id) return std::unexpected(root_id.error());
  const auto attach = [&](std::string_view hook, const bpf_program* program) {
    const int fd = bpf_program__fd(program);
    return put_link(state_->hook_link(hook), fd, *root_id,
                    [&] { return bpf_link_create(fd, root.get(), bpf_program__expected_attach_type(program), nullptr); });
  };

  if (state_->fresh) {
    if (auto done = prepare_captured(); !done) return done;
  }
  // Sockops first, so that no listener is missed between the walk and the swap; the connect hooks read what both have filled.
  const auto& programs = state_->node->progs;
  if (auto done = attach("sockops", programs.culvert_sockops); !done) return done;
  if (auto done = refill_listeners(); !done) return done;
  if (auto done = attach("connect4", programs.culvert_connect4); !done) return done;
  if (auto done = attach("connect6", programs.culvert_connect6); !done) return done;
  for (const auto& [cookie, lookup] : state_->prepared) {
    if (auto done = swap_link(state_->lookup_link(cookie), bpf_program__fd(lookup->progs.culvert_lookup)); !done) return done;
  }
  if (auto done = remove_predecessor(state_->pin_dir); !done) return done;
  state_->prepared.clear();
  state_->fresh = false;
  return {};
}

Status Datapath::unload(const std::filesystem::path& pin_dir) {
  // The connect hooks go first: a socket that nobody marks any more needs no steering.
  auto links = names_in(pin_dir / "links");
  std::ranges::sort(links);
  for (const auto& name : links) {
    if (auto done = drop_link(pin_dir / "links" / name); !done) return done;
  }
  for (const auto& name : names_in(pin_dir)) {
    if (name != "links" && !is_map_folder(name)) continue;
    if (auto done = remove_tree(pin_dir / name); !done) return done;
  }
  ::rmdir(pin_dir.c_str());  // stays when it is the bpffs itself, or holds what is not ours
  return {};
}

}  // namespace culvert::bpf
