#pragma once
// Whose an object of the Gateway API is: several controllers share its kinds in one cluster, each with fields that others do not know. Pure.

#include <boost/json/object.hpp>

#include "common/derive/objects.h"

namespace culvert::controlplane {

// False for objects of the Gateway API that name no class, Gateway or Service that we serve: no word about them is ours. True for every other
// kind. `among` may be null: then only names that are ours everywhere count.
bool concerns_us(const boost::json::object& object, const derive::Objects* among);

}  // namespace culvert::controlplane
