#include "common/config/folder.h"

#include <algorithm>

namespace culvert::config {
namespace {

constexpr std::string_view kStatusPods = "status/pods/";

bool is_yaml(std::string_view name) {
  return !name.starts_with('.') && !name.contains('/') && (name.ends_with(".yaml") || name.ends_with(".yml"));
}

bool is_status(std::string_view name) { return name.starts_with(kStatusPods); }

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == std::string_view::npos; }

bool same(const ObjectPtr& a, const ObjectPtr& b) { return a == b || (a && b && *a == *b); }

// What a policy without a name is called. No real name has a colon.
Key called_by(Key key, const Place& place) {
  key.name = place.text();
  if (!key.name.contains(':')) key.name += ':';
  for (char& c : key.name) {
    if (c < 0x21 || c > 0x7e) c = '?';  // it goes to clients
  }
  return key;
}
bool is_nameless(const Key& key) { return key.name.contains(':'); }

}  // namespace

bool Folder::reads(std::string_view name) {
  if (is_status(name)) name.remove_prefix(kStatusPods.size());
  return is_yaml(name);
}

Diff Folder::written(const std::string& name, std::string_view text, Time now) {
  if (is_status(name)) return status_changed(name, text);
  if (is_blank(text) && files_.contains(name)) return vanished(name, now);
  Diff diff;
  gone_.erase(name);
  replace(name, read_file(name, text, files_[name], diff), diff);
  return diff;
}

Diff Folder::vanished(const std::string& name, Time now) {
  if (is_status(name)) return status_changed(name, "");
  Diff diff;
  const auto file = files_.find(name);
  if (file == files_.end() || !gone_.emplace(name, now).second) return diff;
  std::vector<Key> keys;
  for (const auto& [key, parsed] : file->second.objects) keys.push_back(key);
  for (const Key& key : keys) settle(key, diff);  // another file may hold it as well
  return diff;
}

Diff Folder::expire(Time now) {
  Diff diff;
  for (auto it = gone_.begin(); it != gone_.end();) {
    if (now - it->second < kQuiet) {
      ++it;
      continue;
    }
    const std::string name = it->first;
    it = gone_.erase(it);
    replace(name, {}, diff);
    files_.erase(name);
  }
  return diff;
}

std::optional<Folder::Time> Folder::deadline() const {
  if (gone_.empty()) return std::nullopt;
  const auto first = std::ranges::min_element(gone_, {}, [](const auto& entry) { return entry.second; });
  return first->second + kQuiet;
}

// What the file holds now: what could be read, and of what could not, the last good version.
Folder::File Folder::read_file(const std::string& name, std::string_view text, const File& before, Diff& diff) {
  File file;
  ParsedFile parsed = parse_yaml(name, text);
  for (Parsed& one : parsed.objects) {
    Key key = key_of(*one.object);
    const auto [first, fresh] = file.objects.try_emplace(key, one);
    if (!fresh) {
      diff.problems.push_back({one.place, key.text(), "", "stands twice in this file",
                               "line " + std::to_string(first->second.place.line) + " is in force: remove one"});
    }
  }
  bool certain = true;
  Places nameless;
  Place place{name, 0};
  for (Broken& broken : parsed.broken) {
    if (!broken.problems.empty()) place = broken.problems.front().place;  // else of the same document as the one before
    certain = certain && broken.certain;
    if (broken.key && broken.key->name.empty()) {
      nameless.emplace(called_by(*broken.key, place), place);
    } else if (broken.key && !file.objects.contains(*broken.key)) {
      file.invalid.emplace(*broken.key, place);
    }
    std::ranges::move(broken.problems, std::back_inserter(diff.problems));
  }
  if (!certain) keep(file, before, nameless);
  for (const auto& [key, at] : file.invalid) {
    if (const auto old = before.objects.find(key); old != before.objects.end()) file.objects.insert(*old);
  }
  std::ranges::move(parsed.ignored, std::back_inserter(diff.ignored));
  return file;
}

// A document that may be any of those that the file held: what is not there anew stays as it was.
void Folder::keep(File& file, const File& before, const Places& nameless) {
  for (const auto& [key, at] : before.invalid) {
    if (!file.objects.contains(key) && !(is_nameless(key) && !nameless.empty())) file.invalid.try_emplace(key, at);
  }
  std::size_t kept = 0;
  for (const auto& [key, old] : before.objects) {
    if (!file.invalid.contains(key) && file.objects.try_emplace(key, old).second && is_policy(key.kind)) ++kept;
  }
  // A policy without a name is taken for one that is missing and still in force; without such a one, it is new and has no good version.
  for (const auto& [key, at] : nameless) {
    if (kept > 0) {
      --kept;
    } else {
      file.invalid.emplace(key, at);
    }
  }
}

void Folder::replace(const std::string& name, File file, Diff& diff) {
  std::set<Key> touched;
  const auto each = [](const File& in, auto visit) {
    for (const auto& [key, parsed] : in.objects) visit(key);
    for (const auto& [key, place] : in.invalid) visit(key);
  };
  each(files_[name], [&](const Key& key) {
    touched.insert(key);
    holders_[key].erase(name);
  });
  each(file, [&](const Key& key) {
    touched.insert(key);
    holders_[key].insert(name);
  });
  files_[name] = std::move(file);
  for (const Key& key : touched) settle(key, diff);
}

// The file that has the say on `key`: the first by name among those that are there, else the first among those that vanished just now.
Folder::Winner Folder::winner(const Key& key, Diff& diff) const {
  Winner best;
  bool best_gone = true;
  const auto holders = holders_.find(key);
  if (holders == holders_.end()) return best;
  for (const std::string& name : holders->second) {
    const File& file = files_.at(name);
    const auto found = file.objects.find(key);
    if (found == file.objects.end()) continue;
    const bool gone = gone_.contains(name);
    if (best.parsed && !gone && !best_gone) {
      diff.problems.push_back(
          {found->second.place, key.text(), "", "is also in " + best.parsed->place.text() + ", which is in force", "remove one"});
    }
    if (!best.parsed || (best_gone && !gone)) {
      best = {&found->second, name};
      best_gone = gone;
    }
  }
  return best;
}

// Compares what `key` is now with what was said of it last, and says the difference.
void Folder::settle(const Key& key, Diff& diff) {
  const Winner best = winner(key, diff);
  const auto holders = holders_.find(key);
  Place invalid_at;
  bool invalid = false;
  if (holders != holders_.end()) {
    for (const std::string& name : holders->second) {
      const auto found = files_.at(name).invalid.find(key);
      if (found == files_.at(name).invalid.end() || gone_.contains(name)) continue;
      invalid = true;
      invalid_at = found->second;
    }
    if (holders->second.empty()) holders_.erase(holders);
  }
  const auto before = in_force_.find(key);
  ObjectPtr object = best.parsed ? with_status(key, best.parsed->object) : nullptr;
  if (!object && invalid && before != in_force_.end()) object = before->second;  // what another file said before is the last good
  const bool differs = !same(object, before == in_force_.end() ? nullptr : before->second);
  const bool was_invalid = invalid_.contains(key);
  if (object) {
    in_force_[key] = object;
  } else if (before != in_force_.end()) {
    in_force_.erase(before);
  }
  if (invalid) {
    invalid_.insert(key);
  } else {
    invalid_.erase(key);
  }
  if (invalid && !was_invalid && !differs) {
    diff.changes.push_back({Change::What::kInvalid, key, nullptr, invalid_at});
  } else if (differs || (was_invalid && !invalid)) {
    diff.changes.push_back(
        {object ? Change::What::kPut : Change::What::kDelete, key, object, best.parsed ? best.parsed->place : Place{}});
  }
}

Diff Folder::status_changed(const std::string& name, std::string_view text) {
  Diff diff;
  ParsedFile parsed_file = parse_yaml(name, text);
  for (Broken& broken : parsed_file.broken) std::ranges::move(broken.problems, std::back_inserter(diff.problems));
  if (!parsed_file.broken.empty()) return diff;  // what it said before stays
  std::set<Key> touched;
  if (const auto known = status_names_.find(name); known != status_names_.end()) {
    touched.insert(known->second);
    const auto files = status_.find(known->second);
    files->second.erase(name);
    if (files->second.empty()) status_.erase(files);
    status_names_.erase(known);
  }
  for (const Parsed& parsed : parsed_file.objects) {
    if (kind_of(*parsed.object) != Kind::kPod) continue;
    const Key key = key_of(*parsed.object);
    touched.insert(key);
    status_[key][name] = parsed.object;
    status_names_[name] = key;
    break;
  }
  for (const Key& key : touched) settle(key, diff);
  return diff;
}

// The status that was written for this pod, not for an earlier one of the same name: by its uid, and by the node that the file's name begins with.
const Metadata* Folder::status_of(const Key& key, const Pod& pod) const {
  const auto files = status_.find(key);
  if (files == status_.end()) return nullptr;
  const Metadata* best = nullptr;
  int best_rank = -1;
  for (const auto& [name, object] : files->second) {
    const Metadata& status = metadata_of(*object);
    const bool both = !status.uid.empty() && !pod.metadata.uid.empty();
    if (both && status.uid != pod.metadata.uid) continue;
    const std::string_view file = std::string_view(name).substr(kStatusPods.size());
    const bool here = file.starts_with(pod.spec.node_name + "_");
    const bool names_a_node = std::ranges::count(file, '_') >= 2;  // NODE_NAMESPACE_POD.yaml
    if (names_a_node && !here && !pod.spec.node_name.empty()) continue;
    const int rank = (both ? 2 : 0) + (here ? 1 : 0);
    if (rank <= best_rank) continue;
    best_rank = rank;
    best = &status;
  }
  return best;
}

// A pod's annotations with those of its status over them.
ObjectPtr Folder::with_status(const Key& key, const ObjectPtr& object) const {
  const Pod* original = std::get_if<Pod>(object.get());
  const Metadata* status = original ? status_of(key, *original) : nullptr;
  if (!status) return object;
  Pod pod = *original;
  Labels& annotations = pod.metadata.annotations.edit();
  for (const auto& [annotation, value] : status->annotations) annotations[annotation] = value;
  return std::make_shared<const Object>(std::move(pod));
}

}  // namespace culvert::config
