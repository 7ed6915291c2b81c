#pragma once
// What a pod or a node sees as its file system: the machine's own through an overlay in memory, with the few files and mounts that are its alone.

#include <string>
#include <string_view>
#include <vector>

#include "cli/local/layout.h"
#include "common/base/result.h"

namespace culvert::local {

struct Mount {
  std::string from;  // a folder or file, as the world sees it
  std::string to;    // absolute, within the root; made when missing
  bool read_only = false;
};

struct Root {
  std::string folder;      // where the overlay keeps what is written; made by the caller, in memory
  std::string name_space;  // for DNS search; empty for a node
  std::string hostname;
  Addresses addresses;
  bool node = false;  // nodes see /run and a BPF file system of their own as well
  std::vector<Mount> mounts;
};

// Makes it and makes it the root of the calling process's mount namespace, which is its own.
Status enter_root(const Root& root);

Status make_folder(const std::string& path, unsigned mode = 0755);
// Removes a tree of cgroups as soon as nobody is in it; fails after two seconds.
Status remove_tree(const std::string& path);
// mount(2), with `type` null for a change of propagation or a bind.
Status mount_at(const char* what, const std::string& where, const char* type, unsigned long flags = 0, const char* options = "");

// Writes a file so that a reader sees the old or the new text, never a part.
Status write_file(const std::string& path, std::string_view text, unsigned mode = 0644);
Result<std::string> read_file(const std::string& path);

}  // namespace culvert::local
