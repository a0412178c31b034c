#include "router/embedding_session.h"

#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "router/http_response.h"

namespace tandem::router {
namespace {

// Little-endian floats, as OpenAI's clients read them.
std::string Base64(const std::vector<float>& vector) {
  std::string bytes;
  for (const float value : vector) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    for (int shift = 0; shift < 32; shift += 8) {
      bytes.push_back(static_cast<char>(bits >> shift));
    }
  }
  return absl::Base64Escape(bytes);
}

Json EmbeddingsJson(const std::string& model, EmbeddingEncoding encoding, const EmbeddingResult& result) {
  Json data = Json::array();
  for (size_t i = 0; i < result.vectors.size(); ++i) {
    const std::vector<float>& vector = result.vectors[i];
    data.push_back({{"object", "embedding"},
                    {"index", i},
                    {"embedding", encoding == EmbeddingEncoding::kFloat ? Json(vector) : Json(Base64(vector))}});
  }
  return {{"object", "list"},
          {"data", std::move(data)},
          {"model", model},
          {"usage", {{"prompt_tokens", result.prompt_tokens}, {"total_tokens", result.prompt_tokens}}}};
}

}  // namespace

void RunEmbeddings(CompletionService& service, ApiEmbeddingRequest request,
                   std::shared_ptr<http::ResponseWriter> writer) {
  const auto job = std::make_shared<EmbeddingJob>(
      &service, std::move(request.embedding),
      [writer, model = std::move(request.model), encoding = request.encoding](absl::StatusOr<EmbeddingResult> result) {
        writer->Send(result.ok() ? JsonResponse(EmbeddingsJson(model, encoding, *result))
                                 : ErrorResponse(result.status()));
      });
  writer->OnClose([job] { job->Cancel(); });
  job->Start();
}

}  // namespace tandem::router
