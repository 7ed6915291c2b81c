#pragma once
// The reference of the kinds and of MeshConfig, for people: what docs/reference holds, made from the protos like the CRDs. Pure.

#include <map>
#include <string>

#include "controlplane/crd/crd.h"

namespace culvert::crd {

// Pages of Markdown by file name: one for each API group ("security.istio.io.md"), one for MeshConfig, and README.md, which lists them.
std::map<std::string, std::string> reference(const Comments& comments);

}  // namespace culvert::crd
