#include "common/base/version.h"

#include "common/base/format.h"

// Defined by the object that programs are linked with.
extern "C" [[gnu::weak]] const char culvert_commit[];

namespace culvert {

std::string_view commit() { return culvert_commit != nullptr ? culvert_commit : "unknown"; }

std::string version_text() { return culvert::format("{} ({})", kVersion, commit()); }

}  // namespace culvert
