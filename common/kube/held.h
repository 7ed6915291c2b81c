#pragma once
// Which objects of a collection have been told of, so that a new list shows which of them are gone. Names and uids only. Pure.

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "common/kube/event.h"

namespace culvert::kube {

class Held {
 public:
  // A new list begins: nothing is seen yet.
  void begin() {
    ++list_;
    doubt_ = false;
  }
  // Is there. The uid that it had before when that was another one; else empty.
  std::string put(const Key& key, const std::string& uid);
  // Is there, but cannot be read: stays what it was, and has been told of like the others. Without a uid it is not sure which it is: then nothing can
  // be told gone by this list.
  void unreadable(const Key& key, const std::string& uid);
  // The list is whole: what it did not have is gone.
  std::vector<Gone> end();
  // True when it was held; `uid` becomes the one that it had.
  bool remove(const Key& key, std::string& uid);
  std::size_t size() const { return objects_.size(); }

 private:
  struct Object {
    std::string uid;
    std::size_t list;  // the last in which it was seen
  };
  std::map<Key, Object> objects_;
  std::size_t list_ = 0;
  bool doubt_ = false;
};

}  // namespace culvert::kube
