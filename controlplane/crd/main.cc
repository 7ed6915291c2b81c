// Writes the CRDs of all kinds into a folder: culvert-crd DESCRIPTORS FOLDER. Part of the build.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "controlplane/crd/crd.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: culvert-crd DESCRIPTORS FOLDER\n";
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
    std::ofstream out(folder / culvert::crd::file_of(kind));
    out << "# Made from the protos by culvert-crd.\n" << culvert::crd::to_yaml(culvert::crd::definition_of(kind, comments));
    if (!out.flush()) {
      std::cerr << "culvert-crd: cannot write to " << folder << "\n";
      return 1;
    }
  }
  return 0;
}
