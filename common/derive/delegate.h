#pragma once
// VirtualServices that leave routes to others (`delegate`), as Istio has it: one that has hosts, a root, may name one that has none, and this is all: a delegate
// names nobody. Of a chain, however long or round, each link is looked at from the one before it and no further. Pure.

#include <set>
#include <string>
#include <vector>

#include "common/config/object.h"

namespace culvert::derive {

class Objects;

// The VirtualServices that this one leaves routes to, there or not; none of another kind.
std::set<config::Key> delegates_of(const config::Object& object);

// Whether two versions of a VirtualService are the same to whoever names it. Null: none.
bool alike_as_delegate(const config::Object* before, const config::Object* now);

// What is wrong with the delegates of a VirtualService.
std::vector<std::string> delegate_doubts(const config::Custom& virtual_service, const Objects& objects);

}  // namespace culvert::derive
