#include "cni/install/conflist.h"

#include <algorithm>
#include <array>
#include <utility>

#include "cni/json/text.h"
#include "common/base/format.h"

namespace culvert::install {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr std::array<std::string_view, 5> kVersions = {"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};

bool is_list(const std::string& name) { return name.ends_with(".conflist"); }
bool is_configuration(const std::string& name) { return is_list(name) || name.ends_with(".conf") || name.ends_with(".json"); }

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(kSpace);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

bool is_ours(std::string_view plugin) { return json::text_of(json::find(plugin, "type")) == kPlugin; }

// Why a runtime cannot use it, or our plugin cannot follow in it.
Status usable(const File& file) {
  if (auto checked = json::check(file.text); !checked) return checked;
  const auto text = trimmed(file.text);
  if (!json::is_object(text)) return failure("it is no JSON object");
  const auto plugins = json::elements(json::find(text, "plugins"));
  if (is_list(file.name) && plugins.empty()) return failure("it has no plugins");
  if (is_list(file.name) && !std::ranges::all_of(plugins, json::is_object)) return failure("one of its plugins is no object");
  if (!is_list(file.name) && json::text_of(json::find(text, "type")).empty()) return failure("it names no type of plugin");
  return {};
}

// A runtime reads it; we can only follow where results are passed on as we know them.
Status chainable(const File& file) {
  const auto text = trimmed(file.text);
  auto versions = json::strings_of(json::find(text, "cniVersions"));
  versions.push_back(json::text_of(json::find(text, "cniVersion")));
  if (std::ranges::any_of(versions, [](const auto& version) { return std::ranges::contains(kVersions, version); })) return {};
  return failure(culvert::format(
      "{}: it is of CNI version \"{}\", in which plugins cannot follow one another as culvert-cni needs it (0.3.0 to 1.1.0 can)",
      file.name, versions.back()));
}

// --- text ----------------------------------------------------------------------------------------------------------

std::size_t offset(std::string_view text, std::string_view part) { return static_cast<std::size_t>(part.data() - text.data()); }

// The white space before a value: what puts it on a line of its own.
std::string_view space_before(std::string_view text, std::string_view value) {
  const auto before = text.substr(0, offset(text, value));
  const auto end = before.find_last_not_of(kSpace);
  return before.substr(end == before.npos ? 0 : end + 1);
}

std::string with_entry(const std::string& text, const std::string& entry) {
  const auto plugins = json::elements(json::find(trimmed(text), "plugins"));
  for (const auto plugin : plugins) {
    if (!is_ours(plugin)) continue;
    auto changed = text;
    return changed.replace(offset(text, plugin), plugin.size(), entry);
  }
  const auto last = plugins.back();
  auto space = std::string(space_before(text, last));
  if (space.empty()) space = " ";
  auto changed = text;
  return changed.insert(offset(text, last) + last.size(), "," + space + entry);
}

// Without the entry, and the comma and the space that came with it.
std::string without_entry(const std::string& text) {
  const auto plugins = json::elements(json::find(trimmed(text), "plugins"));
  const auto ours = std::ranges::find_if(plugins, is_ours);
  if (ours == plugins.end() || plugins.size() == 1) return text;
  const bool first = ours == plugins.begin();
  const auto begin = first ? offset(text, *ours) : offset(text, *(ours - 1)) + (ours - 1)->size();
  const auto end = first ? offset(text, *(ours + 1)) : offset(text, *ours) + ours->size();
  auto changed = text;
  changed.erase(begin, end - begin);
  return std::ranges::count_if(plugins, is_ours) > 1 ? without_entry(changed) : changed;
}

// What a runtime makes of a single plugin by itself: a list of the same version and name.
std::string as_list(const File& file) {
  if (is_list(file.name)) return file.text;
  const auto text = trimmed(file.text);
  const auto member = [&](std::string_view key) {
    const auto value = json::find(text, key);
    return value.empty() ? std::string("\"\"") : std::string(value);
  };
  return culvert::format("{{\n  \"cniVersion\": {},\n  \"name\": {},\n  \"plugins\": [\n    {}\n  ]\n}}\n", member("cniVersion"),
                         member("name"), text);
}

// --- files ---------------------------------------------------------------------------------------------------------

const File* find(const std::vector<File>& folder, const std::string& name) {
  const auto found = std::ranges::find(folder, name, &File::name);
  return found == folder.end() ? nullptr : &*found;
}

bool holds_ours(const File& file) {
  if (!json::check(file.text)) return false;
  const auto text = trimmed(file.text);
  return std::ranges::any_of(json::elements(json::find(text, "plugins")), is_ours) || is_ours(text);
}

void put(const std::vector<File>& folder, std::vector<Change>& changes, const std::string& name, std::string text,
         const std::string& like) {
  const auto* const there = find(folder, name);
  if (there != nullptr && there->text == text) return;
  changes.push_back({.name = name, .text = std::move(text), .like = like});
}

// The configuration that a runtime would use without us.
Result<const File*> primary_of(const std::vector<File>& folder, const Wish& wish) {
  std::vector<const File*> files;
  for (const auto& file : folder) {
    if (is_configuration(file.name) && file.name != wish.own && file.name != kOwnFile) files.push_back(&file);
  }
  std::ranges::sort(files, {}, [](const File* file) { return file->name; });
  auto why = wish.primary.empty() ? std::string("there is none") : "there is no " + wish.primary;
  for (const auto* file : files) {
    if (!wish.primary.empty() && file->name != wish.primary && file->name != wish.primary + "list") continue;
    if (auto can = usable(*file); !can) {
      why = file->name + ": " + can.error().text;
      continue;
    }
    if (auto can = chainable(*file); !can) return std::unexpected(can.error());
    return file;
  }
  return failure("no CNI configuration that a pod could be connected by: " + why +
                 " (is the cluster's CNI plugin installed yet?)");
}

std::string list_name(const std::string& name) { return is_list(name) ? name : name.substr(0, name.rfind('.')) + ".conflist"; }

// Ours out of every file but one.
void clean(const std::vector<File>& folder, const std::string& but, std::vector<Change>& changes) {
  for (const auto& file : folder) {
    if (file.name == but || !is_configuration(file.name) || !holds_ours(file)) continue;
    const bool own = file.name == kOwnFile || json::elements(json::find(trimmed(file.text), "plugins")).size() < 2;
    if (own) changes.push_back({.name = file.name, .text = std::nullopt});
    else put(folder, changes, file.name, without_entry(file.text), file.name);
  }
}

}  // namespace

// At every moment there is a configuration that calls us, if there was one before.
Result<std::vector<Change>> install(const std::vector<File>& folder, const Wish& wish) {
  std::vector<Change> changes;
  if (wish.mode == Mode::kStandalone) {
    clean(folder, wish.own, changes);
    put(folder, changes, wish.own, wish.entry + "\n", "");
    return changes;
  }
  const auto primary = primary_of(folder, wish);
  if (!primary) return std::unexpected(primary.error());
  const auto& from = **primary;
  const auto list = as_list(from);
  if (wish.mode == Mode::kOwn) {
    put(folder, changes, wish.own, with_entry(without_entry(list), wish.entry), from.name);
    clean(folder, wish.own, changes);
    return changes;
  }
  const auto name = list_name(from.name);
  put(folder, changes, name, with_entry(list, wish.entry), from.name);
  clean(folder, name, changes);
  if (name != from.name) changes.push_back({.name = from.name, .text = std::nullopt});
  return changes;
}

std::vector<Change> uninstall(const std::vector<File>& folder, const Wish& wish) {
  std::vector<Change> changes;
  clean(folder, "", changes);
  if (wish.mode != Mode::kChained && find(folder, wish.own) != nullptr &&
      std::ranges::none_of(changes, [&](const auto& c) { return c.name == wish.own; }))
    changes.push_back({.name = wish.own, .text = std::nullopt});
  return changes;
}

std::string entry_of(const Entry& entry, Mode mode) {
  std::string text = "{";
  if (mode == Mode::kStandalone) text += culvert::format(R"("cniVersion":"1.0.0","name":"{}","standalone":true,)", kPlugin);
  return text + culvert::format(R"("type":"{}","agent_socket":{},"exclude_namespaces":{},"own_namespace":{},"own_pods":{}}})",
                                kPlugin, json::quoted(entry.agent_socket), json::quoted(entry.exclude_namespaces),
                                json::quoted(entry.own_namespace), json::quoted(entry.own_pods));
}

}  // namespace culvert::install
