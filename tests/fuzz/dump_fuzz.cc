// A dump of a mesh: whatever the text is, it is refused with a reason, or it is a mesh, and what is written of that is read again.
#include <boost/json.hpp>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/base/check.h"
#include "common/dump/dump.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto mesh = culvert::dump::read({reinterpret_cast<const char*>(data), size});
  if (!mesh) {
    CULVERT_CHECK(!mesh.error().text.empty());
    return 0;
  }
  const auto again = culvert::dump::read(boost::json::serialize(culvert::dump::write(**mesh)));
  CULVERT_CHECK(again);
  CULVERT_CHECK((*again)->workload_count() == (*mesh)->workload_count());
  CULVERT_CHECK((*again)->policy_count() == (*mesh)->policy_count());
  return 0;
}
