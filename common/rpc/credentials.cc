#include "common/rpc/credentials.h"

#include <algorithm>
#include <filesystem>

#include "common/base/file.h"

namespace culvert::rpc {
namespace {

constexpr std::string_view kSystemRoots = "/etc/ssl/certs/ca-certificates.crt";
constexpr std::string_view kPemBegin = "-----BEGIN CERTIFICATE-----";

}  // namespace

Result<Metadata> Credentials::metadata() const {
  Metadata out = extra;
  const bool file = token.find('/') != token.npos;
  std::error_code ignored;
  if (token.empty() || (file && token_may_be_missing && !std::filesystem::exists(token, ignored))) return out;
  auto text = file ? read_file(token) : Result<std::string>(token);
  if (!text) return std::unexpected(text.error().during("reading the token"));
  const std::string which = file ? "the token in " + token : "the token";
  text->erase(text->find_last_not_of(" \t\r\n") + 1);
  if (text->empty()) return failure(which + " is empty");
  if (!std::ranges::all_of(*text, [](unsigned char c) { return c > ' ' && c < 0x7f; })) {
    return failure(which + " holds a character that no header may (is it a token?)");
  }
  out.emplace_back("authorization", "Bearer " + *text);
  if (!cluster_id.empty()) out.emplace_back("clusterid", cluster_id);
  return out;
}

Result<std::string> Credentials::roots_pem() const {
  if (roots.find(kPemBegin) != roots.npos) return roots;
  const std::string path = roots == "SYSTEM" ? std::string(kSystemRoots) : roots;
  auto text = read_file(path);
  if (!text) return std::unexpected(text.error().during("reading the trusted roots"));
  if (text->find(kPemBegin) == text->npos) return failure("there is no certificate in " + path);
  return text;
}

}  // namespace culvert::rpc
