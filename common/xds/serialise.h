#pragma once
// Bytes of a message such that equal messages give equal bytes: maps are written in the order of their keys.

#include <string>

namespace google::protobuf {
class MessageLite;
}

namespace culvert::xds {

std::string serialise(const google::protobuf::MessageLite& message);

}  // namespace culvert::xds
