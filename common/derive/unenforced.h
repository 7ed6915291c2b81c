#pragma once
// What this version accepts, checks and keeps, and does not enforce: said in warnings and in the status of objects, never passed over in silence. Pure.

#include <string>
#include <vector>

#include "common/derive/objects.h"

namespace culvert::derive {

struct Unenforced {
  bool all = false;                 // nothing of the object is in force
  bool never = false;               // and no later version will change that: it is for another kind of mesh
  std::vector<std::string> fields;  // else the fields that are not: "spec.rules[0].to[1].operation.methods"

  bool any() const { return all || !fields.empty(); }
};
Unenforced unenforced(const config::Object& object);

}  // namespace culvert::derive
