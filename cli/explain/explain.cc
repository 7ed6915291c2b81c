#include "cli/explain/explain.h"

#include <cstdio>
#include <utility>

namespace culvert::cli {
namespace {

int complain(const std::string& text) {
  std::fprintf(stderr, "culvert: %s\n", text.c_str());
  return 1;
}

}  // namespace

Answer answer_of(const std::vector<Explained>& all) {
  bool may = false, may_not = false;
  for (const Explained& one : all)
    for (const model::Route& route : one.routes) (route.allowed() ? may : may_not) = true;
  return may && may_not ? Answer::kDepends : may ? Answer::kMay : Answer::kMayNot;
}

int explain(const ExplainOptions& options) {
  const auto known = read_mesh(options.mesh);
  if (!known) return complain(known.error().text);
  const auto source = source_called(*known->mesh, options.from, options.name_space);
  if (!source) return complain("--from: " + source.error().text);
  const auto destinations = destinations_called(*known->mesh, **source, options.to);
  if (!destinations) return complain("--to: " + destinations.error().text);
  std::vector<Explained> all;
  for (const Destination& destination : *destinations)
    all.push_back({destination, model::explain(*known->mesh, **source, destination.at)});
  const std::string out = options.json ? json_of(*known, **source, all) + "\n" : text_of(*known, **source, all);
  std::fputs(out.c_str(), stdout);
  return static_cast<int>(answer_of(all));
}

}  // namespace culvert::cli
