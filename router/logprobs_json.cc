#include "router/logprobs_json.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace tandem::router {
namespace {

constexpr float kLowest = -9999.0f;  // JSON has no infinity; vLLM's stand-in

float Shown(float logprob) { return std::max(logprob, kLowest); }

// The bytes with U+FFFD for whatever is not UTF-8.
std::string ShowBytes(const std::string& bytes) {
  if (std::all_of(bytes.begin(), bytes.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; })) {
    return bytes;
  }
  return Json::parse(Json(bytes).dump(-1, ' ', false, Json::error_handler_t::replace)).get<std::string>();
}

absl::Span<const TokenLogprob> Top(const PositionLogprobs& position, int32_t top) {
  return absl::MakeConstSpan(position.top).subspan(0, top);
}

}  // namespace

std::string LogprobsJson::Name(int32_t token) const {
  return tokens_as_ids_ ? absl::StrCat("token_id:", token) : ShowBytes(codec_->TokenBytes(token));
}

Json LogprobsJson::ChatItem(const TokenLogprob& item) const {
  Json bytes = Json::array();
  for (const char byte : codec_->TokenBytes(item.token)) {
    bytes.push_back(static_cast<unsigned char>(byte));
  }
  return {{"token", Name(item.token)}, {"logprob", Shown(item.logprob)}, {"bytes", std::move(bytes)}};
}

Json LogprobsJson::Chat(const LogprobList& positions, int32_t top) const {
  Json content = Json::array();
  for (const auto& position : positions) {
    Json item = ChatItem(position->chosen);
    item["top_logprobs"] = Json::array();
    for (const TokenLogprob& likely : Top(*position, top)) {
      item["top_logprobs"].push_back(ChatItem(likely));
    }
    content.push_back(std::move(item));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

Json LogprobsJson::TextItem(const PositionLogprobs& position, int32_t top) const {
  Json item = Json::object();
  for (const TokenLogprob& likely : Top(position, top)) {
    item.emplace(Name(likely.token), Shown(likely.logprob));  // of tokens that look the same: the most likely
  }
  item.emplace(Name(position.chosen.token), Shown(position.chosen.logprob));
  return item;
}

// Where the token's text begins. A token that goes on with a character begins where that character does.
int64_t LogprobsJson::Advance(int32_t token, int64_t& offset) const {
  const std::string bytes = codec_->IsSpecial(token) ? "" : codec_->TokenBytes(token);
  const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; };
  const int64_t begin = !bytes.empty() && continues(bytes[0]) && offset > 0 ? offset - 1 : offset;
  offset += static_cast<int64_t>(bytes.size()) - std::count_if(bytes.begin(), bytes.end(), continues);
  return begin;
}

Json LogprobsJson::Text(const LogprobList& positions, int32_t top, int32_t first_token, int64_t& offset) const {
  Json json = {{"tokens", Json::array()},
               {"token_logprobs", Json::array()},
               {"top_logprobs", Json::array()},
               {"text_offset", Json::array()}};
  for (const auto& position : positions) {
    const int32_t token = position == nullptr ? first_token : position->chosen.token;
    json["tokens"].push_back(Name(token));
    json["token_logprobs"].push_back(position == nullptr ? Json() : Json(Shown(position->chosen.logprob)));
    json["top_logprobs"].push_back(position == nullptr ? Json() : TextItem(*position, top));
    json["text_offset"].push_back(Advance(token, offset));
  }
  return json;
}

Json LogprobsJson::Prompt(const std::vector<PositionLogprobs>& positions, int32_t top) const {
  Json list = Json::array({nullptr});
  const auto add = [this](Json& item, const TokenLogprob& token) {
    item.emplace(absl::StrCat(token.token), Json{{"logprob", Shown(token.logprob)},
                                                 {"rank", token.rank},
                                                 {"decoded_token", ShowBytes(codec_->TokenBytes(token.token))}});
  };
  for (const PositionLogprobs& position : positions) {
    Json item = Json::object();
    add(item, position.chosen);
    for (const TokenLogprob& likely : Top(position, top)) {
      add(item, likely);
    }
    list.push_back(std::move(item));
  }
  return list;
}

}  // namespace tandem::router
