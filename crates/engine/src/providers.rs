//! The table of providers, sorted by name. A row says how a provider deviates from its dialect; what it
//! does not mention is as the dialect has it. Everything that names a provider reads this table.

use crate::{
    cloud::Cloud,
    provider::{Auth, COMPLETIONS, ModelList, Prefix, Provider, Quirk, chat, gemini, local, messages},
    speech::{Spoken, spoken},
};
use dialect::{
    DialectId::{
        Anthropic, Bedrock, Cohere, Gemini, OpenaiChat, OpenaiCompletions, OpenaiResponses, Replicate,
    },
    embed::EmbedShape,
};

/// OpenAI's newer API beside the older one.
const RESPONSES: &[Spoken] = &[spoken(OpenaiChat), spoken(OpenaiResponses)];

/// Every provider that is known by name.
///
/// Adding one that speaks a known dialect is one row here and one case file, `cases/provider/NAME.txt`.
#[rustfmt::skip]
pub const PROVIDERS: &[Provider] = &[
    messages("anthropic", "https://api.anthropic.com").key(&["ANTHROPIC_API_KEY"]).base_vars(&["ANTHROPIC_API_BASE"])
        .quirks(&[Quirk::PlainIds, Quirk::SealedThoughts]),
    // A key goes in a header, a token of Entra's as a bearer (https://learn.microsoft.com/en-us/azure/ai-foundry/openai/api-version-lifecycle).
    chat("azure", "https://{AZURE_OPENAI_RESOURCE_NAME}.openai.azure.com").cloud(Cloud::Azure).key(&["AZURE_OPENAI_API_KEY", "AZURE_API_KEY"]).auth(Auth::Header("api-key"))
        .aka(&["azure-openai", "azure_openai"]).base_vars(&["AZURE_OPENAI_ENDPOINT", "AZURE_API_BASE"]).quirks(&[Quirk::MaxCompletionTokens])
        .speaks(&[spoken(OpenaiChat).at("/openai/v1/chat/completions"), spoken(OpenaiResponses).at("/openai/v1/responses")]).models("/openai/v1/models", ModelList::Openai)
        .embeds(EmbedShape::Openai, "/openai/v1/embeddings"),
    chat("bedrock", "https://bedrock-runtime.{AWS_REGION}.amazonaws.com").cloud(Cloud::Bedrock).key(&["AWS_BEARER_TOKEN_BEDROCK"])
        .aka(&["amazon-bedrock", "aws-bedrock"]).base_vars(&["AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_BEDROCK_RUNTIME_ENDPOINT"])
        .speaks(&[spoken(Bedrock)]).models("/foundation-models?byOutputModality=TEXT", ModelList::Bedrock)
        .embeds(EmbedShape::Bedrock, "/model/{model}/invoke"),
    chat("cerebras", "https://api.cerebras.ai/v1").key(&["CEREBRAS_API_KEY"]),
    chat("cohere", "https://api.cohere.com").key(&["COHERE_API_KEY", "CO_API_KEY"]).aka(&["cohere_chat"])
        .speaks(&[spoken(Cohere), spoken(OpenaiChat).at("/compatibility/v1/chat/completions")]).models("/v1/models?page_size=100&endpoint=chat", ModelList::Names)
        .embeds(EmbedShape::Cohere, "/v2/embed"),
    // Goes on with a message that is marked (https://www.alibabacloud.com/help/en/model-studio/partial-mode).
    chat("dashscope", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1").key(&["DASHSCOPE_API_KEY"]).quirks(&[Quirk::Prefix(Prefix::new("partial"))]),
    chat("deepinfra", "https://api.deepinfra.com/v1/openai").speaks(COMPLETIONS).key(&["DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN"]),
    // The same, elsewhere (https://api-docs.deepseek.com/guides/chat_prefix_completion).
    chat("deepseek", "https://api.deepseek.com").key(&["DEEPSEEK_API_KEY"]).quirks(&[Quirk::Prefix(Prefix { below: "/beta", ..Prefix::new("prefix") })]),
    chat("demo", "http://demo.invalid/v1").built_in(),
    chat("fireworks", "https://api.fireworks.ai/inference/v1").speaks(COMPLETIONS).key(&["FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"]).aka(&["fireworks-ai", "fireworks_ai"]),
    // Its OpenAI paths take the key as a bearer, its own paths in a header (https://ai.google.dev/gemini-api/docs/openai).
    gemini("google-ai-studio", "https://generativelanguage.googleapis.com").key(&["GEMINI_API_KEY", "GOOGLE_API_KEY"]).aka(&["gemini", "google"])
        .speaks(&[spoken(Gemini), spoken(OpenaiChat).at("/v1beta/openai/chat/completions").auth(Auth::Bearer)]),
    chat("grok", "https://api.x.ai/v1").key(&["GROK_API_KEY", "XAI_API_KEY"]).aka(&["xai"]).speaks(RESPONSES),
    // Refuses these with a 400 (https://console.groq.com/docs/openai).
    chat("groq", "https://api.groq.com/openai/v1").key(&["GROQ_API_KEY"]).drops(&["logit_bias", "logprobs", "top_k", "top_logprobs"]),
    chat("huggingface", "https://router.huggingface.co/v1").key(&["HUGGINGFACE_API_KEY", "HF_TOKEN"]),
    // Takes vLLM's way to say that the last message goes on (https://github.com/ggml-org/llama.cpp/pull/23012).
    local("llamacpp", "http://127.0.0.1:8080/v1").speaks(COMPLETIONS).quirks(&[Quirk::OpenEnd]).key(&["LLAMACPP_API_KEY"]).aka(&["llama-cpp", "llama.cpp"]),
    local("lm-studio", "http://127.0.0.1:1234/v1").speaks(COMPLETIONS).key(&["LM_STUDIO_API_KEY"]).aka(&["lm_studio", "lmstudio"]).base_vars(&["LM_STUDIO_API_BASE"]),
    // Refuses every member that it does not know (https://docs.mistral.ai/api), and says a prefix again
    // (https://docs.mistral.ai/guides/prefix).
    chat("mistral", "https://api.mistral.ai/v1").key(&["MISTRAL_API_KEY"])
        .drops(&["top_k"]).renames(&[("max_completion_tokens", "max_tokens"), ("seed", "random_seed")]).quirks(&[Quirk::NineLetterIds, Quirk::Prefix(Prefix { echoed: true, ..Prefix::new("prefix") })]),
    // Goes on with a message that is marked (https://platform.kimi.ai/docs/guide/use-partial-mode-feature-of-kimi-api).
    chat("moonshot", "https://api.moonshot.ai/v1").key(&["MOONSHOT_API_KEY"]).quirks(&[Quirk::Prefix(Prefix::new("partial"))]),
    chat("nebius", "https://api.tokenfactory.nebius.com/v1").speaks(COMPLETIONS).key(&["NEBIUS_API_KEY"]),
    chat("nvidia-nim", "https://integrate.api.nvidia.com/v1").key(&["NVIDIA_NIM_API_KEY", "NVIDIA_API_KEY"]).aka(&["nvidia_nim"]),
    // One name for two places, as its users have it: with a key it is ollama.com, with an address or an
    // entry in the configuration a server of one's own.
    local("ollama", "http://127.0.0.1:11434/v1").speaks(COMPLETIONS).key(&["OLLAMA_API_KEY"]).keyed_base("https://ollama.com/v1").aka(&["ollama_chat"]).base_vars(&["OLLAMA_API_BASE"]),
    // Refuses `top_k`, which other APIs' clients send and many compatible servers take (https://platform.openai.com/docs/api-reference/chat/create).
    chat("openai", "https://api.openai.com/v1").key(&["OPENAI_API_KEY"]).base_vars(&["OPENAI_API_BASE"]).drops(&["top_k"]).quirks(&[Quirk::MaxCompletionTokens])
        .speaks(&[spoken(OpenaiChat), spoken(OpenaiResponses), spoken(OpenaiCompletions)]),
    chat("openrouter", "https://openrouter.ai/api/v1").speaks(COMPLETIONS).key(&["OPENROUTER_API_KEY", "OR_API_KEY"]),
    // Its paths have no version (https://docs.perplexity.ai/api-reference/chat-completions-post).
    chat("perplexity-ai", "https://api.perplexity.ai").key(&["PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"]).aka(&["perplexity"]).no_models().no_embeds(),
    // Answers within a minute where it is asked to wait (https://replicate.com/docs/topics/predictions/create-a-prediction).
    chat("replicate", "https://api.replicate.com").key(&["REPLICATE_API_KEY", "REPLICATE_API_TOKEN"]).speaks(&[spoken(Replicate)]).headers(&[("prefer", "wait")]).no_models().no_embeds()
        .hosts(&["replicate.com", "*.replicate.com", "replicate.delivery"]),
    chat("sambanova", "https://api.sambanova.ai/v1").speaks(COMPLETIONS).key(&["SAMBANOVA_API_KEY"]),
    chat("together", "https://api.together.xyz/v1").speaks(COMPLETIONS).key(&["TOGETHER_API_KEY", "TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY"]).aka(&["together-ai", "together_ai", "togetherai"])
        .models("/models", ModelList::Array),
    // Google's own models, Claude without the name of the model in its body, and all others in OpenAI's API
    // (https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude).
    chat("vertex", "https://{GOOGLE_CLOUD_LOCATION}-aiplatform.googleapis.com").cloud(Cloud::Vertex).key(&["VERTEX_API_KEY", "VERTEXAI_API_KEY"]).auth(Auth::Header("x-goog-api-key"))
        .aka(&["google-vertex", "google-vertex-ai", "vertex-ai", "vertex_ai", "vertexai"]).models("/v1beta1/publishers/google/models?pageSize=1000", ModelList::Vertex)
        .embeds(EmbedShape::Vertex, "/v1/{place}/publishers/google/models/{model}:predict")
        .speaks(&[
            spoken(Gemini).only("gemini").at("/v1beta1/{place}/publishers/google/models/{model}:generateContent"),
            spoken(Anthropic).only("claude").at("/v1/{place}/publishers/anthropic/models/{model}:rawPredict")
                .streamed_at("/v1/{place}/publishers/anthropic/models/{model}:streamRawPredict").sets(&[("anthropic_version", "\"vertex-2023-10-16\"")]),
            spoken(OpenaiChat).at("/v1/{place}/endpoints/openapi/chat/completions"),
        ]),
    local("vllm", "http://127.0.0.1:8000/v1").speaks(COMPLETIONS).quirks(&[Quirk::OpenEnd]).key(&["VLLM_API_KEY", "HOSTED_VLLM_API_KEY"]).aka(&["hosted_vllm"]).base_vars(&["HOSTED_VLLM_API_BASE"]),
    chat("workers-ai", "https://api.cloudflare.com/client/v4/accounts/{CLOUDFLARE_ACCOUNT_ID}/ai").key(&["CLOUDFLARE_API_KEY"]).aka(&["cloudflare"])
        .speaks(&[spoken(OpenaiChat).at("/v1/chat/completions")]).models("/models/search?task=Text%20Generation", ModelList::Result)
        .embeds(EmbedShape::Openai, "/v1/embeddings"),
    chat("z-ai", "https://api.z.ai/api/paas/v4").key(&["ZAI_API_KEY", "Z_AI_API_KEY"]).aka(&["zai"]),
];

/// The row of that name or other spelling.
#[must_use]
pub fn find(name: &str) -> Option<&'static Provider> {
    PROVIDERS.iter().find(|row| row.is_called(name))
}
