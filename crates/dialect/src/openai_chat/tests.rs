//! The dialect's own laws: whatever its bodies hold comes back as it was. What holds for all dialects is
//! tested with the cases.

use super::{OpenaiChat, wire};
use crate::{
    Dialect, DialectId, FaultKind,
    canon::Usage,
    frame::sse::Frame,
    laws,
    limits::{PARTS_MAX, TOOLS_MAX, TURNS_MAX},
};
use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value, json};

/// Names of members, and JSON texts that each may have as its value.
type Shape = &'static [(&'static str, &'static [&'static str])];

const REQUEST: Shape = &[
    ("temperature", &["0.70", "1", "1e-3", "null"]),
    ("top_k", &["40"]),
    ("seed", &["-7", "12345678901234567890123"]),
    ("stop", &[r#""a""#, r#"["a"]"#, r#"["a","b"]"#, "[]", "null"]),
    ("n", &["1", "128"]),
    ("max_tokens", &["9", "-1", "null"]),
    ("max_completion_tokens", &["8"]),
    ("logprobs", &["true", "null"]),
    ("logit_bias", &[r#"{"1":2}"#]),
    ("reasoning_effort", &[r#""none""#, r#""high""#, r#""max""#, r#""extreme""#, "null", "3"]),
    ("reasoning", &[r#"{"effort":"low"}"#, r#"{"exclude":true}"#, r#"{"enabled":false}"#, "null"]),
    ("thinking", &[r#"{"type":"disabled"}"#, r#"{"type":"enabled","budget_tokens":9}"#, r#"{"type":"new"}"#]),
    ("response_format", &[r#"{"type":"text"}"#, r#"{"type":"grammar"}"#, r#"{"type":"json_object","x":1}"#]),
    ("tool_choice", &[r#""auto""#, r#""any""#, r#""none""#, r#"{"type":"allowed_tools"}"#, "null"]),
    ("function_call", &[r#"{"name":"f"}"#]),
    ("parallel_tool_calls", &["false"]),
    ("stream", &["true", "false", "null"]),
    ("stream_options", &["{}", r#"{"include_usage":true}"#, r#"{"include_usage":null,"x":1}"#, "null"]),
    ("user", &[r#""u""#, "null"]),
    ("a/b~c", &["[null]"]),
];

const SPOKEN: Shape = &[
    ("content", &["null", r#""""#, "[]", r#""Hi""#, r#"[{"type":"text","text":"Hi"}]"#, THOUGHT_LIST]),
    ("refusal", &["null", r#""No""#]),
    ("tool_calls", &["null", "[]", CALL, ODD_CALLS]),
    ("function_call", &["null", r#"{"name":"f","arguments":"{}"}"#]),
    ("reasoning_content", &["null", r#""""#, r#""Hm""#]),
    ("reasoning", &["null", r#""Hm""#, "7"]),
    ("reasoning_details", &["null", "[]", SEALED, r#"[{"type":"reasoning.encrypted","data":"eA=="}]"#]),
    ("annotations", &["null", "[]", r#"[{"type":"url_citation"}]"#]),
];
const THOUGHT_LIST: &str = r#"[{"type":"thinking","thinking":[{"type":"text","text":"Hm"}],"closed":true},{"type":"text","text":"Hi"}]"#;
const CALL: &str = r#"[{"id":"a","type":"function","function":{"name":"f","arguments":"{ \"x\": 1 }"}}]"#;
const ODD_CALLS: &str = r#"[{"id":"b","index":0,"function":{"name":"g","arguments":{"x":1}},"extra_content":{}},
    {"type":"custom","id":"c","custom":{"name":"h","input":"i"}},{"id":"","type":"function","function":{"name":"j"}}]"#;
const SEALED: &str = r#"[{"type":"reasoning.text","text":"H","format":"anthropic","index":0},
    {"type":"reasoning.text","text":"m","signature":"s","format":"anthropic","index":0},{"type":"reasoning.new"}]"#;

const CHOICE: Shape = &[
    ("finish_reason", &["null", r#""stop""#, r#""tool_calls""#, r#""eos""#, r#""insufficient_resource""#]),
    ("logprobs", &["null", r#"{"content":[{"token":"Hi"}],"refusal":null}"#]),
    ("content_filter_results", &["{}"]),
    ("message_id", &["1"]),
];

const ANSWER: Shape = &[
    ("usage", &["null", "{}", r#"{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"cost":0.10}"#]),
    ("system_fingerprint", &["null", r#""fp""#]),
    ("service_tier", &[r#""default""#]),
];

const TURNS: &[&str] = &[
    r#"{"role":"system","content":"Be brief."}"#,
    r#"{"role":"developer","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]}"#,
    r#"{"role":"user","content":"Hi","name":"ann","cache_control":{"type":"ephemeral","ttl":"1h"}}"#,
    r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA==","detail":null}}]}"#,
    r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"x","new":1}},{"type":"image_url","detail":"low"}]}"#,
    r#"{"role":"user","content":[{"type":"input_audio","input_audio":"AA=="},{"type":"file","file":{"file_data":"AA=="}}]}"#,
    r#"{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"new"}},{"type":"text","text":""}]}"#,
    r#"{"role":"tool","tool_call_id":"a","content":"1","cache_control":{"type":"ephemeral"}}"#,
    r#"{"role":"tool","tool_call_id":"a","content":[{"type":"image_url","image_url":{"url":"https://x"}}]}"#,
    r#"{"role":"tool","tool_call_id":"a","name":"f"}"#,
    r#"{"role":"function","name":"f","content":"1"}"#,
    r#"{"role":"function","content":null}"#,
];

const TOOLS: &[&str] = &[
    r#"{"type":"function","function":{"name":"f"}}"#,
    r#"{"type":"function","function":{"name":"f","strict":null,"parameters":{}},"cache_control":{"type":"ephemeral"}}"#,
    r#"{"type":"function","function":{"name":"f","description":"d","new":1},"new":2}"#,
    r#"{"type":"function","name":"flat"}"#,
    r#"{"type":"web_search"}"#,
];

/// What may stand in `choices` of a chunk; the last ones finish.
const CHUNKS: &[&str] = &[
    "[]",
    r#"[{"index":0,"delta":{"role":"assistant","content":""}}]"#,
    r#"[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]"#,
    r#"[{"delta":{"content":null,"reasoning_content":"Hm"},"logprobs":{"content":[{"token":"H"}]}}]"#,
    r#"[{"index":0,"delta":{"reasoning":"Hm","reasoning_details":[{"type":"reasoning.text","text":"Hm","index":0}]}}]"#,
    r#"[{"index":0,"delta":{"reasoning_details":[{"type":"reasoning.text","signature":"s","format":"anthropic"}]}}]"#,
    r#"[{"index":0,"delta":{"reasoning_details":[{"type":"reasoning.encrypted","data":"x","format":"anthropic"}]}}]"#,
    r#"[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm"}]},{"type":"new"}]}}]"#,
    r#"[{"index":0,"delta":{"refusal":"No"}},{"index":1,"delta":{"content":"B"}}]"#,
    r#"[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}}]"#,
    r#"[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\":"}}]}}]"#,
    r#"[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}},{"index":1,"id":"b","function":{"name":"g","arguments":"{}"}}]}}]"#,
    r#"[{"index":0,"delta":{"tool_calls":[{"function":{"name":"h","arguments":{"y":2}}},{"type":"custom","custom":{}}]}}]"#,
    r#"[{"index":0,"delta":{"annotations":[1]}}]"#,
    r#"[{"index":0,"delta":{},"finish_reason":"stop"},{"index":1,"delta":{},"finish_reason":"length"}]"#,
    r#"[{"index":0,"delta":{"tool_calls":[{"index":2,"id":"z","function":{"name":"i","arguments":"{}"}}]},"finish_reason":"tool_calls"}]"#,
];

fn json(text: &&str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn object(shape: Shape) -> impl Strategy<Value = Map<String, Value>> {
    let members = shape.iter().map(|(name, values)| {
        prop::option::of(select(*values)).prop_map(|value| Some(((*name).to_owned(), json(&value?))))
    });
    members.collect::<Vec<_>>().prop_map(|members| members.into_iter().flatten().collect())
}

fn spoken() -> impl Strategy<Value = Value> {
    object(SPOKEN).prop_map(|mut message| {
        message.insert("role".to_owned(), "assistant".into());
        message.into()
    })
}

fn request() -> impl Strategy<Value = Value> {
    let turn = prop_oneof![select(TURNS).prop_map(|turn| json(&turn)), spoken()];
    let tools = prop::option::of(prop::collection::vec(select(TOOLS).prop_map(|tool| json(&tool)), 0..3));
    (object(REQUEST), prop::collection::vec(turn, 0..5), tools).prop_map(|(mut request, turns, tools)| {
        request.insert("model".to_owned(), "m".into());
        request.insert("messages".to_owned(), turns.into());
        request.extend(tools.map(|tools| ("tools".to_owned(), tools.into())));
        request.into()
    })
}

fn answer() -> impl Strategy<Value = Value> {
    let choice = (object(CHOICE), spoken()).prop_map(|(mut choice, message)| {
        choice.insert("message".to_owned(), message);
        choice
    });
    (object(ANSWER), prop::collection::vec(choice, 0..3)).prop_map(|(mut answer, mut choices)| {
        for (index, choice) in choices.iter_mut().enumerate() {
            choice.insert("index".to_owned(), index.into());
        }
        let known =
            json!({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": choices});
        answer.extend(known.as_object().cloned().unwrap_or_default());
        answer.into()
    })
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let head = select(vec!["", ": comment\n\n", "data: {\n\n", "event: message\n"]);
    let usage = select(vec!["", r#","usage":null"#, r#","usage":{"prompt_tokens":3,"completion_tokens":2}"#]);
    let chunk = (head, select(CHUNKS), usage, select(vec!["\n\n", "\r\n\r\n", "\r\r"]));
    let done =
        select(vec!["", "data: [DONE]\n\n", "data: [DONE]", "data: {\"error\":{\"message\":\"busy\"}}\n\n"]);
    (prop::collection::vec(chunk, 0..10), done).prop_map(|(chunks, done)| {
        let mut text = String::new();
        for (head, choices, usage, end) in chunks {
            let choices = json(&choices);
            text += &format!(r#"{head}data: {{"id":"1","model":"m","choices":{choices}{usage}}}{end}"#);
        }
        (text + done).into_bytes()
    })
}

fn hold(law: Result<(), laws::Broken>) {
    if let Err(broken) = law {
        panic!("{broken}");
    }
}

proptest! {
    #[test]
    fn a_request_comes_back_as_it_was(body in request()) {
        let body = body.to_string().into_bytes();
        prop_assert!(OpenaiChat.read_request(&body).is_ok());
        DialectId::ALL.iter().for_each(|to| hold(laws::request(wire::ME, &body, *to)));
    }

    #[test]
    fn an_answer_comes_back_as_it_was(body in answer()) {
        let read = OpenaiChat.read_response(body.to_string().as_bytes()).unwrap();
        let written = OpenaiChat.write_response(&read.value);
        prop_assert_eq!(serde_json::from_slice::<Value>(&written.value).unwrap(), body);
        prop_assert!(written.losses.is_empty(), "{:?}", written.losses);
    }

    #[test]
    fn a_stream_says_the_same_in_any_pieces(stream in stream()) {
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        for to in DialectId::callers() {
            hold(laws::stream(wire::ME, &stream, to));
            hold(laws::split(wire::ME, &bytes, to));
        }
    }
}

/// Fresh input, cache read, cache write, sound in; output, thoughts, sound out.
fn buckets(usage: &Usage) -> [u64; 7] {
    let Usage { input, cache_read, cache_write, audio_in, output, reasoning, audio_out, .. } = usage;
    [*input, *cache_read, *cache_write, *audio_in, *output, *reasoning, *audio_out]
}

#[test]
fn usage_goes_into_buckets_that_do_not_overlap() {
    let details = |read, write, sound| json!({"cached_tokens": read, "cache_write_tokens": write, "audio_tokens": sound});
    let told = |thought, sound| json!({"reasoning_tokens": thought, "audio_tokens": sound});
    let usage = |prompt: u64, completion: u64, total: Option<u64>, input: Value, output: Value| {
        json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total,
            "prompt_tokens_details": input, "completion_tokens_details": output})
    };
    let within = usage(100, 50, Some(150), details(30, 20, 10), told(15, 5));
    let thoughts_beside = usage(12, 2, Some(354), details(11, 0, 0), told(340, 0));
    let sound_beside = usage(11, 15, Some(401), details(9, 0, 375), Value::Null);
    let thoughts_too_many = usage(42, 23, Some(65), Value::Null, told(29, 0));
    let without_total = usage(5, 4, None, Value::Null, told(3, 0));
    let deepseek = json!({"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 4});
    let huge = usage(1, 2, Some(u64::MAX), details(u64::MAX, u64::MAX, u64::MAX), told(u64::MAX, u64::MAX));
    let table = [
        (within, [40, 30, 20, 10, 30, 15, 5]),
        (thoughts_beside, [1, 11, 0, 0, 2, 340, 0]),
        (sound_beside, [2, 9, 0, 375, 15, 0, 0]),
        (thoughts_too_many, [42, 0, 0, 0, 0, 23, 0]),
        (without_total, [5, 0, 0, 0, 1, 3, 0]),
        (deepseek, [5, 4, 0, 0, 1, 0, 0]),
        (huge, [0, 1, 0, u64::MAX, 0, 2, u64::MAX]),
    ];
    for (usage, expected) in table {
        assert_eq!(buckets(&wire::read_usage(&usage).unwrap()), expected, "{usage}");
    }
}

#[test]
fn a_meter_reads_the_last_usage_of_a_body() {
    let usage = |body: &str| OpenaiChat.read_usage(body.as_bytes()).map(|usage| (usage.input, usage.output));
    let twice = r#"{"usage":{"prompt_tokens":1},"choices":[{"x":1,"x":2}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
    assert_eq!(usage(twice), Some((3, 2)));
    assert_eq!(usage(r#"{"usage":null,"x_groq":{"usage":{"prompt_tokens":4}}}"#), Some((4, 0)));
    assert_eq!(usage(r#"{"choices":[]}"#), None);
    assert_eq!(usage(r#"{"usage":{"prompt_tokens":1"#), None);
    assert_eq!(usage("[]"), None);
}

/// After each frame: content seen, ended, output tokens seen.
fn glances(frames: &[&str]) -> Vec<(bool, bool, Option<u64>)> {
    let mut glance = OpenaiChat.glance();
    let look = |data: &&str| {
        glance.frame(&Frame { event: b"", data: data.as_bytes() }).unwrap();
        let seen = glance.seen();
        (seen.content, seen.ended, seen.usage.as_ref().map(|usage| usage.output))
    };
    frames.iter().map(look).collect()
}

#[test]
fn a_glance_sees_content_usage_and_end() {
    let role = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#;
    let words = r#"{"choices":[{"index":0,"delta":{"content":"say \"usage\": 1"},"finish_reason": null}], "usage" : null}"#;
    let finish = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let usage = r#"{"choices":[],"usage":{"completion_tokens":2}}"#;
    let seen = glances(&[role, "no JSON", words, words, finish, usage, "[DONE]"]);
    let began = (false, false, None);
    let said = (true, false, None);
    assert_eq!(
        seen,
        [began, began, said, said, (true, true, None), (true, true, Some(2)), (true, true, Some(2))]
    );

    let second = r#"{"choices":[{"index":1,"delta":{"content":"B"},"finish_reason":null}]}"#;
    let both = r#"{"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}"#;
    let ended: Vec<bool> = glances(&[words, finish, second, both]).iter().map(|seen| seen.1).collect();
    assert_eq!(ended, [false, true, false, true]);
    let calls = r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0}]}}]}"#;
    assert_eq!(glances(&[calls]), [said]);
}

#[test]
fn a_glance_sees_errors() {
    let mut glance = OpenaiChat.glance();
    let mut kind = |event: &str, data: &str| {
        glance.frame(&Frame { event: event.as_bytes(), data: data.as_bytes() }).map_err(|fault| fault.kind)
    };
    assert_eq!(kind("", r#"{"choices":[{"delta":{"content":"Hi"}}]}"#), Ok(()));
    assert_eq!(kind("", r#"{"choices":[],"error":null}"#), Ok(()));
    assert_eq!(kind("", r#"{"choices":[],"error":{"code":429}}"#), Err(FaultKind::UpstreamLimited));
    assert_eq!(kind("error", "busy"), Err(FaultKind::UpstreamFailed));
    assert_eq!(
        kind("", r#"{"choices":[{"delta":{},"finish_reason":"error"}]}"#),
        Err(FaultKind::UpstreamFailed)
    );
}

#[test]
fn a_request_is_bounded() {
    let turn = json!({"role": "user", "content": "a"});
    let parts =
        json!([{"role": "user", "content": vec![json!({"type": "text", "text": "a"}); PARTS_MAX + 1]}]);
    let tools = vec![json!({"type": "new"}); TOOLS_MAX + 1];
    let table = [
        (json!({"model": "m", "messages": vec![turn.clone(); TURNS_MAX + 1]}), "/messages"),
        (json!({"model": "m", "messages": parts}), "/messages"),
        (json!({"model": "m", "messages": [turn], "tools": tools}), "/tools"),
    ];
    for (body, pointer) in table {
        let fault = OpenaiChat.read_request(body.to_string().as_bytes()).unwrap_err();
        assert_eq!((fault.kind, fault.param.as_deref()), (FaultKind::BadRequest, Some(pointer)));
    }
}
