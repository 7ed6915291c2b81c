// A configuration file: whatever the text is, it is refused with a line, or it is a configuration that differs from itself in nothing.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/base/check.h"
#include "common/xds/local_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = culvert::xds::parse_local(text, "x");
  if (!config) {
    CULVERT_CHECK(config.error().text.starts_with("x:"));
    return 0;
  }
  CULVERT_CHECK(culvert::xds::difference(*config, *config).empty());
  culvert::model::MeshBuilder builder;
  culvert::xds::difference({}, *config).apply_to(builder);
  CULVERT_CHECK(builder.current().workload_count() == config->workloads.size());
  return 0;
}
