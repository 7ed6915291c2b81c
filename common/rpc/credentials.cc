#include "common/rpc/credentials.h"

#include <algorithm>
#include <fstream>
#include <iterator>

namespace culvert::rpc {
namespace {

constexpr std::string_view kSystemRoots = "/etc/ssl/certs/ca-certificates.crt";
constexpr std::string_view kPemBegin = "-----BEGIN CERTIFICATE-----";

Result<std::string> read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return failure_errno("opening " + path);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (file.bad()) return failure_errno("reading " + path);
  return text;
}

}  // namespace

Result<Metadata> Credentials::metadata() const {
  Metadata out = extra;
  if (token_file.empty()) return out;
  auto token = read(token_file);
  if (!token) return std::unexpected(token.error().during("reading the token"));
  token->erase(token->find_last_not_of(" \t\r\n") + 1);
  if (token->empty()) return failure("the token in " + token_file + " is empty");
  if (!std::ranges::all_of(*token, [](unsigned char c) { return c > ' ' && c < 0x7f; })) {
    return failure("the token in " + token_file + " holds a character that no header may (is it a token?)");
  }
  out.emplace_back("authorization", "Bearer " + *token);
  if (!cluster_id.empty()) out.emplace_back("clusterid", cluster_id);
  return out;
}

Result<std::string> Credentials::roots_pem() const {
  if (roots.find(kPemBegin) != roots.npos) return roots;
  const std::string path = roots == "SYSTEM" ? std::string(kSystemRoots) : roots;
  auto text = read(path);
  if (!text) return std::unexpected(text.error().during("reading the trusted roots"));
  if (text->find(kPemBegin) == text->npos) return failure("there is no certificate in " + path);
  return text;
}

}  // namespace culvert::rpc
