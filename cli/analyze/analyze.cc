#include "cli/analyze/analyze.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "common/base/format.h"
#include "common/base/result.h"

namespace culvert::cli::analyze {
namespace {

namespace fs = std::filesystem;
using culvert::analyze::Finding;
using culvert::analyze::Level;

constexpr int kFound = 79;  // as istioctl analyze

bool is_config(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".yaml" || extension == ".yml" || extension == ".json";
}

// The files that a word of the command line means, sorted.
Result<std::vector<std::string>> files_of(const std::string& path) {
  if (path == "-") return std::vector<std::string>{path};
  std::error_code error;
  if (!fs::is_directory(path, error)) return std::vector<std::string>{path};
  std::vector<std::string> out;
  for (auto at = fs::recursive_directory_iterator(path, error); !error && at != fs::recursive_directory_iterator();
       at.increment(error)) {
    if (at->is_regular_file(error) && is_config(at->path())) out.push_back(at->path().string());
  }
  if (error) return failure("reading " + path + ": " + error.message());
  if (out.empty()) return failure("reading " + path + ": there are no files *.yaml, *.yml or *.json in it");
  std::ranges::sort(out);
  return out;
}

// One byte more than a file may have, so that the parser says that it is too large.
Result<std::string> text_of(const std::string& path) {
  std::ifstream file;
  if (path != "-") {
    file.open(path, std::ios::binary);
    if (!file) return failure_errno("reading " + path);
  }
  std::istream& in = path == "-" ? std::cin : file;
  std::string text;
  std::vector<char> buffer(std::size_t{64} * 1024);
  while (text.size() <= config::kMaxFileBytes && in) {
    in.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    text.append(buffer.data(), static_cast<std::size_t>(in.gcount()));
  }
  if (in.bad()) return failure_errno("reading " + path);
  return text;
}

Result<std::vector<config::ParsedFile>> read_all(const Options& options) {
  std::vector<config::ParsedFile> out;
  for (const std::string& path : options.paths) {
    const auto files = files_of(path);
    if (!files) return std::unexpected(files.error());
    for (const std::string& file : *files) {
      const auto text = text_of(file);
      if (!text) return std::unexpected(text.error());
      out.push_back(config::parse_yaml(file == "-" ? "stdin" : file, *text));
    }
  }
  return out;
}

bool reaches(const std::vector<Finding>& findings, Level threshold) {
  return std::ranges::any_of(findings, [&](const Finding& one) { return one.level >= threshold; });
}

int cannot(const Error& error) {
  std::fputs(("culvert: " + error.text + "\n").c_str(), stderr);
  return 1;
}

void print(const Options& options, const std::vector<Finding>& findings) {
  const std::string text = options.json ? to_json(findings) : to_text(findings);
  std::fputs(text.c_str(), stdout);
}

}  // namespace

std::string to_text(const std::vector<Finding>& findings) {
  std::string out;
  for (const Finding& one : findings) {
    std::string where = one.object;
    if (const std::string place = one.place.text(); !place.empty()) where += (where.empty() ? "" : " ") + place;
    out += culvert::format("{} ({}) {}\n", culvert::analyze::name(one.level), where, one.text);
  }
  return out;
}

std::string to_json(const std::vector<Finding>& findings) {
  boost::json::array out;
  for (const Finding& one : findings) {
    out.push_back({{"level", culvert::analyze::name(one.level)},
                   {"origin", one.object},
                   {"reference", one.place.text()},
                   {"message", one.text}});
  }
  return boost::json::serialize(out) + "\n";
}

int validate(const Options& options) {
  const auto files = read_all(options);
  if (!files) return cannot(files.error());
  const derive::Settings settings{.root_namespace = options.root_namespace};
  std::vector<Finding> findings;
  std::size_t objects = 0;
  for (const config::ParsedFile& file : *files) {
    std::ranges::move(culvert::analyze::mistakes(file), std::back_inserter(findings));
    for (const config::Parsed& parsed : file.objects)
      std::ranges::move(culvert::analyze::cautions(parsed, settings), std::back_inserter(findings));
    objects += file.objects.size();
  }
  print(options, findings);
  const bool refused = reaches(findings, Level::kError);
  if (!options.json) std::fputs(culvert::format("{} objects are valid{}\n", objects, refused ? ", not all" : "").c_str(), stdout);
  return refused ? 1 : 0;
}

int analyze(const Options& options) {
  const auto files = read_all(options);
  if (!files) return cannot(files.error());
  const std::vector<Finding> findings = culvert::analyze::analyze(*files, {.root_namespace = options.root_namespace});
  print(options, findings);
  if (!options.json && findings.empty()) std::fputs("No validation issues found\n", stdout);
  return reaches(findings, options.threshold) ? kFound : 0;
}

}  // namespace culvert::cli::analyze
