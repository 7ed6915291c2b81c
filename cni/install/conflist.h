#pragma once
// What becomes of a node's CNI configuration, as a pure function of the folder's files. What is not ours stays byte for byte as it is, and is so
// again when ours is taken out.
//
// A runtime uses the first configuration of the folder, by name, that it can read. Ours is
//   kOwn         a file of our own that comes before all others: that first configuration with our entry at its end. What its owner writes into
//                its file cannot lose the entry, and after a reboot ours is there before its owner runs. The network keeps its name.
//   kChained     an entry at the end of that first configuration, in its file. A single plugin (.conf) becomes a list (.conflist).
//   kStandalone  a configuration with nothing but our plugin, which something else calls (Multus)

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace culvert::install {

inline constexpr std::string_view kPlugin = "culvert-cni";  // the type of our entry, and the program's name
inline constexpr std::string_view kOwnFile = "00-culvert.conflist";

enum class Mode : std::uint8_t { kOwn, kChained, kStandalone };

struct File {
  std::string name;
  std::string text;
};

struct Wish {
  Mode mode = Mode::kOwn;
  std::string entry = {};                   // a JSON object: {"type":"culvert-cni",...}
  std::string primary = {};                 // the file whose configuration is meant; empty: the first that can be read
  std::string own = std::string(kOwnFile);  // kOwn and kStandalone: what ours is called
};

struct Change {
  std::string name;
  std::optional<std::string> text;  // none: the file is deleted
  std::string like = {};            // the file whose mode a new one gets

  friend bool operator==(const Change&, const Change&) = default;
};

// What has to change so that our plugin is called; nothing, when it is. Fails when there is nothing that it could be added to.
Result<std::vector<Change>> install(const std::vector<File>& folder, const Wish& wish);

// What has to change so that our plugin is not called.
std::vector<Change> uninstall(const std::vector<File>& folder, const Wish& wish);

// Of our settings, as the plugin reads them (cni/plugin/call.h).
struct Entry {
  std::string agent_socket;
  std::vector<std::string> exclude_namespaces;
  std::string own_namespace;
  std::vector<std::string> own_pods;
};
std::string entry_of(const Entry& entry, Mode mode);

}  // namespace culvert::install
