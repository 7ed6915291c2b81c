// Any bytes as a file of the configuration folder: no crash, no endless work, and what is said about it can be printed.
#include <cstdint>
#include <string_view>

#include "common/config/folder.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  culvert::config::Folder folder;
  const culvert::config::Diff diff = folder.written("f.yaml", text, {});
  for (const auto& problem : diff.problems) (void)problem.text();
  (void)folder.written("f.yaml", text.substr(0, text.size() / 2), {});
  return 0;
}
