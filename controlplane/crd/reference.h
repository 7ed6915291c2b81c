#pragma once
// The reference of the kinds, for people: what docs/reference holds, made from the protos like the CRDs. Pure.

#include <map>
#include <string>

#include "controlplane/crd/crd.h"

namespace culvert::crd {

// A page of Markdown for each API group, by file name: "security.istio.io.md".
std::map<std::string, std::string> reference(const Comments& comments);

}  // namespace culvert::crd
