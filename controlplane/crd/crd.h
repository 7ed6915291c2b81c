#pragma once
// CustomResourceDefinitions out of the protos: structural schemas with the rules that the options say, so that the API server refuses what
// common/config refuses. Pure; run at build time (main.cc). What a schema cannot say cheaply inside of unbounded lists it says without a message.

#include <boost/json.hpp>
#include <map>
#include <string>

#include "common/config/kinds.h"

namespace google::protobuf {
class Descriptor;
}

namespace culvert::crd {

// What the protos' comments say, by full name of message or field. May be empty.
using Comments = std::map<std::string, std::string>;

// The comments of a FileDescriptorSet made with --include_source_info; none when it is no such thing.
Comments read_comments(const std::string& descriptors);

// The schema of one message. `bounded`: it is not inside of a list or map, so that rules in CEL cost what they cost once.
boost::json::object schema_of(const google::protobuf::Descriptor& message, const Comments& comments, bool bounded = true);

// The whole object, and what its file is called: "networking.istio.io_virtualservices.yaml".
boost::json::object definition_of(const config::CustomKind& kind, const Comments& comments);
std::string file_of(const config::CustomKind& kind);

}  // namespace culvert::crd
