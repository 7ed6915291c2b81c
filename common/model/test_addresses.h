// Addresses as tests write them; text that is none ends the test.
#pragma once

#include <string_view>

#include "common/base/address.h"

namespace culvert::model {

inline IpAddress ip(std::string_view text) { return IpAddress::parse(text).value(); }
inline Endpoint to(std::string_view text) { return Endpoint::parse(text).value(); }

}  // namespace culvert::model
