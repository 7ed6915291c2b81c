#pragma once
// What is legal and probably not meant: references to nothing, policies that another one overrules or that say other than they do. Pure.

#include <string>
#include <vector>

#include "common/derive/covered.h"
#include "common/derive/objects.h"
#include "common/derive/selected.h"
#include "common/derive/sharing.h"

namespace culvert::derive {

// What whoever follows the objects counts of them, so that nobody has to look at all to say something of one.
struct Tally {
  Selected selected;
  Covered covered;
  Sharing sharing;
};

// Of the object with this key, as things stand now; nothing for an object that is not there. `settings` with what MeshConfig says.
std::vector<std::string> doubts(const config::Key& key, const Objects& objects, const Settings& settings, const Tally& tally);
// The same, counting what it selects and who shares its addresses: as long as there are workloads.
std::vector<std::string> doubts(const config::Key& key, const Objects& objects, const Settings& settings);
// Of one that is not in force, or not yet: as it would be among them, of which `sharing` is. Counts what it selects.
std::vector<std::string> doubts(const config::Object& object, const Objects& objects, const Settings& settings,
                                const Sharing& sharing);

}  // namespace culvert::derive
