// Writes the CRDs of all kinds into a folder, and their reference into another: culvert-crd DESCRIPTORS FOLDER [REFERENCE]. Part of the build.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "common/config/to_yaml.h"
#include "controlplane/crd/crd.h"
#include "controlplane/crd/reference.h"

namespace {

bool write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream out(path);
  out << text;
  if (out.flush()) return true;
  std::cerr << "culvert-crd: cannot write " << path << "\n";
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::cerr << "usage: culvert-crd DESCRIPTORS FOLDER [REFERENCE]\n";
    return 2;
  }
  std::ifstream descriptors(argv[1], std::ios::binary);
  std::stringstream text;
  text << descriptors.rdbuf();
  const auto comments = culvert::crd::read_comments(text.str());
  if (comments.empty()) {
    std::cerr << "culvert-crd: " << argv[1] << " has no comments (make it with protoc --include_source_info)\n";
    return 1;
  }
  const std::filesystem::path folder = argv[2];
  std::filesystem::create_directories(folder);
  for (const culvert::config::CustomKind& kind : culvert::config::custom_kinds()) {
    const std::string yaml = culvert::config::to_yaml(culvert::crd::definition_of(kind, comments));
    if (!write(folder / culvert::crd::file_of(kind), "# Made from the protos by culvert-crd.\n" + yaml)) return 1;
  }
  if (argc == 3) return 0;
  std::filesystem::create_directories(argv[3]);
  for (const auto& [name, page] : culvert::crd::reference(comments)) {
    if (!write(std::filesystem::path(argv[3]) / name, page)) return 1;
  }
  return 0;
}
