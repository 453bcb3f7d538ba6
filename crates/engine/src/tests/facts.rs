//! What is known of models decides who is asked, and for how much.

use super::{plan, sending};
use crate::{
    fit::{Needs, Unfit, fit, is_in_question},
    models::{Ability, Facts},
    record::PassedOver,
};
use dialect::{DialectId, canon::Request};
use proptest::prelude::*;
use serde_json::{Value, json};

const FILE: &str = r#"
environment: false
providers:
  small:
    base_url: http://127.0.0.1:9000/v1
    facts:
      "*": {abilities: {tools: false, vision: false, audio: false, documents: false, json_schema: false}}
      short: {context_window: 1000, abilities: {tools: true}}
  large: {base_url: "http://127.0.0.1:9001/v1"}
  claude: {base_url: "http://127.0.0.1:9002", dialect: anthropic, facts: {c: {max_output: 777}}}
models:
  both: [small/m, large/m]
  short: [small/short, large/m]
  none: [small/m, small/n]
  translated: [small/m, claude/c]
"#;

fn body(model: &str, more: Value) -> String {
    let mut body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    body.to_string()
}

fn with_part(part: Value) -> Value {
    json!({"messages": [{"role": "user", "content": [part]}]})
}

/// Every need, as a request of OpenAI's tells it.
fn needs() -> Vec<(Ability, Value)> {
    let tool = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}});
    vec![
        (Ability::Tools, json!({"tools": tool})),
        (Ability::JsonSchema, json!({"response_format": format})),
        (
            Ability::Vision,
            with_part(json!({"type": "image_url", "image_url": {"url": "https://a.example/b.png"}})),
        ),
        (
            Ability::Audio,
            with_part(json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}})),
        ),
        (
            Ability::Documents,
            with_part(json!({"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}})),
        ),
    ]
}

fn asked(body: &str) -> (String, Vec<PassedOver>) {
    let (upstream, record) = sending::exchange(plan(&[], FILE), DialectId::OpenaiChat, body);
    (upstream.uri.to_string(), record.passed_over)
}

const SMALL: &str = "http://127.0.0.1:9000/v1/chat/completions";
const LARGE: &str = "http://127.0.0.1:9001/v1/chat/completions";

#[test]
fn a_target_that_lacks_what_is_needed_is_passed_over() {
    assert_eq!(asked(&body("both", json!({}))), (SMALL.to_owned(), vec![]));
    for (ability, more) in needs() {
        let (uri, passed_over) = asked(&body("both", more.clone()));
        let why = Unfit::Lacks(ability);
        let expected = PassedOver { provider: "small".to_owned(), model: "m".to_owned(), why };
        assert_eq!((uri.as_str(), passed_over), (LARGE, vec![expected]), "{more}");
    }
}

#[test]
fn a_prompt_goes_where_there_is_room_for_it() {
    let prompt = |bytes: usize| json!({"messages": [{"role": "user", "content": "a".repeat(bytes)}]});
    assert_eq!(asked(&body("short", prompt(3_000))).0, SMALL);
    let (uri, passed_over) = asked(&body("short", prompt(5_000)));
    assert_eq!((uri.as_str(), passed_over[0].why), (LARGE, Unfit::TooLong { prompt: 1_254, window: 1_000 }));
    // Base64 is long, and not many tokens.
    let picture = format!("data:image/png;base64,{}", "A".repeat(8_000));
    let picture = with_part(json!({"type": "image_url", "image_url": {"url": picture}}));
    assert_eq!(asked(&body("short", picture)).1[0].why, Unfit::Lacks(Ability::Vision), "from `*`");
}

#[test]
fn where_no_target_is_fit_the_first_is_asked() {
    let (_, more) = needs().remove(0);
    assert_eq!(asked(&body("none", more.clone())), (SMALL.to_owned(), vec![]));
    assert_eq!(asked(&body("small/m", more)), (SMALL.to_owned(), vec![]), "and where there is one only");
}

#[test]
fn a_body_that_cannot_be_read_is_not_judged() {
    let broken = r#"{"model":"both","messages":"image","tools":7}"#;
    assert_eq!(asked(broken), (SMALL.to_owned(), vec![]));
}

#[test]
fn a_limit_that_the_provider_demands_is_the_models_own() {
    let (_, more) = needs().remove(0);
    let plan_of = || plan(&[], FILE);
    let sent = |body: &str| {
        let (upstream, _) = sending::exchange(plan_of(), DialectId::OpenaiChat, body);
        serde_json::from_slice::<Value>(&upstream.body.concat()).unwrap()["max_tokens"].clone()
    };
    assert_eq!(sent(&body("translated", more)), json!(777));
    assert_eq!(sent(&body("claude/c", json!({"max_tokens": 5}))), json!(5));
}

#[test]
fn what_the_operator_says_counts_more_than_what_is_known() {
    let text = r#"
providers:
  openai:
    keys: [k]
    facts:
      gpt-4o: {context_window: 5, prices: [{input: 1, output: 2.5}, {above: 10, input: 3}]}
      mine: {like: groq/openai/gpt-oss-120b, max_output: 9}
      "*": {max_output: 7, abilities: {vision: true}}
"#;
    let plan = plan(&[], text);
    let facts = |model: &str| plan.providers[plan.provider("openai").unwrap()].facts(model).into_owned();
    let known = crate::models::find("openai", "gpt-4o").unwrap();
    let gpt = facts("gpt-4o");
    assert_eq!((gpt.context, gpt.max_output), (Some(5), Some(7)));
    assert_eq!(gpt.prices.to_string(), "i1 o2.5 >10 i3");
    assert_eq!(gpt.abilities.has(Ability::Tools), known.abilities.has(Ability::Tools));
    let mine = facts("mine");
    let like = crate::models::find("groq", "openai/gpt-oss-120b").unwrap();
    assert_eq!((mine.max_output, mine.context, mine.prices), (Some(9), like.context, like.prices));
    assert_eq!(mine.abilities.has(Ability::Vision), like.abilities.has(Ability::Vision));
    assert_eq!(facts("other").abilities.has(Ability::Vision), Some(true));
}

#[test]
fn what_is_not_known_stands_in_nobodys_way() {
    for (ability, more) in needs() {
        let body = body("m", more);
        let request = DialectId::OpenaiChat.dialect().read_request(body.as_bytes()).unwrap().value;
        let needs = Needs::of(&request);
        assert_eq!(needs.abilities, [ability]);
        assert_eq!(fit(&needs, &Facts::default()), Ok(()));
        assert!(!is_in_question(body.as_bytes(), &Facts::default()));
    }
}

proptest! {
    /// Reading a body may be spared only if it would change nothing.
    #[test]
    fn a_request_that_is_out_of_question_is_fit(
        dialect in prop::sample::select(DialectId::ALL),
        chosen in prop::collection::vec(0..5_usize, 0..4),
        words in "[a-z ]{0,400}",
        window in 1..200_u64,
        lacks in prop::collection::vec(any::<bool>(), 5),
    ) {
        let mut all = json!({"messages": []});
        let messages = |all: &mut Value, content: Value| {
            all["messages"].as_array_mut().unwrap().push(json!({"role": "user", "content": content}));
        };
        messages(&mut all, words.into());
        for need in chosen {
            let (_, more) = needs().remove(need);
            for (name, value) in more.as_object().unwrap() {
                match name.as_str() {
                    "messages" => messages(&mut all, value[0]["content"].clone()),
                    _ => all[name] = value.clone(),
                }
            }
        }
        let chat: Request =
            DialectId::OpenaiChat.dialect().read_request(body("m", all).as_bytes()).unwrap().value;
        let written = dialect.dialect().write_request(&chat, &dialect::Target { model: "m", ..Default::default() }).value;
        // Some dialects are spoken to providers alone.
        let Ok(read) = dialect.dialect().read_request(&written) else { return Ok(()) };
        let read = read.value;
        let mut facts = Facts { context: Some(window), ..Facts::default() };
        for ((ability, _), lack) in needs().into_iter().zip(lacks) {
            facts.abilities.set(ability, !lack);
        }
        let needs = Needs { prompt: 0, ..Needs::of(&read) };
        prop_assert!(is_in_question(&written, &facts) || fit(&needs, &facts).is_ok());
        let text = Needs { abilities: Vec::new(), ..Needs::of(&read) };
        let has_media = read.turns.iter().flat_map(|turn| &turn.blocks).any(|block| !matches!(block.kind, dialect::canon::Kind::Text(_)));
        prop_assert!(has_media || is_in_question(&written, &facts) || fit(&text, &facts).is_ok());
    }
}
