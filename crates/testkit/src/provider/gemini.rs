//! The Gemini API: <https://ai.google.dev/api/generate-content>, <https://ai.google.dev/api/tokens> and
//! <https://ai.google.dev/api/embeddings>.

use super::{
    answer::{Answer, Ask, Choice, Stop, THOUGHT, Usage, seal},
    identity,
    routes::{Dialect, Event, Framing, Given, named_models},
    script::{Script, UsageAt},
    shape::{self, COUNT, Member, Shape, TEXT, Why, Wrong},
};
use serde_json::{Value, json};

/// How this API dresses what is said.
pub(crate) const DIALECT: Dialect = Dialect {
    whole,
    stream,
    fault,
    stream_fault: |message| (None, fault(503, message).to_string()),
    refusal: None,
    lead: 0,
    framing: Framing::Google,
};

/// What may stand in the place of a seal on a call that another model made:
/// <https://ai.google.dev/gemini-api/docs/thought-signatures>.
const NO_SEAL: &[&str] = &["skip_thought_signature_validator", "context_engineering_is_the_way_to_go"];

/// Reads a request.
///
/// # Errors
/// Says what is wrong in the words of a Google error message.
pub(crate) fn ask(given: &Given<'_>) -> Result<Ask, String> {
    let body = &camel(given.body);
    given.insist(shape::check(body, &Shape::Object(REQUEST)).map_err(wrong))?;
    let contents: Vec<&Value> = list(body, "contents").collect();
    given.insist(check(body, &contents))?;
    let config = |name: &str| body.get("generationConfig").and_then(|config| config.get(name));
    let count = |name: &str| config(name).and_then(Value::as_u64).map(|n| n as usize);
    let is_json = config("responseMimeType").is_some_and(|kind| kind == "application/json");
    let schema = ["responseJsonSchema", "responseSchema"].into_iter().find_map(config);
    let asks = |content: &&&Value| role(content) == "user" && !own_text(content).is_empty();
    let thinking = config("thinkingConfig");
    let functions = list(body, "tools").flat_map(|tool| list(tool, "functionDeclarations"));
    Ok(Ask {
        model: model(given.path),
        stream: given.path.ends_with(":streamGenerateContent"),
        user_text: contents.iter().rev().find(asks).map(|content| own_text(content)).unwrap_or_default(),
        tool_result: contents.last().and_then(|content| tool_result(content)),
        tools: functions.filter_map(tool).collect(),
        choice: choice(body.pointer("/toolConfig/functionCallingConfig")),
        schema: is_json.then(|| schema.map(lowered).unwrap_or_default()),
        images: contents
            .iter()
            .flat_map(|content| list(content, "parts"))
            .filter(|part| is_image(part))
            .count(),
        thinks: thinking.is_some_and(|thinking| thinking.get("includeThoughts") == Some(&json!(true))),
        stops: strings(config("stopSequences")),
        limit: count("maxOutputTokens"),
        choices: count("candidateCount").unwrap_or(1),
        ..Ask::default()
    })
}

/// Reads a request to count tokens: contents, or a whole request.
///
/// # Errors
/// As [`ask`].
pub(crate) fn ask_count(given: &Given<'_>) -> Result<Ask, String> {
    let body = camel(given.body);
    given.insist(shape::check(&body, &Shape::Object(COUNT_REQUEST)).map_err(wrong))?;
    let mut body = body.get("generateContentRequest").cloned().unwrap_or(body);
    if let Value::Object(body) = &mut body {
        body.remove("model");
    }
    ask(&Given { body: &body, ..*given })
}

/// Reads a request for one vector.
///
/// # Errors
/// As [`ask`].
pub(crate) fn ask_embed(given: &Given<'_>) -> Result<Ask, String> {
    let body = &camel(given.body);
    given.insist(shape::check(body, &Shape::Object(EMBED)).map_err(wrong))?;
    Ok(to_embed(given, &[body]))
}

/// Reads a request for several vectors.
///
/// # Errors
/// As [`ask`]; each must name the model of the path.
pub(crate) fn ask_embeds(given: &Given<'_>) -> Result<Ask, String> {
    let body = &camel(given.body);
    given.insist(shape::check(body, &Shape::Object(EMBEDS)).map_err(wrong))?;
    let requests: Vec<&Value> = list(body, "requests").collect();
    let named = format!("models/{}", model(given.path));
    match requests.iter().any(|request| request.get("model") != Some(&json!(named))) {
        true => Err("model in the batch requests must match the model name in the BatchEmbedContentsRequest"
            .to_owned()),
        false => Ok(to_embed(given, &requests)),
    }
}

/// How many tokens were counted.
pub(crate) fn count(tokens: u64) -> Value {
    json!({"totalTokens": tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}]})
}

/// One vector.
pub(crate) fn embedding(_: &Ask, vectors: &[Vec<f32>]) -> Value {
    json!({"embedding": {"values": vectors.first()}})
}

/// Several vectors.
pub(crate) fn embeddings(_: &Ask, vectors: &[Vec<f32>]) -> Value {
    json!({"embeddings": vectors.iter().map(|values| json!({"values": values})).collect::<Vec<_>>()})
}

/// The models of the house.
pub(crate) fn models(names: &[&str]) -> Value {
    named_models(names, "models/")
}

fn whole(ask: &Ask, answer: &Answer, script: &Script, seed: u64) -> Value {
    let mut parts = Vec::new();
    parts.extend(answer.thought.as_ref().map(|thought| json!({"text": thought.concat(), "thought": true})));
    if answer.calls.is_empty() {
        let mut part = json!({"text": answer.words.concat()});
        if answer.thought.is_some() {
            sealed(&mut part);
        }
        parts.push(part);
    }
    parts.extend(calls(answer, seed));
    let candidates =
        (0..ask.choices.max(1)).map(|index| candidate(index, parts.clone(), Some(&answer.stop))).collect();
    envelope(ask, candidates, seed, (script.usage != UsageAt::Never).then_some(&answer.usage))
}

/// Pieces that are each like a whole answer and count what has come. The last ends it, and carries a text's seal.
fn stream(ask: &Ask, answer: &Answer, script: &Script, seed: u64) -> Vec<Event> {
    let mut pieces: Vec<Vec<Value>> = Vec::new();
    pieces.extend(answer.thought.iter().flatten().map(|word| vec![json!({"text": word, "thought": true})]));
    pieces.extend(answer.words.iter().map(|word| vec![json!({ "text": word })]));
    if !answer.calls.is_empty() {
        pieces.push(calls(answer, seed));
    }
    let mut last = json!({"text": ""});
    if answer.thought.is_some() && answer.calls.is_empty() {
        sealed(&mut last);
    }
    let Usage { output, reasoning, .. } = answer.usage;
    let event = |parts, stop, pieces| {
        let used = Usage { output: output.min(pieces), reasoning: reasoning.min(pieces), ..answer.usage };
        let usage = (script.usage != UsageAt::Never).then_some(&used);
        let candidates =
            (0..ask.choices.max(1)).map(|index| candidate(index, Vec::clone(&parts), stop)).collect();
        (None, envelope(ask, candidates, seed, usage).to_string())
    };
    let ending = script.done.then(|| event(vec![last], Some(&answer.stop), output));
    let pieces = pieces.into_iter().zip(1..).map(|(parts, count)| event(parts, None, count));
    pieces.chain(ending).collect()
}

/// An error body: <https://google.aip.dev/193>.
fn fault(status: u16, message: &str) -> Value {
    let word = match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    };
    json!({"error": {"code": status, "message": message, "status": word}})
}

fn candidate(index: usize, parts: Vec<Value>, stop: Option<&Stop>) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": index});
    if let (Value::Object(candidate), Some(stop)) = (&mut candidate, stop) {
        let reason = if *stop == Stop::Length { "MAX_TOKENS" } else { "STOP" };
        candidate.insert("finishReason".to_owned(), json!(reason));
    }
    candidate
}

fn envelope(ask: &Ask, candidates: Vec<Value>, seed: u64, used: Option<&Usage>) -> Value {
    let mut body =
        json!({"candidates": candidates, "modelVersion": ask.model, "responseId": identity("", 22, seed)});
    if let (Value::Object(body), Some(used)) = (&mut body, used) {
        body.insert("usageMetadata".to_owned(), usage(used));
    }
    body
}

/// Thoughts are beside the candidates' tokens, cached ones among the prompt's.
fn usage(used: &Usage) -> Value {
    let mut usage = json!({
        "promptTokenCount": used.input,
        "candidatesTokenCount": used.output.saturating_sub(used.reasoning),
        "totalTokenCount": used.input + used.output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": used.input}],
    });
    if let Value::Object(usage) = &mut usage {
        for (name, count) in
            [("thoughtsTokenCount", used.reasoning), ("cachedContentTokenCount", used.cached)]
        {
            if count > 0 {
                usage.insert(name.to_owned(), json!(count));
            }
        }
    }
    usage
}

/// Calls, the first with a seal.
fn calls(answer: &Answer, seed: u64) -> Vec<Value> {
    let call = |(place, call): (usize, &super::answer::Call)| {
        let id = identity("", 8, seed.wrapping_mul(64).wrapping_add(place as u64));
        let mut part = json!({"functionCall": {"name": call.name, "args": call.arguments, "id": id}});
        if place == 0 {
            sealed(&mut part);
        }
        part
    };
    answer.calls.iter().enumerate().map(call).collect()
}

fn sealed(part: &mut Value) {
    if let Value::Object(part) = part {
        part.insert("thoughtSignature".to_owned(), json!(seal(THOUGHT)));
    }
}

fn wrong(Wrong { path, why }: Wrong) -> String {
    match why {
        Why::Unknown => {
            let (holder, name) = path.rsplit_once('.').unwrap_or(("", &path));
            let place = if holder.is_empty() { String::new() } else { format!(" at '{holder}'") };
            format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field.")
        }
        Why::Missing => format!("* {path}: is not specified"),
        Why::Not(wanted) => format!("Invalid value at '{path}': it should be {wanted}"),
    }
}

/// What no shape can say.
fn check(body: &Value, contents: &[&Value]) -> Result<(), String> {
    if contents.is_empty() {
        return Err("* GenerateContentRequest.contents: contents is not specified".to_owned());
    }
    for (index, content) in contents.iter().enumerate() {
        if list(content, "parts").next().is_none() {
            return Err(format!(
                "* GenerateContentRequest.contents[{index}].parts: contents.parts must not be empty."
            ));
        }
        for part in list(content, "parts") {
            let data = [
                "text",
                "inlineData",
                "fileData",
                "functionCall",
                "functionResponse",
                "executableCode",
                "codeExecutionResult",
            ];
            if data.iter().filter(|name| part.get(**name).is_some()).count() != 1 {
                return Err(format!(
                    "* GenerateContentRequest.contents[{index}].parts: required oneof field 'data' must have one initialized field"
                ));
            }
            // Either alphabet of base64 is taken.
            let there = part.get("thoughtSignature").and_then(Value::as_str);
            let there = there.map(|there| there.replace('-', "+").replace('_', "/"));
            let is_odd = |there: &String| {
                *there != seal(THOUGHT) && !NO_SEAL.iter().any(|no| no.replace('_', "/") == *there)
            };
            if there.as_ref().is_some_and(is_odd) {
                return Err("Corrupted thought signature.".to_owned());
            }
        }
    }
    let config = body.get("generationConfig");
    let has = |name: &str| config.is_some_and(|config| config.get(name).is_some());
    let is_json =
        config.is_some_and(|config| config.get("responseMimeType") == Some(&json!("application/json")));
    if (has("responseSchema") || has("responseJsonSchema")) && !is_json {
        return Err("responseSchema requires responseMimeType to be application/json".to_owned());
    }
    let thinking = config.and_then(|config| config.get("thinkingConfig"));
    if thinking.is_some_and(|it| it.get("thinkingBudget").is_some() && it.get("thinkingLevel").is_some()) {
        return Err("You can only set only one of thinking budget and thinking level.".to_owned());
    }
    check_calls(contents)
}

/// Calls are answered in the content behind them, as many as there are; the first call of a step that is
/// going on carries its seal: <https://ai.google.dev/gemini-api/docs/thought-signatures>.
fn check_calls(contents: &[&Value]) -> Result<(), String> {
    let count =
        |content: &Value, name: &str| list(content, "parts").filter(|part| part.get(name).is_some()).count();
    let asked = contents
        .iter()
        .rposition(|content| role(content) == "user" && count(content, "functionResponse") == 0);
    for (index, content) in contents.iter().enumerate() {
        let made = count(content, "functionCall");
        let before = index.checked_sub(1).and_then(|before| contents.get(before));
        let answered = contents.get(index + 1).map_or(made, |next| count(next, "functionResponse"));
        if made != answered {
            return Err("Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.".to_owned());
        }
        if count(content, "functionResponse") > 0
            && before.is_none_or(|before| count(before, "functionCall") == 0)
        {
            return Err(
                "Please ensure that function response turn comes immediately after a function call turn."
                    .to_owned(),
            );
        }
        if made > 0 && before.is_none_or(|before| role(before) != "user") {
            return Err("Please ensure that function call turn comes immediately after a user turn or after a function response turn.".to_owned());
        }
        let first = list(content, "parts").find(|part| part.get("functionCall").is_some());
        let is_bare = first.is_some_and(|part| part.get("thoughtSignature").is_none());
        if is_bare && asked.is_some_and(|asked| index > asked) {
            return Err("Function call is missing a thought_signature in functionCall parts.".to_owned());
        }
    }
    Ok(())
}

/// A body with its members in one spelling; Google takes `mime_type` for `mimeType`. What users name stays.
fn camel(value: &Value) -> Value {
    const NAMED_BY_USERS: &[&str] =
        &["args", "response", "properties", "parametersJsonSchema", "responseJsonSchema", "labels"];
    match value {
        Value::Object(members) => {
            let told = |(name, value): (&String, &Value)| {
                let mut words = name.split('_');
                let mut told = words.next().unwrap_or_default().to_owned();
                for word in words {
                    let mut letters = word.chars();
                    told.extend(letters.next().map(|first| first.to_ascii_uppercase()));
                    told.push_str(letters.as_str());
                }
                let kept = NAMED_BY_USERS.contains(&told.as_str());
                (told, if kept { value.clone() } else { camel(value) })
            };
            Value::Object(members.iter().map(told).collect())
        }
        Value::Array(items) => items.iter().map(camel).collect(),
        other => other.clone(),
    }
}

fn to_embed(given: &Given<'_>, requests: &[&Value]) -> Ask {
    let texts: Vec<String> =
        requests.iter().filter_map(|request| request.get("content")).map(own_text).collect();
    let length = requests.iter().find_map(|request| request.get("outputDimensionality")?.as_u64());
    Ask {
        model: model(given.path),
        user_text: texts.join("\n"),
        texts,
        dimensions: length.map(|length| length as usize),
        ..Ask::default()
    }
}

fn model(path: &str) -> String {
    let last = path.rsplit('/').next().unwrap_or_default();
    last.split(':').next().unwrap_or_default().to_owned()
}

fn choice(config: Option<&Value>) -> Choice {
    let named = config.and_then(|config| list(config, "allowedFunctionNames").next()?.as_str());
    match (config.and_then(|config| config.get("mode")?.as_str()), named) {
        (Some("NONE"), _) => Choice::Never,
        (Some("ANY"), Some(name)) => Choice::Named(name.to_owned()),
        (Some("ANY"), None) => Choice::Any,
        _ => Choice::Auto,
    }
}

fn tool(function: &Value) -> Option<(String, Value)> {
    let schema = function.get("parametersJsonSchema").or_else(|| function.get("parameters")).map(lowered);
    Some((function.get("name")?.as_str()?.to_owned(), schema.unwrap_or_default()))
}

/// A schema with its types in small letters; Google's own have large ones.
fn lowered(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let lower = |(name, value): (&String, &Value)| {
                let value = match value {
                    Value::String(word) if name == "type" => json!(word.to_lowercase()),
                    other => lowered(other),
                };
                (name.clone(), value)
            };
            Value::Object(members.iter().map(lower).collect())
        }
        Value::Array(items) => items.iter().map(lowered).collect(),
        other => other.clone(),
    }
}

fn role(content: &Value) -> &str {
    content.get("role").and_then(Value::as_str).unwrap_or("user")
}

fn own_text(content: &Value) -> String {
    list(content, "parts").filter_map(|part| part.get("text")?.as_str()).collect::<Vec<_>>().join("\n")
}

/// What tools said: a text in `result` or `output`, or all of it as JSON.
fn tool_result(content: &Value) -> Option<String> {
    let said = |part: &Value| {
        let response = part.pointer("/functionResponse/response")?;
        let text = ["result", "output", "error"].into_iter().find_map(|name| response.get(name)?.as_str());
        Some(text.map_or_else(|| response.to_string(), str::to_owned))
    };
    let results: Vec<String> = list(content, "parts").filter_map(said).collect();
    (!results.is_empty()).then(|| results.join("\n"))
}

fn is_image(part: &Value) -> bool {
    let kind =
        ["/inlineData/mimeType", "/fileData/mimeType"].into_iter().find_map(|at| part.pointer(at)?.as_str());
    kind.is_some_and(|kind| kind.starts_with("image/"))
}

fn strings(given: Option<&Value>) -> Vec<String> {
    let all = given.and_then(Value::as_array).into_iter().flatten();
    all.filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

const BLOB: Shape = Shape::Object(&[("mimeType!", TEXT), ("data!", TEXT), ("displayName", TEXT)]);
const FILE: Shape = Shape::Object(&[("mimeType", TEXT), ("fileUri!", TEXT), ("displayName", TEXT)]);
const CALL: Shape = Shape::Object(&[("id", TEXT), ("name!", Shape::Text(128)), ("args", Shape::Map)]);
const RESPONSE: Shape = Shape::Object(&[
    ("id", TEXT),
    ("name!", Shape::Text(128)),
    ("response!", Shape::Map),
    ("parts", Shape::List(&Shape::Map)),
    ("willContinue", Shape::Flag),
    ("scheduling", TEXT),
]);
const PART: Shape = Shape::Object(&[
    ("text", TEXT),
    ("inlineData", BLOB),
    ("fileData", FILE),
    ("functionCall", CALL),
    ("functionResponse", RESPONSE),
    ("executableCode", Shape::Map),
    ("codeExecutionResult", Shape::Map),
    ("thought", Shape::Flag),
    ("thoughtSignature", TEXT),
    ("videoMetadata", Shape::Map),
    ("mediaResolution", Shape::Map),
    ("partMetadata", Shape::Map),
]);
const CONTENT: Shape =
    Shape::Object(&[("role", Shape::Word(&["user", "model"])), ("parts", Shape::List(&PART))]);
const FUNCTION: Shape = Shape::Object(&[
    ("name!", Shape::Text(128)),
    ("description", TEXT),
    ("parameters", SCHEMA),
    ("parametersJsonSchema", JSON_SCHEMA),
    ("response", SCHEMA),
    ("responseJsonSchema", Shape::Map),
    ("behavior", TEXT),
]);
/// Google's own schema language; deeper ones are not looked into.
/// <https://ai.google.dev/api/caching#Schema>
const SCHEMA: Shape = Shape::Object(&[
    ("type!", TEXT),
    ("format", TEXT),
    ("title", TEXT),
    ("description", TEXT),
    ("nullable", Shape::Flag),
    ("enum", Shape::List(&TEXT)),
    ("maxItems", Shape::Any),
    ("minItems", Shape::Any),
    ("properties", Shape::Map),
    ("required", Shape::List(&TEXT)),
    ("minProperties", Shape::Any),
    ("maxProperties", Shape::Any),
    ("minLength", Shape::Any),
    ("maxLength", Shape::Any),
    ("pattern", TEXT),
    ("example", Shape::Any),
    ("anyOf", Shape::List(&Shape::Map)),
    ("propertyOrdering", Shape::List(&TEXT)),
    ("default", Shape::Any),
    ("items", Shape::Map),
    ("minimum", Shape::Any),
    ("maximum", Shape::Any),
]);
/// As much of JSON Schema as is taken: <https://ai.google.dev/api/generate-content#FIELDS.response_json_schema>.
const JSON_SCHEMA: Shape = Shape::Object(&[
    ("$id", TEXT),
    ("$defs", Shape::Map),
    ("$ref", TEXT),
    ("$anchor", TEXT),
    ("type", Shape::Any),
    ("format", TEXT),
    ("title", TEXT),
    ("description", TEXT),
    ("default", Shape::Any),
    ("const", Shape::Any),
    ("enum", Shape::List(&Shape::Any)),
    ("items", Shape::Any),
    ("prefixItems", Shape::List(&Shape::Any)),
    ("minItems", COUNT),
    ("maxItems", COUNT),
    ("minLength", COUNT),
    ("maxLength", COUNT),
    ("pattern", TEXT),
    ("minimum", Shape::Any),
    ("maximum", Shape::Any),
    ("anyOf", Shape::List(&Shape::Any)),
    ("oneOf", Shape::List(&Shape::Any)),
    ("properties", Shape::Map),
    ("additionalProperties", Shape::Any),
    ("required", Shape::List(&TEXT)),
    ("propertyOrdering", Shape::List(&TEXT)),
]);
const TOOL: Shape = Shape::Object(&[
    ("functionDeclarations", Shape::List(&FUNCTION)),
    ("googleSearch", Shape::Map),
    ("googleSearchRetrieval", Shape::Map),
    ("codeExecution", Shape::Map),
    ("urlContext", Shape::Map),
    ("computerUse", Shape::Map),
    ("googleMaps", Shape::Map),
]);
const CALLING: Shape = Shape::Object(&[
    ("mode", Shape::Word(&["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"])),
    ("allowedFunctionNames", Shape::List(&TEXT)),
]);
const THINKING: Shape = Shape::Object(&[
    ("includeThoughts", Shape::Flag),
    ("thinkingBudget", Shape::Any),
    ("thinkingLevel", Shape::Word(&["minimal", "low", "medium", "high", "MINIMAL", "LOW", "MEDIUM", "HIGH"])),
]);
/// <https://ai.google.dev/api/generate-content#generationconfig>
const CONFIG: Shape = Shape::Object(&[
    ("temperature", Shape::Number(0.0, 2.0)),
    ("topP", Shape::Number(0.0, 1.0)),
    ("topK", COUNT),
    ("candidateCount", Shape::Count(1)),
    ("maxOutputTokens", Shape::Count(1)),
    ("stopSequences", Shape::List(&TEXT)),
    ("responseMimeType", Shape::Word(&["text/plain", "application/json", "text/x.enum"])),
    ("responseSchema", SCHEMA),
    ("responseJsonSchema", JSON_SCHEMA),
    ("responseModalities", Shape::List(&TEXT)),
    ("presencePenalty", Shape::Number(-2.0, 2.0)),
    ("frequencyPenalty", Shape::Number(-2.0, 2.0)),
    ("seed", Shape::Any),
    ("responseLogprobs", Shape::Flag),
    ("logprobs", COUNT),
    ("enableEnhancedCivicAnswers", Shape::Flag),
    ("speechConfig", Shape::Map),
    ("imageConfig", Shape::Map),
    ("mediaResolution", TEXT),
    ("thinkingConfig", THINKING),
]);

/// <https://ai.google.dev/api/generate-content#request-body>
const REQUEST: &[Member] = &[
    ("contents!", Shape::List(&CONTENT)),
    ("systemInstruction", CONTENT),
    ("tools", Shape::List(&TOOL)),
    ("toolConfig", Shape::Object(&[("functionCallingConfig", CALLING), ("retrievalConfig", Shape::Map)])),
    ("safetySettings", Shape::List(&Shape::Object(&[("category!", TEXT), ("threshold!", TEXT)]))),
    ("generationConfig", CONFIG),
    ("cachedContent", TEXT),
];
const COUNT_REQUEST: &[Member] =
    &[("contents", Shape::List(&CONTENT)), ("generateContentRequest", Shape::Map)];
const EMBED: &[Member] = &[
    ("model", TEXT),
    ("content!", CONTENT),
    ("taskType", TEXT),
    ("title", TEXT),
    ("outputDimensionality", Shape::Count(1)),
];
const EMBEDS: &[Member] = &[("requests!", Shape::List(&Shape::Object(EMBED)))];
