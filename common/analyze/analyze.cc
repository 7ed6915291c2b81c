#include "common/analyze/analyze.h"

#include <map>
#include <utility>

#include "common/derive/discovery.h"
#include "common/derive/doubts.h"
#include "common/derive/unenforced.h"

namespace culvert::analyze {
namespace {

using config::AuthorizationPolicy;

std::string text_of(const config::Problem& problem) {
  std::string text = (problem.field.empty() ? "" : problem.field + ": ") + problem.what;
  if (!problem.hint.empty()) text += " (" + problem.hint + ")";
  return text;
}

// Legal, often meant, and to be thought about twice: nothing else says so before it happens.
std::string warned(const AuthorizationPolicy& policy, const derive::Settings& settings) {
  if (policy.action != AuthorizationPolicy::Action::kAllow || !policy.rules.empty() || !policy.target_refs.empty()) return "";
  const bool whole = policy.selector.empty();
  if (whole && policy.metadata.name_space == settings.root_namespace)
    return "spec.rules is empty: no connection in the WHOLE MESH is allowed but what other ALLOW policies of the same workloads "
           "allow";
  return std::string("spec.rules is empty: no connection to ") + (whole ? "the namespace" : "what it selects") +
         " is allowed but what other ALLOW policies allow";
}

std::string not_enforced(const config::Object& object) {
  constexpr std::size_t kMost = 8;
  const derive::Unenforced what = derive::unenforced(object);
  if (what.never) return "has no meaning in a mesh without sidecars, and is never read";
  if (what.all && what.fields.empty()) return "is valid and kept, and this version enforces nothing of it yet";
  if (!what.any()) return "";
  std::string text =
      what.all ? "is valid and kept, and not enforced by this version yet, because of " : "not enforced by this version yet: ";
  for (std::size_t i = 0; i < what.fields.size() && i < kMost; ++i) text += (i > 0 ? ", " : "") + what.fields[i];
  if (what.fields.size() > kMost) text += " and " + std::to_string(what.fields.size() - kMost) + " more";
  return text;
}

}  // namespace

std::string_view name(Level level) {
  switch (level) {
    case Level::kInfo: return "Info";
    case Level::kWarning: return "Warning";
    case Level::kError: break;
  }
  return "Error";
}

std::vector<Finding> mistakes(const config::ParsedFile& file) {
  std::vector<Finding> out;
  for (const config::Broken& broken : file.broken) {
    for (const config::Problem& problem : broken.problems)
      out.push_back({Level::kError, problem.place, problem.object, text_of(problem)});
  }
  if (out.empty() && !file.broken.empty()) out.push_back({Level::kError, {}, "", "cannot be read"});
  for (const config::Ignored& ignored : file.ignored)
    out.push_back({Level::kInfo, ignored.place,
                   ignored.kind + " " + (ignored.name_space.empty() ? "" : ignored.name_space + "/") + ignored.name,
                   "of " + ignored.api_version + " is not read by this version"});
  return out;
}

std::vector<Finding> cautions(const config::Parsed& parsed, const derive::Settings& settings) {
  const config::Object& object = *parsed.object;
  std::vector<Finding> out;
  const auto warn = [&](std::string text) {
    if (!text.empty()) out.push_back({Level::kWarning, parsed.place, config::key_of(object).text(), std::move(text)});
  };
  if (const auto* policy = std::get_if<AuthorizationPolicy>(&object)) warn(warned(*policy, settings));
  warn(not_enforced(object));
  return out;
}

std::vector<Finding> doubts(const config::Parsed& parsed, const derive::Objects& objects, const derive::Settings& settings,
                            const derive::Sharing& sharing) {
  std::vector<Finding> out = cautions(parsed, settings);
  const std::string called = config::key_of(*parsed.object).text();
  for (std::string& text : derive::doubts(*parsed.object, objects, settings, sharing))
    out.push_back({Level::kWarning, parsed.place, called, std::move(text)});
  return out;
}

std::vector<Finding> analyze(const std::vector<config::ParsedFile>& files, const derive::Settings& settings) {
  derive::Discovery discovery(settings);
  std::map<config::Key, config::Place> first;
  std::vector<Finding> out;
  for (const config::ParsedFile& file : files) {
    for (const config::Parsed& parsed : file.objects) {
      const config::Key key = config::key_of(*parsed.object);
      const auto [at, fresh] = first.try_emplace(key, parsed.place);
      if (fresh) discovery.put(key, parsed.object);
      else out.push_back({Level::kError, parsed.place, key.text(), "is there twice: " + at->second.text() + " has it as well"});
    }
  }
  discovery.settle();
  const derive::Sharing sharing(discovery.objects());
  for (const config::ParsedFile& file : files) {
    std::vector<Finding> found = mistakes(file);
    out.insert(out.end(), found.begin(), found.end());
    for (const config::Parsed& parsed : file.objects) {
      found = doubts(parsed, discovery.objects(), discovery.settings(), sharing);
      out.insert(out.end(), found.begin(), found.end());
    }
  }
  return out;
}

}  // namespace culvert::analyze
